"""The metrics: VWAP, volatility, trade rate, bars, and all of them in one row per span.

Each metric is a query in ``sql/metrics``. This module provides the relations that it needs besides the trades, and its columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from stockctl.errors import UsageError, quoted
from stockctl.exchange.calendar import now_ms, trade_date
from stockctl.exchange.time_parsing import parse_as_of, parse_moment
from stockctl.metrics.engines.base import Notify, ignore
from stockctl.metrics.query import (
    DAY_MS,
    ENDLESS_MS,
    SESSION_CHOICES,
    Query,
    SessionChoice,
    Span,
    bar_pieces,
    bounds,
    midnight_before,
    seconds_per_year,
)
from stockctl.metrics.query_context import QueryContext, execute
from stockctl.metrics.results import Result, Row, result, time_of
from stockctl.metrics.return_intervals import segments
from stockctl.metrics.trade_policies import POLICIES, Policy
from stockctl.settings import Settings, load_settings
from stockctl.units import format_duration, parse_duration

if TYPE_CHECKING:
    import pyarrow as pa

GRID_MS = 60_000
"""Default step of the grid of returns."""
LONGEST_WINDOW = 1000
"""Most steps in a window of time. A step divides both the window and ``every``."""

_EVER = date(1970, 1, 1)
_PRICES = ("open", "high", "low", "close")
_BAR = (*_PRICES, "volume", "vwap", "trades")


class Window(NamedTuple):
    """A rolling window: the last ``trades``, or the trades of the last ``ms`` milliseconds. The other field is None."""

    trades: int | None = 100
    ms: int | None = None

    def __str__(self) -> str:
        return f"{self.trades} trades" if self.ms is None else format_duration(self.ms / 1000)


LAST_HUNDRED = Window()


def parse_window(text: str) -> Window:
    """A window written as a number of trades (``100``) or a duration (``5m``). UsageError for other text."""
    hint = "write 100 for trades, 5m for time"
    try:
        window = Window(trades=int(text)) if text.strip().isdigit() else Window(None, round(parse_duration(text) * 1000))
    except ValueError as error:
        raise UsageError(f"--window: {error}", hint=hint) from None
    if window.ms == 0 or (window.trades is not None and not 2 <= window.trades <= 1_000_000):
        raise UsageError(f"--window {text}: a deviation needs some time, or 2 trades to a million", hint=hint)
    return window


def step_ms(text: str | float) -> int:
    """Milliseconds of a step (``1m``, or seconds) that divides a day evenly. UsageError for other steps."""
    try:
        step = round(parse_duration(text) * 1000)
    except ValueError as error:
        raise UsageError(f"--every: {error}", hint="use 1s, 30s, 1m, 5m, 1h or 1d") from None
    if step < 1000 or DAY_MS % step:
        raise UsageError("--every must cut a day into equal parts of at least a second", hint="use 1s, 30s, 1m, 5m, 1h or 1d")
    return step


def build_query(
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
    """The query with the settings' policy, session and timezone. Times are as in ``read_trades``; ``every`` is a duration."""
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


def vwap(settings: Settings, query: Query, *, notify: Notify = ignore) -> Result:
    """Volume-weighted average price of each span, or of each bar of ``every``."""
    with execute(settings, query, notify) as context:
        return result(context, context.run("vwap"), ("vwap", "volume", "trades"))


def bars(settings: Settings, query: Query, *, notify: Notify = ignore) -> Result:
    """Open, high, low, close, volume, VWAP and number of trades of each bar with at least one trade."""
    with execute(settings, query, notify) as context:
        return bars_of(context)


def bars_of(context: QueryContext) -> Result:
    """As ``bars``, of a query that runs."""
    return result(context, context.run("bars"), _BAR)


def rate(settings: Settings, query: Query, *, notify: Notify = ignore) -> Result:
    """Trades per covered second, of each span or of each bar of ``every``. Only trades in covered time count."""
    with execute(settings, query, notify) as context:
        return rate_of(context)


def rate_of(context: QueryContext) -> Result:
    """As ``rate``, of a query that runs."""
    return result(context, _rates(context), ("rate", "trades", "covered_seconds"))


def volatility(settings: Settings, query: Query, window: Window = LAST_HUNDRED, *, notify: Notify = ignore) -> Result:
    """Rolling sample standard deviation of prices: at each span's last trade, or at each edge of ``every``."""
    if window.ms is not None and window.ms > LONGEST_WINDOW * math.gcd(window.ms, query.every_ms or window.ms):
        raise UsageError(
            f"--window is more than {LONGEST_WINDOW} times the step that it has in common with --every",
            hint="use --window 5m --every 1m",
        )
    with execute(settings, query, notify) as context:
        return volatility_of(context, window)


def volatility_of(context: QueryContext, window: Window = LAST_HUNDRED) -> Result:
    """As ``volatility``, of a query that runs."""
    rows = [row | {"window": str(window)} for row in _volatilities(context, window)]
    return result(context, rows, ("volatility", "window", "trades"), times=("at",))


def returns(settings: Settings, query: Query, grid_ms: int = GRID_MS, *, notify: Notify = ignore) -> Result:
    """Sample standard deviation of previous-tick log returns on a grid (``deviation``), and annualised (``volatility``)."""
    with execute(settings, query, notify) as context:
        rows = [row | {"every": format_duration(grid_ms / 1000)} for row in _returns(context, grid_ms)]
        return result(context, rows, ("volatility", "deviation", "returns", "every"))


def summary(settings: Settings, query: Query, *, notify: Notify = ignore) -> Result:
    """Every metric in one row per span: the bar's columns, both volatilities, the trade rate and the last trade's time."""
    with execute(settings, query, notify) as context:
        return summary_of(context)


