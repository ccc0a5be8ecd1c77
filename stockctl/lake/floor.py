"""The floor: the date below which the lake promises nothing any more, because ``lake prune`` dropped it.

Floors are objects of the log, one a date, put only if absent and never changed; the highest one counts. So two prunes at a time
do no harm, and a floor never sinks. Claims stay: they tell for ever what was there. A late row of a date below the floor is
written as ever, read by nobody, and dropped by the next prune.
"""

from __future__ import annotations

import re
from datetime import date

import msgspec

from stockctl.clients.store import ExistsError, Store
from stockctl.lake.layout import LOG

_FOLDER = f"{LOG}/floors"
_FLOOR = re.compile(rf"{_FOLDER}/(\d{{4}}-\d{{2}}-\d{{2}})\.json")
_DATED = re.compile(rf"(?:(?:parquet/)?[a-z_]+/trade_date=|{LOG}/parquet/[a-z_]+/)(\d{{4}}-\d{{2}}-\d{{2}})/")


def read_floor(store: Store) -> date | None:
    """The first date that the lake still promises; None if nothing was ever pruned."""
    return max(
        (date.fromisoformat(found[1]) for item in store.objects(_FOLDER) if (found := _FLOOR.fullmatch(item.key))), default=None
    )


def put_floor(store: Store, day: date) -> None:
    """Promise nothing below ``day`` from now on."""
    try:
        store.put_new(f"{_FOLDER}/{day.isoformat()}.json", msgspec.json.encode({"floor": day}))
    except ExistsError:
        return


def date_of(key: str) -> date | None:
    """The date that the key of an object or a manifest lies under; None for what lies under none."""
    found = _DATED.match(key)
    return None if found is None else date.fromisoformat(found[1])


def is_below(key: str, floor: date | None) -> bool:
    """Whether what is at ``key`` lies below the floor."""
    if floor is None:
        return False
    day = date_of(key)
    return day is not None and day < floor
