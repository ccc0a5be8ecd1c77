"""``vwap-reversion``: prices far from the date's VWAP are expected to return to it."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stockctl.metrics.trade_policies import counts
from stockctl.records import Trade
from stockctl.strategies import Signal, Strategy, buy, exit_, sell
from stockctl.strategies.indicators import RunningVwap


class VwapReversionParams(BaseModel):
    """Parameters of ``vwap-reversion``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enter: float = Field(2.0, gt=0, le=100, description="Distance from the VWAP at which it enters, in standard deviations.")
    leave: float = Field(0.5, ge=0, le=100, description="Distance at which it exits.")
    trades: int = Field(200, ge=2, le=10_000_000, description="Trades of the date before it signals.")
    size: float = Field(1.0, gt=0, le=1, description="Position, as a share of the account.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.leave >= self.enter:
            raise ValueError(f"leave ({self.leave:g}) must be less than enter ({self.enter:g})")
        return self


class VwapReversion(Strategy):
    """Buy far below the VWAP of the date, sell far above it, exit near it and when the next date begins."""

    Params = VwapReversionParams

    def __init__(self, params: VwapReversionParams, symbol: str) -> None:
        super().__init__(params, symbol)
        self._enter, self._leave, self._trades, self._size = params.enter, params.leave, params.trades, params.size
        self._vwap = RunningVwap()
        self._target = 0.0

    def on_trade(self, trade: Trade) -> list[Signal] | None:
        """Compare each trade that counts with the VWAP of those before it and its own."""
        if trade.volume <= 0 or not counts("standard", trade.conditions, trade.updates):
            return None
        vwap = self._vwap
        vwap.add(trade.price, trade.volume)
        if vwap.trades == 1:
            return [exit_(reason="a trade date begins: close what the date before left open")]
        if vwap.trades < self._trades or not (deviation := vwap.deviation):
            return None
        average = vwap.value or trade.price
        distance = (trade.price - average) / deviation
        if self._target == 0:
            if abs(distance) < self._enter:
                return None
            self._target = self._size if distance < 0 else -self._size
            side = buy if distance < 0 else sell
            return [side(self._target, strength=abs(distance), reason=_reason(trade, average, distance))]
        if abs(distance) <= self._leave or (distance > 0) == (self._target > 0):
            self._target = 0.0
            return [exit_(strength=abs(distance), reason=_reason(trade, average, distance))]
        return None


def _reason(trade: Trade, vwap: float, distance: float) -> str:
    return f"price {trade.price:.6g} is {abs(distance):.2f} sd {'above' if distance > 0 else 'below'} vwap {vwap:.6g}"
