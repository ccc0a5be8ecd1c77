"""The spread that an order pays half of: given, or estimated from the prints before the order was decided.

A tape of trades has no quotes. Where the price of a print differs from that of the print before, it has most often moved from
one side of the quote to the other, so the median size of these changes estimates the spread. It is too large where prices move
in between, and so never flatters. Roll's estimator needs negative autocovariance, and is zero where prices trend.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from stockctl.backtest.costs import BASIS_POINT
from stockctl.errors import UsageError, quoted
from stockctl.metrics.trade_policies import counts
from stockctl.records import Trade

ROWS = 1000
"""Newest rows whose prices the spread is estimated from."""

SPREADS = "write estimate, none, an amount such as 0.02, or bps 3"
"""How a spread is written."""

_AMOUNT = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)


@dataclass(frozen=True)
class Spread:
    """A spread in the currency of the price (``amount``), or in basis points of it. With neither it is estimated."""

    amount: float | None = None
    points: float | None = None

    def half(self, price: float, prints: Sequence[float]) -> float | None:
        """Half the spread at ``price``, in its currency; ``prints`` are the newest prices. None if they give no estimate."""
        if self.amount is not None:
            return self.amount / 2
        if self.points is not None:
            return price * self.points * BASIS_POINT / 2
        spread = estimate(prints)
        return None if spread is None else spread / 2


def parse_spread(text: str) -> Spread:
    """The spread that ``text`` writes: ``estimate``, ``none``, an amount, or ``bps POINTS``. UsageError otherwise."""
    words = text.lower().split()
    if words == ["estimate"]:
        return Spread()
    if words == ["none"]:
        return Spread(amount=0.0)
    if len(words) == 1 and _AMOUNT.fullmatch(words[0]):
        return Spread(amount=float(words[0]))
    if len(words) == 2 and words[0] == "bps" and _AMOUNT.fullmatch(words[1]) and float(words[1]) < 10_000:
        return Spread(points=float(words[1]))
    raise UsageError(f"{quoted(text)} is no spread", hint=SPREADS)


def estimate(prints: Sequence[float]) -> float | None:
    """The median size of the changes between neighbouring prices that differ. None if none do."""
    changes = [abs(after - before) for before, after in pairwise(prints) if after != before]
    return median(changes) if changes else None


def prices_of(trades: Iterable[Trade]) -> list[float]:
    """The prices of those of ``trades`` that count under the policy ``standard``, odd lots and extended hours included."""
    return [trade.price for trade in trades if trade.volume > 0 and counts("standard", trade.conditions, trade.updates)]
