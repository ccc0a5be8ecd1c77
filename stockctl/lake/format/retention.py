"""The retention floor: ``lake prune`` has deleted the dates below it, and the lake guarantees nothing about them.

Floors are objects of the log, one per date, written only if absent and never changed; the highest one counts. So concurrent
prunes are safe, and the floor never moves back. Claims stay as a permanent record. A late row of a date below the floor is
still written, but nobody reads it, and the next prune deletes it.
"""

from __future__ import annotations

from datetime import date

import msgspec

from stockctl.clients.object_store import Store
from stockctl.lake.format.claims import UnreadableError, decode, put_once
from stockctl.lake.format.keys import FLOORS, date_of, floor_key, parse_floor


def read_floor(store: Store) -> date | None:
    """The first date that the lake guarantees; None if nothing was ever pruned."""
    return max((day for item in store.objects(FLOORS) if (day := parse_floor(item.key)) is not None), default=None)


class _Floor(msgspec.Struct):
    floor: date


def check_floor(store: Store, key: str) -> None:
    """UnreadableError if ``key`` is not that of a floor, or if its content has another date. The key counts for readers."""
    day = parse_floor(key)
    if day is None:
        raise UnreadableError(key, "its name is not a date: readers ignore it", hint="delete it")
    if (floor := decode(store.get(key), key, _Floor).floor) != day:
        raise UnreadableError(key, f"its content is the floor {floor}")


def put_floor(store: Store, day: date) -> None:
    """Raise the floor to ``day``."""
    put_once(store, floor_key(day), msgspec.json.encode({"floor": day}))


def is_expired(key: str, floor: date | None) -> bool:
    """Whether ``key`` belongs to a date below the floor."""
    if floor is None:
        return False
    day = date_of(key)
    return day is not None and day < floor
