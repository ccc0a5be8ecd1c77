"""Whether reported amounts add up, each rounded as its report rounds: half a unit of doubt for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

_UNITS = ((1e6, 0.0), (1e5, 1e9), (1e3, 0.0), (1e2, 1e6))
"""What reports round to, each with the amount from which on it is likely: millions or thousands, some with one decimal."""
_MOST_LINES = 12  # of which sums are looked for


def tolerance(values: Sequence[float]) -> float:
    """Half a unit for each value; the unit is the largest that all of them are whole in, down to ones."""
    most = max(map(abs, values), default=0.0)
    unit = next((unit for unit, least in _UNITS if most >= least and all(value % unit == 0 for value in values)), 1.0)
    return 0.5 * len(values) * unit


def adds_up(total: float, parts: Iterable[float]) -> bool:
    """Whether ``parts`` sum to ``total``."""
    held = list(parts)
    return abs(total - sum(held)) <= tolerance([total, *held])


def parts_of(total: float, values: Sequence[float], least: int = 2, *, exact: bool = False) -> tuple[int, ...] | None:
    """Places of the values that sum to ``total``, the most of them that do, at least ``least``; None if none do.

    ``exact`` leaves no room for rounding: among few small amounts, sums that are nearly right are found by chance. Values of 0
    prove nothing, and of more values than twelve only all together are tried.
    """
    places = [place for place, value in enumerate(values) if value]
    counts = range(len(places), least - 1, -1) if len(places) <= _MOST_LINES else [len(places)]
    for count in counts:
        for some in combinations(places, count):
            parts = [values[place] for place in some]
            if sum(parts) == total if exact else adds_up(total, parts):
                return some
    return None
