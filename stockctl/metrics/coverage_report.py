"""Which session time the feed covered and which it missed, told by the lake's feed events, by symbol and trade date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import date, timedelta
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from stockctl.exchange.calendar import SESSION_NAMES, Calendar, SessionName, day_bounds, now_ms, trade_date
from stockctl.feed.coverage import COVERED_EVERY, by_symbol, coverage, expected_since, session_time
from stockctl.lake.format.keys import dates_around
from stockctl.lake.reader.catalog import LakeReader
from stockctl.lake.reader.events import read_events
from stockctl.metrics.query import SessionChoice
from stockctl.records import CONNECTING
from stockctl.settings import Settings

UNTOLD = "the feed told nothing"
LOOK_BACK = 7
"""Newest dates before a time, of those that have feed events, in which an earlier connection is looked for."""


class Stretch(NamedTuple):
    """Session time ``[since, until)`` in ms UTC that was covered, or missed for ``reason``."""

    symbol: str
    trade_date: date
    since: int
    until: int
    covered: bool
    reason: str | None


def heard_symbols(events: Iterable[Mapping[str, Any]]) -> set[str]:
    """Every symbol that the events name."""
    return {symbol for event in events for symbol in event["symbols"].split(",") if symbol}


def stretches(
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
) -> Iterator[Stretch]:
    """The session time of each symbol and date in order, until ``now`` (ms UTC), as covered and missed stretches.

    What the newest batches may still bring to the lake is left open, and so, unless ``whole``, is what was before the feed was
    first connected for a symbol. ``session`` ``all`` means pre, regular and post together.
    """
    heard = max((event["span_end"] for event in events), default=0)
    elapsed = min(now, max(heard, now - lag_ms(lake.settings.lake.max_age)))
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
        for symbol, found in coverage(
            events, wanted, first, last, _names(session), calendar=lake.calendar, connected=connected
        ).items():
            told = [Stretch(symbol, day, *span, True, None) for span in found.covered]
            told += [Stretch(symbol, day, gap.since, gap.until, False, gap.reason or UNTOLD) for gap in found.gaps]
            yield from sorted(told)


def _names(session: SessionChoice) -> tuple[SessionName, ...]:
    return SESSION_NAMES if session == "all" else (session,)


class Missed(NamedTuple):
    """Session time that was missed, for each symbol and date the ms that were covered and asked for, and of which session."""

    gaps: list[Stretch]
    totals: list[tuple[str, date, int, int]]
    session: SessionChoice


def missed(
    settings: Settings, since: int | None = None, until: int | None = None, *, whole: bool = False, fall_back: bool = False
) -> Missed:
    """The gaps of the settings' symbols (none: of all that the feed told of) in ``[since, until)``, ms UTC.

    Without bounds those of the newest date that the lake has feed events of and on which the session of any of the symbols has
    begun; ``metrics.session`` says which hours count, or with ``fall_back`` all of them where none of its has begun.
    Time before the feed was first connected for a symbol counts if ``whole``.
    """
    now, session = now_ms(), settings.metrics.session
    with LakeReader(settings) as lake:
        dates = lake.dates("feed_events")
        if since is None and until is None:
            # An event may be of a time ahead, since clocks differ.
            past = [day for day in reversed(dates) if day <= trade_date(now)]
            dates = [day for day in past if _has_begun(settings, lake.calendar, day, session, now)][:1]
            if not dates and fall_back:
                session = "all"
                dates = [day for day in past if _has_begun(settings, lake.calendar, day, session, now)][:1]
        if not dates:
            return Missed([], [], session)
        first = since if since is not None else day_bounds(dates[0])[0]
        last = min(now, until if until is not None else day_bounds(dates[-1])[1])
        told = read_events(lake, first, last)
        symbols = settings.symbols or sorted(heard_symbols(told))
        days = [trade_date(first) + timedelta(n) for n in range((trade_date(last - 1) - trade_date(first)).days + 1)]
        found = list(stretches(lake, told, symbols, days, session, now, first, last, whole=whole))
    totals: dict[tuple[str, date], list[int]] = {}
    for stretch in found:
        total = totals.setdefault((stretch.symbol, stretch.trade_date), [0, 0])
        total[0] += (stretch.until - stretch.since) * stretch.covered
        total[1] += stretch.until - stretch.since
    gaps = [stretch for stretch in found if not stretch.covered]
    return Missed(gaps, [(symbol, day, covered, asked) for (symbol, day), (covered, asked) in totals.items()], session)


def _has_begun(settings: Settings, calendar: Calendar, day: date, session: SessionChoice, now: int) -> bool:
    """Whether the session of any of the settings' symbols has begun on ``day``."""
    since, until = day_bounds(day)
    hours = (since, min(until, now))
    return not settings.symbols or any(session_time(symbol, *hours, _names(session), calendar) for symbol in settings.symbols)


def connected_before(lake: LakeReader, symbols: Set[str], ms: int, as_of: int | None = None) -> set[str]:
    """Those of ``symbols`` that the feed had been connected for before ``ms`` (UTC), as the newest dates before it tell.

    With ``as_of`` (ms UTC), as far as they had told by then.
    """
    found: set[str] = set()
    last = dates_around(None, ms)[1]
    for day in islice((day for day in reversed(lake.dates("feed_events")) if day <= last), LOOK_BACK):
        since, until = day_bounds(day, lake.zone)
        if since < ms and found < symbols:
            told = read_events(lake, since, min(until, ms), as_of)
            found |= symbols & heard_symbols(event for event in told if event["kind"] in CONNECTING)
    return found


def lag_ms(max_age: float) -> int:
    """How far behind the feed a store may be while all is well, where a batch waits up to ``max_age`` seconds."""
    return round(1000 * (2 * max_age + COVERED_EVERY))
