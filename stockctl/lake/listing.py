"""``lake list``: what the lake holds, by table, date and ticker, from its claims."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import NamedTuple

from stockctl.clients.store import Store
from stockctl.lake.claims import read_claim
from stockctl.lake.floor import read_floor
from stockctl.lake.layout import LOG, parse_claim, parse_object


class Holding(NamedTuple):
    """Rows of one ticker on one date: objects, rows, bytes as stored, and the span of their times in ms.

    Where symbols share buckets, ``ticker`` is the bucket's folder, such as ``bucket=017-of-064``.
    """

    table: str
    trade_date: date
    ticker: str
    objects: int
    rows: int
    bytes: int
    ts_min: int
    ts_max: int


def holdings(store: Store) -> list[Holding]:
    """Everything claimed from the floor on, in order of table, date and ticker."""
    floor = read_floor(store)
    keys = [item.key for item in store.objects(LOG) if parse_claim(item.key)]
    found: dict[tuple[str, date, str], Holding] = {}
    with ThreadPoolExecutor(16, thread_name_prefix="list") as pool:
        for claim in pool.map(lambda key: read_claim(store, key), keys):
            for item in claim.objects:
                name = parse_object(item.key)
                if name is None or (floor is not None and name.trade_date < floor):
                    continue
                place = (name.table, name.trade_date, name.part.removeprefix("ticker="))
                old = found.get(place, Holding(*place, 0, 0, 0, item.ts_min, item.ts_max))
                found[place] = Holding(
                    *place,
                    old.objects + 1,
                    old.rows + item.rows,
                    old.bytes + item.size,
                    min(old.ts_min, item.ts_min),
                    max(old.ts_max, item.ts_max),
                )
    return sorted(found.values())
