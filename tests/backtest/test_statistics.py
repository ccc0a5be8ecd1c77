"""Statistics: published figures, edge cases, and what must hold for any equity."""

from __future__ import annotations

import math
from datetime import date
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.backtest import statistics
from stockctl.backtest.statistics import DEFINITIONS, Drawdown, EquityPoint, Statistics
from stockctl.exchange.calendar import day_bounds

DAY = 86_400_000
EXACT = 1e-13
"""Relative; sums of other orders differ by some last digits."""
MIXED = [math.nan, 0.01, 0.10, -0.04, 0.02, 0.03, 0.02, 0.01, -0.10]
FALLING = [0.0, -0.06, -0.07, -0.01, -0.09, -0.02, -0.06, -0.08, -0.05]


def grown(returns: list[float], start: float = 1.0) -> list[EquityPoint]:
    """The equity after each of ``returns``, a day apart; NaN is none."""
    points = [EquityPoint(0, start)]
    for index, value in enumerate(returns, 1):
        points.append(EquityPoint(index * DAY, points[-1].equity * (1 + (0.0 if math.isnan(value) else value))))
    return points


def depth(returns: list[float]) -> float:
    drawdown = statistics.max_drawdown(grown(returns))
    assert drawdown is not None
    return drawdown.depth


def test_known_answers_of_mixed_returns() -> None:
    """Figures that the tests of empyrical publish; the NaN counts as a day of the year, and in no mean."""
    assert statistics.sharpe(MIXED, 252) == pytest.approx(1.7238613961706866, rel=EXACT)
    assert statistics.volatility(MIXED, 252) == 0.9136465399704637
    annual = statistics.annual_return(MIXED, 252)
    assert annual == pytest.approx(1.9135925373194231, rel=EXACT)
    assert depth(MIXED) == pytest.approx(-0.1, rel=EXACT)
    assert statistics.calmar(annual, depth(MIXED)) == pytest.approx(19.135925373194233, rel=1e-12)
    assert statistics.sortino(MIXED, 252) == pytest.approx(2.605531251673693, rel=EXACT)


def test_known_answers_of_falling_returns() -> None:
    assert statistics.sharpe(FALLING, 252) == pytest.approx(-24.406808633910085, rel=EXACT)
    assert statistics.sortino(FALLING, 252) == pytest.approx(-13.532743075043401, rel=EXACT)
    assert round(depth(FALLING), 8) == -0.36590730


@pytest.mark.parametrize(
    ("equity", "drawdown"),
    [
        ([], None),
        ([1.0], None),
        ([1.0, 2.0, 2.0], None),
        ([2.0, 1.0], Drawdown(-0.5, 0, DAY, None)),
        ([2.0, 2.0, 1.0, 1.5, 2.0, 3.0], Drawdown(-0.5, DAY, 2 * DAY, 4 * DAY)),
        ([2.0, 1.0, 4.0, 2.0, 3.0], Drawdown(-0.5, 0, DAY, 2 * DAY)),
        ([2.0, 1.5, 4.0, 2.0, 3.0], Drawdown(-0.5, 2 * DAY, 3 * DAY, None)),
        ([2.0, -1.0], Drawdown(-1.5, 0, DAY, None)),
    ],
)
def test_the_maximum_drawdown_has_its_times(equity: list[float], drawdown: Drawdown | None) -> None:
    assert statistics.max_drawdown([EquityPoint(index * DAY, value) for index, value in enumerate(equity)]) == drawdown


def test_what_has_no_meaning_is_none() -> None:
    for returns in ([], [0.01], [math.nan], [0.01, 0.01, 0.01], [0.1, 0.2]):
        assert statistics.sortino(returns, 252) is None
    for returns in ([], [0.01], [math.nan, 0.01]):
        assert statistics.volatility(returns, 252) is None
        assert statistics.sharpe(returns, 252) is None
        assert statistics.compounded_sharpe(returns, 252) is None
    assert statistics.sharpe([0.01, 0.01, 0.01], 252) is None
    assert statistics.annual_return([], 252) is None
    assert statistics.annual_return([math.nan], 252) == 0.0
    assert statistics.win_rate([]) is None
    assert statistics.profit_factor([1.0]) is None
    assert statistics.calmar(0.1, 0.0) is None
    assert statistics.turnover([], [], 0.0) is None


