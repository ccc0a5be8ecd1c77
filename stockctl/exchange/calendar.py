"""Exchange time: New York's trading days with pre-market, regular and post-market sessions; and the currency market's week.

Holidays and half days are those of the NYSE, from the ``holidays`` package. Times are milliseconds since the epoch, UTC; spans
are ``[since, until)``. Which session a trade belongs to, ``trade_sessions`` tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from time import time_ns
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stockctl.errors import UsageError, quoted
from stockctl.exchange.venues import has_venue, is_currency
from stockctl.intervals import Span, intersect, merge

EXCHANGE_TIMEZONE = "America/New_York"
EXCHANGE_ZONE = ZoneInfo(EXCHANGE_TIMEZONE)

SessionName = Literal["pre", "regular", "post"]
SESSION_NAMES: tuple[SessionName, ...] = get_args(SessionName)

_YEARS = (1900, 2200)
_PRE_OPEN = time(4)
_OPEN = time(9, 30)
_CLOSE = time(16)
_EARLY_CLOSE = time(13)
_POST_CLOSE = time(20)
_EARLY_POST_CLOSE = time(17)


class Session(NamedTuple):
    """One session of one trading day: ``[since, until)`` in ms UTC."""

    name: SessionName
    trade_date: date
    since: int
    until: int


def known_zone(name: str) -> ZoneInfo:
    """The time zone of that name. ValueError, with words, if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # OSError: the name of a folder of zones, or one that is too long for any file.
        raise ValueError(f"{quoted(name)} is no time zone: write a name such as America/New_York or UTC") from None


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware ``moment``, rounded down."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def now_ms() -> int:
    """Now, in milliseconds since the epoch."""
    return time_ns() // 1_000_000


def from_ms(ms: int, zone: ZoneInfo = EXCHANGE_ZONE) -> datetime:
    """The aware moment ``ms`` milliseconds after the epoch, in ``zone``."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(zone)


def parse_moment(moment: str | date, zone: ZoneInfo = EXCHANGE_ZONE) -> int:
    """Milliseconds since the epoch of a date, a time, or either as ISO 8601 text; what names no zone is in ``zone``.

    A date means its midnight. UsageError if the text is neither, or far from any time of a market.
    """
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.strip())
        except ValueError:
            raise UsageError(
                f"{quoted(moment)} is no time", hint="write 2026-11-23, 2026-11-23T09:30 or 2026-11-23T14:30:00Z"
            ) from None
    _within_reach(moment)
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def _within_reach(moment: date) -> None:
    """UsageError for a year that leaves no room for the days around it in any zone."""
    if not _YEARS[0] <= moment.year <= _YEARS[1]:
        raise UsageError(f"the year {moment.year} is out of range", hint=f"years go from {_YEARS[0]} to {_YEARS[1]}")


def parse_as_of(moment: str | date, zone: ZoneInfo = EXCHANGE_ZONE) -> int:
    """As ``parse_moment``, but a date is meant with all of its day: it is the last millisecond of that, on the exchange."""
    if isinstance(moment, str):
        try:
            moment = date.fromisoformat(moment.strip())
        except ValueError:
            return parse_moment(moment, zone)
    if isinstance(moment, datetime):
        return parse_moment(moment, zone)
    return to_ms(datetime.combine(moment, time.max, EXCHANGE_ZONE))


@cache
def _closed_days(year: int) -> tuple[frozenset[date], frozenset[date]]:
    """A year's full holidays and its half days."""
    from holidays import financial_holidays

    return (
        frozenset(financial_holidays("NYSE", years=year)),
        frozenset(financial_holidays("NYSE", years=year, categories=("half_day",))),
    )


def is_trading_day(day: date) -> bool:
    """Whether the exchange trades on ``day``, be it for half of it."""
    return day.weekday() < 5 and day not in _closed_days(day.year)[0]


def is_half_day(day: date) -> bool:
    """Whether the regular session of the trading day ``day`` ends at 13:00."""
    return is_trading_day(day) and day in _closed_days(day.year)[1]


@cache
def sessions_of(day: date) -> tuple[Session, ...]:
    """The pre, regular and post session of ``day`` in order; none if the exchange is closed."""
    if not is_trading_day(day):
        return ()
    half = is_half_day(day)
    close = _EARLY_CLOSE if half else _CLOSE
    edges = (_PRE_OPEN, _OPEN, close, _EARLY_POST_CLOSE if half else _POST_CLOSE)
    at = [to_ms(datetime.combine(day, edge, EXCHANGE_ZONE)) for edge in edges]
    return tuple(Session(name, day, at[i], at[i + 1]) for i, name in enumerate(SESSION_NAMES))


