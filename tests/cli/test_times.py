"""Times on the command line: one grammar for every command."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.cli import options
from stockctl.errors import UsageError
from stockctl.exchange.calendar import EXCHANGE_ZONE, from_ms, is_trading_day, to_ms
from stockctl.exchange.time_parsing import parse_as_of, parse_date, parse_moment
from stockctl.units import format_duration
from tests.command import Command

NEW_YORK, TOKYO = EXCHANGE_ZONE, ZoneInfo("Asia/Tokyo")
MONDAY = to_ms(datetime(2026, 11, 23, 10, 0, tzinfo=NEW_YORK))
"""A Monday at 10:00 in New York, 00:00 of Tuesday in Tokyo."""


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-20", "2026-11-20T00:00-05:00"),
        ("2026-11-20T09:30", "2026-11-20T09:30-05:00"),
        ("2026-11-20 09:30:15.250", "2026-11-20T09:30:15.250-05:00"),
        ("2026-11-20T09:30Z", "2026-11-20T09:30+00:00"),
        ("2026-11-20T09:30+09:00", "2026-11-20T09:30+09:00"),
        (" today ", "2026-11-23T00:00-05:00"),
        ("yesterday", "2026-11-22T00:00-05:00"),
        ("last-session", "2026-11-23T00:00-05:00"),
        ("now", "2026-11-23T10:00-05:00"),
        ("-2h", "2026-11-23T08:00-05:00"),
        ("-1h30m", "2026-11-23T08:30-05:00"),
        ("-7d", "2026-11-16T10:00-05:00"),
        ("-30", "2026-11-23T09:59:30-05:00"),
    ],
)
def test_a_time_is_written_as_a_date_a_time_a_name_or_a_duration_before_now(text: str, time: str) -> None:
    assert from_ms(parse_moment(text, now=MONDAY)) == datetime.fromisoformat(time)


def test_a_day_is_that_of_the_zone() -> None:
    assert parse_date("today", TOKYO, now=MONDAY) == date(2026, 11, 24)
    assert parse_date("yesterday", TOKYO, now=MONDAY) == date(2026, 11, 23)
    assert parse_date("-1d", TOKYO, now=MONDAY) == date(2026, 11, 23)
    assert from_ms(parse_moment("today", TOKYO, now=MONDAY), TOKYO) == datetime(2026, 11, 24, tzinfo=TOKYO)


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ("2026-11-23T09:29", "2026-11-20"),  # before the open: Friday's
        ("2026-11-23T09:30", "2026-11-23"),
        ("2026-11-22T12:00", "2026-11-20"),  # a Sunday
        ("2026-11-26T12:00", "2026-11-25"),  # Thanksgiving
        ("2026-11-27T18:00", "2026-11-27"),  # a half day, after its close
    ],
)
def test_the_last_session_is_the_newest_regular_one_that_has_begun(now: str, day: str) -> None:
    for zone in (NEW_YORK, TOKYO):
        assert parse_date("last-session", zone, now=parse_moment(now)).isoformat() == day


@given(st.integers(946_702_800_000, 4_102_462_800_000))
def test_the_last_session_is_a_trading_day_that_has_begun(now: int) -> None:
    last = parse_date("last-session", now=now)
    assert is_trading_day(last)
    assert timedelta() <= from_ms(now).date() - last < timedelta(days=8)


@given(st.integers(1, 10 * 86_400))
def test_a_duration_before_now_is_read_as_it_is_written(seconds: int) -> None:
    text = format_duration(seconds)
    back = MONDAY - parse_moment(f"-{text}", now=MONDAY)
    assert back <= seconds * 1000
    assert format_duration(back / 1000) == text


def test_as_of_a_date_is_the_end_of_it() -> None:
    def as_of(text: str) -> str:
        moment = options.as_of_moment(text, NEW_YORK)
        assert moment is not None
        return moment.isoformat()

    assert as_of("2023-11-05") == "2023-11-05T23:59:59.999000-05:00"
    assert as_of("2023-11-05T09:30") == "2023-11-05T09:30:00-05:00"
    assert as_of("2023-11-05T09:30:00Z") == "2023-11-05T04:30:00-05:00"
    assert as_of("9999-12-31").startswith("9999")
    assert parse_as_of("yesterday", now=MONDAY) == parse_moment("2026-11-22T23:59:59.999")


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-13-01", "-", "--2h", "-2 parsecs", "2026-11-23T25:00", "last session", "-1e300"]
)
def test_what_is_no_time_is_rejected_by_the_option_that_has_it(text: str) -> None:
    for read in (lambda: options.moment("--since", text, NEW_YORK), lambda: options.day("--since", text)):
        with pytest.raises(UsageError, match=r"^--since: .* is not a date"):
            read()


@pytest.mark.parametrize("text", ["2026-11-23T09:30", "now", "2026-11-23T00:00Z", "-2h", "-1d2h"])
def test_a_date_has_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="is not a date") as refused:
        options.day("--date", text)
    assert refused.value.hint == "write 2026-11-23, today, yesterday, last-session or -7d"


@pytest.mark.parametrize(
    "arguments",
    [
        ("lake", "gaps", "--since"),
        ("lake", "gaps", "--date"),
        ("lake", "compact", "--before"),
        ("metrics", "vwap", "AAPL", "--date"),
        ("metrics", "vwap", "AAPL", "--since"),
        ("dlq", "list", "--since"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("text", ["yesterday", "last-session", "-3d"])
def test_every_command_takes_the_same_forms(tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    """Nothing is configured: what fails is the lake or Kafka, not the option."""
    result = Command(tmp_path, STOCKCTL_KAFKA__CONNECT_WAIT="100ms").run(*arguments, text, check=None)
    assert result.returncode != 2, result.stderr
