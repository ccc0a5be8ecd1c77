"""Axes: closed hours are left out where nothing lies in them, labels are round and few, in exchange time."""

from __future__ import annotations

import math
from datetime import date, datetime
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stockctl.exchange.calendar import EXCHANGE_ZONE, day_bounds, to_ms
from stockctl.figures.time_axis import TimeAxis, shown_time
from stockctl.figures.value_axis import LARGEST, value_axis, value_text
from tests.conftest import examples

HOUR = 3_600_000
SPAN = (to_ms(datetime(1999, 1, 1, tzinfo=EXCHANGE_ZONE)), to_ms(datetime(2035, 1, 1, tzinfo=EXCHANGE_ZONE)))


def at(day: int, hour: int, minute: int = 0) -> int:
    """A time of March 2026 in New York, in ms UTC."""
    return to_ms(datetime(2026, 3, day, hour, minute, tzinfo=EXCHANGE_ZONE))


@pytest.mark.parametrize(
    ("times", "shown"),
    [
        ([], []),
        ([at(3, 10), at(3, 15)], [(at(3, 10), at(3, 15))]),
        ([at(3, 10), at(4, 15)], [(at(3, 10), at(3, 16)), (at(4, 9, 30), at(4, 15))]),
        ([at(3, 5), at(4, 15)], [(at(3, 5), at(3, 20)), (at(4, 4), at(4, 15))]),
        ([at(6, 16), at(9, 16)], [(at(9, 9, 30), at(9, 16))]),
        ([at(6, 0), at(9, 23)], [(at(6, 0), at(7, 0)), (at(9, 0), at(9, 23))]),
        ([at(6, 10), at(7, 10)], [(at(6, 10), at(7, 10))]),
    ],
    ids=["nothing", "one session", "two sessions", "pre-market", "closes", "dates", "a weekend"],
)
def test_hours_without_points_are_left_out(times: list[int], shown: list[tuple[int, int]]) -> None:
    assert shown_time(times) == shown


def test_markets_that_never_close_have_all_time() -> None:
    assert shown_time([at(3, 10), at(4, 15)], "always") == [(at(3, 10), at(4, 15))]


def test_a_gap_before_the_first_price_is_shown() -> None:
    assert shown_time([at(3, 11), at(3, 15)], span=(at(3, 9, 30), at(3, 10))) == [(at(3, 9, 30), at(3, 15))]


@given(times=st.lists(st.integers(*SPAN), min_size=1, max_size=20), most=st.integers(2, 20))
@hypothesis_settings(max_examples=examples(0.2))  # some decades of days each
def test_positions_rise_and_labels_are_few(times: list[int], most: int) -> None:
    axis = TimeAxis(shown_time(times))
    positions = [axis.position(each) for each in sorted(times)]
    assert positions == sorted(positions)
    assert all(0 <= each <= 1 for each in positions)
    ticks = axis.ticks(most)
    assert len(ticks) <= 2 * most
    assert all(after.position - before.position >= 0.7 / most for before, after in pairwise(ticks))


def test_labels_of_a_day_of_two_days_of_months_and_of_years() -> None:
    def labels(since: int, until: int) -> list[tuple[str, str]]:
        return [(tick.label, tick.below) for tick in TimeAxis(shown_time([since, until])).ticks(8)]

    assert labels(at(3, 9, 30), at(3, 16)) == [("10:00", "Mar 3"), *((f"{hour}:00", "") for hour in range(11, 16))]
    assert labels(at(3, 9, 30), at(4, 16))[:3] == [("10:00", "Mar 3"), ("12:00", ""), ("14:00", "")]
    assert labels(at(2, 16), at(12, 16)) == [("Mar 3", "2026"), *((f"Mar {day}", "") for day in (4, 5, 6, 9, 10, 11, 12))]
    half, years = (to_ms(datetime(year, month, 5, 16, tzinfo=EXCHANGE_ZONE)) for year, month in ((2026, 8), (2031, 3)))
    assert labels(at(5, 16), half)[0] == ("Apr", "2026")
    assert labels(at(5, 16), years) == [(str(year), "") for year in range(2027, 2032)]


def test_a_tick_is_at_the_time_that_it_says() -> None:
    axis = TimeAxis(shown_time([at(3, 9, 30), at(3, 16)]))
    assert axis.ticks(8)[0].position == pytest.approx(30 / 390)


def test_the_night_of_the_clock_change_has_its_labels_in_order() -> None:
    since, until = day_bounds(date(2026, 3, 8))
    ticks = TimeAxis([(since, until)]).ticks(30)
    assert [tick.label for tick in ticks[:4]] == ["00:00", "01:00", "03:00", "04:00"]
    assert until - since == 23 * HOUR


@given(
    least=st.floats(-LARGEST, LARGEST),
    greatest=st.floats(-LARGEST, LARGEST),
    most=st.integers(2, 8),
    unit=st.sampled_from(["money", "percent", "price"]),
)
def test_the_value_axis_holds_all_values_with_few_labels(least: float, greatest: float, most: int, unit: str) -> None:
    assume(least <= greatest)
    axis = value_axis(least, greatest, unit, most)  # type: ignore[arg-type]  # the names of units
    assert axis.least <= least <= greatest <= axis.greatest
    assert 2 <= len(axis.ticks) <= 10 * most + 2
    assert all(math.isfinite(axis.position(value)) and 0 <= axis.position(value) <= 1 for value in (least, greatest))
    assert all(len(label) <= 20 for _, label in axis.ticks)


@pytest.mark.parametrize(
    ("least", "greatest", "unit", "labels"),
    [
        (0.0, 1.0, "money", ["0.0", "0.5", "1.0"]),
        (9_800.0, 10_400.0, "money", ["9,800", "10,000", "10,200", "10,400"]),
        (-0.5, 0.0, "percent", ["−60%", "−40%", "−20%", "0%"]),
        (1e6, 3e6, "money", ["1.0 M", "1.5 M", "2.0 M", "2.5 M", "3.0 M"]),
        (5.0, 5.0, "price", ["4.95", "5.00", "5.05"]),
    ],
)
def test_labels_are_round(least: float, greatest: float, unit: str, labels: list[str]) -> None:
    assert [label for _, label in value_axis(least, greatest, unit, 4).ticks] == labels  # type: ignore[arg-type]  # a unit


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (10250.0, "money", "10,250.00"),
        (-0.0325, "percent", "−3.25%"),
        (-0.0, "money", "0.00"),
        (-0.00001, "percent", "0.00%"),
        (0.01234, "price", "0.01234"),
        (1e300, "money", "1e+300"),
        (math.nan, "money", "–"),
    ],
)
def test_values_as_text(value: float, unit: str, text: str) -> None:
    assert value_text(value, unit) == text  # type: ignore[arg-type]  # a unit
