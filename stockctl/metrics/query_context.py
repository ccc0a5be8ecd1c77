"""A running query: the engine's trades, placed into spans, and the context that each result reports besides its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from typing import Any, NamedTuple

from stockctl.exchange.calendar import Hours, day_bounds, trade_date
from stockctl.exchange.trade_conditions import trade_kind
from stockctl.feed.coverage import by_symbol, expected_since, session_time
from stockctl.intervals import Interval, intersect, length, merge, subtract
from stockctl.lake.reader.symbols import HINT
from stockctl.metrics.coverage_report import CoverageInterval, intervals_up_to, reported_by
from stockctl.metrics.engines.base import Engine, Notify, TradeRange, ignore
from stockctl.metrics.engines.registry import engine_class
from stockctl.metrics.engines.relations import condition_codes
from stockctl.metrics.query import (
    Query,
    SessionChoice,
    SessionRange,
    Span,
    group_into_spans,
    newest_session_range,
    session_range,
    slices,
)
from stockctl.metrics.trade_policies import NO_VOLUME, reasons
from stockctl.records import covered_time, stopped_time
from stockctl.settings import Settings
from stockctl.symbols import did_you_mean, resolve_symbols, similar_symbols

_DATES_SEARCHED = 30
"""Newest dates that are searched for the latest session with trades."""
_LATEST_FIRST: tuple[SessionChoice, ...] = ("post", "regular", "pre", "all")
"""The sessions of a date, latest first. ``all`` is last, for trades outside every session."""


class _ResolvedSymbol(NamedTuple):
    """The session that answers for a symbol, its queried parts, and the ranges that may contain their trades."""

    session: SessionChoice
    parts: list[SessionRange]
    ranges: list[TradeRange]
    hours: Hours


class _FeedStatus(NamedTuple):
    """What the feed events report of one symbol, in ms UTC.

    ``covered`` time; ``reported_until``, the end of the last event; ``counted_since``, from where session time counts;
    ``stopped`` time of a simulated feed; and ``stored_until``, the receipt time up to which the engine has the trades.
    """

    covered: list[Interval]
    reported_until: int
    counted_since: int
    stopped: list[Interval]
    stored_until: int


@dataclass
class SpanContext:
    """What a result reports besides the values of one span. Times are ms UTC.

    ``through`` is the receipt time up to which the engine has every trade. ``covered`` is the time that the feed covered up to
    then. ``expected`` is the session time that the feed should have covered, without what it covered since. ``updates`` are
    price updates that count as prices.
    """

    through: int | None = None
    covered: list[Interval] = field(default_factory=list)
    expected: list[Interval] = field(default_factory=list)
    trades: int = 0
    updates: int = 0
    last_ms: int | None = None
    left_out: int = 0
    left_out_by: Counter[str] = field(default_factory=Counter)
    sources: set[str] = field(default_factory=set)

    @property
    def is_empty(self) -> bool:
        """Whether the span contains no record."""
        return not (self.trades or self.updates or self.left_out)

    @property
    def coverage(self) -> float | None:
        """Percentage of the expected time that the feed covered."""
        expected = length(self.expected)
        return 100 * length(intersect(self.covered, self.expected)) / expected if expected else None


class QueryContext:
    """The query's trades as the relation ``placed``, its spans, and the context of each span."""

    def __init__(self, query: Query, engine: Engine) -> None:
        if query.configured is not None:
            symbols = resolve_symbols(query.symbols, query.configured, engine, hint=HINT)
            query = replace(query, symbols=tuple(symbols))
        self.query = query
        self.place = engine.place
        self._engine = engine
        self.superseded: dict[tuple[SessionChoice, date], list[str]] = {}
        """By newest session and its date, the symbols without trades there: an earlier session answers for them."""
        resolved = {symbol: self._resolve(symbol) for symbol in dict.fromkeys(query.symbols)}
        groups = [(symbol, one, parts) for symbol, one in resolved.items() for parts in group_into_spans(one.parts, query)]
        self.spans = [Span(number, symbol, one.session, parts, one.hours) for number, (symbol, one, parts) in enumerate(groups)]
        self.provide("slices", [row for span in self.spans for row in slices(span, query)])
        self.provide("codes", condition_codes())
        ranges = {item.key: item for one in resolved.values() for item in one.ranges}
        engine.place_trades(ranges.values(), query.policy)
        self.contexts = self._contexts({symbol: one.ranges for symbol, one in resolved.items()})

    def note(self, symbol: str) -> str | None:
        """A hint for a symbol without trades: that the engine has only its filings, or which symbols are similar.

        The setting ``symbols`` may name a symbol that has not traded yet, or contain a typo. Neither is an error.
        """
        if self.query.configured is None or self._engine.has_symbol(symbol):
            return None
        if self._engine.has_filings(symbol):
            return f"{symbol}: {self.place} holds filings of it, and no trades"
        near = similar_symbols(symbol, set(self._engine.all_symbols()) - self.query.configured)
        if not near:
            return None
        return f"{symbol}, as the setting symbols has it: {self.place} holds no trades of it; {did_you_mean(near)}"

    def provide(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        """Create the relation ``name`` with ``rows`` for the queries that follow, or replace it."""
        self._engine.provide(name, rows)

    def run(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of the query ``sql/metrics/NAME.sql``, over the placed trades and the provided relations."""
        return self._engine.run(name, parameters)

    def _resolve(self, symbol: str) -> _ResolvedSymbol:
        """The queried parts of the symbol's sessions, and the ranges that may contain their trades."""
        query, hours = self.query, self._engine.calendar(symbol).hours(symbol)
        session: SessionChoice = query.session if hours == "exchange" else "all"
        if query.is_bounded:
            parts, ranges = self._queried(symbol, session, hours)
            if not query.fall_back or any(self._has_trades(symbol, part, ranges) for part in parts):
                return _ResolvedSymbol(session, parts, ranges, hours)
        for names in ((session,), _LATEST_FIRST if query.fall_back else ()):
            for name, part in self._begun(symbol, names, hours):
                ranges = self._engine.find(symbol, part.trades_since, part.trades_until)
                if ranges and self._has_trades(symbol, part, ranges):
                    newest = newest_session_range(session, hours, query)
                    if not query.is_bounded and (name, part) != (session, newest):
                        self.superseded.setdefault((session, newest.trade_date), []).append(symbol)
                    return _ResolvedSymbol(name, [part], ranges, hours)
        return _ResolvedSymbol(session, [], [], hours)

    def _queried(self, symbol: str, session: SessionChoice, hours: Hours) -> tuple[list[SessionRange], list[TradeRange]]:
        """The parts of the session on the queried dates, and the ranges that may contain their trades."""
        query = self.query
        if query.day is not None:
            part = session_range(query.day, session, hours, query)
            return ([part], self._engine.find(symbol, part.trades_since, part.trades_until)) if part else ([], [])
        ranges = self._engine.find(symbol, query.since, query.until)
        days = {day for item in ranges for day in (trade_date(item.ts_min), trade_date(item.ts_max))}
        parts = [part for day in sorted(days) if (part := session_range(day, session, hours, query)) is not None]
        return [part for part in parts if _overlapping(ranges, part)], ranges

    def _begun(
        self, symbol: str, names: tuple[SessionChoice, ...], hours: Hours
    ) -> Iterator[tuple[SessionChoice, SessionRange]]:
        """The sessions of these names that have begun, on the newest dates that may have trades of ``symbol``."""
        now = self.query.effective_now
        past = (day for day in self._engine.dates(symbol) if day <= trade_date(now))
        for day in islice(past, _DATES_SEARCHED):
            for name in names:
                part = session_range(day, name, hours, self.query)
                if part is not None and part.since <= now:
                    yield name, part

    def _has_trades(self, symbol: str, part: SessionRange, ranges: list[TradeRange]) -> bool:
        """Whether ``ranges`` contain a trade of ``part``. A range that begins before it and ends after it may contain none."""
        overlapping = _overlapping(ranges, part)
        if not overlapping or any(part.contains(ms) for item in overlapping for ms in (item.ts_min, item.ts_max)):
            return bool(overlapping)
        codes = self._engine.conditions(symbol, overlapping, [(slot.since, slot.until) for slot in part.slots])
        return any(trade_kind(joined) in slot.kinds for slot, found in zip(part.slots, codes, strict=True) for joined in found)

    def _contexts(self, ranges: dict[str, list[TradeRange]]) -> list[SpanContext]:
        contexts = [SpanContext() for _ in self.spans]
        newest: dict[str, int] = {}
        for row in self.run("overview"):
            context, symbol = contexts[row["span"]], self.spans[row["span"]].symbol
            newest[symbol] = max(row["last_ms"], newest.get(symbol, 0))
            context.sources.add(row["source"])
            if row["priced"]:
                context.last_ms = max(row["last_ms"], context.last_ms or 0)
            if row["counts"]:
                context.trades += row["trades"]
                continue
            if row["priced"]:
                context.updates += row["trades"]
                continue
            context.left_out += row["trades"]
            policy = self.query.policy
            why = [NO_VOLUME] if row["zero_volume"] else reasons(policy, row["conditions"], row["updates"])
            context.left_out_by.update(dict.fromkeys(why, row["trades"]))
        if not self.spans:
            return contexts
        since = min(span.since for span in self.spans)
        events = self._engine.events(since, max(span.until for span in self.spans))
        events_by_symbol = by_symbol(events, (span.symbol for span in self.spans))
        simulated = {symbol for symbol in events_by_symbol if self._engine.calendar(symbol).always_open}
        connected = expected_since(events_by_symbol, since, simulated, self._engine.connected_before)
        feeds = {
            symbol: _FeedStatus(
                covered_time(own),
                max((event["span_end"] for event in own), default=0),
                connected.get(symbol, since),
                stopped_time(own) if symbol in simulated else [],
                # A replay may shift times past the receipt: a trade that is here has been stored. A producer's clock may be
                # ahead of ours: nothing from the future is stored or was known.
                min(
                    max(self._engine.through(symbol, ranges[symbol]) or 0, newest.get(symbol, -1) + 1),
                    self.query.effective_now,
                ),
            )
            for symbol, own in events_by_symbol.items()
        }
        for span, context in zip(self.spans, contexts, strict=True):
            self._cover(span, context, feeds[span.symbol])
        return contexts

    @property
    def feed_due(self) -> int:
        """The time, in ms UTC, up to which the feed must have reported its coverage."""
        return reported_by(self.query.now, self.query.effective_now, self._engine.lag_ms)

    def gaps(self, span: Span) -> list[CoverageInterval]:
        """The session time of ``span`` that the feed missed, each with its reason, as ``stockctl lake gaps`` lists it.

        From the engine's feed events of the dates. A gap may be newer than the expected time of the span's context: trades
        that could be missed there may still be on their way.
        """
        query, parts = self.query, [part for part in span.parts if part.since < part.until]
        if not parts:
            return []
        found = intervals_up_to(
            query.effective_now,
            self.feed_due,
            self._engine.events(day_bounds(parts[0].trade_date)[0], day_bounds(parts[-1].trade_date)[1]),
            [span.symbol],
            [part.trade_date for part in parts],
            span.session,
            self._engine.calendar(span.symbol),
            self._engine.connected_before,
        )
        missed = [interval for interval in found if not interval.covered]
        return [
            interval._replace(since=max(interval.since, part.since), until=min(interval.until, part.until))
            for interval in missed
            for part in parts
            if interval.since < part.until and interval.until > part.since
        ]

    def _cover(self, span: Span, context: SpanContext, feed: _FeedStatus) -> None:
        # Coverage comes from another partition than trades, and proves nothing about how far these are stored.
        through = min(feed.stored_until, span.until)
        parts = [(part.since, part.until) for part in span.parts if part.since < part.until]
        if through:
            context.through = through
            context.covered = intersect(intersect(feed.covered, parts), [(0, through)])
        # Trades or coverage that the newest batches may still bring do not count as missed.
        elapsed = min(span.until, max(min(through, feed.reported_until), self.feed_due))
        hours = parts
        if span.hours == "exchange":
            hours = merge(hour for part in parts for hour in (session_time(span.symbol, *part) or [part]))
        counted = subtract(intersect(hours, [(feed.counted_since, elapsed)]), feed.stopped)
        # Covered time with trades that may still be on their way counts neither as covered nor as missed.
        context.expected = subtract(counted, intersect(feed.covered, [(through, elapsed)]))


def _overlapping(ranges: Iterable[TradeRange], part: SessionRange) -> list[TradeRange]:
    return [item for item in ranges if item.ts_min < part.trades_until and item.ts_max >= part.trades_since]


@contextmanager
def execute(settings: Settings, query: Query, notify: Notify = ignore) -> Iterator[QueryContext]:
    """Connect to the query's engine and place its trades; several metrics can then run on them.

    ``notify`` receives a line if the engine has to wait for its system.
    """
    with engine_class(query.engine).connect(settings, query.received_by, notify) as engine:
        yield QueryContext(query, engine)
