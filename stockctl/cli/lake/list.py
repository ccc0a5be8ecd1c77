"""``stockctl lake list``."""

from __future__ import annotations

import typer

from stockctl.cli.options import say_next_batch, settings_of
from stockctl.cli.output import View, row_options, say, write_rows


@row_options()
def list_(ctx: typer.Context, *, view: View) -> None:
    """List the lake's data, one line per table, date and ticker.

    Example: stockctl lake list
    """
    from zoneinfo import ZoneInfo

    from stockctl.exchange.calendar import from_ms
    from stockctl.lake.reader.inventory import InventoryRow, inventory
    from stockctl.lake.reader.object_selection import LakeReader

    settings = settings_of(ctx)
    zone = ZoneInfo(settings.timezone)
    with LakeReader(settings) as lake:
        entries = inventory(lake)
    rows = (
        entry._asdict() | {"ts_min": from_ms(entry.ts_min, zone), "ts_max": from_ms(entry.ts_max, zone)} for entry in entries
    )
    write_rows(rows, view, InventoryRow._fields, main=("table", "trade_date", "ticker", "rows", "bytes", "ts_min", "ts_max"))
    if not entries:
        say(f"the lake at {settings.lake.url} is empty")
        say_next_batch(settings, "lake")
