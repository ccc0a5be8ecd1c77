"""The floor: the date below which the lake promises nothing any more, because ``lake prune`` dropped it.

Floors are objects of the log, one a date, put only if absent and never changed; the highest one counts. So two prunes at a time
do no harm, and a floor never sinks. Claims stay: they tell for ever what was there. A late row of a date below the floor is
written as ever, read by nobody, and dropped by the next prune.
"""

from __future__ import annotations

from datetime import date

import msgspec

from stockctl.clients.store import Store
from stockctl.lake.format.claims import UnreadableError, decode, put_once
from stockctl.lake.format.keys import FLOORS, date_of, floor_key, parse_floor


def read_floor(store: Store) -> date | None:
    """The first date that the lake still promises; None if nothing was ever pruned."""
    return max((day for item in store.objects(FLOORS) if (day := parse_floor(item.key)) is not None), default=None)


class _Floor(msgspec.Struct):
    floor: date


def check_floor(store: Store, key: str) -> None:
    """UnreadableError if what stands at ``key``, among the floors, is none: its name counts, and its content says the same."""
    day = parse_floor(key)
    if day is None:
        raise UnreadableError(key, "its name is no date: readers ignore it", hint="delete it")
    if (says := decode(store.get(key), key, _Floor).floor) != day:
        raise UnreadableError(key, f"the floor says that it is {says}")


def put_floor(store: Store, day: date) -> None:
    """Promise nothing below ``day`` from now on."""
    put_once(store, floor_key(day), msgspec.json.encode({"floor": day}))


def is_expired(key: str, floor: date | None) -> bool:
    """Whether what is at ``key`` lies below the floor."""
    if floor is None:
        return False
    day = date_of(key)
    return day is not None and day < floor
