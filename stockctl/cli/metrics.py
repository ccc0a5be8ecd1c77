"""``stockctl metrics``: VWAP, volatility, trade rate and bars of the lake's trades, and a live view of Kafka's."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from stockctl.cli.options import (
    AsOfOption,
    DateOption,
    ForOption,
    SinceOption,
    SymbolsArgument,
    TimezoneOption,
    UntilOption,
    as_of_moment,
    day,
    moment,
    mongo_of,
    say_next_batch,
    seconds,
    settings_of,
)
from stockctl.cli.output import Format, View, row_options, say, write_rows
from stockctl.errors import UsageError

if TYPE_CHECKING:
    from stockctl.metrics.query import Query
    from stockctl.metrics.results import Result
    from stockctl.settings import Settings

_SHORTEST = 0.1
"""Fewest seconds of a live view, its refresh and its look-back."""

_MAIN = (
    *("symbol", "bar", "trade_date", "vwap", "volatility", "rate", "trades", "volume", "close", "open", "high", "low"),
    *("deviation", "covered_seconds", "annual_volatility", "last_trade"),
)
"""Columns of metrics, the most important first."""
_MAIN_OF_BARS = ("symbol", "bar", "open", "high", "low", "close", "volume", "vwap", "trade_date")

app = typer.Typer(no_args_is_help=True, help="Compute metrics from the lake's trades, or watch them live.")


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


class Engine(StrEnum):
    """Where metrics are computed."""

    lake = "lake"
    mongo = "mongo"
    redshift = "redshift"


PolicyOption = Annotated[Policy | None, typer.Option(help="Which trades count.")]
SessionOption = Annotated[
    Session | None, typer.Option(help="Which hours count; default: the newest regular one that has trades.")
]
Across = Annotated[bool, typer.Option("--across", help="One answer across all asked dates.")]
EngineOption = Annotated[Engine, typer.Option(help="Where metrics are computed.")]
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
    engine: EngineOption = Engine.lake,
    *,
    view: View,
) -> None:
    """Show the volume-weighted average price.

    Example: stockctl metrics vwap AAPL MSFT --date 2026-11-23
    """
    from stockctl.metrics import definitions

    asked = _asked(ctx, symbols, since, until, date, as_of, policy, session, tz, engine, across=across, every=every)
    _show(asked, definitions.vwap(*asked), view)


@app.command()
@row_options()
def volatility(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    date: DateOption = None,
    as_of: AsOfOption = None,
    window: Annotated[str | None, typer.Option(help="Trades (100) or time (5m) of the rolling window; default 100.")] = None,
    returns: Annotated[bool, typer.Option("--returns", help="Annualised, of returns on the --every grid (1m).")] = False,
    every: EveryOption = None,
    policy: PolicyOption = None,
    session: SessionOption = None,
    across: Across = False,
    tz: TimezoneOption = None,
    engine: EngineOption = Engine.lake,
    *,
    view: View,
) -> None:
    """Show the rolling standard deviation of prices, or the annualised one of returns.

    Example: stockctl metrics volatility AAPL --window 5m --every 1m
    """
    from stockctl.metrics import definitions

    if not returns:
        asked = _asked(ctx, symbols, since, until, date, as_of, policy, session, tz, engine, across=across, every=every)
        _show(
            asked,
            definitions.volatility(*asked, definitions.parse_window(window) if window else definitions.LAST_HUNDRED),
            view,
        )
        return
    if window is not None:
        raise UsageError("--window is of prices, and --returns takes the whole span", hint="narrow it by --since and --until")
    asked = _asked(ctx, symbols, since, until, date, as_of, policy, session, tz, engine, across=across, every=None)
    _show(asked, definitions.returns(*asked, definitions.step_ms(seconds("--every", every or "1m"))), view)


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
    engine: EngineOption = Engine.lake,
    *,
    view: View,
) -> None:
    """Show the trades a second of covered time.

    Example: stockctl metrics rate AAPL --every 5m
    """
    from stockctl.metrics import definitions

    asked = _asked(ctx, symbols, since, until, date, as_of, policy, session, tz, engine, across=across, every=every)
    _show(asked, definitions.rate(*asked), view)


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
    engine: EngineOption = Engine.lake,
    *,
    view: View,
) -> None:
    """Show bars: open, high, low, close, volume, VWAP and number of trades.

    Example: stockctl metrics bars AAPL --every 5m -o parquet > bars.parquet
    """
    from stockctl.metrics import definitions

    asked = _asked(ctx, symbols, since, until, date, as_of, policy, session, tz, engine, across=False, every=every)
    _show(asked, definitions.bars(*asked), view, _MAIN_OF_BARS)


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
    engine: EngineOption = Engine.lake,
    *,
    view: View,
) -> None:
    """Show every metric of each symbol in one row.

    Example: stockctl metrics summary AAPL MSFT
    """
    from stockctl.metrics import definitions

    asked = _asked(ctx, symbols, since, until, date, as_of, policy, session, tz, engine, across=across, every=None)
    _show(asked, definitions.summary(*asked), view)


@app.command()
@row_options()
def watch(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    duration: ForOption = None,
    refresh: Annotated[str, typer.Option(metavar="DURATION", help="Time between two refreshes.")] = "1s",
    look_back: Annotated[str, typer.Option(metavar="DURATION", help="Start with the trades received this long ago.")] = "5m",
    policy: PolicyOption = None,
    tz: TimezoneOption = None,
    as_of: Annotated[str | None, typer.Option(hidden=True, help="Refused: a live view is of now.")] = None,
    *,
    view: View,
) -> None:
    """Watch live metrics of Kafka's trades in a table that redraws in place, or in lines when piped.

    Example: stockctl metrics watch AAPL BINANCE:BTCUSDT --for 60s
    """
    from stockctl.metrics import live, live_table

    if as_of is not None:
        raise UsageError("--as-of asks for the past, and a live view shows what comes", hint="use metrics summary --as-of")
    settings = _settings(ctx, policy, None, tz)
    if view.form not in (Format.table, Format.jsonl):
        raise UsageError(f"a live view never ends, and {view.form.value} is written as a whole", hint="use -o jsonl")
    if view.form is Format.table and (view.fields or view.limit):
        raise UsageError("--fields and --limit do not apply to the live table", hint="add -o jsonl")
    stop_after = None if duration is None else seconds("--for", duration, least=_SHORTEST)
    interval = seconds("--refresh", refresh, least=_SHORTEST)
    back = seconds("--look-back", look_back, least=_SHORTEST)
    shown = live.watched_symbols(settings, symbols, back, say) if symbols else settings.symbols
    with _until_signalled() as stop:
        if view.form is Format.table:
            live_table.watch(settings, shown, seconds=stop_after, refresh=interval, look_back=back, stop=stop, say=say)
            return
        snapshots = live.follow(settings, shown, seconds=stop_after, refresh=interval, look_back=back, stop=stop, say=say)
        write_rows(_flushed(live_table.rows(settings, snapshot) for snapshot in snapshots), view)


def _flushed(batches: Iterable[Iterable[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """The rows of all ``batches``; what was written of a batch is sent before the next one comes."""
    for batch in batches:
        yield from batch
        sys.stdout.flush()


@contextmanager
def _until_signalled() -> Iterator[threading.Event]:
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


def _asked(
    ctx: typer.Context,
    symbols: list[str] | None,
    since: str | None,
    until: str | None,
    date: str | None,
    as_of: str | None,
    policy: Policy | None,
    session: Session | None,
    tz: str | None,
    engine: Engine,
    *,
    across: bool,
    every: str | None,
) -> tuple[Settings, Query]:
    """The settings and the question that the options ask."""
    from stockctl.metrics.definitions import question

    settings = _settings(ctx, policy, session, tz)
    chosen = symbols or settings.symbols
    zone = ZoneInfo(settings.timezone)
    asked = question(
        settings,
        chosen,
        since=moment("--since", since, zone),
        until=moment("--until", until, zone),
        day=day("--date", date),
        every=None if every is None else seconds("--every", every),
        across=across,
        as_of=as_of_moment(as_of, zone),
    )
    if engine is Engine.mongo:
        with mongo_of(settings):
            pass  # it answers: the rooms below, which say nothing, need not wait for it
    return settings, replace(
        asked,
        configured=frozenset(settings.symbols),
        engine="mongo" if engine is Engine.mongo else "redshift" if engine is Engine.redshift else "lake",
        fall_back=session is None and since is None and until is None and date is None,
    )


def _show(asked: tuple[Settings, Query], answer: Result, view: View, main: Sequence[str] = _MAIN) -> None:
    """Figures to stdout, what must be known beside them to stderr; other forms than the table carry it in each row."""
    write_rows(answer.rows, view, answer.columns if view.is_table else None, answer.types, main=main)
    for line in answer.words:
        say(line)
    settings, question = asked
    if answer.lacking and not question.is_over and question.engine != "redshift":  # its tables follow the lake
        say_next_batch(settings, question.engine)
