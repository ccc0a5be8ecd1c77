"""Exchange time: New York trading days with pre-market, regular and post-market sessions, and the currency market's week.

Holidays and half days are those of the NYSE, from the ``holidays`` package. Times are milliseconds since the epoch, UTC;
intervals are ``[since, until)``. ``trade_sessions`` assigns trades to sessions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from time import time_ns
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stockctl.errors import quoted
from stockctl.exchange.venues import has_venue, is_currency
from stockctl.intervals import Interval, intersect, merge

EXCHANGE_TIMEZONE = "America/New_York"
EXCHANGE_ZONE = ZoneInfo(EXCHANGE_TIMEZONE)

SessionName = Literal["pre", "regular", "post"]
SESSION_NAMES: tuple[SessionName, ...] = get_args(SessionName)

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
    """The time zone ``name``. ValueError with a message for users if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # OSError: the name of a folder of zones, or a name that is too long for a file.
        raise ValueError(f"{quoted(name)} is not a time zone: write a name such as America/New_York or UTC") from None


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware ``moment``, rounded down."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def now_ms() -> int:
    """Now, in milliseconds since the epoch."""
    return time_ns() // 1_000_000


def from_ms(ms: int, zone: ZoneInfo = EXCHANGE_ZONE) -> datetime:
    """The aware datetime ``ms`` milliseconds after the epoch, in ``zone``."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(zone)


@cache
def _closed_days(year: int) -> tuple[frozenset[date], frozenset[date]]:
    """A year's full holidays and its half days."""
    from holidays import financial_holidays

    return (
        frozenset(financial_holidays("NYSE", years=year)),
        frozenset(financial_holidays("NYSE", years=year, categories=("half_day",))),
    )


def is_trading_day(day: date) -> bool:
    """Whether the exchange trades on ``day``. Half days count."""
    return day.weekday() < 5 and day not in _closed_days(day.year)[0]


def is_half_day(day: date) -> bool:
    """Whether the regular session of the trading day ``day`` ends at 13:00."""
    return is_trading_day(day) and day in _closed_days(day.year)[1]


@cache
def sessions_of(day: date) -> tuple[Session, ...]:
    """The pre, regular and post sessions of ``day``, in order; empty if the exchange is closed."""
    if not is_trading_day(day):
        return ()
    half = is_half_day(day)
    close = _EARLY_CLOSE if half else _CLOSE
    edges = (_PRE_OPEN, _OPEN, close, _EARLY_POST_CLOSE if half else _POST_CLOSE)
    at = [to_ms(datetime.combine(day, edge, EXCHANGE_ZONE)) for edge in edges]
    return tuple(Session(name, day, at[i], at[i + 1]) for i, name in enumerate(SESSION_NAMES))


def session_at(ms: int) -> Session | None:
    """The session at ``ms``; None if the exchange is closed."""
    for session in sessions_of(trade_date(ms)):
        if session.since <= ms < session.until:
            return session
    return None


def trade_date(ms: int, zone: ZoneInfo = EXCHANGE_ZONE) -> date:
    """The calendar date of ``ms`` in ``zone``, by default in exchange time."""
    return from_ms(ms, zone).date()


def day_bounds(day: date, zone: ZoneInfo = EXCHANGE_ZONE) -> Interval:
    """The midnights of ``zone`` at the start and at the end of ``day``, in ms UTC."""
    following = day + timedelta(days=1)
    return to_ms(datetime.combine(day, time(), zone)), to_ms(datetime.combine(following, time(), zone))


def next_session(ms: int) -> Session:
    """The first session that starts after ``ms``."""
    day = trade_date(ms)
    while True:
        for session in sessions_of(day):
            if session.since > ms:
                return session
        day += timedelta(days=1)


def sessions_between(since: int, until: int, names: tuple[SessionName, ...] = SESSION_NAMES) -> Iterator[Session]:
    """Every session named in ``names`` that overlaps ``[since, until)``, in order and not clipped."""
    day = trade_date(since)
    while day <= trade_date(until):
        for session in sessions_of(day):
            if session.name in names and session.since < until and session.until > since:
                yield session
        day += timedelta(days=1)


_CURRENCY_EDGE = time(17)
_CURRENCY_HOLIDAYS = ((1, 1), (12, 25))


def is_currency_day(day: date) -> bool:
    """Whether currencies trade on ``day``, which begins at 17:00 in New York on the evening before."""
    return day.weekday() < 5 and (day.month, day.day) not in _CURRENCY_HOLIDAYS


def currency_time(since: int, until: int) -> list[Interval]:
    """The part of ``[since, until)`` in which currencies trade: Sunday 17:00 to Friday 17:00 in New York, less holidays."""
    first = trade_date(since)
    days = (first + timedelta(n) for n in range((trade_date(until) - first).days + 2))
    open_days = merge((_currency_edge(day - timedelta(days=1)), _currency_edge(day)) for day in days if is_currency_day(day))
    return intersect(open_days, merge([(since, until)]))


def _currency_edge(day: date) -> int:
    return to_ms(datetime.combine(day, _CURRENCY_EDGE, EXCHANGE_ZONE))


Hours = Literal["exchange", "currency", "always"]
"""The trading hours of a symbol: the exchange's sessions, the currency market's week, or day and night."""

DAYS_PER_YEAR: dict[Hours, int] = {"exchange": 252, "currency": 260, "always": 365}
"""Trading days in a year, for annualised figures."""


class Calendar(NamedTuple):
    """The trading hours of symbols: those of each symbol's market, or day and night. See ``calendar_of``."""

    always_open: bool

    def hours(self, symbol: str) -> Hours:
        """The trading hours of ``symbol``."""
        if self.always_open:
            return "always"
        return "currency" if is_currency(symbol) else "always" if has_venue(symbol) else "exchange"

    def one_of_each(self, symbols: Iterable[str]) -> dict[Hours, str]:
        """One of ``symbols`` for each kind of trading hours among them."""
        return {self.hours(symbol): symbol for symbol in symbols}


def is_open(hours: Hours, ms: int) -> bool:
    """Whether a market with these hours is open at ``ms`` (UTC)."""
    if hours == "exchange":
        return session_at(ms) is not None
    return hours == "always" or bool(currency_time(ms, ms + 1))


def next_open(hours: Hours, ms: int) -> tuple[int, str]:
    """When a market with these hours, closed at ``ms`` (UTC), opens next, and the name of what opens."""
    if hours == "exchange":
        session = next_session(ms)
        return session.since, f"the {session.name} session"
    week = timedelta(weeks=1) // timedelta(milliseconds=1)
    return currency_time(ms, ms + week)[0][0], "the currency market"


EXCHANGE = Calendar(always_open=False)
ALWAYS_OPEN = Calendar(always_open=True)


def calendar_of(source: str | None) -> Calendar:
    """The calendar for data from ``source``: the simulator's market never closes."""
    return ALWAYS_OPEN if source == "sim" else EXCHANGE
