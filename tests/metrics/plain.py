"""The metrics in plain Python with exact fractions, as the reference for the SQL."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

from stockctl.exchange.trade_conditions import NEVER_PRICE_FORMING
from stockctl.records import Trade


def counted(trades: Iterable[Trade], policy: str = "standard") -> list[Trade]:
    """The trades that count, in order of time, receipt and id in byte order."""
    matching = []
    for trade in trades:
        codes = set(trade.conditions.split(","))
        if "v" not in trade.updates or not trade.volume > 0:
            continue
        if policy != "all" and codes & NEVER_PRICE_FORMING:
            continue
        if policy == "price-forming" and not set(trade.updates) & {"l", "h"}:
            continue
        matching.append(trade)
    return ordered(matching)


def regular(trades: Iterable[Trade], closes: int) -> list[Trade]:
    """The trades of the regular session among trades from the open on: with its late reports, without extended-hours trades."""
    found = []
    for trade in trades:
        codes = set(trade.conditions.split(","))
        if not codes & {"24", "25"} and (trade.ts_event < closes or codes & {"15", "30", "35", "36", "39"}):
            found.append(trade)
    return found


def ordered(trades: Iterable[Trade]) -> list[Trade]:
    """``trades`` by time, receipt and id in byte order."""
    return sorted(trades, key=lambda trade: (trade.ts_event, trade.ts_recv, trade.id.encode()))


def vwap(trades: Sequence[Trade]) -> float | None:
    """Exact volume-weighted average price."""
    volume = sum(Fraction(trade.volume) for trade in trades)
    return float(sum(Fraction(trade.price) * Fraction(trade.volume) for trade in trades) / volume) if volume else None


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation; exact until the root."""
    if len(values) < 2:
        return None
    return math.sqrt(statistics.variance([Fraction(value) for value in values]))


def returns(trades: Sequence[Trade], segments: Sequence[tuple[int, int]], grid: int, opens: int, closes: int) -> list[float]:
    """Previous-tick log returns between the edges of the grid (multiples of ``grid`` ms) in each segment of a session.

    The first one, if it lies in the first interval, begins with the opening price; at the close the last price stands.
    """
    found = []
    for since, until in segments:
        inside = [trade for trade in trades if since <= trade.ts_event < until]
        first = opens if opens % grid == 0 and since == segments[0][0] < opens + grid else -(-since // grid) * grid
        edges = range(first, until + 1, grid)
        known = [[trade.price for trade in inside if trade.ts_event <= edge] for edge in edges]
        if known and known[-1] and first == opens:
            known = [prices or [inside[0].price] for prices in known]
        if known and until == closes and closes % grid == 0:
            known[-1] += [trade.price for trade in trades if trade.ts_event >= closes]
        prices = [prices[-1] for prices in known if prices]
        found += [math.log(later / earlier) for earlier, later in pairwise(prices)]
    return found