def session_at(ms: int) -> Session | None:
    """The session in which ``ms`` lies; None when the exchange is closed then."""
    for session in sessions_of(trade_date(ms)):
        if session.since <= ms < session.until:
            return session
    return None


def trade_date(ms: int, zone: ZoneInfo = EXCHANGE_ZONE) -> date:
    """The calendar date of ``ms`` on the exchange."""
    return from_ms(ms, zone).date()


def previous_trading_day(day: date) -> date:
    """The last trading day before ``day``."""
    day -= timedelta(days=1)
    while not is_trading_day(day):
        day -= timedelta(days=1)
    return day


def next_session(ms: int, names: tuple[SessionName, ...] = SESSION_NAMES) -> Session:
    """The first session named in ``names`` that starts after ``ms``."""
    day = trade_date(ms)
    while True:
        for session in sessions_of(day):
            if session.name in names and session.since > ms:
                return session
        day += timedelta(days=1)


def sessions_between(since: int, until: int, names: tuple[SessionName, ...] = SESSION_NAMES) -> Iterator[Session]:
    """Every session named in ``names`` that overlaps ``[since, until)``, in order, whole."""
    day = trade_date(since)
    while day <= trade_date(until):
        for session in sessions_of(day):
            if session.name in names and session.since < until and session.until > since:
                yield session
        day += timedelta(days=1)


_CURRENCY_EDGE = time(17)
_CURRENCY_HOLIDAYS = ((1, 1), (12, 25))


def is_currency_day(day: date) -> bool:
    """Whether currencies trade on ``day``, which begins at 17:00 in New York the evening before: on every weekday but two."""
    return day.weekday() < 5 and (day.month, day.day) not in _CURRENCY_HOLIDAYS


def currency_time(since: int, until: int) -> list[Span]:
    """The part of ``[since, until)`` in which currencies trade: Sunday 17:00 to Friday 17:00 in New York, less holidays."""
    first = trade_date(since)
    days = (first + timedelta(n) for n in range((trade_date(until) - first).days + 2))
    open_days = merge((_currency_edge(day - timedelta(days=1)), _currency_edge(day)) for day in days if is_currency_day(day))
    return intersect(open_days, merge([(since, until)]))


def _currency_edge(day: date) -> int:
    return to_ms(datetime.combine(day, _CURRENCY_EDGE, EXCHANGE_ZONE))


Hours = Literal["exchange", "currency", "always"]
"""By which hours a symbol trades: the exchange's sessions, the currency market's week, or day and night."""


class Calendar(NamedTuple):
    """By which hours data is read: those of each symbol's market, or no market ever closes. ``calendar_of`` chooses."""

    always_open: bool

    def hours(self, symbol: str) -> Hours:
        """By which hours ``symbol`` trades."""
        if self.always_open:
            return "always"
        return "currency" if is_currency(symbol) else "always" if has_venue(symbol) else "exchange"

    def one_of_each(self, symbols: Iterable[str]) -> dict[Hours, str]:
        """One of ``symbols`` for each of the hours that they trade by."""
        return {self.hours(symbol): symbol for symbol in symbols}


def is_open(hours: Hours, ms: int) -> bool:
    """Whether a market with these hours is open at ``ms`` (UTC)."""
    if hours == "exchange":
        return session_at(ms) is not None
    return hours == "always" or bool(currency_time(ms, ms + 1))


def next_open(hours: Hours, ms: int) -> tuple[int, str]:
    """When a market with these hours, closed at ``ms`` (UTC), opens again, and what opens then in words."""
    if hours == "exchange":
        session = next_session(ms)
        return session.since, f"the {session.name} session"
    week = timedelta(weeks=1) // timedelta(milliseconds=1)
    return currency_time(ms, ms + week)[0][0], "the currency market"


EXCHANGE = Calendar(always_open=False)
ALWAYS_OPEN = Calendar(always_open=True)


def calendar_of(source: str | None) -> Calendar:
    """The calendar of what comes from ``source``: the simulator's market never closes, all others' do as theirs."""
    return ALWAYS_OPEN if source == "sim" else EXCHANGE
