"""Exchange time, checked against the ``exchange_calendars`` package."""

from __future__ import annotations

import itertools
import warnings
from datetime import UTC, date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import exchange_calendars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.errors import UsageError
from stockctl.exchange.calendar import (
    EXCHANGE_ZONE,
    calendar_of,
    currency_time,
    from_ms,
    is_half_day,
    is_open,
    is_trading_day,
    next_open,
    next_session,
    session_at,
    sessions_between,
    sessions_of,
    to_ms,
    trade_date,
)
from stockctl.exchange.time_parsing import parse_as_of, parse_moment
from stockctl.intervals import merge
from stockctl.records import Source

FIRST, LAST = date(2016, 1, 4), date(2027, 6, 30)
"""The range that both calendars cover."""


@pytest.fixture(scope="module")
def xnys() -> exchange_calendars.ExchangeCalendar:
    with warnings.catch_warnings():
        # exchange_calendars uses an API that pandas deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        return exchange_calendars.get_calendar("XNYS", start=FIRST.isoformat(), end=LAST.isoformat())


def days() -> list[date]:
    return [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]


def test_trading_days_agree_with_a_second_calendar(xnys: exchange_calendars.ExchangeCalendar) -> None:
    theirs = {session.date() for session in xnys.sessions}
    assert {day for day in days() if is_trading_day(day)} == theirs


@pytest.mark.parametrize(
    ("moment", "last"),
    [
        ("2026-11-20", "2026-11-20T23:59:59.999-05:00"),
        (" 2026-11-20 ", "2026-11-20T23:59:59.999-05:00"),
        (date(2026, 7, 1), "2026-07-01T23:59:59.999-04:00"),
        ("2026-11-01", "2026-11-01T23:59:59.999-05:00"),  # of 25 hours
        ("9999-12-31", "9999-12-31T23:59:59.999-05:00"),
        ("2026-11-20T00:00", "2026-11-20T00:00+09:00"),
        ("2026-11-20 09:30", "2026-11-20T09:30+09:00"),
        ("2026-11-20T09:30Z", "2026-11-20T09:30+00:00"),
        (datetime(2026, 11, 20), "2026-11-20T00:00+09:00"),  # noqa: DTZ001
        (datetime(2026, 11, 20, tzinfo=UTC), "2026-11-20T00:00+00:00"),
        (datetime(9999, 12, 31, 23, tzinfo=UTC), "9999-12-31T23:00+00:00"),
        (datetime(1, 1, 2, tzinfo=UTC), "0001-01-02T00:00+00:00"),
    ],
)
def test_as_of_a_date_means_its_last_millisecond_in_exchange_time(moment: str | date, last: str) -> None:
    """A time keeps its meaning, and the default zone does not change what a date means."""
    assert parse_as_of(moment, ZoneInfo("Asia/Tokyo")) == to_ms(datetime.fromisoformat(last))


def test_opens_and_closes_agree_with_a_second_calendar(xnys: exchange_calendars.ExchangeCalendar) -> None:
    """Every regular session, including half days and both sides of each clock change."""
    for session in xnys.sessions:
        regular = sessions_of(session.date())[1]
        opens, closes = xnys.session_open(session), xnys.session_close(session)
        assert (regular.since, regular.until) == (opens.timestamp() * 1000, closes.timestamp() * 1000), session


def test_half_days_agree_with_a_second_calendar(xnys: exchange_calendars.ExchangeCalendar) -> None:
    theirs = {session.date() for session in xnys.early_closes}
    assert {day for day in days() if is_half_day(day)} == theirs
    assert len(theirs) > 20


def new_york(year: int, month: int, day: int, hour: int, minute: int = 0, second: int = 0) -> int:
    return to_ms(datetime(year, month, day, hour, minute, second, tzinfo=EXCHANGE_ZONE))


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        (new_york(2026, 11, 23, 3, 59, 59), None),
        (new_york(2026, 11, 23, 4), "pre"),
        (new_york(2026, 11, 23, 9, 29, 59), "pre"),
        (new_york(2026, 11, 23, 9, 30), "regular"),
        (new_york(2026, 11, 23, 15, 59, 59), "regular"),
        (new_york(2026, 11, 23, 16), "post"),
        (new_york(2026, 11, 23, 20), None),
        (new_york(2026, 11, 26, 12), None),  # Thanksgiving
        (new_york(2026, 11, 27, 12, 59, 59), "regular"),  # the half day after it
        (new_york(2026, 11, 27, 13), "post"),
        (new_york(2026, 11, 27, 17), None),
        (new_york(2026, 11, 28, 12), None),  # Saturday
    ],
)
def test_each_session_includes_its_start_and_excludes_its_end(moment: int, name: str | None) -> None:
    session = session_at(moment)
    assert (session.name if session else None) == name


