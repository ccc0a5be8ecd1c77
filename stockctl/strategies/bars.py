"""Bars from trades in log order. A bar is closed by data, never by a timer."""

from __future__ import annotations

from stockctl.errors import UsageError
from stockctl.exchange.calendar import EXCHANGE_ZONE, day_bounds, trade_date
from stockctl.metrics.trade_policies import counts
from stockctl.records import Trade
from stockctl.strategies.strategy import Bar
from stockctl.units import parse_duration

DAY_MS = 86_400_000


def bar_length(every: str) -> int:
    """Milliseconds of ``every``. UsageError unless it divides a day evenly."""
    try:
        length = round(parse_duration(every) * 1000)
    except ValueError as error:
        raise UsageError(f"the length of bars: {error}", hint="use 1s, 30s, 1m, 5m, 1h or 1d") from None
    if length < 1000 or DAY_MS % length:
        raise UsageError(f"bars of {every} do not divide a day evenly", hint="use 1s, 30s, 1m, 5m, 1h or 1d")
    return length


class BarBuilder:
    """Builds the bars of one symbol. Bars start at midnight of the exchange, as those of ``stockctl metrics bars`` do.

    The first trade whose min(ts_event, ts_recv) is at or after a bar's end closes it. A trade of a closed bar is too late for
    bars: the strategy sees it in ``on_trade`` alone.
    """

    __slots__ = (
        "_close", "_end", "_first", "_high", "_length", "_low", "_open", "_products", "_start", "_symbol", "_trades", "_volume",
    )  # fmt: skip

    def __init__(self, symbol: str, length: int) -> None:
        self._symbol, self._length = symbol, length
        self._start = self._end = -1
        self._clear()

    def _clear(self) -> None:
        self._open: float | None = None
        self._high: float | None = None
        self._low: float | None = None
        self._close = self._first = self._volume = self._products = 0.0
        self._trades = 0

    def add(self, trade: Trade) -> Bar | None:
        """Take the next trade; the bar that it closes, if it closes one."""
        at = trade.ts_event if trade.ts_event < trade.ts_recv else trade.ts_recv
        closed = None
        if at >= self._end:
            closed = self._closed()
            self._clear()
            since, until = day_bounds(trade_date(at), EXCHANGE_ZONE)
            self._start = since + (at - since) // self._length * self._length
            # A bar of a day is as long as its day: 23 or 25 hours where the clocks change.
            self._end = until if self._length == DAY_MS else min(until, self._start + self._length)
        elif at < self._start:
            return None
        price, updates = trade.price, trade.updates
        if "l" in updates:
            if self._open is None:
                self._open = price
            self._close = price
        if "h" in updates:
            if self._high is None or price > self._high:
                self._high = price
            if self._low is None or price < self._low:
                self._low = price
        if trade.volume > 0 and counts("standard", trade.conditions, updates):
            if not self._trades:
                self._first = price
            self._trades += 1
            self._volume += trade.volume
            # Less the first price, as in sql/metrics/vwap.sql: the sums stay small, and exact.
            self._products += (price - self._first) * trade.volume
        return closed

    def _closed(self) -> Bar | None:
        if self._open is None:
            return None
        high = max(self._open, self._close) if self._high is None else self._high
        low = min(self._open, self._close) if self._low is None else self._low
        vwap = self._first + self._products / self._volume if self._trades else self._close
        prices = (self._open, high, low, self._close)
        return Bar(self._symbol, self._start, self._end, *prices, self._volume, vwap, self._trades)
