"""Stock splits, detected by jumps of the share count between reports.

A split multiplies the shares and leaves equity as it was; issuing or buying back shares changes equity as well. So a jump of
any ratio is taken for a split, unless equity or the basic shares prove another cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import NamedTuple

from stockctl.filings.fundamentals.periods import Span
from stockctl.filings.standardize.standard_items import Figure, income_to_common

SPLITS = (1.5, *range(2, 51))
"""Usual ratios: a jump near one of them is taken for a split regardless of equity."""
_NEAR = 0.1
_LEAST = 1.18  # the smallest jump that is taken for a split
_LEAST_EPS = 0.05  # below it, rounding to cents is too coarse
_SMALL = 1.04  # the smallest that is reported as a possible stock dividend
_MOST = 50.0  # no company issues so many shares between two reports

Period = tuple[Span, Mapping[str, Figure], Mapping[str, Figure]]
"""A period, its income statement, and the balance sheet at its end."""


class SplitCandidate(NamedTuple):
    """A jump of shares from the report to ``before`` to the report on ``after``. ``sure``: nothing else explains it."""

    before: date
    after: Span
    words: str
    sure: bool


def split_candidates(periods: Sequence[Period], earned: Callable[[date, date], float]) -> Iterator[SplitCandidate]:
    """Jumps that look like a split, in order of time. ``earned`` is the net income after one day to the end of another day."""
    counted = [one for one in periods if _count(one[1]) > 0]
    for (span, old, old_balance), (later, new, new_balance) in pairwise(counted):
        ratio = _ratio("diluted_shares", old, new) or _ratio("basic_shares", old, new)
        if ratio is None:
            ratio = _count(new) / _count(old)
        if _dilutes(ratio, old, new):
            continue
        factor = max(ratio, 1 / ratio)
        usual = any(abs(factor / split - 1) <= _NEAR for split in SPLITS) or factor >= _MOST
        if factor < _SMALL:
            continue
        if not usual and _paid_for(ratio, old_balance, new_balance, earned(span.end, later.end)):
            continue
        way = "grew" if ratio > 1 else "shrank"
        jump = f"diluted shares {way} {factor:.3g}-fold between the reports to {span.end} and to {later.end}"
        if usual or factor >= _LEAST:
            words = f"{jump}, which looks like a split: shares and EPS to {span.end} and before are as reported then"
            yield SplitCandidate(span.end, later, words, sure=True)
        elif ratio > 1 and _is_stock_dividend(factor):
            yield SplitCandidate(span.end, later, f"{jump}, which may be a stock dividend", sure=False)


def _count(found: Mapping[str, Figure]) -> float:
    """Diluted shares of a period, else basic shares, else income over EPS; 0 if unknown."""
    for name in ("diluted_shares", "basic_shares"):
        if name in found:
            return found[name].value
    income, eps = income_to_common(found), found.get("eps")
    return income.value / eps.value if income is not None and eps is not None and abs(eps.value) >= _LEAST_EPS else 0.0


def _ratio(name: str, old: Mapping[str, Figure], new: Mapping[str, Figure]) -> float | None:
    first, second = old.get(name), new.get(name)
    if first is None or second is None or first.value <= 0 or second.value <= 0:
        return None
    return second.value / first.value


def _is_stock_dividend(factor: float) -> bool:
    """Whether the factor is one of a usual stock dividend: 5%, 10% or 15% more shares."""
    return any(abs(factor - usual) <= 0.005 for usual in (1.05, 1.1, 1.15))


def _dilutes(ratio: float, old: Mapping[str, Figure], new: Mapping[str, Figure]) -> bool:
    """Whether basic shares stayed the same. Then the cause is dilution (a loss that became a profit): a split moves both."""
    basic = _ratio("basic_shares", old, new)
    return basic is not None and abs(basic / ratio - 1) > _NEAR and max(basic, 1 / basic) < _LEAST


def _paid_for(ratio: float, old: Mapping[str, Figure], new: Mapping[str, Figure], earned: float) -> bool:
    """Whether equity changed with the shares, apart from earnings, as if shares were issued or bought back.

    Both usually happen above book value per share, so equity then changes at least as much as the shares.
    """
    first, second = old.get("equity"), new.get("equity")
    if first is None or second is None:
        return False
    # A ratio to negative equity is meaningless.
    scale = first.value if first.value > 0 else old["assets"].value if "assets" in old else 0.0
    return scale > 0 and (second.value - first.value - earned) / scale / (ratio - 1) > 0.5
