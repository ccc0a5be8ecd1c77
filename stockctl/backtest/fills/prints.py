"""Fills on prints: an order takes a share of the trades that others made after it could have reached the market.

Prices are what others paid, and half the spread, slippage and fees are paid on top. An order is for the target's share of the
account, so its shares are computed at the first print that can fill it. There are no limit orders: whether one is filled
depends on its place in the queue, and a tape of trades shows no queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from stockctl.backtest.account import Account, Fill
from stockctl.backtest.costs import Fees, FixedSlippage, NoFees, OrderFees, Slippage
from stockctl.backtest.fills.spread import ROWS, Spread, prices_of
from stockctl.backtest.gaps import GapMarks
from stockctl.exchange.trade_conditions import CLOSING_AUCTION, OPENING_AUCTION
from stockctl.metrics.trade_policies import counts
from stockctl.records import Trade
from stockctl.strategies.symbol_run import Decision

FillAt = Literal["prints", "open-auction", "close-auction"]
FILLS_AT: tuple[FillAt, ...] = get_args(FillAt)
"""The prints that fill orders: all that form a price, or those of the opening or the closing auction."""

LATENCY_MS: dict[FillAt, int] = {"prints": 500, "open-auction": 120_000, "close-auction": 600_000}
"""Default time from a decision until its order can be filled. Exchanges take orders for an auction until minutes before it."""

PARTICIPATION = 0.1
"""Default share of a print's volume that an order takes."""

_AUCTIONS = {"open-auction": OPENING_AUCTION, "close-auction": CLOSING_AUCTION}


@dataclass(frozen=True)
class FillRules:
    """When and at what cost orders are filled. ``latency_ms`` None is that of ``LATENCY_MS``."""

    at: FillAt = "prints"
    latency_ms: int | None = None
    participation: float = PARTICIPATION
    spread: Spread = field(default_factory=Spread)
    fees: Fees = field(default_factory=NoFees)
    slippage: Slippage = field(default_factory=FixedSlippage)
    long_only: bool = False

    @property
    def latency(self) -> int:
        """Milliseconds from a decision until its order can be filled."""
        return LATENCY_MS[self.at] if self.latency_ms is None else self.latency_ms

    def volume_of(self, trade: Trade) -> int:
        """The whole shares that an order may take of ``trade``."""
        if trade.volume <= 0:
            return 0
        if self.at == "prints":
            fills = counts("price-forming", trade.conditions, trade.updates)
        else:
            fills = not _AUCTIONS[self.at].isdisjoint(trade.conditions.split(","))
        # The product of two decimal fractions may lie just below a whole number.
        return int(self.participation * trade.volume + 1e-9) if fills else 0


class _Order:
    """An order that waits. ``left`` is what is still to fill, with its sign; None until the first print that can fill it."""

    __slots__ = ("after", "decision", "fees", "gap", "half", "left", "target")

    def __init__(self, decision: Decision, target: float, rules: FillRules, half: float, *, gap: bool) -> None:
        self.decision, self.target, self.half, self.gap = decision, target, half, gap
        self.after = decision.ts_decided + rules.latency
        self.fees = OrderFees(rules.fees)
        self.left: int | None = None


@dataclass
class OrderCounts:
    """What became of the orders of a symbol: how many were filled whole or in part, and how many were below a share.

    ``half_spreads`` has half the spread of each order in the currency of the price; None where nothing could be estimated.
    """

    orders: int = 0
    filled: int = 0
    partly: int = 0
    below_a_share: int = 0
    half_spreads: list[float | None] = field(default_factory=list)