def summary_of(context: QueryContext) -> Result:
    """As ``summary``, of a query that runs, without bars."""
    rows = {row["span"]: row for row in context.run("bars")}
    for row in _volatilities(context, LAST_HUNDRED):
        rows[row["span"]]["volatility"] = row["volatility"]
    for row in _returns(context, GRID_MS):
        rows[row["span"]]["annual_volatility"] = row["volatility"]
    for row in _rates(context):
        rows[row["span"]]["rate"] = row["rate"]
    for span, row in rows.items():
        row["last_trade"] = time_of(context.contexts[span].last_ms, context.query.zone)
    columns = ("trades", "volume", "vwap", *_PRICES, "volatility", "annual_volatility", "rate", "last_trade")
    return result(context, rows.values(), columns)


def _rates(context: QueryContext) -> list[Row]:
    """Trade rates, over covered time divided into the bars of the spans."""
    covered: list[tuple[int, int, int, int]] = []
    for span, span_context in zip(context.spans, context.contexts, strict=True):
        for interval in span_context.covered:
            for since, until, origin, every in bar_pieces(span, *interval, context.query):
                for start in range(since - (since - origin) % every, until, every):
                    covered.append((span.number, start, max(since, start), min(until, start + every)))
    context.provide("covered", covered)
    return context.run("rate")


def _volatilities(context: QueryContext, window: Window) -> list[Row]:
    """Deviations of prices at the edges of the grid; without a grid, at each span's last trade."""
    query = context.query
    every = query.every_ms
    anchors: dict[int, int] = {}
    for span, span_context in zip(context.spans, context.contexts, strict=True):
        if span_context.last_ms is not None:
            # Steps count backwards from an edge at or after the span's end; without a grid, from the last trade.
            end = span.trades_until
            origin = midnight_before(end - 1, query.zone)
            anchors[span.number] = span_context.last_ms if every is None else origin - (origin - end) // every * every
    context.provide("anchors", list(anchors.items()))
    if window.trades is not None:
        deviations = context.run("volatility_trades", step_ms=every or ENDLESS_MS, preceding=window.trades - 1)
    else:
        length = window.ms or 0
        step = math.gcd(length, every or length)
        context.provide("offsets", [(steps,) for steps in range(length // step)])
        deviations = context.run("volatility_time", step_ms=step)
    rows = []
    for row in deviations:
        span = context.spans[row["span"]]
        back = anchors[span.number] - row["at_ms"]
        is_edge = back == 0 if every is None else back % every == 0 and _is_known_edge(context, span, row["at_ms"], every)
        if is_edge:
            row["at"] = time_of(row["at_ms"], query.zone)
            rows.append(row)
    return rows


def _is_known_edge(context: QueryContext, span: Span, at: int, every: int) -> bool:
    """Whether the edge ``at`` lies within the span and in time that the data covers, in ms UTC.

    The first edge after the last trade may lie after the session: a closing auction's does.
    """
    span_context = context.contexts[span.number]
    last = span_context.last_ms or 0
    known = at <= max(span_context.through or 0, last) or at - every < last <= at <= context.feed_due
    return known and span.trades_since < at


def _returns(context: QueryContext, grid_ms: int) -> list[Row]:
    """Deviations of returns within covered time of one session."""
    coverage = [(span, its.covered, its.through or 0) for span, its in zip(context.spans, context.contexts, strict=True)]
    context.provide("segments", segments(coverage, context.query.zone, grid_ms))
    rows = context.run("returns", every_ms=grid_ms)
    for row in rows:
        # One return has no deviation.
        row["volatility"] = row["deviation"] and row["deviation"] * math.sqrt(
            seconds_per_year(context.spans[row["span"]]) * 1000 / grid_ms
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
    """Bars of the lake's trades of ``symbols`` in ``[since, until)``, in order: one row for each bar with at least one trade.

    Columns: symbol, trade_date, bar (its start, a timestamp in the settings' timezone), open, high, low, close (null if no
    trade may set them), volume, vwap (null if no trade counts), trades, session. ``every`` is a duration or seconds;
    ``policy`` and ``session`` default to the settings'. Symbols, times and ``as_of`` are as in ``read_trades``. With neither
    ``session`` nor times, a symbol without a trade in the default session is answered from its newest session that has some.

        table = stockctl.read_bars(["AAPL", "MSFT"], "2026-11-23", every="5m")

    UsageError for an ``every`` that does not divide a day evenly, and for an unknown ``policy`` or ``session``. Other errors as
    in ``read_trades``.
    """
    import pyarrow as pa

    for name, value, known in (("policy", policy, POLICIES), ("session", session, SESSION_CHOICES)):
        if value is not None and value not in known:
            raise UsageError(f"there is no {name} {quoted(value)}", hint=f"there are {', '.join(known)}")
    settings = settings or load_settings()
    chosen = [symbols] if isinstance(symbols, str) else symbols
    query = build_query(settings, chosen, since=since or _EVER, until=until, every=every, as_of=as_of)
    fall_back = session is None and since is None and until is None
    query = replace(
        query,
        policy=policy or query.policy,
        session=session or query.session,
        configured=frozenset(settings.symbols),
        fall_back=fall_back,
    )
    rows = [row for row in bars(settings, query).rows if row["bar"] is not None]
    kinds: dict[str, pa.DataType] = {name: pa.float64() for name in _BAR} | {
        "symbol": pa.string(),
        "trade_date": pa.date32(),
        "bar": pa.timestamp("ms", query.zone.key),
        "trades": pa.int64(),
        "session": pa.string(),
    }
    order = ("symbol", "trade_date", "bar", *_BAR, "session")
    schema = pa.schema([(name, kinds[name]) for name in order], {"policy": query.policy, "session": query.session})
    return pa.Table.from_pylist(rows, schema)
