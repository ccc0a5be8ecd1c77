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

from stockctl.errors import UsageError, quoted
from stockctl.exchange.venues import has_venue, is_currency
from stockctl.intervals import Interval, intersect, merge
from stockctl.units import parse_duration

EXCHANGE_TIMEZONE = "America/New_York"
EXCHANGE_ZONE = ZoneInfo(EXCHANGE_TIMEZONE)

SessionName = Literal["pre", "regular", "post"]
SESSION_NAMES: tuple[SessionName, ...] = get_args(SessionName)

DATES = "write 2026-11-23, today, yesterday, last-session or -7d"
"""How dates are written."""
MOMENTS = "write 2026-11-23, 2026-11-23T09:30, 2026-11-23T14:30:00Z, today, yesterday, last-session, now or -2h"
"""How times are written."""

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


def parse_moment(moment: str | date, zone: ZoneInfo = EXCHANGE_ZONE, *, now: int | None = None) -> int:
    """Milliseconds since the epoch of a date, a time, or text: ISO 8601, ``now``, ``-2h`` (before now), or a day's name.

    A text or datetime without a zone is in ``zone``; a date means its midnight. UsageError if the text is none of these, or if
    the year is out of range.
    """
    if isinstance(moment, str):
        moment = _moment(moment, zone, now_ms() if now is None else now)
    _check_year(moment)
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def parse_date(day: str | date, zone: ZoneInfo = EXCHANGE_ZONE, *, now: int | None = None) -> date:
    """The date of a date, a time, or text: ``2026-11-23``, a day's name, or ``-7d`` (before today). Days are those of ``zone``.

    The names are ``today``, ``yesterday`` and ``last-session``, the newest trading day whose regular session has begun.
    UsageError if the text is none of these.
    """
    if isinstance(day, str):
        written = day
        try:
            day = _moment(day, zone, now_ms() if now is None else now)
        except UsageError:
            raise UsageError(f"{quoted(written)} is not a date", hint=DATES) from None
        back = written.strip().removeprefix("-")
        if isinstance(day, datetime) and (back == written.strip() or parse_duration(back) % 86_400):
            raise UsageError(f"{quoted(written)} is not a date", hint=DATES)
    if isinstance(day, datetime):
        day = day.astimezone(zone).date() if day.tzinfo else day.date()
    _check_year(day)
    return day


def parse_as_of(moment: str | date, zone: ZoneInfo = EXCHANGE_ZONE, *, now: int | None = None) -> int:
    """Like ``parse_moment``, but a date includes its day: it means the last millisecond of that date in exchange time.

    Dates and datetimes may have any year: they are only compared with the time of receipt.
    """
    if isinstance(moment, str):
        moment = _moment(moment, zone, now_ms() if now is None else now)
        if isinstance(moment, datetime):
            return parse_moment(moment, zone)
    if isinstance(moment, datetime):
        return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=zone))
    return to_ms(datetime.combine(moment, time.max, EXCHANGE_ZONE))


def _moment(text: str, zone: ZoneInfo, now: int) -> date | datetime:
    """The date or time that ``text`` writes."""
    word = text.strip().lower()
    if word == "now":
        return from_ms(now, zone)
    today = trade_date(now, zone)
    if word in ("today", "yesterday"):
        return today - timedelta(days=word == "yesterday")
    if word == "last-session":
        return _last_session(now)
    try:
        if word.startswith("-"):
            return from_ms(now - round(parse_duration(word[1:]) * 1000), zone)
        return date.fromisoformat(word) if len(word) <= len("2026-11-23") else datetime.fromisoformat(word.upper())
    except (ValueError, OverflowError):
        raise UsageError(f"{quoted(text)} is not a date or time", hint=MOMENTS) from None


def _last_session(now: int) -> date:
    """The newest trading day whose regular session has begun at ``now`` (ms UTC)."""
    day = trade_date(now)
    while not any(session.name == "regular" and session.since <= now for session in sessions_of(day)):
        day -= timedelta(days=1)
    return day


def _check_year(moment: date) -> None:
    """UsageError for a year so close to the end of datetime's range that the days around it overflow."""
    if not _YEARS[0] <= moment.year <= _YEARS[1]:
        raise UsageError(f"the year {moment.year} is out of range", hint=f"years go from {_YEARS[0]} to {_YEARS[1]}")


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
