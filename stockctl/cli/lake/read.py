"""``stockctl lake read|query|gaps``: show the lake's data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.metrics import Session
from stockctl.cli.options import (
    LAST_MS,
    AnySymbolsArgument,
    AsOfOption,
    DateOption,
    SinceOption,
    SymbolsArgument,
    TimezoneOption,
    UntilOption,
    as_of_moment,
    day,
    moment,
    say_next_batch,
    settings_of,
)
from stockctl.cli.output import View, numbered, row_options, say, write_arrow, write_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from stockctl.settings import Settings

_MAIN = ("symbol", "ts_event", "price", "volume", "ts_recv", "conditions")
"""Columns of trades, the most important first."""
_TIME = re.compile(r"(?:(?:ts_event|ts_recv)|(?:min|max)\((?:ts_event|ts_recv)\))(?:_\d+)?")
"""Names of columns with times in an answer to SQL; a repeated name has a number."""


@row_options()
def read(
    ctx: typer.Context,
    symbols: AnySymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    date: DateOption = None,
    as_of: AsOfOption = None,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Read trades, ordered by time.

    Example: stockctl lake read AAPL --date 2026-11-23 -o parquet > trades.parquet
    """
    from zoneinfo import ZoneInfo

    from stockctl.exchange.calendar import to_ms
    from stockctl.lake.reader.trades import trades_between, with_times

    settings = settings_of(ctx, {"timezone": tz})
    first, last = _bounds(settings, since, until, date)
    known = as_of_moment(as_of, ZoneInfo(settings.timezone))
    table = trades_between(settings, symbols or None, first, last, None if known is None else to_ms(known))
    if not table.num_rows:
        say("the lake has no such trade: `stockctl lake list` shows what it has")
        # What waits was not received by then.
        say_next_batch(settings, "lake", first, last if known is None else to_ms(known))
    write_arrow(with_times(table, ("ts_event", "ts_recv"), settings.timezone), view, main=_MAIN)


@row_options()
def query(
    ctx: typer.Context,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT in DuckDB's dialect.")],
    since: SinceOption = None,
    until: UntilOption = None,
    date: DateOption = None,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Run SQL over the views trades, bars_1m and coverage.

    On a terminal, ts_event and ts_recv are shown as times.

    Example: stockctl lake query "SELECT symbol, count(*) FROM trades GROUP BY symbol" --date 2026-11-23
    """
    from stockctl.lake.reader.trades import with_times
    from stockctl.metrics.lake_query import query as run

    settings = settings_of(ctx, {"timezone": tz})
    table = run(settings, sql, *_bounds(settings, since, until, date), whole=since is not None)
    if view.on_terminal:
        table = table.rename_columns(numbered(table.column_names))
        table = with_times(table, _times_of(table), settings.timezone)
    write_arrow(table, view, kinds=False)


def _times_of(table: pa.Table) -> list[str]:
    """The columns of ``table`` with milliseconds since the epoch, by their names and values."""
    import pyarrow as pa
    import pyarrow.compute

    found = []
    for name in filter(_TIME.fullmatch, table.column_names):
        column = table.column(name)
        if column.type == pa.int64():
            first, last = pyarrow.compute.min(column).as_py() or 0, pyarrow.compute.max(column).as_py() or 0
            if 0 <= first <= last < LAST_MS:
                found.append(name)
    return found


@row_options()
def gaps(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    date: DateOption = None,
    as_of: AsOfOption = None,
    session: Annotated[
        Session | None, typer.Option(help="Which hours count; default: the setting metrics.session, or all if none has begun.")
    ] = None,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """List session time that the feed did not cover.

    From the first connection of the feed or --since on; by default of the newest date with feed events whose session has begun.

    Example: stockctl lake gaps AAPL --date 2026-11-23 --session all
    """
    import datetime
    from zoneinfo import ZoneInfo

    from stockctl.exchange.calendar import to_ms
    from stockctl.lake.reader.object_selection import LakeReader
    from stockctl.lake.reader.symbols import resolve_lake_symbols
    from stockctl.metrics.coverage_report import read_coverage

    settings = settings_of(ctx, {"metrics.session": session and session.value, "timezone": tz})
    zone = ZoneInfo(settings.timezone)
    bounds = _bounds(settings, since, until, date)
    if symbols:
        with LakeReader(settings) as lake:
            settings = settings.model_copy(update={"symbols": resolve_lake_symbols(lake, symbols)})
    then = as_of_moment(as_of, zone)
    found = read_coverage(
        settings, *bounds, whole=since is not None, fall_back=session is None, as_of=None if then is None else to_ms(then)
    )
    types: dict[str, type | ZoneInfo]
    types = {"symbol": str, "trade_date": datetime.date, "since": zone, "until": zone, "seconds": float, "reason": str}
    write_rows(found.rows(zone), view, list(types), types, main=("symbol", "since", "until", "reason"))
    for note in found.notes(settings.metrics.session, None if session is None else settings.metrics.session):
        say(note)
    if not found.totals:
        say_next_batch(settings, "lake", *bounds)


def _bounds(settings: Settings, since: str | None, until: str | None, date: str | None) -> tuple[int | None, int | None]:
    from zoneinfo import ZoneInfo

    from stockctl.metrics.query import bounds

    zone = ZoneInfo(settings.timezone)
    return bounds(zone, moment("--since", since, zone), moment("--until", until, zone), day("--date", date))
