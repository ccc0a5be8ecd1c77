"""``stockctl signals list|show|watch``: what strategies decided."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stockctl.cli.metrics import LiveFormat, until_signalled
from stockctl.cli.options import (
    AnySymbolsArgument,
    DateOption,
    ForOption,
    SinceOption,
    SymbolsArgument,
    TimezoneOption,
    UntilOption,
    day,
    moment,
    say_next_batch,
    seconds,
    settings_of,
)
from stockctl.cli.output import Format, View, record_options, row_options, say, write_objects, write_rows
from stockctl.errors import UsageError

if TYPE_CHECKING:
    from stockctl.records import SignalRecord
    from stockctl.settings import Settings

StrategyName = Annotated[str | None, typer.Option("--strategy", metavar="NAME", help="Only this strategy.")]
_TIMES = ("ts_decided", "ts_event", "ts_recv")
_MAIN = ("ts_decided", "symbol", "side", "target", "strategy", "strength", "gap", "reason", "id")
"""Columns of a narrow terminal, the most important first."""


def _shown(settings: Settings, row: dict[str, Any]) -> dict[str, Any]:
    """``row`` with its times in the time zone of ``settings``."""
    from zoneinfo import ZoneInfo

    from stockctl.exchange.calendar import from_ms

    zone = ZoneInfo(settings.timezone)
    return row | {name: from_ms(row[name], zone) for name in _TIMES}


@row_options(limit=100)
def list_(
    ctx: typer.Context,
    symbols: AnySymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    date: DateOption = None,
    strategy: StrategyName = None,
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="Kind of records: signal, run or heartbeat.")] = "signal",
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """List signals in the lake, the newest first.

    By default of the newest date that has any. The column gap says whether the signal lies beside a gap of the feed.

    Example: stockctl signals list AAPL --date 2026-11-23 --strategy sma-cross
    """
    from typing import get_args
    from zoneinfo import ZoneInfo

    from stockctl.exchange.calendar import day_bounds
    from stockctl.lake.reader.object_selection import LakeReader
    from stockctl.lake.reader.symbols import resolve_lake_symbols
    from stockctl.metrics.query import bounds
    from stockctl.records import SignalKind
    from stockctl.signals.reader import COLUMNS, newest_day, read_rows

    if kind not in get_args(SignalKind):
        raise UsageError(f"--kind cannot be {kind}", hint=f"it is one of {', '.join(get_args(SignalKind))}")
    settings = settings_of(ctx, {"timezone": tz})
    zone = ZoneInfo(settings.timezone)
    first, last = bounds(zone, moment("--since", since, zone), moment("--until", until, zone), day("--date", date))
    with LakeReader(settings) as lake:
        if first is None and last is None and (newest := newest_day(lake)) is not None:
            first, last = day_bounds(newest, lake.zone)
        names = resolve_lake_symbols(lake, symbols) if symbols else None
        rows = read_rows(lake, first, last, symbols=names, strategy=strategy, kind=kind)
    write_rows((_shown(settings, row) for row in rows), view, COLUMNS, main=_MAIN)
    if not rows:
        say("the lake has no such signal")
        say_next_batch(settings, "lake", first, last)
    elif view.limit is not None and len(rows) > view.limit:
        say(f"and {len(rows) - view.limit} older ones; --limit shows more")


@record_options()
def show(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of the signal; `signals list` shows it.")],
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Show a signal with all its fields.

    Once for each run that made it.

    Example: stockctl signals show 5b0c7e1a9d2f4c3b8a6e0d1f2c3b4a59
    """
    from stockctl.lake.reader.object_selection import LakeReader
    from stockctl.signals.reader import find_rows

    settings = settings_of(ctx, {"timezone": tz})
    with LakeReader(settings) as lake:
        rows = [_shown(settings, row) for row in find_rows(lake, id)]
    if not rows:
        raise UsageError(f"there is no signal {id} in the lake", hint="`stockctl signals list` shows the ids")
    write_objects(rows, view)


def watch(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    strategy: StrategyName = None,
    duration: ForOption = None,
    look_back: Annotated[str, typer.Option(metavar="DURATION", help="Start with what was received this long ago.")] = "5m",
    tz: TimezoneOption = None,
    output: Annotated[LiveFormat, typer.Option("--output", "-o", help="Output format.")] = LiveFormat.table,
) -> None:
    """Watch signals as they are published, a line each.

    Example: stockctl signals watch AAPL --strategy sma-cross --for 60s
    """
    from stockctl.metrics.live import watched_symbols
    from stockctl.signals.watch import follow

    settings = settings_of(ctx, {"timezone": tz})
    within = None if duration is None else seconds("--for", duration, least=0.1)
    back = seconds("--look-back", look_back, least=0.1)
    wanted = watched_symbols(settings, symbols, back, say) if symbols else ()
    with until_signalled() as stop:
        found = follow(settings, wanted, strategy=strategy, seconds=within, look_back=back, stop=stop, notify=say)
        if output is LiveFormat.table:
            _print_lines(settings, found)
        else:
            write_rows(_flushed(settings, found), Format.jsonl)


def _print_lines(settings: Settings, found: Iterable[SignalRecord]) -> None:
    import msgspec

    for record in found:
        row = _shown(settings, msgspec.structs.asdict(record))
        at = row["ts_decided"].strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        sys.stdout.write(
            f"{at}  {record.symbol}  {record.side:4}  {record.target:+.2f}  {record.strategy}  {record.reason}".rstrip() + "\n"
        )
        sys.stdout.flush()


def _flushed(settings: Settings, found: Iterable[SignalRecord]) -> Iterable[dict[str, Any]]:
    """The rows of ``found``. Stdout is flushed after each."""
    import msgspec

    for record in found:
        yield _shown(settings, msgspec.structs.asdict(record))
        sys.stdout.flush()
