"""Which session time the feed covered and which it missed, told by the lake's feed events, by symbol and trade date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from stockctl.feed.coverage import coverage
from stockctl.lake.reading import Lake, events
from stockctl.metrics.spans import SessionChoice, day_around
from stockctl.sessions import EXCHANGE_ZONE, SESSION_NAMES, parse_moment, to_ms, trade_date
from stockctl.settings import Settings

UNTOLD = "the feed told nothing"


class Stretch(NamedTuple):
    """Session time ``[since, until)`` in ms UTC that was covered, or missed for ``reason``."""

    symbol: str
    trade_date: date
    since: int
    until: int
    covered: bool
    reason: str | None


def heard_symbols(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every symbol that the events name, sorted."""
    return sorted({symbol for event in events for symbol in event["symbols"].split(",") if symbol})


def stretches(
    settings: Settings,
    events: Sequence[Mapping[str, Any]],
    symbols: Iterable[str],
    days: Iterable[date],
    session: SessionChoice,
    now: int,
    since: int | None = None,
    until: int | None = None,
) -> Iterator[Stretch]:
    """The session time of each symbol and date in order, until ``now`` (ms UTC), as covered and missed stretches.

    What the newest batches may still bring to the lake is left open. ``session`` ``all`` means pre, regular and post together.
    """
    names = SESSION_NAMES if session == "all" else (session,)
    heard = max((event["span_end"] for event in events), default=0)
    elapsed = min(now, max(heard, now - lag_ms(settings)))
    wanted = list(symbols)
    for day in sorted(days):
        start, end = day_around(parse_moment(day), EXCHANGE_ZONE)
        first, last = max(start, since or start), min(end, until or end, elapsed)
        if first >= last:
            continue
        for symbol, found in coverage(events, wanted, first, last, names).items():
            told = [Stretch(symbol, day, *span, True, None) for span in found.covered]
            told += [Stretch(symbol, day, gap.since, gap.until, False, gap.reason or UNTOLD) for gap in found.gaps]
            yield from sorted(told)


class Missed(NamedTuple):
    """Session time that was missed, and for each symbol and date the ms that were covered and asked for."""

    gaps: list[Stretch]
    totals: list[tuple[str, date, int, int]]


def missed(settings: Settings, since: int | None = None, until: int | None = None) -> Missed:
    """The gaps of the settings' symbols (none: of all that the feed told of) in ``[since, until)``, ms UTC.

    Without bounds those of the newest date that the lake has feed events of; ``metrics.session`` says which hours count.
    """
    now = to_ms(datetime.now(UTC))
    with Lake(settings) as lake:
        dates = lake.dates("feed_events")
        if not dates:
            return Missed([], [])
        if since is None and until is None:
            dates = dates[-1:]
        first = since if since is not None else day_around(parse_moment(dates[0]), EXCHANGE_ZONE)[0]
        last = min(now, until if until is not None else day_around(parse_moment(dates[-1]), EXCHANGE_ZONE)[1])
        told = events(lake, first, last)
    days = [trade_date(first) + timedelta(number) for number in range((trade_date(last - 1) - trade_date(first)).days + 1)]
    gaps: list[Stretch] = []
    totals: dict[tuple[str, date], list[int]] = {}
    for found in stretches(
        settings, told, settings.symbols or heard_symbols(told), days, settings.metrics.session, now, first, last
    ):
        total = totals.setdefault((found.symbol, found.trade_date), [0, 0])
        total[0] += (found.until - found.since) * found.covered
        total[1] += found.until - found.since
        if not found.covered:
            gaps.append(found)
    return Missed(gaps, [(symbol, day, covered, asked) for (symbol, day), (covered, asked) in totals.items()])


def lag_ms(settings: Settings) -> int:
    """How far behind the feed the lake may be while all is well: two batch ages."""
    return int(2000 * settings.lake.max_age)
