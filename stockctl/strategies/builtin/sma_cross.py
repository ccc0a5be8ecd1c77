"""``sma-cross``: the crossing of two simple moving averages of closes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stockctl.strategies import Bar, Signal, Strategy, buy, sell
from stockctl.strategies.indicators import RollingMean


class SmaCrossParams(BaseModel):
    """Parameters of ``sma-cross``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fast: int = Field(10, ge=1, le=10_000, description="Bars of the fast average.")
    slow: int = Field(30, ge=2, le=10_000, description="Bars of the slow average.")
    every: str = Field("1m", description="Length of the bars.")
    warmup_days: int = Field(0, ge=0, le=400, description="Dates that it must have seen before it signals.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"fast ({self.fast}) must be less than slow ({self.slow})")
        return self


class SmaCross(Strategy):
    """Long when the fast average crosses above the slow one, short when it crosses below."""

    Params = SmaCrossParams

    def __init__(self, params: SmaCrossParams, symbol: str) -> None:
        super().__init__(params, symbol)
        self.every, self.warmup_days = params.every, params.warmup_days
        self._fast, self._slow = RollingMean(params.fast), RollingMean(params.slow)
        self._before: tuple[float, float] | None = None

    def on_bar(self, bar: Bar) -> Iterator[Signal]:
        """Compare the averages at each bar's close with those of the bar before."""
        fast, slow = self._fast.add(bar.close), self._slow.add(bar.close)
        if fast is None or slow is None:
            return
        if self._before is not None:
            fast_before, slow_before = self._before
            reason = f"fast {fast:.6g} crossed slow {slow:.6g} at close {bar.close:.6g}"
            if fast_before < slow_before and fast > slow:
                yield buy(strength=fast / slow - 1, reason=reason)
            elif fast_before > slow_before and fast < slow:
                yield sell(strength=fast / slow - 1, reason=reason)
        self._before = (fast, slow)
