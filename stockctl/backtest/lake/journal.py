"""What happened in an account, in order: fills, splits, and the price at each close.

From it the equity without the round trips beside a gap is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stockctl.backtest.account import Account, Fill
from stockctl.backtest.statistics import EquityPoint


class _Split(NamedTuple):
    ratio: float
    price: float
    time: int


class _Sample(NamedTuple):
    time: int
    price: float


class Journal:
    """The journal of the account of ``symbol``, which began with ``cash``."""

    def __init__(self, symbol: str, cash: float) -> None:
        self.symbol, self.cash = symbol, cash
        self.equity: list[EquityPoint] = []
        self._entries: list[Fill | _Split | _Sample] = []
        self._booked = 0

    def fills(self, fills: Sequence[Fill]) -> None:
        """Note those of all ``fills`` so far that are new."""
        self._entries += fills[self._booked :]
        self._booked = len(fills)

    def split(self, ratio: float, price: float, time: int) -> None:
        """Note a split, see ``Account.split``."""
        self._entries.append(_Split(ratio, price, time))

    def sample(self, time: int, price: float | None, account: Account) -> float:
        """Note the price at a close, None before the first; the equity at it."""
        # Without a price nothing is held.
        known = 0.0 if price is None else price
        self._entries.append(_Sample(time, known))
        self.equity.append(EquityPoint(time, account.equity(known)))
        return self.equity[-1].equity

    def without_gaps(self) -> tuple[Account, list[Fill], list[EquityPoint]]:
        """The account without each round trip that has a fill beside a gap; its fills, and its equity at the same times.

        The other fills are as they were: with the money of the account, their shares would have been others.
        """
        marked = {trip for trip, fill in self._by_trip() if isinstance(fill, Fill) and fill.gap}
        account = Account(self.symbol, self.cash)
        fills: list[Fill] = []
        equity: list[EquityPoint] = []
        for trip, entry in self._by_trip():
            match entry:
                case Fill():
                    if trip not in marked:
                        account.fill(entry)
                        fills.append(entry)
                case _Split():
                    account.split(*entry)
                case _Sample():
                    equity.append(EquityPoint(entry.time, account.equity(entry.price)))
        return account, fills, equity

    def _by_trip(self) -> Iterator[tuple[int, Fill | _Split | _Sample]]:
        """The entries, each with the number of its round trip; a fill that reverses the position is two."""
        account = Account(self.symbol, self.cash)
        for entry in self._entries:
            for part in _parts(entry, account.shares) if isinstance(entry, Fill) else [entry]:
                yield len(account.round_trips), part
                if isinstance(part, Fill):
                    account.fill(part)
                elif isinstance(part, _Split):
                    account.split(*part)


def _parts(fill: Fill, shares: int) -> list[Fill]:
    """``fill`` in two where it closes ``shares`` and goes on in the other direction."""
    if not shares or shares * fill.quantity > 0 or abs(fill.quantity) <= abs(shares):
        return [fill]
    closing = -shares / fill.quantity
    return [
        fill._replace(quantity=-shares, fee=fill.fee * closing, slippage=fill.slippage * closing),
        fill._replace(quantity=fill.quantity + shares, fee=fill.fee * (1 - closing), slippage=fill.slippage * (1 - closing)),
    ]
