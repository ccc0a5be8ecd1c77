"""``lake list``: what the lake holds, by table, date and ticker, from its claims."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from stockctl.lake.format.keys import TABLES, parse_object
from stockctl.lake.format.retention import is_expired, read_floor
from stockctl.lake.reader.catalog import LakeReader


class InventoryRow(NamedTuple):
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


def inventory(lake: LakeReader) -> list[InventoryRow]:
    """What the lake holds from the floor on, in order of table, date and ticker; errors as of reading all of it."""
    floor = read_floor(lake.store)
    found: dict[tuple[str, date, str], InventoryRow] = {}
    for table in TABLES:
        lake.find(table)  # what should be there is there
        days = lake.dates(table)
        there = lake.objects(table, days, None)
        compacted = lake.manifests(days) if table == "trades" else {}
        for claim in lake.log(table).find((), None, None):
            for item in claim.objects:
                name = parse_object(item.key)
                if name is None or is_expired(item.key, floor):
                    continue
                manifest = compacted.get(name.trade_date)
                if item.key not in there and (manifest is None or claim.key not in manifest.claims):
                    continue  # still being put, or accepted as lost
                place = (name.table, name.trade_date, name.part.removeprefix("ticker="))
                old = found.get(place, InventoryRow(*place, 0, 0, 0, item.ts_min, item.ts_max))
                found[place] = InventoryRow(
                    *place,
                    old.objects + 1,
                    old.rows + item.rows,
                    old.bytes + item.size,
                    min(old.ts_min, item.ts_min),
                    max(old.ts_max, item.ts_max),
                )
    return sorted(found.values())
