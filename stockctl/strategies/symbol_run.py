"""One strategy on the records of one symbol: the loop that live signals, backtests and verification share.

A new strategy is made at the first record of each trade date, after it was fed the dates that it needs before. So a restart or
another start of the span changes no decision, and no state is stored. That place in the log is the **anchor** of the date.
"""

from __future__ import annotations

import hashlib
import traceback
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from operator import attrgetter
from typing import Any, NamedTuple

from stockctl.errors import StockctlError
from stockctl.exchange.log_clock import LogClock
from stockctl.records import Trade
from stockctl.strategies.bars import BarBuilder, bar_length
from stockctl.strategies.loading import LoadedStrategy
from stockctl.strategies.strategy import Bar, Filing, Side, signal_problem

_PENDING = 4096
"""Ids that are hashed together: one by one they would cost more than a strategy does."""
_EVENT, _AT = attrgetter("ts_event"), attrgetter("at")


class SeenFiling(NamedTuple):
    """A filing, and the time of the log (ms UTC) at which a strategy sees it."""

    at: int
    filing: Filing


class Decision(NamedTuple):
    """A signal of a strategy, with the record that it decided on.

    ``n`` counts the signals of that record, from 0. ``record`` is its id (a filing's accession), ``ts_decided`` the time in ms
    UTC at which the strategy had it: its receipt, or for replayed history the newest time in the log. ``inputs`` is the hash of
    the ids of all records since the anchor's warm-up. ``position`` is the place of the record in what was fed. A decision on a
    filing has the times and the position of the trade before which the strategy saw it.
    """

    symbol: str
    n: int
    side: Side
    target: float
    strength: float
    reason: str
    ts_decided: int
    ts_event: int
    record: str
    inputs: str
    position: int


