"""Dates and times as people write them: ISO 8601, ``today``, ``last-session``, ``-2h``."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from stockctl.errors import UsageError, quoted
from stockctl.exchange.calendar import EXCHANGE_ZONE, from_ms, now_ms, sessions_of, to_ms, trade_date
from stockctl.units import parse_duration

DATES = "write 2026-11-23, today, yesterday, last-session or -7d"
"""How dates are written."""
MOMENTS = "write 2026-11-23, 2026-11-23T09:30, 2026-11-23T14:30:00Z, today, yesterday, last-session, now or -2h"
"""How times are written."""

_YEARS = (1900, 2200)


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
