"""Whether reported amounts add up, each rounded as its report rounds: half a unit of doubt for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

_UNITS = (1e6, 1e3)  # what reports round to
_MOST_LINES = 10  # of which sums are looked for


def tolerance(values: Sequence[float]) -> float:
    """Half a unit for each value; the unit is the largest of millions, thousands and ones that all of them are whole in."""
    unit = next((unit for unit in _UNITS if all(value % unit == 0 for value in values)), 1.0)
    return 0.5 * len(values) * unit


def adds_up(total: float, parts: Iterable[float]) -> bool:
    """Whether ``parts`` sum to ``total``."""
    held = list(parts)
    return abs(total - sum(held)) <= tolerance([total, *held])


def parts_of(total: float, values: Sequence[float], least: int = 2) -> tuple[int, ...] | None:
    """Places of the values that sum to ``total``, the most of them that do, at least ``least``; None if none do.

    Values of 0 prove nothing, and more values than ten are not tried.
    """
    places = [place for place, value in enumerate(values) if value]
    if len(places) > _MOST_LINES:
        return tuple(places) if adds_up(total, (values[place] for place in places)) else None
    for count in range(len(places), least - 1, -1):
        for some in combinations(places, count):
            if adds_up(total, (values[place] for place in some)):
                return some
    return None