def record_id(*parts: object) -> str:
    """The id that follows from ``parts``, as 32 hexadecimal digits."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


def decision_id(strategy: str, decision: Decision) -> str:
    """The id of the signal of a decision: it follows from strategy, symbol, record and ``n``, so that a repeat has the same."""
    return record_id(strategy, decision.symbol, decision.record, decision.n)


class History(NamedTuple):
    """What comes before an anchor: the records of ``days`` dates in log order.

    ``days`` is less than was asked for if there are no more dates with records.
    """

    days: int = 0
    trades: Iterable[Sequence[Trade]] = ()


Before = Callable[[date, int], History]
"""The history before a trade date, of this many dates with records."""


def no_history(_day: date, _days: int) -> History:
    """Nothing comes before the records that are fed."""
    return History()


def first_at(trades: Sequence[Trade], at: int, first: int = 0) -> int | None:
    """The place of the first of ``trades`` from ``first`` on that brings the time of the log to ``at`` (ms UTC)."""
    if not trades or max(map(_EVENT, trades)) < at:
        return None
    return next(
        (place for place in range(first, len(trades)) if min(trades[place].ts_event, trades[place].ts_recv) >= at), None
    )


class StrategyError(StockctlError):
    """The code of a strategy failed, or what it yielded is not a signal. ``record`` is the id of the event."""

    def __init__(self, message: str, record: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.record = record


OnError = Callable[[StrategyError, Any], None]
"""Called with an error of the strategy and the event that it failed on. The run goes on."""


class SymbolRun:
    """Runs ``strategy`` on ``symbol``. Feed it everything in log order.

    ``before`` is asked at each anchor. A strategy sees each of ``filings`` before the first trade at which the time of the log
    reaches it, and on later dates at the anchor. Without ``on_error``, an error of the strategy is raised; the run cannot go on
    then.
    """

    def __init__(
        self,
        strategy: LoadedStrategy,
        symbol: str,
        before: Before = no_history,
        *,
        filings: Iterable[SeenFiling] = (),
        on_error: OnError | None = None,
    ) -> None:
        self.strategy, self.symbol = strategy, symbol
        self._before, self._on_error = before, on_error
        self.clock = LogClock()
        """The time of the log."""
        self._anchor: _Anchor | None = None
        self._filings: list[SeenFiling] = []
        self._seen = 0
        """How many of the filings the time of the log has reached."""
        self.add_filings(filings)

    @property
    def day(self) -> date:
        """The trade date of the anchor; ``date.min`` before the first record."""
        return self.clock.day

    @property
    def inputs(self) -> str:
        """The hash of the ids of all records since the anchor's warm-up, as 32 hexadecimal digits; empty before the first."""
        return self._anchor.inputs.digest() if self._anchor is not None else ""

    @property
    def muted(self) -> bool:
        """Whether the strategy may not signal on this date, because fewer dates come before it than it needs."""
        return self._anchor is not None and self._anchor.muted

    def add_filings(self, filings: Iterable[SeenFiling]) -> None:
        """Filings to come. One that the time of the log has passed already is seen before the next trade."""
        coming = [*self._filings[self._seen :], *filings]
        self._filings[self._seen :] = sorted(coming, key=lambda one: (one.at, one.filing.accession))

    def trades(self, trades: Sequence[Trade]) -> list[Decision]:
        """Feed ``trades``; the decisions, whose ``position`` is the place in ``trades``."""
        decisions: list[Decision] = []
        first = 0
        while (place := self._next_filing(trades, first)) is not None:
            self._feed(trades[first:place], first, decisions)
            self._see_filings(trades[place], place, decisions)
            first = place
        self._feed(trades[first:] if first else trades, first, decisions)
        return decisions

    def _feed(self, trades: Sequence[Trade], first: int, decisions: list[Decision]) -> None:
        clock, anchor = self.clock, self._anchor
        advance = clock.advance
        for position, trade in enumerate(trades, first):
            if advance(trade.ts_event, trade.ts_recv) or anchor is None:
                anchor = self._start()
            if signals := anchor.trade(trade):
                self._decide(decisions, anchor, signals, self._receipt(trade), trade.ts_event, trade.id, position)

    def _next_filing(self, trades: Sequence[Trade], first: int) -> int | None:
        """The place of the trade from ``first`` on before which a filing is seen."""
        if self._seen == len(self._filings) or first == len(trades):
            return None
        at = self._filings[self._seen].at
        if self.clock.ms >= at:
            return first
        return first_at(trades, at, first)

    def _see_filings(self, trade: Trade, position: int, decisions: list[Decision]) -> None:
        """Show the filings that the time of the log reaches with ``trade``, before it is fed itself."""
        anchor, is_first = self._anchor, self.clock.ms < 0
        if self.clock.advance(trade.ts_event, trade.ts_recv) or anchor is None:
            if is_first:
                self._seen = self._reached(self._end_before(self.clock.day))
            anchor = self._start()
        new = self._filings[self._seen : self._reached(self.clock.ms)]
        self._seen += len(new)
        for _, filing in new:
            signals = anchor.filing(filing)
            self._decide(decisions, anchor, signals, self._receipt(trade), self.clock.ms, filing.accession, position)

    def _reached(self, ms: int) -> int:
        return bisect_right(self._filings, ms, key=_AT)

    def _end_before(self, day: date) -> int:
        """The time of the log in ms UTC at the end of the newest date with records before ``day``, or now if there is none."""
        clock = LogClock()
        for trades in self._before(day, 1).trades:
            for trade in trades:
                clock.advance(trade.ts_event, trade.ts_recv)
        return clock.ms if clock.ms >= 0 else self.clock.ms

    def _receipt(self, trade: Trade) -> int:
        # Replayed history was all received "now": it was known when the newest of it had happened.
        return self.clock.ms if trade.source == "replay" else trade.ts_recv

    def bars(self, bars: Sequence[Bar]) -> list[Decision]:
        """Feed finished bars instead of trades: one anchor at the first, and the end of a bar is when it is known."""
        decisions: list[Decision] = []
        if self._anchor is None:
            self._anchor = _Anchor(self.strategy, self.symbol, self._on_error)
        for index, bar in enumerate(bars):
            signals = self._anchor.bar(bar)
            if signals:
                self._decide(decisions, self._anchor, signals, bar.end, bar.end, f"{bar.symbol}-{bar.start}", index)
        return decisions

    def _start(self) -> _Anchor:
        anchor = self._anchor = _Anchor(self.strategy, self.symbol, self._on_error)
        anchor.warm_up([filing for _, filing in self._filings[: self._seen]], self._before(self.clock.day, anchor.warmup_days))
        return anchor

    def _decide(
        self,
        decisions: list[Decision],
        anchor: _Anchor,
        signals: list[Any],
        received: int,
        ts_event: int,
        record: str,
        position: int,
    ) -> None:
        if not signals or anchor.muted:
            return
        inputs = anchor.inputs.digest()
        for n, (side, target, strength, reason) in enumerate(signals):
            # Whole numbers that a strategy gives as int are the same decision: the hash must not differ.
            numbers = (float(target), float(strength))
            decisions.append(Decision(self.symbol, n, side, *numbers, reason, received, ts_event, record, inputs, position))