class PrintFills:
    """Fills the decisions on one symbol. Feed it the records that the strategy saw, in the same order.

    A decision for the target of the order that waits changes nothing; another one replaces it.
    """

    def __init__(self, account: Account, rules: FillRules, marks: GapMarks) -> None:
        self.account, self.rules, self.marks = account, rules, marks
        self.fills: list[Fill] = []
        self.marked: list[bool] = []
        """Whether each decision lies beside a gap."""
        self.counts = OrderCounts()
        self._order: _Order | None = None
        self._has_filled = self._is_lost = False
        self._rows: Sequence[Trade] = ()
        """The newest rows before those of a call."""

    def feed(self, trades: Sequence[Trade], decisions: Sequence[Decision]) -> None:
        """Take the next ``trades``, and the ``decisions`` on them in order; their ``position`` is the place in ``trades``."""
        start = 0
        for decision in decisions:
            # The deciding record itself may still fill an older order, but never its own.
            end = decision.position + 1
            self._fill(trades, start, end)
            start = end
            self._place(decision, trades, end)
        self._fill(trades, start, len(trades))
        if trades:
            self._rows = [*self._rows, *trades][-ROWS:] if len(trades) < ROWS else trades[-ROWS:]

    def split(self, ratio: float) -> None:
        """Each share became ``ratio`` shares: what waits is computed again, and nothing is estimated from older prices."""
        self._rows = ()
        if self._order is not None:
            self._order.left = None
            self._order.half /= ratio

    def liquidate(self, at: int) -> None:
        """Close the position: all of the account was lost at ``at`` (ms UTC). Later decisions are not followed."""
        self._drop()
        self._is_lost = True
        decision = Decision(self.account.symbol, 0, "exit", 0.0, 0.0, "", at, at, "loss", "", 0)
        if self.account.shares:
            self._order = _Order(decision, 0.0, self.rules, 0.0, gap=False)
            self._has_filled = False

    def end(self) -> None:
        """No more records come."""
        self._drop()

    def _place(self, decision: Decision, trades: Sequence[Trade], end: int) -> None:
        gap = self.marks.decided(decision.ts_decided)
        self.marked.append(gap)
        if self._is_lost:
            return
        target = max(decision.target, 0.0) if self.rules.long_only else decision.target
        if self._order is not None:
            if self._order.target == target:
                return
            self._drop()
        if target == 0 and not self.account.shares:
            return
        half: float | None = 0.0
        if self.rules.at == "prints":
            prices = prices_of([*self._rows, *trades[max(0, end - ROWS) : end]][-ROWS:])
            half = self.rules.spread.half(prices[-1], prices) if prices else None
        self.counts.orders += 1
        self.counts.half_spreads.append(half)
        self._order = _Order(decision, target, self.rules, half or 0.0, gap=gap)
        self._has_filled = False

    def _drop(self) -> None:
        if self._order is not None and self._has_filled:
            self.counts.partly += 1
        self._order = None

    def _fill(self, trades: Sequence[Trade], start: int, end: int) -> None:
        """Fill the order that waits from ``trades[start:end]``."""
        order = self._order
        if order is None:
            return
        after, volume_of = order.after, self.rules.volume_of
        for index in range(start, end):
            trade = trades[index]
            if trade.ts_event > after and (most := volume_of(trade)):
                # A row dated in the future traded when it came, at the latest.
                at = trade.ts_event if trade.source == "replay" else min(trade.ts_event, trade.ts_recv)
                if at > after and self._take(order, trade, at, most):
                    self._order = None
                    return

    def _take(self, order: _Order, trade: Trade, at: int, most: int) -> bool:
        """Fill ``order`` with at most ``most`` shares of ``trade``; whether nothing is left of it."""
        wanted = self._wanted(order, trade.price)
        if order.left is None:
            order.left = wanted
            if not wanted:
                self.counts.below_a_share += 1
                return True
        sign = 1 if order.left > 0 else -1
        # Prices moved since: what the account can no longer pay is not bought.
        size = min(most, abs(order.left), max(wanted * sign, 0))
        price = trade.price + sign * order.half
        quantity, price = self.rules.slippage.fill(sign * size, price, trade.volume) if size else (0, price)
        if not quantity or price <= 0:
            return False
        decision = order.decision
        fill = Fill(
            symbol=decision.symbol,
            time=at,
            quantity=quantity,
            price=price,
            fee=order.fees.charge(quantity, price),
            slippage=quantity * (price - trade.price),
            record=decision.record,
            gap=order.gap or self.marks.between(decision.ts_decided, at),
        )
        self.account.fill(fill)
        self.fills.append(fill)
        self._has_filled = True
        order.left -= quantity
        if order.left:
            return False
        self.counts.filled += 1
        return True

    def _wanted(self, order: _Order, price: float) -> int:
        """The shares, with their sign, that bring the account to the order's target at the worst price that it can get."""
        quantity = self.account.quantity(order.target, price, self.rules.fees)
        if not quantity or not order.target:
            return quantity
        sign = 1 if quantity > 0 else -1
        worst = self.rules.slippage.worst_price(quantity, price + sign * order.half)
        wanted = self.account.quantity(order.target, worst, self.rules.fees) if worst > 0 else 0
        return wanted if wanted * sign > 0 else 0
