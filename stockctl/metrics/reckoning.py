"""A question under way: its trades from an engine, placed into spans on a bench of its own, and what is said beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from stockctl.feed.coverage import session_time
from stockctl.lake.duck import duck
from stockctl.metrics.bench import Bench, DuckBench
from stockctl.metrics.policy import NO_VOLUME, reasons
from stockctl.metrics.relations import condition_codes
from stockctl.metrics.rows import Held, Rows, rows_of
from stockctl.metrics.spans import Part, Question, Span, part_on, pieces, session_of
from stockctl.sessions import trade_date
from stockctl.settings import Settings
from stockctl.timespans import Span as Stretch
from stockctl.timespans import intersect, length, merge, subtract

_LATEST = 30
"""Newest dates in which the latest session with data is looked for."""


@dataclass
class Context:
    """What an answer says beside its figures, for one span. Times are ms UTC.

    ``through`` is the receipt time up to which the engine holds every trade; ``covered`` is what the feed watched of it until
    then, ``expected`` the session time that it should have watched, less what it watched of it since.
    """

    through: int | None = None
    covered: list[Stretch] = field(default_factory=list)
    expected: list[Stretch] = field(default_factory=list)
    trades: int = 0
    last_ms: int | None = None
    left_out: int = 0
    left_out_by: Counter[str] = field(default_factory=Counter)
    sources: set[str] = field(default_factory=set)

    @property
    def coverage(self) -> float | None:
        """Per cent of the expected time that the feed covered."""
        expected = length(self.expected)
        return 100 * length(intersect(self.covered, self.expected)) / expected if expected else None


class Reckoning:
    """The trades of a question as the relation ``placed``, its spans, and each span's context."""

    def __init__(self, question: Question, rows: Rows, bench: Bench) -> None:
        self.question = question
        self.place = rows.place
        self._rows = rows
        self._bench = bench
        found = {symbol: self._resolve(symbol) for symbol in dict.fromkeys(question.symbols)}
        parts = [
            (symbol, chosen)
            for symbol, (kept, _) in found.items()
            for chosen in ([tuple(kept)] if question.across and kept else [(part,) for part in kept])
        ]
        self.spans = [
            Span(number, symbol, session_of(symbol, question.session), chosen) for number, (symbol, chosen) in enumerate(parts)
        ]
        self._place([item for _, objects in found.values() for item in objects])
        self.contexts = self._contexts({symbol: objects for symbol, (_, objects) in found.items()})

    def _resolve(self, symbol: str) -> tuple[list[Part], list[Held]]:
        """The asked parts of the symbol's sessions, and the objects that may hold their trades."""
        question, session = self.question, session_of(symbol, self.question.session)
        if question.day is not None:
            part = part_on(question.day, session, question)
            return ([part], self._find(symbol, part.since, part.until)) if part else ([], [])
        if question.since is not None or question.until is not None:
            found = self._find(symbol, question.since, question.until)
            days = {day for item in found for day in (trade_date(item.ts_min), trade_date(item.ts_max))}
            parts = [part for day in sorted(days) if (part := part_on(day, session, question)) is not None]
            return [part for part in parts if _within(found, part)], found
        for day in islice(self._rows.dates(symbol), _LATEST):
            part = part_on(day, session, question)
            if part is not None and part.since <= question.now and (found := self._find(symbol, part.since, part.until)):
                return [part], found
        return [], []

    def _find(self, symbol: str, since: int | None, until: int | None) -> list[Held]:
        return self._rows.find(symbol, since, until)

    def _place(self, found: Iterable[Held]) -> None:
        self.provide("pieces", [row for span in self.spans for row in pieces(span, self.question)])
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
        for row in self.run("overview"):
            context = contexts[row["span"]]
            context.sources.add(row["source"])
            if row["counts"]:
                context.trades += row["trades"]
                context.last_ms = max(row["last_ms"], context.last_ms or 0)
                continue
            context.left_out += row["trades"]
            policy = self.question.policy
            why = [NO_VOLUME] if row["zero_volume"] else reasons(policy, row["conditions"], row["updates"])
            context.left_out_by.update(dict.fromkeys(why, row["trades"]))
        if not self.spans:
            return contexts
        told = self._rows.events(min(span.since for span in self.spans), max(span.until for span in self.spans))
        covered: dict[str, list[Stretch]] = {span.symbol: [] for span in self.spans}
        for event in told:
            if event["kind"] == "covered" and (self.question.as_of is None or event["ts_recv"] <= self.question.as_of):
                stretch = (event["span_start"], event["span_end"])
                for symbol in covered.keys() & event["symbols"].split(","):
                    covered[symbol].append(stretch)
        merged = {symbol: merge(stretches) for symbol, stretches in covered.items()}
        stored = {symbol: self._rows.through(symbol, found[symbol]) for symbol in covered}
        for span, context in zip(self.spans, contexts, strict=True):
            self._cover(span, context, merged[span.symbol], stored[span.symbol])
        return contexts

    def _cover(self, span: Span, context: Context, covered: list[Stretch], stored: int | None) -> None:
        # Coverage comes by another partition than trades, and proves nothing of how far these are stored.
        through = min(stored or 0, span.until)
        parts = [(part.since, part.until) for part in span.parts]
        if through:
            context.through = through
            context.covered = intersect(intersect(covered, parts), [(0, through)])
        # What the newest batches may still bring is not held against the coverage.
        elapsed = min(span.until, max(through, self.question.now - self._rows.lag_ms))
        hours = merge(
            stretch for since, until in parts for stretch in (session_time(span.symbol, since, until) or [(since, until)])
        )
        # Nor are covered hours whose trades may still be on their way: they are neither covered nor missed yet.
        context.expected = subtract(intersect(hours, [(0, elapsed)]), intersect(covered, [(through, elapsed)]))


def _within(found: Iterable[Held], part: Part) -> bool:
    return any(item.ts_min < part.until and item.ts_max >= part.since for item in found)


@contextmanager
def reckon(settings: Settings, question: Question) -> Iterator[Reckoning]:
    """Bring the question's trades from its engine, for as many metrics as are wanted of them."""
    if question.engine == "redshift":
        from stockctl.metrics.redshift import redshift_bench

        with redshift_bench(settings) as (found, bench):
            yield Reckoning(question, found, bench)
        return
    with rows_of(settings, question.engine) as rows, duck() as connection:
        yield Reckoning(question, rows, DuckBench(connection, rows))
