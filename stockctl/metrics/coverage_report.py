"""Session time that the feed covered or missed, from the lake's feed events, by symbol and trade date."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from datetime import date, timedelta
from functools import partial
from itertools import islice
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from stockctl.exchange.calendar import SESSION_NAMES, Calendar, SessionName, day_bounds, from_ms, now_ms, trade_date
from stockctl.feed.coverage import COVERED_EVERY, by_symbol, coverage, expected_since, session_time
from stockctl.lake.format.keys import dates_around
from stockctl.lake.reader.events import read_events
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.metrics.query import SessionChoice
from stockctl.records import CONNECTING
from stockctl.settings import Settings
from stockctl.units import format_duration

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
    as_of: int | None = None,
) -> Iterator[CoverageInterval]:
    """The session time of each symbol and date up to ``now`` (ms UTC), as covered and missed intervals in order.

    Left out is time whose events the newest batches may still bring to the lake and, unless ``whole``, time before the feed was
    first connected for a symbol. ``session`` ``all`` means pre, regular and post together. ``events`` are those received by
    ``as_of`` (ms UTC), at which the time ends.
    """
    then = now if as_of is None else min(now, as_of)
    due = reported_by(now, then, lag_ms(lake.settings.lake.max_age))
    before = None if whole else partial(connected_before, lake, as_of=as_of)
    return intervals_up_to(then, due, events, symbols, days, session, lake.calendar, before, since, until)


def reported_by(now: int, as_of: int, lag: int) -> int:
    """The time, in ms UTC, up to which the feed must have reported its coverage to a store that is ``lag`` ms behind.

    As of a time before ``now``, no batch is pending: only the feed's next event was still to come.
    """
    return min(now - lag, as_of - round(1000 * COVERED_EVERY))


def intervals_up_to(
    now: int,
    due: int,
    events: Sequence[Mapping[str, Any]],
    symbols: Iterable[str],
    days: Iterable[date],
    session: SessionChoice,
    calendar: Calendar,
    connected_before: Callable[[Set[str], int], Set[str]] | None,
    since: int | None = None,
    until: int | None = None,
) -> Iterator[CoverageInterval]:
    """As ``coverage_intervals``, from the events of any store: time counts up to the end of the last event, or up to ``due``.

    ``connected_before`` is as in ``expected_since``. Without it, time before the first connection counts.
    """
    reported_until = max((event["span_end"] for event in events), default=0)
    elapsed = min(now, max(reported_until, due))
    wanted, dates = list(symbols), sorted(days)
    connected: dict[str, int] = {}
    if dates and connected_before is not None:
        begin = max(day_bounds(dates[0])[0], since or 0)
        simulated = set(wanted) if calendar.always_open else set()
        connected = expected_since(by_symbol(events, wanted), begin, simulated, connected_before)
    for day in dates:
        start, end = day_bounds(day)
        first, last = max(start, since or start), min(end, until or end, elapsed)
        if first >= last:
            continue
        for symbol, report in coverage(
            events, wanted, first, last, _names(session), calendar=calendar, connected=connected
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

    def rows(self, zone: ZoneInfo) -> list[dict[str, Any]]:
        """The gaps as the command lists them: times in ``zone``, and the length in seconds."""
        return [
            {
                "symbol": gap.symbol,
                "trade_date": gap.trade_date,
                "since": from_ms(gap.since, zone),
                "until": from_ms(gap.until, zone),
                "seconds": (gap.until - gap.since) / 1000,
                "reason": gap.reason,
            }
            for gap in self.gaps
        ]

    def notes(self, wanted: SessionChoice, chosen: SessionChoice | None) -> list[str]:
        """What to know of the report: which hours count, and how much was covered.

        ``wanted`` is the setting ``metrics.session``, ``chosen`` the session that the user named, if any.
        """
        notes = []
        if self.always_open and chosen not in (None, "all"):
            notes.append("a simulated market never closes: all hours count")
        elif self.session != wanted:
            notes.append(f"no {wanted} session has begun on a date with feed events: all hours are shown")
        for symbol, day, covered, expected in self.totals:
            share = f"{format_duration(covered / 1000)} of {format_duration(expected / 1000)} covered"
            notes.append(f"{symbol} {day}: {share}")
        if not self.totals:
            notes.append("the period has no session time, or the lake has no feed events")
        return notes


def read_coverage(
    settings: Settings,
    since: int | None = None,
    until: int | None = None,
    *,
    whole: bool = False,
    fall_back: bool = False,
    as_of: int | None = None,
) -> CoverageReport:
    """The coverage of the setting ``symbols`` (if empty: of all symbols in the feed events) in ``[since, until)``, ms UTC.

    Without bounds: of the newest date with feed events on which the session of any symbol has begun. ``metrics.session``
    selects the session; with ``fall_back``, all hours count if no such session has begun. Time before the feed was first
    connected for a symbol counts if ``whole``. With ``as_of`` (ms UTC), as known then: by the events received by it.
    """
    clock, session = now_ms(), settings.metrics.session
    as_of = None if as_of is None or as_of >= clock else as_of
    now = clock if as_of is None else as_of
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
        found = read_events(lake, first, last, as_of)
        symbols = settings.symbols or sorted(event_symbols(found))
        days = [trade_date(first) + timedelta(n) for n in range((trade_date(last - 1) - trade_date(first)).days + 1)]
        always_open = lake.calendar.always_open
        intervals = list(coverage_intervals(lake, found, symbols, days, session, clock, first, last, whole=whole, as_of=as_of))
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