class _Inputs:
    """The running hash of ids."""

    __slots__ = ("_hash", "_ids", "append")

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._ids: list[str] = []
        self.append = self._ids.append

    def flush(self) -> None:
        if self._ids:
            self._hash.update(("\n".join(self._ids) + "\n").encode())
            self._ids.clear()

    def digest(self) -> str:
        self.flush()
        return self._hash.hexdigest()[:32]


class _Anchor:
    """One instance of the strategy, from the anchor of a date on."""

    def __init__(self, strategy: LoadedStrategy, symbol: str, on_error: OnError | None) -> None:
        self._strategy, self._on_error = strategy, on_error
        instance = self._call(lambda: strategy.make(symbol), "", None)
        self.warmup_days: int = getattr(instance, "warmup_days", 0)
        every: str | None = getattr(instance, "every", None)
        self._on_trade = getattr(instance, "on_trade", None)
        self._on_bar = getattr(instance, "on_bar", None)
        self._on_filing = getattr(instance, "on_filing", None)
        self._bars = BarBuilder(symbol, bar_length(every)) if self._on_bar is not None and every is not None else None
        self.inputs = _Inputs()
        self.muted = False

    def warm_up(self, filings: Iterable[Filing], history: History) -> None:
        """Feed what comes before; the signals on it are dropped."""
        self.muted = history.days < self.warmup_days
        for filing in filings:
            self.filing(filing)
        for trades in history.trades:
            for trade in trades:
                self.trade(trade)

    def trade(self, trade: Trade) -> list[Any] | None:
        """The signals on ``trade``, those of the bar that it closes first; None for none."""
        inputs = self.inputs
        inputs.append(trade.id)
        if len(inputs._ids) >= _PENDING:
            inputs.flush()
        signals: list[Any] | None = None
        if self._bars is not None and (bar := self._bars.add(trade)) is not None:
            signals = self._handle(self._on_bar, bar, trade.id)
        if self._on_trade is not None:
            found = self._handle(self._on_trade, trade, trade.id)
            if found:
                signals = signals + found if signals else found
        return signals

    def bar(self, bar: Bar) -> list[Any] | None:
        """The signals on a finished bar."""
        record = f"{bar.symbol}-{bar.start}"
        self.inputs.append(record)
        return None if self._on_bar is None else self._handle(self._on_bar, bar, record)

    def filing(self, filing: Filing) -> list[Any]:
        """The signals on ``filing``."""
        self.inputs.append(f"filing {filing.accession}")
        return [] if self._on_filing is None else self._handle(self._on_filing, filing, filing.accession) or []

    def _handle(self, handler: Any, event: Any, record: str) -> list[Any] | None:
        try:
            signals = handler(event)
            if signals is None:
                return None
            if signals.__class__ is not list:
                signals = list(signals)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a strategy is other people's code: whatever it raises is named
            self._report(error, event, record)
            return None
        for signal in signals:
            if (problem := signal_problem(signal)) is not None:
                self._report(ValueError(problem), event, record)
                return None
        return signals or None

    def _call(self, function: Callable[[], Any], record: str, event: Any) -> Any:
        try:
            return function()
        except (Exception, SystemExit) as error:
            raise self._error(error, record) from error

    def _report(self, error: BaseException, event: Any, record: str) -> None:
        failure = self._error(error, record)
        if self._on_error is None:
            raise failure from error
        self._on_error(failure, event)

    def _error(self, error: BaseException, record: str) -> StrategyError:
        place = failing_line(error, self._strategy.files)
        on = f" on {record}" if record else ""
        message = f"the strategy {self._strategy.name} failed{on}: "
        said = in_one_line(str(error))
        message += said if place is None and isinstance(error, ValueError) else f"{type(error).__name__}: {said}"
        return StrategyError(
            message + (f" ({place})" if place else ""), record, hint="correct the strategy; --debug shows the whole traceback"
        )


def in_one_line(text: str) -> str:
    """``text`` with line breaks and control characters written out, as in a Python string."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def failing_line(error: BaseException, files: Iterable[str]) -> str | None:
    """File and line of the innermost call of ``error`` in one of ``files``."""
    own = set(files)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else None
