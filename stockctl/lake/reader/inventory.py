"""``lake list``: the lake's data by table, date and ticker, from its claims."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from stockctl.lake.format.keys import TABLES, parse_object
from stockctl.lake.format.retention import is_expired, read_floor
from stockctl.lake.reader.object_selection import LakeReader


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
    """The lake's data from the floor on, ordered by table, date and ticker. UnhealthyError if an object is
    missing or damaged.
    """
    floor = read_floor(lake.store)
    rows: dict[tuple[str, date, str], InventoryRow] = {}
    for table in TABLES:
        lake.find(table)  # raises an error for a missing or damaged object
        days = lake.dates(table)
        existing = lake.objects(table, days, None)
        compacted = lake.manifests(days) if table == "trades" else {}
        for claim in lake.log(table).find((), None, None):
            for item in claim.objects:
                name = parse_object(item.key)
                if name is None or is_expired(item.key, floor):
                    continue
                manifest = compacted.get(name.trade_date)
                if item.key not in existing and (manifest is None or claim.key not in manifest.claims):
                    continue  # the writer is storing it, or its loss was accepted
                place = (name.table, name.trade_date, name.part.removeprefix("ticker="))
                old = rows.get(place, InventoryRow(*place, 0, 0, 0, item.ts_min, item.ts_max))
                rows[place] = InventoryRow(
                    *place,
                    old.objects + 1,
                    old.rows + item.rows,
                    old.bytes + item.size,
                    min(old.ts_min, item.ts_min),
                    max(old.ts_max, item.ts_max),
                )
    return sorted(rows.values())
