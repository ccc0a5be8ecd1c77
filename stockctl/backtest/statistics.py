"""Statistics of an equity series and of round trips: what `backtest run` reports, and the words of each definition.

Returns are fractions (0.01 is 1 %) between neighbouring samples of the equity, and ``year`` is the number of samples in a year:
252 for symbols of the exchange, 365 for markets that never close. A return that is NaN counts as a period in which nothing is
known: it is in the number of periods, but not in means and deviations. A statistic is None where it has no meaning, such as the
win rate without a round trip. Sums are ``math.fsum``, so that the order of adding changes nothing.

Two families of annual figures are in use. Volatility, Sharpe and Sortino ratio are here by default the *simple* ones: the mean
and the standard deviation of the returns, scaled to a year. ``compounded_volatility`` and ``compounded_sharpe`` are those of
the compounded return.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import NamedTuple

from stockctl.exchange.calendar import DAYS_PER_YEAR, Hours, trade_date


class EquityPoint(NamedTuple):
    """The equity at a time in ms UTC."""

    time: int
    equity: float


class Drawdown(NamedTuple):
    """The deepest fall of the equity from a peak: ``depth`` is a fraction of the peak, 0 or less; times in ms UTC.

    ``recovered`` is the first time at which the equity reached the peak again, None if it never did.
    """

    depth: float
    peak: int
    trough: int
    recovered: int | None


class Statistics(NamedTuple):
    """The statistics of a backtest. ``DEFINITIONS`` has the words of each."""

    start_equity: float
    final_equity: float
    total_return: float
    annual_return: float | None
    annual_volatility: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown: float
    drawdown_peak: date | None
    drawdown_trough: date | None
    drawdown_recovered: date | None
    calmar: float | None
    exposure: float | None
    turnover: float | None
    round_trips: int
    win_rate: float | None
    profit_factor: float | None
    fees: float
    slippage: float


DEFINITIONS: dict[str, str] = {
    "start_equity": "the starting cash of all symbols",
    "final_equity": "cash and the value of what is held at the last sample",
    "total_return": "final over starting equity, less 1",
    "annual_return": "exp(mean of log(1 + r)) to the power of a year's samples, less 1; r: the return between two samples",
    "annual_volatility": "sample standard deviation of r, times the square root of a year's samples",
    "sharpe": "mean of r over its sample standard deviation, times the square root of a year's samples; no risk-free rate",
    "sortino": "mean of r over the root of the mean of min(r, 0)², times the square root of a year's samples",
    "max_drawdown": "the lowest ratio of the equity to its highest value before, less 1",
    "drawdown_peak": "the date of that highest value",
    "drawdown_trough": "the date of that lowest ratio",
    "drawdown_recovered": "the first date at which the equity was back at the peak",
    "calmar": "annual return over the size of the maximum drawdown",
    "exposure": "share of the time in which shares were held; of the bars, where prices are bars",
    "turnover": "value bought and sold, halved, over the mean equity, per year",
    "round_trips": "positions that were opened and closed; one that is reversed is closed",
    "win_rate": "share of the round trips with a profit after fees",
    "profit_factor": "profits of the round trips over their losses, in money after fees",
    "fees": "fees paid",
    "slippage": "money by which fills were worse than the price at which others traded",
}
"""What each statistic is, in words."""

_SPACINGS = ((300, 1), (80, 4), (25, 12), (5, 52))
"""Samples in a year, by the least number of days between two."""


def daily(points: Sequence[EquityPoint]) -> list[EquityPoint]:
    """The samples that the statistics take: the first point, and the last of each date in exchange time."""
    last: dict[date, EquityPoint] = {}
    for point in points:
        last[trade_date(point.time)] = point
    sampled = list(last.values())
    return [points[0], *sampled] if points and sampled[0] is not points[0] else sampled


def samples_per_year(points: Sequence[EquityPoint], hours: set[Hours]) -> int:
    """The number of samples in a year: the trading days of the market, or weeks, months or quarters if they lie so far apart.

    With several markets, the days of the one that trades most.
    """
    gaps = sorted(after.time - before.time for before, after in pairwise(points))
    days = gaps[len(gaps) // 2] / 86_400_000 if gaps else 1
    return next(
        (number for least, number in _SPACINGS if days >= least), max(DAYS_PER_YEAR[one] for one in hours or {"exchange"})
    )


def returns_of(equity: Sequence[float]) -> list[float]:
    """The returns between neighbouring values; NaN after a value that is not above 0."""
    return [after / before - 1 if before > 0 else math.nan for before, after in pairwise(equity)]


def annual_return(returns: Sequence[float], year: int) -> float | None:
    """The compounded return of a year; −1 if all was lost. None without returns."""
    if not returns:
        return None
    mean = mean_growth(returns)
    return -1.0 if mean is None else _power(1 + mean, year) - 1


def mean_growth(returns: Sequence[float]) -> float | None:
    """The return that, earned in each period, compounds to the same. None if all was lost."""
    known = _known(returns)
    if any(value <= -1 for value in known):
        return None
    return math.exp(math.fsum(math.log(1 + value) for value in known) / len(returns)) - 1


def volatility(returns: Sequence[float], year: int) -> float | None:
    """The sample standard deviation of the returns, scaled to a year by the square root of time."""
    deviation = _deviation(returns)
    return None if deviation is None else deviation * math.sqrt(year)


def sharpe(returns: Sequence[float], year: int) -> float | None:
    """The mean return over its sample standard deviation, scaled to a year. None where nothing deviates."""
    deviation = _deviation(returns)
    return _mean(_known(returns)) / deviation * math.sqrt(year) if deviation else None


def sortino(returns: Sequence[float], year: int) -> float | None:
    """The mean return over the root of the mean squared loss, scaled to a year. None without a loss."""
    if not (known := _known(returns)):
        return None
    downside = math.sqrt(_mean([min(value, 0.0) ** 2 for value in known]))
    return _mean(known) / downside * math.sqrt(year) if downside else None


def compounded_volatility(returns: Sequence[float], year: int) -> float | None:
    """The standard deviation of a year's compounded return, if each period's return has the same mean and variance."""
    deviation, mean = _deviation(returns), mean_growth(returns) if returns else None
    if deviation is None or mean is None:
        return None
    variance = _power(deviation**2 + (1 + mean) ** 2, year) - _power(1 + mean, 2 * year)
    return math.sqrt(max(variance, 0.0)) if math.isfinite(variance) else None


def compounded_sharpe(returns: Sequence[float], year: int) -> float | None:
    """The annual return over the compounded volatility."""
    deviation, annual = compounded_volatility(returns, year), annual_return(returns, year)
    return annual / deviation if deviation and annual is not None else None


def max_drawdown(points: Sequence[EquityPoint]) -> Drawdown | None:
    """The deepest fall; of equally deep ones the first. None without a fall."""
    deepest: Drawdown | None = None
    peak = points[0] if points else EquityPoint(0, 0.0)
    level = 0.0
    for point in points:
        if point.equity >= peak.equity:
            if deepest is not None and deepest.recovered is None and point.equity >= level:
                deepest = deepest._replace(recovered=point.time)
            peak = point
        elif point.equity / peak.equity - 1 < (deepest.depth if deepest else 0.0):
            deepest, level = Drawdown(point.equity / peak.equity - 1, peak.time, point.time, None), peak.equity
    return deepest


def calmar(annual: float | None, depth: float) -> float | None:
    """The annual return over the size of the maximum drawdown. None without a fall."""
    return annual / -depth if annual is not None and depth else None


def win_rate(profits: Sequence[float]) -> float | None:
    """The share of ``profits`` above 0. None if there are none."""
    return sum(profit > 0 for profit in profits) / len(profits) if profits else None


def profit_factor(profits: Sequence[float]) -> float | None:
    """The sum of the profits over that of the losses, in money or in returns. None without a loss."""
    losses = math.fsum(profit for profit in profits if profit < 0)
    return math.fsum(profit for profit in profits if profit > 0) / -losses if losses else None


def turnover(values: Sequence[float], equity: Sequence[float], years: float) -> float | None:
    """Half of the ``values`` bought and sold, over the mean equity, per year. None for no time."""
    mean = _mean(equity) if equity else 0.0
    return math.fsum(map(abs, values)) / 2 / mean / years if years > 0 and mean > 0 else None


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _power(base: float, exponent: int) -> float:
    """``base`` to the power of ``exponent``; infinite where that has no room in a float."""
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def _deviation(returns: Sequence[float]) -> float | None:
    """The sample standard deviation (n − 1). None for fewer than two returns."""
    known = _known(returns)
    if len(known) < 2:
        return None
    if min(known) == max(known):
        return 0.0  # without what rounding the mean leaves
    mean = _mean(known)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))
