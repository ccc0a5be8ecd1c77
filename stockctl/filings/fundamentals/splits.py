"""Splits of shares that reports show by a jump of their share counts.

A split multiplies the shares and leaves the company as it was; shares that are issued or bought back change its equity as well.
So a jump of any ratio is a split, unless equity or the basic shares prove another cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import NamedTuple

from stockctl.filings.fundamentals.periods import Span
from stockctl.filings.standardize.line_items import Figure, income_to_common

SPLITS = (1.5, *range(2, 51))
"""Usual ratios: a jump that is near one of them is taken for a split whatever equity did."""
_NEAR = 0.1
_LEAST = 1.18  # the smallest jump that is taken for a split
_LEAST_EPS = 0.05  # below it, what cents leave out is too much
_SMALL = 1.04  # the smallest that is named as what may be one
_MOST = 50.0  # no company issues as many shares between two reports

Period = tuple[Span, Mapping[str, Figure], Mapping[str, Figure]]
"""A period with the figures of its income statement, and those of the balance sheet at its end."""


class SplitCandidate(NamedTuple):
    """A jump of shares from the report to ``before`` to that on ``after``; ``sure``: nothing else explains it."""

    before: date
    after: Span
    words: str
    sure: bool


def split_candidates(periods: Sequence[Period], earned: Callable[[date, date], float]) -> Iterator[SplitCandidate]:
    """Jumps that look like a split, in order of time. ``earned`` is the net income after one day to the end of another."""
    held = [one for one in periods if _count(one[1]) > 0]
    for (span, old, old_balance), (later, new, new_balance) in pairwise(held):
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
        told = f"diluted shares {way} {factor:.3g}-fold between the reports to {span.end} and to {later.end}"
        if usual or factor >= _LEAST:
            words = f"{told}, which looks like a split: shares and EPS to {span.end} and before are as reported then"
            yield SplitCandidate(span.end, later, words, sure=True)
        elif ratio > 1 and _is_stock_dividend(factor):
            yield SplitCandidate(span.end, later, f"{told}, which may be a stock dividend", sure=False)


def _count(found: Mapping[str, Figure]) -> float:
    """The shares of a period by whatever tells them, for want of any other than income over EPS; 0 if nothing does."""
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
    """Whether the factor is one of the usual small ones: 5, 10 or 15 % more shares."""
    return any(abs(factor - usual) <= 0.005 for usual in (1.05, 1.1, 1.15))


def _dilutes(ratio: float, old: Mapping[str, Figure], new: Mapping[str, Figure]) -> bool:
    """Whether basic shares stayed as they were: a loss that turns into a profit dilutes, and a split moves them as well."""
    basic = _ratio("basic_shares", old, new)
    return basic is not None and abs(basic / ratio - 1) > _NEAR and max(basic, 1 / basic) < _LEAST


def _paid_for(ratio: float, old: Mapping[str, Figure], new: Mapping[str, Figure], earned: float) -> bool:
    """Whether equity moved with the shares, beside what was earned: as if they were issued, or bought back.

    Both happen at more than the book value of a share, as a rule, so that equity moves as much as the shares do, or more.
    """
    first, second = old.get("equity"), new.get("equity")
    if first is None or second is None:
        return False
    # Where equity was below 0, a share of it tells nothing.
    scale = first.value if first.value > 0 else old["assets"].value if "assets" in old else 0.0
    return scale > 0 and (second.value - first.value - earned) / scale / (ratio - 1) > 0.5
