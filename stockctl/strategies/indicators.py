"""Figures for strategies: each takes one value at a time, and equals the metric of ``sql/metrics`` over the same trades.

They use + − × ÷ and the square root on Python floats in a fixed order, so that every Python computes the same bits. Sums
are ``math.fsum``: from Python 3.12 on the built-in ``sum`` rounds floats otherwise than before.
"""

from __future__ import annotations

from collections import deque
from math import fsum, sqrt


class RollingMean:
    """The mean of the last ``size`` values."""

    __slots__ = ("_size", "_values")

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: deque[float] = deque(maxlen=size)

    def add(self, value: float) -> float | None:
        """Take the next value; the mean, or None until there are ``size`` values."""
        self._values.append(value)
        # All of them: a running sum would drift, and two equal windows could then differ.
        return fsum(self._values) / self._size if len(self._values) == self._size else None


class RollingDeviation:
    """The sample standard deviation of the last ``size`` values, as ``sql/metrics/volatility_trades.sql``."""

    __slots__ = ("_added", "_base", "_size", "_squares", "_sum", "_values")

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: deque[float] = deque()
        self._base = self._sum = self._squares = 0.0
        self._added = 0

    def add(self, value: float) -> float | None:
        """Take the next value; the deviation of the values so far, at most ``size``. None for a single value."""
        values = self._values
        if self._added % self._size == 0:
            # From time to time from the values themselves: the rounding errors of a running sum stay bounded.
            self._base = value
            self._sum = self._squares = 0.0
            for old in values:
                self._sum += old - value
                self._squares += (old - value) * (old - value)
        self._added += 1
        difference = value - self._base
        values.append(value)
        self._sum += difference
        self._squares += difference * difference
        if len(values) > self._size:
            difference = values.popleft() - self._base
            self._sum -= difference
            self._squares -= difference * difference
        count = len(values)
        if count < 2:
            return None
        variance = (self._squares - self._sum * self._sum / count) / (count - 1)
        return sqrt(variance) if variance > 0 else 0.0


class RunningVwap:
    """The volume-weighted average price since it was made, as ``sql/metrics/vwap.sql``, and the deviation of prices from it."""

    __slots__ = ("_first", "_products", "_squares", "trades", "volume")

    def __init__(self) -> None:
        self.trades = 0
        self.volume = 0.0
        self._first = self._products = self._squares = 0.0

    def add(self, price: float, volume: float) -> None:
        """Take a trade with a volume above 0."""
        if not self.trades:
            self._first = price
        self.trades += 1
        difference = price - self._first
        product = difference * volume
        self.volume += volume
        self._products += product
        self._squares += difference * product

    @property
    def value(self) -> float | None:
        """The VWAP; None before the first trade."""
        return self._first + self._products / self.volume if self.trades else None

    @property
    def deviation(self) -> float:
        """The volume-weighted standard deviation of prices around the VWAP; 0 before the second trade."""
        if self.trades < 2:
            return 0.0
        mean = self._products / self.volume
        variance = self._squares / self.volume - mean * mean
        return sqrt(variance) if variance > 0 else 0.0


class RollingVwap:
    """The volume-weighted average price of the trades of the last ``ms`` milliseconds, ``(t − ms, t]``."""

    __slots__ = ("_ms", "_trades")

    def __init__(self, ms: int) -> None:
        self._ms = ms
        self._trades: deque[tuple[int, float, float]] = deque()

    def add(self, at: int, price: float, volume: float) -> float:
        """Take a trade with a volume above 0, at ``at`` in ms; the VWAP of the window that ends there."""
        trades = self._trades
        trades.append((at, price, volume))
        while trades[0][0] <= at - self._ms:
            trades.popleft()
        first = trades[0][1]
        total = fsum(size for _, _, size in trades)
        return first + fsum((value - first) * size for _, value, size in trades) / total


class TradeRate:
    """Trades per second over the last ``ms`` milliseconds, ``(t − ms, t]``."""

    __slots__ = ("_ms", "_times")

    def __init__(self, ms: int) -> None:
        self._ms = ms
        self._times: deque[int] = deque()

    def add(self, at: int) -> float:
        """Take a trade at ``at`` in ms; the rate of the window that ends there."""
        times = self._times
        times.append(at)
        while times[0] <= at - self._ms:
            times.popleft()
        return len(times) * 1000 / self._ms
