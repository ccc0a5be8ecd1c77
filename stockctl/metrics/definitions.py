"""The metrics: VWAP, volatility, trade rate, bars, and all of them in one row a span.

Each is a query of ``sql/metrics``; here are the relations that it needs beside the trades, and its columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from stockctl.errors import UsageError, quoted
from stockctl.exchange.calendar import day_bounds, now_ms, parse_as_of, parse_moment, trade_date
from stockctl.metrics.query import (
    DAY_MS,
    ENDLESS_MS,
    SESSION_CHOICES,
    Query,
    SessionChoice,
    bounds,
    cuts,
    year_seconds,
)
from stockctl.metrics.query_context import QueryContext, compute
from stockctl.metrics.results import Result, Row, result, time_of
from stockctl.metrics.segments import segments
from stockctl.metrics.trade_filter import POLICIES, Policy
from stockctl.settings import Settings, load_settings
from stockctl.units import format_duration, parse_duration

if TYPE_CHECKING:
    import pyarrow as pa

GRID_MS = 60_000
"""Step of the grid of returns, unless another is asked for."""
LONGEST_WINDOW = 1000
"""Most steps of time that a window may hold; a step divides both the window and ``every``."""

_EVER = date(1970, 1, 1)
_PRICES = ("open", "high", "low", "close")
_BAR = (*_PRICES, "volume", "vwap", "trades")


class Window(NamedTuple):
    """A rolling window: the last ``trades``, or the trades of the last ``ms``; one of them is None."""

    trades: int | None = 100
    ms: int | None = None

    def __str__(self) -> str:
        return f"{self.trades} trades" if self.ms is None else format_duration(self.ms / 1000)


LAST_HUNDRED = Window()


def parse_window(text: str) -> Window:
    """The window written as a number of trades (``100``) or a length of time (``5m``). UsageError otherwise."""
    hint = "write 100 for trades, 5m for time"
    try:
        window = Window(trades=int(text)) if text.strip().isdigit() else Window(None, round(parse_duration(text) * 1000))
    except ValueError as error:
        raise UsageError(f"--window: {error}", hint=hint) from None
    if window.ms == 0 or (window.trades is not None and not 2 <= window.trades <= 1_000_000):
        raise UsageError(f"--window {text}: a deviation needs some time, or 2 trades to a million", hint=hint)
    return window


def step_ms(text: str | float) -> int:
    """Milliseconds of a step of time (``1m``, or seconds) that cuts a day into equal parts. UsageError otherwise."""
    try:
        step = round(parse_duration(text) * 1000)
    except ValueError as error:
        raise UsageError(f"--every: {error}", hint="use 1s, 30s, 1m, 5m, 1h or 1d") from None
    if step < 1000 or DAY_MS % step:
        raise UsageError("--every must cut a day into equal parts of at least a second", hint="use 1s, 30s, 1m, 5m, 1h or 1d")
    return step


def question(
    settings: Settings,
    symbols: Iterable[str],
    *,
    since: str | date | None = None,
    until: str | date | None = None,
    day: str | date | None = None,
    every: str | float | None = None,
    across: bool = False,
    as_of: str | date | None = None,
) -> Query:
    """The question in the settings' policy, session and timezone; times as in ``read_trades``, ``every`` a duration."""
    zone = ZoneInfo(settings.timezone)
    first, last = bounds(zone, since, until, day)
    chosen = tuple(symbols)
    if not chosen:
        raise UsageError("no symbol is named", hint="name one or more, as in `stockctl metrics vwap AAPL`")
    return Query(
        symbols=chosen,
        policy=settings.metrics.policy,
        session=settings.metrics.session,
        zone=zone,
        now=now_ms(),
        since=first if day is None else None,
        until=last if day is None else None,
        day=None if day is None else trade_date(parse_moment(day)),
        across=across,
        every_ms=None if every is None else step_ms(every),
        as_of=None if as_of is None else parse_as_of(as_of, zone),
    )


