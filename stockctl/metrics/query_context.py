"""A question under way: its trades from an engine, placed into spans on a bench of its own, and what is said beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from typing import Any, NamedTuple

from stockctl.exchange.calendar import Hours, trade_date
from stockctl.exchange.trade_conditions import trade_kind
from stockctl.feed.coverage import COVERED_EVERY, by_symbol, expected_since, session_time
from stockctl.intervals import Interval, intersect, length, merge, subtract
from stockctl.lake.reader.duckdb_session import duck
from stockctl.lake.reader.symbols import HINT
from stockctl.metrics.engines.duckdb import Bench, DuckBench
from stockctl.metrics.engines.relations import condition_codes
from stockctl.metrics.engines.trade_sources import Held, Rows, rows_of
from stockctl.metrics.query import Query, SessionChoice, SessionRange, Span, joined, newest_part, part_on, slices
from stockctl.metrics.trade_filter import NO_VOLUME, reasons
from stockctl.records import covered_time, stopped_time
from stockctl.settings import Settings
from stockctl.symbols import did_you_mean, resolve_symbols, similar_symbols

_LATEST = 30
"""Newest dates in which the latest session with data is looked for."""
_LATEST_FIRST: tuple[SessionChoice, ...] = ("post", "regular", "pre", "all")
"""The sessions of a date, the latest first; all hours last, for trades outside every session."""


class _Chosen(NamedTuple):
    """What answers for a symbol: the session, its asked parts, and the objects that may hold their trades."""

    session: SessionChoice
    parts: list[SessionRange]
    found: list[Held]
    hours: Hours


class _Feed(NamedTuple):
    """What the feed told of a symbol: the time that it covered, until when it told of any, since when its time counts, and when
    a simulated one was stopped; and the receipt time up to which the trades are ``stored``.
    """

    covered: list[Interval]
    heard: int
    since: int
    stopped: list[Interval]
    stored: int


@dataclass
class Context:
    """What an answer says beside its figures, for one span. Times are ms UTC.

    ``through`` is the receipt time up to which the engine holds every trade; ``covered`` is what the feed watched of it until
    then, ``expected`` the session time that it should have watched, less what it watched of it since. ``updates`` are price
    updates that count as prices.
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
        """Whether the span holds nothing at all."""
        return not (self.trades or self.updates or self.left_out)

    @property
    def coverage(self) -> float | None:
        """Per cent of the expected time that the feed covered."""
        expected = length(self.expected)
        return 100 * length(intersect(self.covered, self.expected)) / expected if expected else None


