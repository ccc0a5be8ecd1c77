"""Coverage is data: which time the feed covered, told by feed events; a gap is session time that nothing covered.

Spans are ``[since, until)`` in ms UTC. Repeated events change nothing: coverage is the union of what they cover.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Set
from typing import Any, NamedTuple

from stockctl.exchange.calendar import EXCHANGE, SESSION_NAMES, Calendar, SessionName, currency_time, sessions_between
from stockctl.intervals import Interval, intersect, length, merge, subtract
from stockctl.records import CONNECTING, EventKind, FeedEvent, covered_time, from_subscription, stopped_time

MAX_COVERED_MS = 3_600_000
"""The longest span in ms that one event tells as covered: events lie by their end, and readers look only so far for it."""
COVERED_EVERY = 10.0
"""Seconds between two ``covered`` events of a connection."""


class Gap(NamedTuple):
    """Session time that nothing covered, with what the feed said about it (empty where nothing did)."""

    since: int
    until: int
    reason: str


class Coverage(NamedTuple):
    """How the feed covered one symbol's session time: ``expected`` is ``covered`` and ``gaps`` together."""

    expected: list[Interval]
    covered: list[Interval]
    gaps: list[Gap]

    @property
    def share(self) -> float | None:
        """Covered part of the expected time, from 0 to 1; None when no time was expected."""
        expected = length(self.expected)
        return length(self.covered) / expected if expected else None


def split_interval(span: Interval) -> list[Interval]:
    """``span`` in pieces of at most ``MAX_COVERED_MS``, each beginning where the one before it ends."""
    since, until = span
    return [(start, min(start + MAX_COVERED_MS, until)) for start in range(since, until, MAX_COVERED_MS)]


def session_time(
    symbol: str, since: int, until: int, names: tuple[SessionName, ...] = SESSION_NAMES, calendar: Calendar = EXCHANGE
) -> list[Interval]:
    """The part of ``[since, until)`` in which ``symbol`` trades; ``names`` are the exchange's sessions."""
    hours = calendar.hours(symbol)
    if hours == "always":
        return merge([(since, until)])
    if hours == "currency":
        return currency_time(since, until)
    return merge((max(s.since, since), min(s.until, until)) for s in sessions_between(since, until, names))


def by_symbol(events: Iterable[Mapping[str, Any]], symbols: Iterable[str]) -> dict[str, list[Mapping[str, Any]]]:
    """Of each of ``symbols`` the events that name it."""
    told: dict[str, list[Mapping[str, Any]]] = {symbol: [] for symbol in symbols}
    for event in events:
        for symbol in told.keys() & event["symbols"].split(","):
            told[symbol].append(event)
    return told


def connected_since(events: Collection[Mapping[str, Any]]) -> int | None:
    """When the feed was first connected and subscribed, in ms UTC, by these events of one symbol; None if it never was."""
    return min((event["span_start"] for event in from_subscription(events) if event["kind"] in CONNECTING), default=None)


def expected_since(
    told: Mapping[str, list[Mapping[str, Any]]],
    since: int,
    simulated: Set[str],
    connected_before: Callable[[Set[str], int], Set[str]],
) -> dict[str, int]:
    """From when on time counts for those symbols whose feed was first connected after ``since`` (ms UTC).

    ``told`` are each symbol's events from ``since`` on. ``connected_before(symbols, since)`` answers with those that the feed
    had been connected for earlier: what they miss is a gap. The ``simulated`` ones have no market while nobody listens.
    """
    first = {symbol: at for symbol, events in told.items() if (at := connected_since(events)) is not None and at > since}
    asked = first.keys() - simulated
    known = connected_before(asked, since) if asked else frozenset()
    return {symbol: at for symbol, at in first.items() if symbol not in known}


def coverage(
    events: Iterable[Mapping[str, Any]],
    symbols: Iterable[str],
    since: int,
    until: int,
    names: tuple[SessionName, ...] = SESSION_NAMES,
    calendar: Calendar = EXCHANGE,
    connected: Mapping[str, int] | None = None,
) -> dict[str, Coverage]:
    """How the feed covered each symbol's session time in ``[since, until)``.

    ``events`` are feed events as mappings of their fields, in any order, of one source, and may overlap the span's edges.
    No time before that of a symbol in ``connected`` is expected, nor any of a simulated market while the producer was stopped.
    """
    answer = {}
    for symbol, of_symbol in by_symbol(events, symbols).items():
        expected = session_time(symbol, max(since, (connected or {}).get(symbol, since)), until, names, calendar)
        if calendar.always_open:
            expected = subtract(expected, stopped_time(of_symbol))
        covered = intersect(expected, covered_time(of_symbol))
        gaps = [Gap(*span, _reason(span, of_symbol)) for span in subtract(expected, covered)]
        answer[symbol] = Coverage(expected, covered, gaps)
    return answer


def _reason(gap: Interval, events: Iterable[Mapping[str, Any]]) -> str:
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


REASON_LENGTH = 1000
"""Most characters of an event's reason."""


def feed_event(
    kind: EventKind,
    span: Interval,
    symbols: Iterable[str],
    reason: str,
    *,
    connection: str,
    number: int,
    ts_recv: int,
    source: str,
) -> FeedEvent:
    """A feed event; ``number`` is unique among the events of ``connection``, so that the id is."""
    return FeedEvent(
        id=f"{connection}-{kind}-{number:06d}",
        kind=kind,
        span_start=span[0],
        span_end=span[1],
        symbols=",".join(symbols),
        # It may quote the feed, which may send anything.
        reason=reason.replace("\x00", " ")[:REASON_LENGTH],
        connection=connection,
        ts_recv=ts_recv,
        source=source,
    )