def test_sessions_keep_new_york_time_when_the_clocks_change() -> None:
    """New York changed on 2026-03-08 and 2026-11-01; Europe three weeks later and one week earlier."""
    opens = {day: from_ms(sessions_of(day)[1].since, ZoneInfo("UTC")).hour for day in (date(2026, 3, 6), date(2026, 3, 9))}
    assert opens == {date(2026, 3, 6): 14, date(2026, 3, 9): 13}
    opens = {day: from_ms(sessions_of(day)[1].since, ZoneInfo("UTC")).hour for day in (date(2026, 10, 30), date(2026, 11, 2))}
    assert opens == {date(2026, 10, 30): 13, date(2026, 11, 2): 14}


def test_the_late_session_belongs_to_the_date_before_midnight_utc() -> None:
    late = new_york(2026, 11, 23, 19, 30)
    assert from_ms(late, ZoneInfo("UTC")).date() == date(2026, 11, 24)
    assert trade_date(late) == date(2026, 11, 23)


@given(st.dates(FIRST, LAST))
def test_the_sessions_of_a_day_are_contiguous_and_within_the_day(day: date) -> None:
    sessions = sessions_of(day)
    assert [session.name for session in sessions] == (["pre", "regular", "post"] if is_trading_day(day) else [])
    for before, after in itertools.pairwise(sessions):
        assert before.until == after.since
    for session in sessions:
        assert session.since < session.until
        assert trade_date(session.since) == trade_date(session.until - 1) == day == session.trade_date


@given(st.integers(to_ms(datetime(2016, 1, 4, tzinfo=UTC)), to_ms(datetime(2027, 6, 1, tzinfo=UTC))))
def test_the_next_session_starts_after_now_and_none_lies_between(now: int) -> None:
    coming = next_session(now)
    assert coming.since > now
    here = session_at(now)
    assert list(sessions_between(now, coming.since)) == ([here] if here else [])


def test_sessions_between_are_unclipped_filtered_by_name_and_in_order() -> None:
    since, until = new_york(2026, 11, 25, 15), new_york(2026, 11, 27, 10)
    found = list(sessions_between(since, until, ("regular",)))
    assert [session.trade_date for session in found] == [date(2026, 11, 25), date(2026, 11, 27)]


@given(st.integers(min_value=0, max_value=4_102_444_800_000))
def test_from_ms_and_to_ms_are_inverse(ms: int) -> None:
    assert to_ms(from_ms(ms)) == ms


@pytest.mark.parametrize("symbol", ["AAPL", "BINANCE:BTCUSDT"])
@pytest.mark.parametrize("source", [*get_args(Source), "", None])
def test_only_simulated_data_trades_at_any_hour(source: str | None, symbol: str) -> None:
    assert (calendar_of(source).hours(symbol) == "always") == (source == "sim" or ":" in symbol)


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        ("2026-11-20", "2026-11-23", 17 + 7),  # a weekend
        ("2026-11-26", "2026-11-27", 24),  # Thanksgiving
        ("2026-10-30", "2026-11-03", 17 + 7 + 24),  # clocks go back within the closed hours
        ("2026-03-06", "2026-03-10", 17 + 7 + 24),
        ("2026-12-24", "2026-12-29", 17 + 0 + 0 + 7 + 24),  # Christmas on a Friday
        ("2025-12-24", "2025-12-27", 17 + 7 + 17),  # on a Thursday
        ("2025-12-31", "2026-01-03", 17 + 7 + 17),
        ("2026-11-21", "2026-11-22", 0),
    ],
)
def test_currencies_trade_from_sunday_to_friday_at_five_less_two_holidays(since: str, until: str, hours: int) -> None:
    spans = currency_time(parse_moment(since), parse_moment(until))
    assert sum(last - first for first, last in spans) == hours * 3_600_000


@given(st.integers(0, 4_102_444_800_000), st.integers(0, 20 * 86_400_000), st.integers(0, 20 * 86_400_000))
def test_currency_time_adds_up(since: int, one: int, other: int) -> None:
    middle, until = since + one, since + one + other
    whole = merge([*currency_time(since, middle), *currency_time(middle, until)])
    assert whole == currency_time(since, until)
    assert all(is_open("currency", first) and is_open("currency", last - 1) for first, last in whole)
    assert next_open("currency", since)[0] >= since


@pytest.mark.parametrize("moment", ["9999-12-31", "9999-12-31T23:59", "0001-01-01", "0001-01-01T00:00Z"])
def test_a_year_out_of_range_is_a_usage_error(moment: str) -> None:
    with pytest.raises(UsageError, match="is out of range"):
        parse_moment(moment)
