"""Whether reported amounts add up. Each is rounded by its report, so each may be off by half a unit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

_UNITS = ((1e6, 0.0), (1e5, 1e9), (1e3, 0.0), (1e2, 1e6))
"""Units that reports round to, with the smallest amount where each is likely: millions or thousands, some with a decimal."""
_MAX_LINES = 12  # more lines have too many sums to try


def tolerance(values: Sequence[float]) -> float:
    """Half a unit per value. The unit is the largest that divides all values, at least one."""
    most = max(map(abs, values), default=0.0)
    unit = next((unit for unit, least in _UNITS if most >= least and all(value % unit == 0 for value in values)), 1.0)
    return 0.5 * len(values) * unit


def adds_up(total: float, parts: Iterable[float]) -> bool:
    """Whether ``parts`` sum to ``total``."""
    terms = list(parts)
    return abs(total - sum(terms)) <= tolerance([total, *terms])


def parts_of(total: float, values: Sequence[float], least: int = 2, *, exact: bool = False) -> tuple[int, ...] | None:
    """Indices of the values that sum to ``total``: as many as possible, at least ``least``. None if no sum fits.

    ``exact`` allows no rounding: sums of small amounts are nearly right by chance. Values of 0 are left out. Of more than
    twelve values only the sum of all is tried.
    """
    places = [place for place, value in enumerate(values) if value]
    counts = range(len(places), least - 1, -1) if len(places) <= _MAX_LINES else [len(places)]
    for count in counts:
        for some in combinations(places, count):
            parts = [values[place] for place in some]
            if sum(parts) == total if exact else adds_up(total, parts):
                return some
    return None
