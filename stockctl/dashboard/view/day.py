"""What a view shows, read from a store by the metrics' own queries: numbers, bars, gaps, and what live trades are added to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from stockctl.dashboard.gaps import gaps_of
from stockctl.dashboard.view.marks import add_marks
from stockctl.dashboard.view.views import View
from stockctl.exchange.calendar import now_ms, to_ms
from stockctl.json_values import json_values
from stockctl.metrics import definitions
from stockctl.metrics.engines.base import Engine
from stockctl.metrics.query import Query, Span, midnight_before
from stockctl.metrics.query_context import QueryContext, SpanContext
from stockctl.metrics.results import Result
from stockctl.settings import Settings

RECENT_MS = 120_000
"""How long before the newest trade a live day knows each trade by its id."""
PRICES = ("open", "high", "low", "close")
BAR = (*PRICES, "volume", "vwap", "trades", "volatility", "rate")
"""The values of a bar, null where they are unknown. Its key is ``bar``, its start in ms UTC."""

Row = dict[str, Any]


@dataclass
class Day:
    """A view's data at ``read_at``. Times are ms UTC.

    ``now`` is then, or ``as_of`` if that is earlier. ``numbers`` is the row of ``stockctl metrics summary``; ``bars`` are by
    their start. ``recent`` are the trades since ``exact_since``; ``opening`` is the part before that of the bar that contains
    it, and ``newest`` the newest prices that count, the newest first. Without trades, ``empty`` says why.
    """

    view: View
    store: type[Engine]
    place: str
    zone: ZoneInfo
    read_at: int
    now: int
    numbers: Row = field(default_factory=dict)
    bars: dict[int, Row] = field(default_factory=dict)
    gaps: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    filings: list[Row] = field(default_factory=list)
    signals: list[Row] = field(default_factory=list)
    previous_close: float | None = None
    span: Span | None = None
    through: int | None = None
    empty: str | None = None
    exact_since: int = 0
    opening: Row | None = None
    recent: list[Row] = field(default_factory=list)
    newest: list[Row] = field(default_factory=list)


def read_day(settings: Settings, view: View, store: type[Engine]) -> Day:
    """Read ``view`` from the store. Errors of its system, and UnknownSymbolError."""
    query = view.query(settings)
    with store.connect(settings, query.received_by) as engine:
        day = Day(view, store, engine.place, query.zone, now_ms(), query.effective_now)
        context = QueryContext(query, engine)
        summary = definitions.summary_of(context)
        # The first one says what the numbers say, as of this reading.
        day.notes = summary.notes[1:]
        day.numbers = json_values(summary.rows[0]) if summary.rows else {}
        if context.spans:
            day.span, day.gaps = context.spans[0], [dict(gap) for gap in gaps_of(context)[0]]
        if day.span is None or context.contexts[0].is_empty:
            day.empty = summary.notes[0] if summary.notes else "there are no trades"
        if day.span is None:
            return day
        add_marks(settings, day, context, store)
        if day.empty is not None:
            return day
        span_context = context.contexts[0]
        day.through, day.sources = span_context.through, sorted(span_context.sources)
        _read_recent(day, context, span_context)
        within = replace(
            query, every_ms=view.every_ms, day=day.span.parts[0].trade_date, session=day.span.session, fall_back=False
        )
        _read_bars(day, QueryContext(within, engine))
        _read_opening(day, within, engine)
    return day


def read_bars(settings: Settings, day: Day, since: int, until: int) -> dict[int, Row]:
    """The bars of ``day`` in ``[since, until)`` (ms UTC), read again: prices, volume, VWAP and trades."""
    if day.span is None:
        return {}
    query = replace(
        day.view.query(settings),
        symbols=(day.span.symbol,),
        every_ms=day.view.every_ms,
        since=since,
        until=until,
        day=None,
        session=day.span.session,
        fall_back=False,
    )
    with day.store.connect(settings) as engine:
        rows = definitions.bars_of(QueryContext(query, engine)).rows
    return {to_ms(row["bar"]): row for row in rows if row["bar"] is not None}


def empty_bar(start: int) -> Row:
    """A bar of which nothing is known."""
    return {"bar": start} | dict.fromkeys(BAR)


def _read_bars(day: Day, context: QueryContext) -> None:
    every = day.view.every_ms

    def put(result: Result, time: str, names: Iterable[str], shift: int = 0) -> None:
        for row in result.rows:
            if row[time] is not None:
                start = to_ms(row[time]) - shift
                bar = day.bars.setdefault(start, empty_bar(start))
                bar.update((name, row[name]) for name in names)

    put(definitions.bars_of(context), "bar", (*PRICES, "volume", "vwap", "trades"))
    put(definitions.rate_of(context), "bar", ("rate",))
    # A deviation is of the prices before an edge: that edge ends a bar.
    put(definitions.volatility_of(context), "at", ("volatility",), shift=every)
    day.bars = dict(sorted(day.bars.items()))


def _read_recent(day: Day, context: QueryContext, span_context: SpanContext) -> None:
    newest = context.run("newest_prices", most=definitions.LAST_HUNDRED.trades)
    last = min(span_context.last_ms or 0, day.read_at)
    day.exact_since = max(0, (last - RECENT_MS) // 60_000 * 60_000)
    day.newest = sorted(newest, key=lambda row: int(row["place"]))
    day.recent = context.run("recent", since_ms=day.exact_since)


def _read_opening(day: Day, query: Query, engine: Engine) -> None:
    """The part before ``exact_since`` of a bar that is longer than a minute."""
    start = bar_start(day.exact_since, day.view.every_ms, day.zone)
    if start == day.exact_since:
        return
    context = QueryContext(replace(query, day=None, since=start, until=day.exact_since), engine)
    rows = [row for row in definitions.bars_of(context).rows if row["bar"] is not None]
    day.opening = rows[0] if rows else None


def bar_start(ms: int, every_ms: int, zone: ZoneInfo) -> int:
    """The start of the bar that contains ``ms``, both ms UTC: bars begin at midnight of ``zone``."""
    midnight = midnight_before(ms, zone)
    return midnight + (ms - midnight) // every_ms * every_ms
