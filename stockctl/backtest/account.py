"""The account of one symbol: cash, whole shares, and the round trips that its fills make.

The cash is the starting cash, plus the profits of what was closed (first in, first out), less the cost of what is open and the
fees. All arithmetic is on floats in the order of the fills, so equal fills give equal figures.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from stockctl.backtest.costs import Fees, NoFees
from stockctl.errors import UsageError

_ROUNDING = 1e-12
"""What rounding can make of a share of the equity: a position that is larger by less is at its target."""


class Fill(NamedTuple):
    """Shares that an order bought or sold. ``quantity`` is negative for a sale; ``price`` includes the slippage.

    ``fee`` and ``slippage`` are money, 0 or more; ``slippage`` is what the fill cost more than the price at which others
    traded. ``record`` is the id of the record that the order was decided on. ``gap`` says that the feed had a gap before the
    fill.
    """

    symbol: str
    time: int
    quantity: int
    price: float
    fee: float = 0.0
    slippage: float = 0.0
    record: str = ""
    gap: bool = False


class RoundTrip(NamedTuple):
    """A position from its first share to its last: opened, perhaps changed, and closed or reversed.

    ``shares`` is the sum of all that was bought (sold, for a short position, and then negative) to open it; the prices are
    averages by shares. ``profit`` is money after ``fees``.
    """

    symbol: str
    opened: int
    closed: int
    shares: int
    entry_price: float
    exit_price: float
    profit: float
    fees: float
    gap: bool

    @property
    def price_return(self) -> float:
        """The return of the price from entry to exit, before fees; that of a fall for a short position."""
        return math.copysign(1, self.shares) * (self.exit_price / self.entry_price - 1)


class _Lot(NamedTuple):
    """Shares opened by one fill, with its price. ``shares`` is negative for a short position."""

    shares: int
    price: float


class _Average:
    """The average price of shares. That of equal prices is that price, to the last digit."""

    def __init__(self) -> None:
        self.size = 0
        self.price = 0.0

    def add(self, size: int, price: float) -> None:
        """Count ``size`` shares at ``price``."""
        self.size += size
        self.price = price if self.size == size else self.price + (price - self.price) * (size / self.size)

    def split(self, ratio: float) -> None:
        """Each share became ``ratio`` shares."""
        self.size = round(self.size * ratio)
        self.price /= ratio


class _Position:
    """The round trip under way."""

    def __init__(self, opened: int) -> None:
        self.opened = opened
        self.shares = 0
        self.entry = _Average()
        self.exit = _Average()
        self.profit = 0.0
        self.fees = 0.0
        self.gap = False

    def round_trip(self, symbol: str, closed: int) -> RoundTrip:
        """The round trip that ended at ``closed``."""
        return RoundTrip(
            symbol=symbol,
            opened=self.opened,
            closed=closed,
            shares=self.shares,
            entry_price=self.entry.price,
            exit_price=self.exit.price,
            profit=self.profit - self.fees,
            fees=self.fees,
            gap=self.gap,
        )


class Account:
    """The account of ``symbol`` with its starting ``cash``."""

    def __init__(self, symbol: str, cash: float) -> None:
        if not 0 < cash < math.inf:
            raise UsageError(f"an account needs cash, and {cash} is none", hint="give an amount above 0, such as 10000")
        self.symbol = symbol
        self.start = float(cash)
        self.shares = 0
        """Shares held; negative for a short position."""
        self.fees = 0.0
        self.slippage = 0.0
        self.round_trips: list[RoundTrip] = []
        self._balance = float(cash)
        """The starting cash with the profits of what was closed, less all fees."""
        self._cost = 0.0
        """What the open shares cost; negative for a short position, as it brought money in."""
        self._lots: deque[_Lot] = deque()
        self._position: _Position | None = None

    @property
    def cash(self) -> float:
        """The money in the account; more than its equity while it is short."""
        return self._balance - self._cost

    @property
    def opened(self) -> int | None:
        """When the open position was opened, in ms UTC; None without one."""
        return None if self._position is None else self._position.opened

    def equity(self, price: float) -> float:
        """What the account is worth where a share is worth ``price``."""
        return self._balance + (price * self.shares - self._cost)

    def quantity(self, target: float, price: float, fees: Fees | None = None) -> int:
        """The order that brings the position to ``target``, in whole shares; negative to sell, 0 for none.

        ``target`` is the share of the equity at ``price`` in [-1, 1], negative to be short. At ``price`` the position after
        the order is worth no more than that share of what the ``fees`` leave of the equity. A position is closed whatever
        the fees, and an account without equity can only close.
        """
        equity, sign = self.equity(price), 1 if target > 0 else -1
        fees = fees or NoFees()
        most = int(abs(target) * equity // price) if equity > 0 and price > 0 else 0

        def is_affordable(size: int) -> bool:
            traded = abs(sign * size - self.shares)
            return size * price <= abs(target) * (equity - fees.of(traded, traded * price))

        held = sign * self.shares
        if held == most + 1 and held * price <= abs(target) * equity * (1 + _ROUNDING):
            return 0
        if most and not is_affordable(most):
            # One share too many is a matter of rounding.
            if is_affordable(most - 1):
                return sign * (most - 1) - self.shares
            # Fees grow with the shares that are traded: find the largest size that is affordable. What is held is.
            least, most = (held if 0 < held < most else 0), most - 1
            while least < most:
                middle = (least + most + 1) // 2
                least, most = (middle, most) if is_affordable(middle) else (least, middle - 1)
        return sign * most - self.shares

    def fill(self, fill: Fill) -> None:
        """Book ``fill``. ValueError for one without shares or without a price."""
        if not fill.quantity or not 0 < fill.price < math.inf:
            raise ValueError(f"a fill needs shares and a price: {fill}")
        self.fees += fill.fee
        self.slippage += fill.slippage
        closing = min(abs(fill.quantity), abs(self.shares)) if fill.quantity * self.shares < 0 else 0
        opening = abs(fill.quantity) - closing
        # A fill that reverses the position belongs to both round trips, and so do its fees, by shares.
        closing_fee = fill.fee if not opening else fill.fee * (closing / abs(fill.quantity))
        self._balance -= fill.fee
        if closing and self._position is not None:
            self._close(self._position, closing, fill, closing_fee)
        if opening:
            self._position = self._position or _Position(fill.time)
            self._open(self._position, int(math.copysign(opening, fill.quantity)), fill, fill.fee - closing_fee)

    def split(self, ratio: float, price: float, time: int) -> None:
        """Each share became ``ratio`` shares, which are worth ``price`` each: the equity at that price stays what it was.

        A fraction of a share is paid in cash, as brokers do; where that is all, the position is closed at ``time``.
        """
        position = self._position
        if position is None:
            return
        exact = self.shares * ratio
        shares = int(round(exact, 9))
        paid = (exact - shares) * price
        if shares:
            self._cost -= paid
            # Lots keep their cost; whole shares of each would not add up, so the last one has the rest.
            lots = [_Lot(int(round(lot.shares * ratio, 9)), lot.price / ratio) for lot in self._lots]
            kept = [lot for lot in lots if lot.shares]
            others = sum(lot.shares for lot in kept[:-1])
            cost = math.fsum(lot.shares * lot.price for lot in kept[:-1])
            kept = [*kept[:-1], _Lot(shares - others, (self._cost - cost) / (shares - others))]
            self._lots = deque(kept)
            self.shares = shares
            position.shares = round(position.shares * ratio)
            position.entry.split(ratio)
            position.exit.split(ratio)
            return
        profit = paid - self._cost
        position.profit += profit
        self._balance += profit
        position.exit.add(abs(self.shares), price * ratio)
        self._end(position, time)

    def _end(self, position: _Position, time: int) -> None:
        self.shares, self._cost = 0, 0.0  # without what rounding left
        self._lots.clear()
        self.round_trips.append(position.round_trip(self.symbol, time))
        self._position = None

    def _open(self, position: _Position, shares: int, fill: Fill, fee: float) -> None:
        position.shares += shares
        position.entry.add(abs(shares), fill.price)
        position.fees += fee
        position.gap |= fill.gap
        self.shares += shares
        self._cost += shares * fill.price
        self._lots.append(_Lot(shares, fill.price))

    def _close(self, position: _Position, size: int, fill: Fill, fee: float) -> None:
        position.exit.add(size, fill.price)
        position.fees += fee
        position.gap |= fill.gap
        while size:
            lot = self._lots.popleft()
            shares = int(math.copysign(min(size, abs(lot.shares)), lot.shares))
            if rest := lot.shares - shares:
                self._lots.appendleft(_Lot(rest, lot.price))
            profit = shares * (fill.price - lot.price)
            position.profit += profit
            self._balance += profit
            self._cost -= shares * lot.price
            self.shares -= shares
            size -= abs(shares)
        if not self.shares:
            self._end(position, fill.time)