def vwap(settings: Settings, asked: Query) -> Result:
    """Volume-weighted average price of each span, or of each bar of ``every``."""
    with compute(settings, asked) as reckoning:
        return result(reckoning, reckoning.run("vwap"), ("vwap", "volume", "trades"))


def bars(settings: Settings, asked: Query) -> Result:
    """Open, high, low, close, volume, VWAP and number of trades of each bar that has a trade."""
    with compute(settings, asked) as reckoning:
        return result(reckoning, reckoning.run("bars"), _BAR)


def rate(settings: Settings, asked: Query) -> Result:
    """Trades a covered second, of each span or of each bar of ``every``; trades in covered time alone are counted."""
    with compute(settings, asked) as reckoning:
        return result(reckoning, _rates(reckoning), ("rate", "trades", "covered_seconds"))


def volatility(settings: Settings, asked: Query, window: Window = LAST_HUNDRED) -> Result:
    """Rolling sample standard deviation of prices: at each span's last trade, or at each edge of ``every``."""
    if window.ms is not None and window.ms > LONGEST_WINDOW * math.gcd(window.ms, asked.every_ms or window.ms):
        raise UsageError(
            f"--window is more than {LONGEST_WINDOW} times the step that it has in common with --every",
            hint="use --window 5m --every 1m",
        )
    with compute(settings, asked) as reckoning:
        rows = [row | {"window": str(window)} for row in _volatilities(reckoning, window)]
        return result(reckoning, rows, ("volatility", "window", "trades"), times=("at",))


def returns(settings: Settings, asked: Query, grid_ms: int = GRID_MS) -> Result:
    """Sample standard deviation of previous-tick log returns on a grid (``deviation``), and annualised (``volatility``)."""
    with compute(settings, asked) as reckoning:
        rows = [row | {"every": format_duration(grid_ms / 1000)} for row in _returns(reckoning, grid_ms)]
        return result(reckoning, rows, ("volatility", "deviation", "returns", "every"))


def summary(settings: Settings, asked: Query) -> Result:
    """Every metric in one row a span: the bar's columns, both volatilities, the trade rate and the last trade's time."""
    with compute(settings, asked) as reckoning:
        rows = {row["span"]: row for row in reckoning.run("bars")}
        for row in _volatilities(reckoning, LAST_HUNDRED):
            rows[row["span"]]["volatility"] = row["volatility"]
        for row in _returns(reckoning, GRID_MS):
            rows[row["span"]]["annual_volatility"] = row["volatility"]
        for row in _rates(reckoning):
            rows[row["span"]]["rate"] = row["rate"]
        for span, row in rows.items():
            row["last_trade"] = time_of(reckoning.contexts[span].last_ms, asked.zone)
        columns = ("trades", "volume", "vwap", *_PRICES, "volatility", "annual_volatility", "rate", "last_trade")
        return result(reckoning, rows.values(), columns)


def _rates(reckoning: QueryContext) -> list[Row]:
    """Trade rates, over covered time cut into the bars of the spans."""
    cut: list[tuple[int, int, int, int]] = []
    for span, context in zip(reckoning.spans, reckoning.contexts, strict=True):
        for stretch in context.covered:
            for since, until, origin, every in cuts(span, *stretch, reckoning.question):
                for start in range(since - (since - origin) % every, until, every):
                    cut.append((span.number, start, max(since, start), min(until, start + every)))
    reckoning.provide("covered", cut)
    return reckoning.run("rate")


