"""``breakout``: a close outside the range that rolling volatility leads to expect."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from stockctl.strategies import Bar, Signal, Strategy, buy, exit_, sell
from stockctl.strategies.indicators import RollingDeviation, RollingMean


class BreakoutParams(BaseModel):
    """Parameters of ``breakout``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bars: int = Field(20, ge=2, le=10_000, description="Bars of the rolling mean and deviation.")
    width: float = Field(2.0, gt=0, le=100, description="Half the width of the range, in standard deviations.")
    every: str = Field("1m", description="Length of the bars.")
    warmup_days: int = Field(0, ge=0, le=400, description="Dates that it must have seen before it signals.")


class Breakout(Strategy):
    """Follow a close above or below the range of the bars before it; exit when the close returns to their mean."""

    Params = BreakoutParams

    def __init__(self, params: BreakoutParams, symbol: str) -> None:
        super().__init__(params, symbol)
        self.every, self.warmup_days = params.every, params.warmup_days
        self._width = params.width
        self._mean, self._deviation = RollingMean(params.bars), RollingDeviation(params.bars)
        self._range: tuple[float, float] | None = None
        self._target = 0.0

    def on_bar(self, bar: Bar) -> Iterator[Signal]:
        """Compare the close with the mean and the deviation of the bars before it."""
        if self._range is not None:
            mean, deviation = self._range
            distance = bar.close - mean
            reason = f"close {bar.close:.6g}, mean {mean:.6g}, deviation {deviation:.4g}"
            if self._target == 0 and deviation > 0 and abs(distance) > self._width * deviation:
                self._target = 1.0 if distance > 0 else -1.0
                yield (buy if distance > 0 else sell)(self._target, strength=abs(distance) / deviation, reason=reason)
            elif self._target * distance < 0:
                self._target = 0.0
                yield exit_(reason=reason)
        mean_now, deviation_now = self._mean.add(bar.close), self._deviation.add(bar.close)
        self._range = None if mean_now is None or deviation_now is None else (mean_now, deviation_now)
