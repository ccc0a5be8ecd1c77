"""Durations and sizes as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.units import (
    counted,
    exact_duration,
    exact_size,
    format_duration,
    format_percent,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        (" 250ms ", 0.25),
        ("7d", 604800),
        ("2w", 1209600),
        ("1.5", 1.5),
        (3, 3),
    ],
)
def test_durations_are_read_as_people_write_them(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "m", "5 minutes", "-1s", "-1", "nan", "inf", "1h30", "5M", "١s", True, [1], None, -1.0])
def test_what_is_no_duration_is_refused_with_an_example(text: Any) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MB", 64_000_000),
        ("64 MiB", 67_108_864),
        ("1.5kb", 1500),
        ("2GiB", 2**31),
        ("7", 7),
        ("3KiB", 3072),
        (7, 7),
        (7.9, 7),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str | float, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "5 parsecs", "1e3", -1, float("nan"), float("inf"), True, [1], None])
def test_what_is_no_size_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@given(st.floats(min_value=0.001, max_value=1e8))
def test_a_formatted_duration_is_read_back_within_its_precision(seconds: float) -> None:
    """Three digits below a minute, whole seconds and two units above: never off by more than 5 %."""
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.05, abs=0.0006)


@given(st.integers(min_value=0, max_value=10**17))
def test_a_formatted_size_is_read_back_within_its_precision(size: int) -> None:
    text = format_size(size)
    if not text.endswith(("TB", "PB")):
        assert parse_size(text) == pytest.approx(size, rel=0.006)


@given(st.floats(min_value=0, max_value=1e9))
def test_an_exact_duration_is_read_back_exactly(seconds: float) -> None:
    assert parse_duration(exact_duration(seconds)) == seconds


@given(st.integers(min_value=0, max_value=10**15))
def test_an_exact_size_is_read_back_exactly(size: int) -> None:
    assert parse_size(exact_size(size)) == size


def test_exact_durations_and_sizes_are_as_people_write_them() -> None:
    assert [exact_duration(seconds) for seconds in (0.25, 150, 1800, 604_800, 90_061)] == [
        "250ms",
        "2m30s",
        "30m",
        "7d",
        "90061",
    ]
    sizes = (0, 64_000_000, 5_000_000_000, 2 * 1024**3, 1_048_588)
    assert [exact_size(size) for size in sizes] == ["0", "64MB", "5GB", "2GiB", "1048588"]


@pytest.mark.parametrize(
    ("number", "text"),
    [(51.8416, "51.84%"), (9, "9.00%"), (0.005, "0.01%"), (99.994, "99.99%"), (-12.5, "-12.50%"), (1234.5, "1,234.50%")],
)
def test_percent_has_two_decimals(number: float, text: str) -> None:
    assert format_percent(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (100, "100%"),
        (0, "0%"),
        (99.999, ">99.99%"),
        (99.9996, ">99.99%"),
        (100.001, ">100%"),
        (0.001, "<0.01%"),
        (0.0004, "<0.01%"),
        (-0.0004, ">-0.01%"),
    ],
)
def test_only_all_is_100_percent_and_only_nothing_0(number: float, text: str) -> None:
    assert format_percent(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.04, "40ms"),
        (0.9994, "999ms"),
        (0.9999, "1s"),
        (12.5, "12.5s"),
        (59.94, "59.9s"),
        (59.97, "1m"),
        (60, "1m"),
        (3599.6, "1h"),
        (5400, "1h 30m"),
        (90061, "1d 1h"),
        (86400, "1d"),
    ],
)
def test_durations_are_shown_in_at_most_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_600, "1 MB"),
        (1_234_567, "1.23 MB"),
        (5e12, "5 TB"),
        (9.996e14, "1 PB"),
        (1e15, "1 PB"),
        (1.5e18, "1.5 EB"),
    ],
)
def test_sizes_are_shown_with_three_digits(size: float, text: str) -> None:
    assert format_size(size) == text


def test_what_is_counted_agrees_with_its_number() -> None:
    assert [counted(number, "row") for number in (0, 1, 2, 1420)] == ["0 rows", "1 row", "2 rows", "1,420 rows"]
    assert [counted(number, "row waits", "rows wait") for number in (1, 2)] == ["1 row waits", "2 rows wait"]
