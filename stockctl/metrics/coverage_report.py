"""Session time that the feed covered or missed, from the lake's feed events, by symbol and trade date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import date, timedelta
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from stockctl.exchange.calendar import SESSION_NAMES, Calendar, SessionName, day_bounds, now_ms, trade_date
from stockctl.feed.coverage import COVERED_EVERY, by_symbol, coverage, expected_since, session_time
from stockctl.lake.format.keys import dates_around
from stockctl.lake.reader.events import read_events
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.metrics.query import SessionChoice
from stockctl.records import CONNECTING
from stockctl.settings import Settings

NO_EVENTS = "no feed events"
LOOK_BACK = 7
"""Newest dates with feed events before a time that are searched for an earlier connection."""


class CoverageInterval(NamedTuple):
    """Session time ``[since, until)`` in ms UTC that the feed covered, or missed for ``reason``."""

    symbol: str
    trade_date: date
    since: int
    until: int
    covered: bool
    reason: str | None


def event_symbols(events: Iterable[Mapping[str, Any]]) -> set[str]:
    """The symbols that the events name."""
    return {symbol for event in events for symbol in event["symbols"].split(",") if symbol}


def coverage_intervals(
    lake: LakeReader,
    events: Sequence[Mapping[str, Any]],
    symbols: Iterable[str],
    days: Iterable[date],
    session: SessionChoice,
    now: int,
    since: int | None = None,
    until: int | None = None,
    *,
    whole: bool,
) -> Iterator[CoverageInterval]:
    """The session time of each symbol and date up to ``now`` (ms UTC), as covered and missed intervals in order.

    Left out is time whose events the newest batches may still bring to the lake and, unless ``whole``, time before the feed was
    first connected for a symbol. ``session`` ``all`` means pre, regular and post together.
    """
    reported_until = max((event["span_end"] for event in events), default=0)
    elapsed = min(now, max(reported_until, now - lag_ms(lake.settings.lake.max_age)))
    wanted, dates = list(symbols), sorted(days)
    connected: dict[str, int] = {}
    if dates and not whole:
        begin = max(day_bounds(dates[0])[0], since or 0)
        simulated = set(wanted) if lake.calendar.always_open else set()
        connected = expected_since(by_symbol(events, wanted), begin, simulated, partial(connected_before, lake))
    for day in dates:
        start, end = day_bounds(day)
        first, last = max(start, since or start), min(end, until or end, elapsed)
        if first >= last:
            continue
        for symbol, report in coverage(
            events, wanted, first, last, _names(session), calendar=lake.calendar, connected=connected
        ).items():
            intervals = [CoverageInterval(symbol, day, *interval, True, None) for interval in report.covered]
            intervals += [
                CoverageInterval(symbol, day, gap.since, gap.until, False, gap.reason or NO_EVENTS) for gap in report.gaps
            ]
            yield from sorted(intervals)


def _names(session: SessionChoice) -> tuple[SessionName, ...]:
    return SESSION_NAMES if session == "all" else (session,)


class CoverageReport(NamedTuple):
    """The gaps in coverage; per symbol and date the ms that were covered and expected; and the session that counts.

    A simulated market is ``always_open``: all hours count, whatever the session.
    """

    gaps: list[CoverageInterval]
    totals: list[tuple[str, date, int, int]]
    session: SessionChoice
    always_open: bool = False


def read_coverage(
    settings: Settings, since: int | None = None, until: int | None = None, *, whole: bool = False, fall_back: bool = False
) -> CoverageReport:
    """The coverage of the setting ``symbols`` (if empty: of all symbols in the feed events) in ``[since, until)``, ms UTC.

    Without bounds: of the newest date with feed events on which the session of any symbol has begun. ``metrics.session``
    selects the session; with ``fall_back``, all hours count if no such session has begun. Time before the feed was first
    connected for a symbol counts if ``whole``.
    """
    now, session = now_ms(), settings.metrics.session
    with LakeReader(settings) as lake:
        dates = lake.dates("feed_events")
        if since is None and until is None:
            # Clocks differ: an event's time may be in the future.
            past = [day for day in reversed(dates) if day <= trade_date(now)]
            dates = [day for day in past if _has_begun(settings, lake.calendar, day, session, now)][:1]
            if not dates and fall_back:
                session = "all"
                dates = [day for day in past if _has_begun(settings, lake.calendar, day, session, now)][:1]
        if not dates:
            return CoverageReport([], [], session, lake.calendar.always_open)
        first = since if since is not None else day_bounds(dates[0])[0]
        last = min(now, until if until is not None else day_bounds(dates[-1])[1])
        found = read_events(lake, first, last)
        symbols = settings.symbols or sorted(event_symbols(found))
        days = [trade_date(first) + timedelta(n) for n in range((trade_date(last - 1) - trade_date(first)).days + 1)]
        always_open = lake.calendar.always_open
        intervals = list(coverage_intervals(lake, found, symbols, days, session, now, first, last, whole=whole))
    totals: dict[tuple[str, date], list[int]] = {}
    for interval in intervals:
        total = totals.setdefault((interval.symbol, interval.trade_date), [0, 0])
        total[0] += (interval.until - interval.since) * interval.covered
        total[1] += interval.until - interval.since
    gaps = [interval for interval in intervals if not interval.covered]
    sums = [(symbol, day, covered, expected) for (symbol, day), (covered, expected) in totals.items()]
    return CoverageReport(gaps, sums, session, always_open)


def _has_begun(settings: Settings, calendar: Calendar, day: date, session: SessionChoice, now: int) -> bool:
    """Whether the session of any symbol in the setting ``symbols`` has begun on ``day``."""
    since, until = day_bounds(day)
    hours = (since, min(until, now))
    return not settings.symbols or any(session_time(symbol, *hours, _names(session), calendar) for symbol in settings.symbols)


def connected_before(lake: LakeReader, symbols: Set[str], ms: int, as_of: int | None = None) -> set[str]:
    """Those of ``symbols`` for which the feed was connected before ``ms`` (UTC), from the newest dates with events before it.

    With ``as_of`` (ms UTC), only events received by then count.
    """
    found: set[str] = set()
    last = dates_around(None, ms)[1]
    for day in islice((day for day in reversed(lake.dates("feed_events")) if day <= last), LOOK_BACK):
        since, until = day_bounds(day, lake.zone)
        if since < ms and found < symbols:
            connections = (event for event in read_events(lake, since, min(until, ms), as_of) if event["kind"] in CONNECTING)
            found |= symbols & event_symbols(connections)
    return found


def lag_ms(max_age: float) -> int:
    """How far a store may be behind the feed in normal operation, in ms, if a batch waits up to ``max_age`` seconds."""
    return round(1000 * (2 * max_age + COVERED_EVERY))
