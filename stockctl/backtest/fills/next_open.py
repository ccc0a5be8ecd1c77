"""Fills of bars: an order that is decided at the close of a bar is filled from the open of the next bar on."""

from __future__ import annotations

from stockctl.backtest.account import Account, Fill
from stockctl.backtest.costs import Fees, OrderFees, Slippage
from stockctl.strategies import Bar


class NextOpen:
    """Fills the orders of ``account`` at opens.

    An order is sized at the open that first fills it: it brings the position to its target of the equity at that price. Where
    the slippage limits the share of a bar's volume, the rest waits for the next open. A newer decision takes the place of
    an order that waits. With ``long_only``, a target below 0 is an exit.
    """

    def __init__(self, account: Account, fees: Fees, slippage: Slippage, *, long_only: bool = False) -> None:
        self._account, self._fees, self._slippage, self._long_only = account, fees, slippage, long_only
        self._order: _Order | None = None

    def decide(self, target: float, record: str) -> None:
        """Take a decision on the bar that has closed; ``record`` is its id."""
        self._order = _Order(max(target, 0.0) if self._long_only else target, record, OrderFees(self._fees))

    def open(self, bar: Bar) -> Fill | None:
        """Fill what waits at the open of ``bar``."""
        order = self._order
        if order is None:
            return None
        if order.left is None:
            order.left = self._size(order.target, bar.open)
        quantity, price = self._slippage.fill(order.left, bar.open, bar.volume) if order.left else (0, bar.open)
        order.left -= quantity
        if not order.left:
            self._order = None
        return self._book(bar, quantity, price, order.fees.charge(quantity, price), order.record) if quantity else None

    def close_out(self, bar: Bar) -> Fill | None:
        """Close the position at the open of ``bar``, whatever its volume; an order that waits is dropped."""
        self._order = None
        if not (quantity := -self._account.shares):
            return None
        price = self._slippage.worst_price(quantity, bar.open)
        return self._book(bar, quantity, price, OrderFees(self._fees).charge(quantity, price), "end")

    def _size(self, target: float, price: float) -> int:
        """The order that brings the position to ``target``, at the worst price that the slippage can give it."""
        quantity = self._account.quantity(target, price, self._fees)
        if not quantity:
            return 0
        slipped = self._account.quantity(target, self._slippage.worst_price(quantity, price), self._fees)
        return slipped if slipped * quantity > 0 else 0

    def _book(self, bar: Bar, quantity: int, price: float, fee: float, record: str) -> Fill:
        fill = Fill(bar.symbol, bar.start, quantity, price, fee, abs(quantity) * abs(price - bar.open), record)
        self._account.fill(fill)
        return fill


class _Order:
    """An order that waits; ``left`` is what is not filled yet, None before it is sized."""

    def __init__(self, target: float, record: str, fees: OrderFees) -> None:
        self.target, self.record, self.fees = target, record, fees
        self.left: int | None = None
