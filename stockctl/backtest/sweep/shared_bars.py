"""The bars of a symbol, built once for all sets of parameters that a sweep runs on them.

A strategy that sees bars alone decides from them as ``SymbolRun`` does from the trades: at the trade that closes a bar, with a
new instance for each date.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date

from stockctl.exchange.log_clock import LogClock
from stockctl.records import Trade
from stockctl.strategies import Bar, Decision, LoadedStrategy, SymbolRun
from stockctl.strategies.bars import BarBuilder, bar_length


def sees_bars_alone(strategy: LoadedStrategy) -> bool:
    """Whether the strategy has ``on_bar`` and no other handler."""
    kind = strategy.kind
    return hasattr(kind, "on_bar") and not hasattr(kind, "on_trade") and not hasattr(kind, "on_filing")


class SharedBars:
    """The bars of ``every`` of the trades on ``days``, of which the first ``before`` warm strategies up."""

    def __init__(self, symbol: str, every: str, days: Sequence[tuple[date, Sequence[Sequence[Trade]]]], before: int) -> None:
        self.symbol = symbol
        self.days = [day for day, _ in days]
        self.before = before
        self.starts: list[int] = []
        """The position of the first trade of each day."""
        self.positions: list[int] = []
        """The position of the trade that closes each bar."""
        self.bars: list[Bar] = []
        self.times = array("q")
        """The time of the log at each trade, in ms UTC."""
        builder, clock = BarBuilder(symbol, bar_length(every)), LogClock()
        for _, chunks in days:
            self.starts.append(len(self.times))
            for trades in chunks:
                for trade in trades:
                    clock.advance(trade.ts_event, trade.ts_recv)
                    if (bar := builder.add(trade)) is not None:
                        self.positions.append(len(self.times))
                        self.bars.append(bar)
                    self.times.append(clock.ms)

    def run(self, strategy: LoadedStrategy) -> SharedBarsRun:
        """A run of ``strategy`` on these bars."""
        return SharedBarsRun(self, strategy)


class SharedBarsRun:
    """Gives the decisions of ``SymbolRun`` without their ``inputs``; feed it the same trades."""

    def __init__(self, shared: SharedBars, strategy: LoadedStrategy) -> None:
        self._shared, self._strategy = shared, strategy
        self.clock = LogClock()
        self.muted = False
        self._day = shared.before
        self._position = shared.starts[shared.before] if shared.before < len(shared.starts) else len(shared.times)
        self._next = 0
        """Index of the next bar."""
        self._run: SymbolRun | None = None

    def trades(self, trades: Sequence[Trade]) -> list[Decision]:
        """Feed ``trades``; the decisions on them."""
        shared = self._shared
        begin, end = self._position, self._position + len(trades)
        decisions: list[Decision] = []
        while self._day < len(shared.starts) and shared.starts[self._day] < end:
            self._decide(trades, begin, shared.starts[self._day], decisions)
            self._start(self._day)
            self._day += 1
        self._decide(trades, begin, end, decisions)
        self._position = end
        if trades:
            self.clock.ms, self.clock.day = shared.times[end - 1], shared.days[self._day - 1]
        return decisions

    def _start(self, day: int) -> None:
        """Make the strategy of ``day``, and feed it the bars of the days before that it needs."""
        shared = self._shared
        self._run = SymbolRun(self._strategy, shared.symbol)
        wanted = getattr(self._strategy.make(shared.symbol), "warmup_days", 0)
        self.muted = wanted > day
        first, here = shared.starts[max(day - wanted, 0)], shared.starts[day]
        # The first trade of a run closes no bar: none was open.
        begin = bisect_right(shared.positions, first)
        self._next = max(begin, bisect_left(shared.positions, here))
        self._run.bars(shared.bars[begin : self._next])

    def _decide(self, trades: Sequence[Trade], begin: int, end: int, decisions: list[Decision]) -> None:
        """Feed the bars that close before ``end``. ``begin`` is the position of the first of ``trades``."""
        shared = self._shared
        first, self._next = self._next, max(self._next, bisect_left(shared.positions, end))
        if self._run is None or first == self._next:
            return
        for one in self._run.bars(shared.bars[first : self._next]):
            position = shared.positions[first + one.position]
            trade = trades[position - begin]
            received = shared.times[position] if trade.source == "replay" else trade.ts_recv
            if not self.muted:
                decisions.append(
                    one._replace(
                        ts_decided=received, ts_event=trade.ts_event, record=trade.id, inputs="", position=position - begin
                    )
                )