def _volatilities(reckoning: QueryContext, window: Window) -> list[Row]:
    """Deviations of prices at the edges of the grid; without one, at each span's last trade."""
    question = reckoning.question
    every = question.every_ms
    anchors: dict[int, int] = {}
    for span, context in zip(reckoning.spans, reckoning.contexts, strict=True):
        if context.last_ms is not None:
            # Steps of time count backwards from an edge at or behind the span's end; without a grid, from the last trade.
            origin = day_bounds(trade_date(span.end - 1, question.zone), question.zone)[0]
            anchors[span.number] = context.last_ms if every is None else origin - (origin - span.end) // every * every
    reckoning.provide("anchors", list(anchors.items()))
    if window.trades is not None:
        found = reckoning.run("volatility_trades", step_ms=every or ENDLESS_MS, preceding=window.trades - 1)
    else:
        length = window.ms or 0
        step = math.gcd(length, every or length)
        reckoning.provide("backs", [(back,) for back in range(length // step)])
        found = reckoning.run("volatility_time", step_ms=step)
    rows = []
    for row in found:
        span, context = reckoning.spans[row["span"]], reckoning.contexts[row["span"]]
        at, back = row["at_ms"], anchors[span.number] - row["at_ms"]
        # An edge in the future, and the one at which the span begins, have no answer yet. The first edge behind the last trade
        # may lie behind the session, as that of the closing auction does.
        last = context.last_ms or 0
        told = every is not None and (at <= max(context.through or 0, last) or at - every < last <= at <= reckoning.told_by)
        wanted = back == 0 if every is None else back % every == 0 and span.first < at and told
        if wanted:
            row["at"] = time_of(at, question.zone)
            rows.append(row)
    return rows


def _returns(reckoning: QueryContext, grid_ms: int) -> list[Row]:
    """Deviations of returns within covered time of one session."""
    watched = [
        (span, context.covered, context.through or 0) for span, context in zip(reckoning.spans, reckoning.contexts, strict=True)
    ]
    reckoning.provide("segments", segments(watched, reckoning.question.zone, grid_ms))
    rows = reckoning.run("returns", every_ms=grid_ms)
    for row in rows:
        # One return has no deviation.
        row["volatility"] = row["deviation"] and row["deviation"] * math.sqrt(
            year_seconds(reckoning.spans[row["span"]]) * 1000 / grid_ms
        )
    return rows


def read_bars(
    symbols: str | Iterable[str],
    since: str | date | None = None,
    until: str | date | None = None,
    *,
    every: str | float = "1m",
    policy: Policy | None = None,
    session: SessionChoice | None = None,
    settings: Settings | None = None,
    as_of: str | date | None = None,
) -> pa.Table:
    """Bars of the lake's trades of ``symbols`` in ``[since, until)``: a row for each bar that has a trade, in order.

    Columns: symbol, trade_date, bar (its start, a timestamp in the settings' timezone), open, high, low, close (null where no
    trade may set them), volume, vwap (null where no trade counts), trades, session. ``every`` is a duration or seconds;
    ``policy`` and ``session`` default to the settings'. Symbols, times and ``as_of`` are as in ``read_trades``. With neither
    ``session`` nor times, a symbol without a trade in the default session is answered from its newest session that has some.

        table = stockctl.read_bars(["AAPL", "MSFT"], "2026-11-23", every="5m")

    UsageError for an ``every`` that cuts no day evenly, or an unknown ``policy`` or ``session``; the rest as ``read_trades``.
    """
    import pyarrow as pa

    for name, value, known in (("policy", policy, POLICIES), ("session", session, SESSION_CHOICES)):
        if value is not None and value not in known:
            raise UsageError(f"there is no {name} {quoted(value)}", hint=f"there are {', '.join(known)}")
    settings = settings or load_settings()
    chosen = [symbols] if isinstance(symbols, str) else symbols
    asked = question(settings, chosen, since=since or _EVER, until=until, every=every, as_of=as_of)
    fall_back = session is None and since is None and until is None
    asked = replace(
        asked,
        policy=policy or asked.policy,
        session=session or asked.session,
        configured=frozenset(settings.symbols),
        fall_back=fall_back,
    )
    rows = [row for row in bars(settings, asked).rows if row["bar"] is not None]
    kinds: dict[str, pa.DataType] = {name: pa.float64() for name in _BAR} | {
        "symbol": pa.string(),
        "trade_date": pa.date32(),
        "bar": pa.timestamp("ms", asked.zone.key),
        "trades": pa.int64(),
        "session": pa.string(),
    }
    order = ("symbol", "trade_date", "bar", *_BAR, "session")
    schema = pa.schema([(name, kinds[name]) for name in order], {"policy": asked.policy, "session": asked.session})
    return pa.Table.from_pylist(rows, schema)
