"""The best of many trials, and what the best of many trials without skill looks like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, variance

from stockctl.backtest.statistics import DEFINITIONS, Statistics
from stockctl.backtest.sweep.sweep import Row
from stockctl.errors import UsageError, quoted

_EULER = 0.5772156649015329
SORTABLE = tuple(name for name in DEFINITIONS if not name.startswith("drawdown_"))
"""Statistics that trials can be sorted by; the highest comes first, except of costs."""
_COSTS = ("fees", "slippage", "turnover", "annual_volatility", "exposure")


def sort_key(name: str) -> str:
    """The statistic that ``name`` writes. UsageError if there is none."""
    found = name.strip().lower().replace("-", "_")
    if found not in SORTABLE:
        raise UsageError(f"there is no statistic {quoted(name)}", hint=f"sort by one of {', '.join(SORTABLE)}")
    return found


def ordered(rows: Sequence[Row], statistic: str) -> list[Row]:
    """``rows`` with the best first; those without a value come last, equal ones in their order."""
    sign = 1 if statistic in _COSTS else -1

    def rank(row: Row) -> tuple[bool, float]:
        value = value_of(row.statistics, statistic)
        return value is None, 0.0 if value is None else sign * value

    return sorted(rows, key=rank)


def value_of(statistics: Statistics, name: str) -> float | None:
    """The value of a statistic."""
    value = getattr(statistics, name)
    return None if value is None else float(value)


def best_without_skill(sharpes: Sequence[float]) -> float | None:
    """The Sharpe ratio that the best of as many trials is expected to have if none has skill.

    They are taken as independent draws around 0 with the variance of ``sharpes`` (Bailey and López de Prado, "The deflated
    Sharpe ratio", 2014). None for fewer than two.
    """
    count = len(sharpes)
    if count < 2:
        return None
    normal = NormalDist()
    highest = (1 - _EULER) * normal.inv_cdf(1 - 1 / count) + _EULER * normal.inv_cdf(1 - 1 / (count * math.e))
    return math.sqrt(variance(sharpes)) * highest
