"""Coverage is data: which time the feed covered, told by feed events; a gap is session time that nothing covered.

Spans are ``[since, until)`` in ms UTC. Repeated events change nothing: coverage is the union of what they cover.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from stockctl.records import EventKind, FeedEvent
from stockctl.sessions import SESSION_NAMES, SessionName, is_around_the_clock, sessions_between

Span = tuple[int, int]
"""``[since, until)`` in ms UTC."""


class Gap(NamedTuple):
    """Session time that nothing covered, with what the feed said about it (empty where nothing did)."""

    since: int
    until: int
    reason: str


class Coverage(NamedTuple):
    """How the feed covered one symbol's session time: ``expected`` is ``covered`` and ``gaps`` together."""

    expected: list[Span]
    covered: list[Span]
    gaps: list[Gap]

    @property
    def share(self) -> float | None:
        """Covered part of the expected time, from 0 to 1; None when no time was expected."""
        expected = length(self.expected)
        return length(self.covered) / expected if expected else None


def merge(spans: Iterable[Span], slack: int = 0) -> list[Span]:
    """The union of ``spans``, in order and disjoint; those at most ``slack`` ms apart become one. Empty ones vanish."""
    merged: list[Span] = []
    for since, until in sorted(span for span in spans if span[0] < span[1]):
        if merged and since <= merged[-1][1] + slack:
            merged[-1] = (merged[-1][0], max(until, merged[-1][1]))
        else:
            merged.append((since, until))
    return merged


def intersect(one: Sequence[Span], other: Sequence[Span]) -> list[Span]:
    """What is in both of two merged lists of spans."""
    common: list[Span] = []
    i = j = 0
    while i < len(one) and j < len(other):
        since, until = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if since < until:
            common.append((since, until))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return common


def subtract(spans: Sequence[Span], taken: Sequence[Span]) -> list[Span]:
    """What of the merged ``spans`` is not in the merged ``taken``."""
    if not spans:
        return []
    left: list[Span] = []
    since = spans[0][0]
    for taken_since, taken_until in taken:
        left.append((since, taken_since))
        since = max(since, taken_until)
    left.append((since, max(since, spans[-1][1])))
    return intersect(spans, merge(left))


def length(spans: Iterable[Span]) -> int:
    """Milliseconds of disjoint spans together."""
    return sum(until - since for since, until in spans)


def session_time(symbol: str, since: int, until: int, names: tuple[SessionName, ...] = SESSION_NAMES) -> list[Span]:
    """The part of ``[since, until)`` in which ``symbol`` trades; all of it for symbols that trade around the clock."""
    if is_around_the_clock(symbol):
        return merge([(since, until)])
    return merge((max(s.since, since), min(s.until, until)) for s in sessions_between(since, until, names))


def coverage(
    events: Iterable[Mapping[str, Any]],
    symbols: Iterable[str],
    since: int,
    until: int,
    names: tuple[SessionName, ...] = SESSION_NAMES,
) -> dict[str, Coverage]:
    """How the feed covered each symbol's session time in ``[since, until)``.

    ``events`` are feed events as mappings of their fields, in any order, of one source, and may overlap the span's edges.
    """
    held = list(events)
    answer = {}
    for symbol in symbols:
        of_symbol = [event for event in held if symbol in event["symbols"].split(",")]
        expected = session_time(symbol, since, until, names)
        covered = intersect(
            expected, merge((event["span_start"], event["span_end"]) for event in of_symbol if event["kind"] == "covered")
        )
        gaps = [Gap(*span, _reason(span, of_symbol)) for span in subtract(expected, covered)]
        answer[symbol] = Coverage(expected, covered, gaps)
    return answer


def covered_ms(
    events: Iterable[Mapping[str, Any]],
    symbols: Iterable[str],
    since: int,
    until: int,
    names: tuple[SessionName, ...] = SESSION_NAMES,
) -> dict[str, int]:
    """Milliseconds of session time in ``[since, until)`` that the feed covered, by symbol; ``events`` as in ``coverage``."""
    return {symbol: length(found.covered) for symbol, found in coverage(events, symbols, since, until, names).items()}


def _reason(gap: Span, events: Iterable[Mapping[str, Any]]) -> str:
    """What the earliest event that touches ``gap`` gives as its reason."""
    since, until = gap
    touching = [
        (event["span_start"], event["reason"])
        for event in events
        if event["reason"]
        and event["span_start"] <= until
        and event["span_end"] >= since
        # A covered span explains the gap before it, by what was lost there.
        and (event["span_start"] == until if event["kind"] == "covered" else event["kind"] not in ("connected", "subscribed"))
    ]
    return str(min(touching)[1]) if touching else ""


def feed_event(
    kind: EventKind, span: Span, symbols: Iterable[str], reason: str, *, connection: str, number: int, ts_recv: int, source: str
) -> FeedEvent:
    """A feed event; ``number`` is unique among the events of ``connection``, so that the id is."""
    return FeedEvent(
        id=f"{connection}-{kind}-{number:06d}",
        kind=kind,
        span_start=span[0],
        span_end=span[1],
        symbols=",".join(symbols),
        reason=reason,
        connection=connection,
        ts_recv=ts_recv,
        source=source,
    )
