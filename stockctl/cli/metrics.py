"""``stockctl metrics``: VWAP, volatility, trade rate and bars of stored trades, and a live view of the trades in Kafka."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

import typer

from stockctl.cli.options import (
    IN_THE_FUTURE,
    AsOfOption,
    DateOption,
    ForOption,
    Group,
    SinceOption,
    SymbolsArgument,
    TimezoneOption,
    UntilOption,
    as_of_moment,
    day,
    moment,
    say_next_batch,
    seconds,
    settings_of,
)
from stockctl.cli.output import Format, View, row_options, say, write_rows
from stockctl.errors import UsageError
from stockctl.metrics.engines.registry import DEFAULT_ENGINE, ENGINES

if TYPE_CHECKING:
    from stockctl.metrics.query import Query
    from stockctl.metrics.results import Result
    from stockctl.settings import Settings

    EngineName = str
else:
    EngineName = Literal[tuple(ENGINES)]  # Typer offers the names in the registry

_SHORTEST = 0.1
"""Shortest live view, refresh and look-back, in seconds."""

_MAIN = (
    *("symbol", "bar", "trade_date", "vwap", "volatility", "rate", "trades", "volume", "close", "open", "high", "low"),
    *("deviation", "covered_seconds", "annual_volatility", "last_trade"),
)
"""Columns of metrics, the most important first."""
_MAIN_OF_BARS = ("symbol", "bar", "open", "high", "low", "close", "volume", "vwap", "trade_date")

app = Group(help="Compute metrics from the lake's trades, or watch them live.")


class Policy(StrEnum):
    """Which trades count."""

    standard = "standard"
    all = "all"
    price_forming = "price-forming"


class Session(StrEnum):
    """Which session counts."""

    regular = "regular"
    pre = "pre"
    post = "post"
    all = "all"


class LiveFormat(StrEnum):
    """Output formats of a live view, which never ends."""

    table = "table"
    jsonl = "jsonl"


PolicyOption = Annotated[Policy | None, typer.Option(help="Which trades count.")]
SessionOption = Annotated[
    Session | None, typer.Option(help="Which hours count; default: the newest regular session with trades.")
]
Across = Annotated[bool, typer.Option("--across", help="One result across all dates.")]
EngineOption = Annotated[EngineName, typer.Option(help="Where metrics are computed.")]
EveryOption = Annotated[
    str | None, typer.Option("--every", metavar="DURATION", help="One row per interval of this length: 1m, 5m, 1h, 1d.")
]


@app.command()
@row_options()
def vwap(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    date: DateOption = None,
    as_of: AsOfOption = None,
    every: EveryOption = None,
    policy: PolicyOption = None,
    session: SessionOption = None,
    across: Across = False,
    tz: TimezoneOption = None,
    engine: EngineOption = DEFAULT_ENGINE,
    *,
    view: View,
) -> None:
    """Show the volume-weighted average price.

    Example: stockctl metrics vwap AAPL MSFT --date 2026-11-23
    """
    from stockctl.metrics import definitions

    query = _query(ctx, symbols, since, until, date, as_of, policy, session, tz, engine, across=across, every=every)
    _show(query, definitions.vwap(*query, notify=say), view)


@app.command()
@row_options()
def volatility(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    date: DateOption = None,
    as_of: AsOfOption = None,
    window: Annotated[
        str | None, typer.Option(metavar="N|DURATION", help="Trades (100) or time (5m) of the rolling window; default 100.")
    ] = None,
    returns: Annotated[bool, typer.Option("--returns", help="Annualised, of returns on the --every grid (1m).")] = False,
    every: EveryOption = None,
    policy: PolicyOption = None,
    session: SessionOption = None,
    across: Across = False,
    tz: TimezoneOption = None,
    engine: EngineOption = DEFAULT_ENGINE,
    *,
    view: View,
) -> None:
    """Show the volatility of prices, or of returns.

    The rolling standard deviation of prices, or the annualised one of returns.

    Example: stockctl metrics volatility AAPL --window 5m --every 1m
    """
    from stockctl.metrics import definitions

    if not returns:
        query = _query(ctx, symbols, since, until, date, as_of, policy, session, tz, engine, across=across, every=every)
        _show(
            query,
            definitions.volatility(
                *query, definitions.parse_window(window) if window else definitions.LAST_HUNDRED, notify=say
            ),
            view,
        )
        return
    if window is not None:
        raise UsageError("--window is of prices, and --returns takes the whole span", hint="narrow it by --since and --until")
    query = _query(ctx, symbols, since, until, date, as_of, policy, session, tz, engine, across=across, every=None)
    _show(query, definitions.returns(*query, definitions.step_ms(seconds("--every", every or "1m")), notify=say), view)


@app.command()
@row_options()
def rate(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    date: DateOption = None,
    as_of: AsOfOption = None,
    every: EveryOption = None,
    policy: PolicyOption = None,
    session: SessionOption = None,
    across: Across = False,
    tz: TimezoneOption = None,
    engine: EngineOption = DEFAULT_ENGINE,
    *,
    view: View,
) -> None:
    """Show the trades per second of covered time.

    Example: stockctl metrics rate AAPL --every 5m
    """
    from stockctl.metrics import definitions

    query = _query(ctx, symbols, since, until, date, as_of, policy, session, tz, engine, across=across, every=every)
    _show(query, definitions.rate(*query, notify=say), view)


@app.command()
@row_options()
def bars(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    date: DateOption = None,
    as_of: AsOfOption = None,
    every: EveryOption = "1m",
    policy: PolicyOption = None,
    session: SessionOption = None,
    tz: TimezoneOption = None,
    engine: EngineOption = DEFAULT_ENGINE,
    *,
    view: View,
) -> None:
    """Show bars: open, high, low, close, volume, VWAP, trades.

    Example: stockctl metrics bars AAPL --every 5m -o parquet > bars.parquet
    """
    from stockctl.metrics import definitions

    query = _query(ctx, symbols, since, until, date, as_of, policy, session, tz, engine, across=False, every=every)
    _show(query, definitions.bars(*query, notify=say), view, _MAIN_OF_BARS)


@app.command()
@row_options()
def summary(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    date: DateOption = None,
    as_of: AsOfOption = None,
    policy: PolicyOption = None,
    session: SessionOption = None,
    across: Across = False,
    tz: TimezoneOption = None,
    engine: EngineOption = DEFAULT_ENGINE,
    *,
    view: View,
) -> None:
    """Show every metric of each symbol in one row.

    Example: stockctl metrics summary AAPL MSFT
    """
    from stockctl.metrics import definitions

    query = _query(ctx, symbols, since, until, date, as_of, policy, session, tz, engine, across=across, every=None)
    _show(query, definitions.summary(*query, notify=say), view)


@app.command()
def watch(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    duration: ForOption = None,
    refresh: Annotated[str, typer.Option(metavar="DURATION", help="Time between two refreshes.")] = "1s",
    look_back: Annotated[str, typer.Option(metavar="DURATION", help="Start with what was received this long ago.")] = "5m",
    policy: PolicyOption = None,
    tz: TimezoneOption = None,
    as_of: Annotated[str | None, typer.Option(hidden=True, help="Refused: a live view is of now.")] = None,
    output: Annotated[LiveFormat, typer.Option("--output", "-o", help="Output format.")] = LiveFormat.table,
) -> None:
    """Watch live metrics of the trades in Kafka.

    In a table that redraws in place, or in lines when piped.

    Example: stockctl metrics watch AAPL BINANCE:BTCUSDT --for 60s
    """
    from stockctl.metrics import live, live_table

    if as_of is not None:
        raise UsageError("--as-of is for past times, and this is a live view", hint="use metrics summary --as-of")
    settings = _settings(ctx, policy, None, tz)
    stop_after = None if duration is None else seconds("--for", duration, least=_SHORTEST)
    interval = seconds("--refresh", refresh, least=_SHORTEST)
    back = seconds("--look-back", look_back, least=_SHORTEST)
    shown = live.watched_symbols(settings, symbols, back, say) if symbols else settings.symbols
    with until_signalled() as stop:
        snapshots = live.follow(settings, shown, seconds=stop_after, refresh=interval, look_back=back, stop=stop, notify=say)
        if output is LiveFormat.table:
            live_table.watch(settings, snapshots)
        else:
            write_rows(_flushed(live_table.rows(settings, snapshot) for snapshot in snapshots), Format.jsonl)


def _flushed(batches: Iterable[Iterable[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """The rows of all ``batches``. Stdout is flushed after each batch."""
    for batch in batches:
        yield from batch
        sys.stdout.flush()


@contextmanager
def until_signalled() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _settings(ctx: typer.Context, policy: Policy | None, session: Session | None, tz: str | None) -> Settings:
    flags: dict[str, Any] = {
        "metrics.policy": policy and policy.value,
        "metrics.session": session and session.value,
        "timezone": tz,
    }
    return settings_of(ctx, flags)


def _query(
    ctx: typer.Context,
    symbols: list[str] | None,
    since: str | None,
    until: str | None,
    date: str | None,
    as_of: str | None,
    policy: Policy | None,
    session: Session | None,
    tz: str | None,
    engine: str,
    *,
    across: bool,
    every: str | None,
) -> tuple[Settings, Query]:
    """The settings and the query that the options describe."""
    from stockctl.metrics.definitions import build_query

    settings = _settings(ctx, policy, session, tz)
    chosen = symbols or settings.symbols
    zone = ZoneInfo(settings.timezone)
    query = build_query(
        settings,
        chosen,
        since=moment("--since", since, zone),
        until=moment("--until", until, zone),
        day=day("--date", date),
        every=None if every is None else seconds("--every", every),
        across=across,
        as_of=as_of_moment(as_of, zone),
    )
    return settings, replace(
        query,
        configured=frozenset(settings.symbols),
        engine=engine,
        fall_back=session is None and not query.is_bounded,
    )


def _show(query: tuple[Settings, Query], result: Result, view: View, main: Sequence[str] = _MAIN) -> None:
    """Write the values to stdout and their context to stderr. Formats other than the table have it in each row too."""
    write_rows(result.rows, view, result.columns if view.is_table else None, result.types, main=main)
    for note in result.notes:
        say(note)
    settings, parsed = query
    if parsed.is_ahead:
        say(IN_THE_FUTURE)
    elif result.without_trades and not parsed.is_over:
        match parsed.engine:
            case "lake" | "mongo" as store:
                say_next_batch(settings, store)