class QueryContext:
    """The trades of a question as the relation ``placed``, its spans, and each span's context."""

    def __init__(self, question: Query, rows: Rows, bench: Bench) -> None:
        if question.configured is not None:
            symbols = resolve_symbols(question.symbols, question.configured, rows, hint=HINT)
            question = replace(question, symbols=tuple(symbols))
        self.question = question
        self.place = rows.place
        self._rows = rows
        self._bench = bench
        self.instead: dict[tuple[SessionChoice, date], list[str]] = {}
        """Of the newest sessions, by name and date, those symbols that have no trades there: an earlier session answers."""
        chosen = {symbol: self._resolve(symbol) for symbol in dict.fromkeys(question.symbols)}
        asked = [(symbol, one, parts) for symbol, one in chosen.items() for parts in joined(one.parts, question)]
        self.spans = [Span(number, symbol, one.session, parts, one.hours) for number, (symbol, one, parts) in enumerate(asked)]
        self._place([item for one in chosen.values() for item in one.found])
        self.contexts = self._contexts({symbol: one.found for symbol, one in chosen.items()})

    def note(self, symbol: str) -> str | None:
        """What to know of a symbol that had no trades: that the engine has only its filings, or names near ones alone.

        The setting may name a symbol that has not traded yet, and one that is a slip: no error, but its near ones are named.
        """
        if self.question.configured is None or self._rows.has_symbol(symbol):
            return None
        if self._rows.has_filings(symbol):
            return f"{symbol}: {self.place} holds filings of it, and no trades"
        near = similar_symbols(symbol, set(self._rows.all_symbols()) - self.question.configured)
        if not near:
            return None
        return f"{symbol}, as the setting symbols has it: {self.place} holds no trades of it; {did_you_mean(near)}"

    def _resolve(self, symbol: str) -> _Chosen:
        """The asked parts of the symbol's sessions, and the objects that may hold their trades."""
        question, hours = self.question, self._rows.calendar(symbol).hours(symbol)
        session: SessionChoice = question.session if hours == "exchange" else "all"
        bounded = question.day is not None or question.since is not None or question.until is not None
        if bounded:
            parts, found = self._asked(symbol, session, hours)
            if not question.fall_back or any(self._has_trades(symbol, part, found) for part in parts):
                return _Chosen(session, parts, found, hours)
        for names in ((session,), _LATEST_FIRST if question.fall_back else ()):
            for name, part in self._sessions(symbol, names, hours):
                if (found := self._find(symbol, part.first, part.end)) and self._has_trades(symbol, part, found):
                    newest = newest_part(session, hours, question)
                    if not bounded and (name, part) != (session, newest):
                        self.instead.setdefault((session, newest.trade_date), []).append(symbol)
                    return _Chosen(name, [part], found, hours)
        return _Chosen(session, [], [], hours)

    def _asked(self, symbol: str, session: SessionChoice, hours: Hours) -> tuple[list[SessionRange], list[Held]]:
        """The parts of the session on the dates that are asked for, and the objects that may hold their trades."""
        question = self.question
        if question.day is not None:
            part = part_on(question.day, session, hours, question)
            return ([part], self._find(symbol, part.first, part.end)) if part else ([], [])
        found = self._find(symbol, question.since, question.until)
        days = {day for item in found for day in (trade_date(item.ts_min), trade_date(item.ts_max))}
        parts = [part for day in sorted(days) if (part := part_on(day, session, hours, question)) is not None]
        return [part for part in parts if _within(found, part)], found

    def _sessions(
        self, symbol: str, names: tuple[SessionChoice, ...], hours: Hours
    ) -> Iterator[tuple[SessionChoice, SessionRange]]:
        """The sessions of these names that have begun on the newest dates that may have trades of ``symbol``."""
        then = self.question.then
        past = (day for day in self._rows.dates(symbol) if day <= trade_date(then))
        for day in islice(past, _LATEST):
            for name in names:
                part = part_on(day, name, hours, self.question)
                if part is not None and part.since <= then:
                    yield name, part

    def _has_trades(self, symbol: str, part: SessionRange, found: list[Held]) -> bool:
        """Whether the objects ``found`` hold a trade of ``part``: one that begins before it and ends after it may hold none."""
        within = [item for item in found if item.ts_min < part.end and item.ts_max >= part.first]
        if not within or any(part.holds(ms) for item in within for ms in (item.ts_min, item.ts_max)):
            return bool(within)
        with duck() as connection:
            self._rows.load(connection, within, "stored")
            for slot in part.slots:
                rows = connection.execute(
                    "SELECT DISTINCT COALESCE(conditions, '') FROM stored "
                    "WHERE symbol = $symbol AND ts_event >= $since AND ts_event < $until",
                    {"symbol": symbol, "since": slot.since, "until": slot.until},
                )
                if any(trade_kind(conditions) in slot.kinds for (conditions,) in rows.fetchall()):
                    return True
        return False

    def _find(self, symbol: str, since: int | None, until: int | None) -> list[Held]:
        return self._rows.find(symbol, since, until)

    def _place(self, found: Iterable[Held]) -> None:
        self.provide("pieces", [row for span in self.spans for row in slices(span, self.question)])
        self.provide("codes", condition_codes())
        self._bench.place({item.key: item for item in found}.values(), self.question)

    def provide(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        """Make ``rows`` the relation ``name`` for the queries that follow, in place of what it held."""
        self._bench.provide(name, rows)

    def run(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of the file ``name`` of ``sql/metrics``, over the placed trades and what was provided."""
        return self._bench.run(name, parameters)

    def _contexts(self, found: dict[str, list[Held]]) -> list[Context]:
        contexts = [Context() for _ in self.spans]
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
            policy = self.question.policy
            why = [NO_VOLUME] if row["zero_volume"] else reasons(policy, row["conditions"], row["updates"])
            context.left_out_by.update(dict.fromkeys(why, row["trades"]))
        if not self.spans:
            return contexts
        since = min(span.since for span in self.spans)
        known = self._rows.events(since, max(span.until for span in self.spans))
        told = by_symbol(known, (span.symbol for span in self.spans))
        simulated = {symbol for symbol in told if self._rows.calendar(symbol).always_open}
        connected = expected_since(told, since, simulated, self._rows.connected_before)
        feeds = {
            symbol: _Feed(
                covered_time(events),
                max((event["span_end"] for event in events), default=0),
                connected.get(symbol, since),
                stopped_time(events) if symbol in simulated else [],
                # A replay may shift times behind the receipt: a trade that is here has been stored. A producer's clock may be
                # ahead of ours: nothing is stored of the time to come, nor was known of it.
                min(max(self._rows.through(symbol, found[symbol]) or 0, newest.get(symbol, -1) + 1), self.question.then),
            )
            for symbol, events in told.items()
        }
        for span, context in zip(self.spans, contexts, strict=True):
            self._cover(span, context, feeds[span.symbol])
        return contexts

    @property
    def told_by(self) -> int:
        """Until when, in ms UTC, the feed must have told: as of a moment in the past, its next word alone was still to come."""
        question = self.question
        return min(question.now - self._rows.lag_ms, question.then - round(1000 * COVERED_EVERY))

    def _cover(self, span: Span, context: Context, feed: _Feed) -> None:
        # Coverage comes by another partition than trades, and proves nothing of how far these are stored.
        through = min(feed.stored, span.until)
        parts = [(part.since, part.until) for part in span.parts if part.since < part.until]
        if through:
            context.through = through
            context.covered = intersect(intersect(feed.covered, parts), [(0, through)])
        # What the newest batches may still bring, of trades or of coverage, is not held against the coverage.
        elapsed = min(span.until, max(min(through, feed.heard), self.told_by))
        hours = parts
        if span.hours == "exchange":
            hours = merge(hour for part in parts for hour in (session_time(span.symbol, *part) or [part]))
        counted = subtract(intersect(hours, [(feed.since, elapsed)]), feed.stopped)
        # Nor are covered hours whose trades may still be on their way: they are neither covered nor missed yet.
        context.expected = subtract(counted, intersect(feed.covered, [(through, elapsed)]))


def _within(found: Iterable[Held], part: SessionRange) -> bool:
    return any(item.ts_min < part.end and item.ts_max >= part.first for item in found)


@contextmanager
def compute(settings: Settings, question: Query) -> Iterator[QueryContext]:
    """Bring the question's trades from its engine, for as many metrics as are wanted of them."""
    if question.engine == "redshift":
        from stockctl.metrics.engines.redshift import redshift_bench

        with redshift_bench(settings, question.received_by) as (found, bench):
            yield QueryContext(question, found, bench)
        return
    with rows_of(settings, question.engine, question.received_by) as rows, duck() as connection:
        yield QueryContext(question, rows, DuckBench(connection, rows))
