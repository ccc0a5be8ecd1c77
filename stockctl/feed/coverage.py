"""Coverage: which time the feed covered, computed from feed events. A gap is session time that no event covers.

Spans are ``[since, until)`` in ms UTC. Repeated events change nothing: coverage is the union of all events.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Set
from typing import Any, NamedTuple

from stockctl.exchange.calendar import EXCHANGE, SESSION_NAMES, Calendar, SessionName, currency_time, sessions_between
from stockctl.intervals import Interval, intersect, length, merge, subtract
from stockctl.records import CONNECTING, EventKind, FeedEvent, covered_time, from_subscription, stopped_time

MAX_COVERED_MS = 3_600_000
"""Longest time in ms that one event covers. Events are stored by their end; readers search this far past an edge."""
COVERED_EVERY = 10.0
"""Seconds between two ``covered`` events of a connection."""


class Gap(NamedTuple):
    """Session time that no event covers, and the reason that the feed gave (empty if none)."""

    since: int
    until: int
    reason: str


class Coverage(NamedTuple):
    """How the feed covered one symbol's session time. ``covered`` and ``gaps`` add up to ``expected``."""

    expected: list[Interval]
    covered: list[Interval]
    gaps: list[Gap]

    @property
    def share(self) -> float | None:
        """CoveredIntervals part of the expected time, from 0 to 1; None when no time was expected."""
        expected = length(self.expected)
        return length(self.covered) / expected if expected else None


def split_interval(span: Interval) -> list[Interval]:
    """``span`` in consecutive intervals of at most ``MAX_COVERED_MS``."""
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
    """The events that name each of ``symbols``."""
    grouped: dict[str, list[Mapping[str, Any]]] = {symbol: [] for symbol in symbols}
    for event in events:
        for symbol in grouped.keys() & event["symbols"].split(","):
            grouped[symbol].append(event)
    return grouped


def connected_since(events: Collection[Mapping[str, Any]]) -> int | None:
    """When the feed first connected and subscribed (ms UTC), from the events of one symbol. None if it never did."""
    return min((event["span_start"] for event in from_subscription(events) if event["kind"] in CONNECTING), default=None)


def expected_since(
    events_by_symbol: Mapping[str, list[Mapping[str, Any]]],
    since: int,
    simulated: Set[str],
    connected_before: Callable[[Set[str], int], Set[str]],
) -> dict[str, int]:
    """When expected time starts, for symbols whose feed first connected after ``since`` (ms UTC).

    ``events_by_symbol`` has each symbol's events from ``since`` on. ``connected_before(symbols, since)`` returns the symbols
    that the feed was connected for earlier: their missing time is a gap. ``simulated`` symbols have no market while no client
    is connected, so they are never looked up.
    """
    first = {
        symbol: at for symbol, events in events_by_symbol.items() if (at := connected_since(events)) is not None and at > since
    }
    real = first.keys() - simulated
    earlier = connected_before(real, since) if real else frozenset()
    return {symbol: at for symbol, at in first.items() if symbol not in earlier}


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

    ``events`` are feed events of one source, as mappings of their fields, in any order. They may overlap the edges.
    ``connected`` maps a symbol to the time from which on it is expected. A simulated market expects nothing while the producer
    was stopped.
    """
    result = {}
    for symbol, of_symbol in by_symbol(events, symbols).items():
        expected = session_time(symbol, max(since, (connected or {}).get(symbol, since)), until, names, calendar)
        if calendar.always_open:
            expected = subtract(expected, stopped_time(of_symbol))
        covered = intersect(expected, covered_time(of_symbol))
        gaps = [Gap(*span, _reason(span, of_symbol)) for span in subtract(expected, covered)]
        result[symbol] = Coverage(expected, covered, gaps)
    return result


def _reason(gap: Interval, events: Iterable[Mapping[str, Any]]) -> str:
    """The reason of the earliest event that touches ``gap``."""
    since, until = gap
    touching = [
        (event["span_start"], event["reason"])
        for event in events
        if event["reason"]
        and event["span_start"] <= until
        and event["span_end"] >= since
        # A covered event explains the gap just before it: its reason counts the messages that were lost there.
        and (event["span_start"] == until if event["kind"] == "covered" else event["kind"] not in ("connected", "subscribed"))
    ]
    return str(min(touching)[1]) if touching else ""


REASON_LENGTH = 1000
"""Longest reason of an event, in characters."""


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
    """A feed event. ``number`` is unique within ``connection`` and makes the id unique."""
    return FeedEvent(
        id=f"{connection}-{kind}-{number:06d}",
        kind=kind,
        span_start=span[0],
        span_end=span[1],
        symbols=",".join(symbols),
        # The reason may quote the feed, which can send any character.
        reason=reason.replace("\x00", " ")[:REASON_LENGTH],
        connection=connection,
        ts_recv=ts_recv,
        source=source,
    )