def test_a_total_loss_is_a_loss_of_all() -> None:
    returns = statistics.returns_of([100.0, -5.0, -5.0])
    assert returns[0] == -1.05
    assert math.isnan(returns[1])
    assert statistics.annual_return(returns, 252) == -1.0
    assert statistics.compounded_volatility(returns, 252) is None


def test_growth_without_limit_is_infinite() -> None:
    assert statistics.annual_return([1e3, 1e3], 252) == math.inf
    assert statistics.compounded_volatility([1e3, 1e4], 252) is None


def test_profits_and_turnover() -> None:
    assert statistics.win_rate([1.0, -1.0, 0.0, 3.0]) == 0.5
    assert statistics.profit_factor([1.0, -2.0, 0.0, 3.0]) == 2.0
    # Bought and sold 1000 each with 500 of equity in half a year.
    assert statistics.turnover([1000.0, -1000.0], [400.0, 600.0], 0.5) == 4.0


def test_samples_are_the_first_point_and_the_last_of_each_date() -> None:
    def at(day: int, hour: int) -> int:
        return day_bounds(date(2026, 11, day))[0] + hour * 3_600_000

    points = [
        EquityPoint(at(23, 10), 1.0),
        EquityPoint(at(23, 16), 2.0),
        EquityPoint(at(24, 10), 3.0),
        EquityPoint(at(24, 23), 4.0),
    ]
    assert statistics.daily(points) == [points[0], points[1], points[3]]
    assert statistics.daily(points[1:]) == [points[1], points[3]]
    assert statistics.daily([]) == []


@pytest.mark.parametrize(("days", "year"), [(1, 252), (7, 52), (30, 12), (91, 4), (365, 1)])
def test_samples_in_a_year(days: int, year: int) -> None:
    points = [EquityPoint(index * days * DAY, 1.0) for index in range(10)]
    assert statistics.samples_per_year(points, {"exchange"}) == year


def test_samples_in_a_year_of_several_markets() -> None:
    assert statistics.samples_per_year([], set()) == 252
    assert statistics.samples_per_year([], {"exchange", "always"}) == 365
    assert statistics.samples_per_year([], {"currency"}) == 260


def test_each_statistic_has_a_definition() -> None:
    assert tuple(DEFINITIONS) == Statistics._fields


RETURNS = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=60)


@given(RETURNS, st.floats(0.01, 100))
def test_statistics_do_not_depend_on_the_amount_of_money(returns: list[float], factor: float) -> None:
    equity = [point.equity for point in grown(returns)]
    scaled = statistics.returns_of([value * factor for value in equity])
    assert statistics.annual_return(scaled, 252) == pytest.approx(statistics.annual_return(returns, 252), rel=1e-9)
    volatility = statistics.volatility(returns, 252)
    assert statistics.volatility(scaled, 252) == pytest.approx(volatility, rel=1e-6, abs=1e-12)


@given(RETURNS, st.randoms(use_true_random=False))
def test_the_order_of_returns_changes_no_figure_but_the_drawdown(returns: list[float], random: Random) -> None:
    """To the last digit, because sums are exact before they are rounded."""
    shuffled = list(returns)
    random.shuffle(shuffled)
    for figure in (
        *(statistics.annual_return, statistics.volatility, statistics.sharpe, statistics.sortino),
        *(statistics.compounded_volatility, statistics.compounded_sharpe),
    ):
        assert figure(shuffled, 252) == figure(returns, 252)


@given(RETURNS)
def test_drawdown_is_the_deepest_fall_of_all_pairs(returns: list[float]) -> None:
    points = grown(returns)
    deepest = min(later.equity / earlier.equity - 1 for i, earlier in enumerate(points) for later in points[i:])
    drawdown = statistics.max_drawdown(points)
    assert (drawdown.depth if drawdown else 0.0) == pytest.approx(deepest, abs=1e-15)
    if drawdown:
        assert drawdown.peak < drawdown.trough
        assert drawdown.recovered is None or drawdown.recovered > drawdown.trough
        by_time = {point.time: point.equity for point in points}
        assert by_time[drawdown.trough] / by_time[drawdown.peak] - 1 == drawdown.depth


@given(RETURNS)
def test_a_mirrored_market_has_the_opposite_sharpe_ratio(returns: list[float]) -> None:
    ratio = statistics.sharpe(returns, 252)
    mirrored = statistics.sharpe([-value for value in returns], 252)
    assert (ratio is None) == (mirrored is None)
    if ratio is not None and mirrored is not None:
        assert mirrored == -ratio
