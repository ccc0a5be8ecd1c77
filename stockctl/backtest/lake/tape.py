"""One strategy on the tape of one symbol: decisions, fills and the equity at each close, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple, Protocol

from stockctl.backtest.account import Account
from stockctl.backtest.fills.prints import PrintFills
from stockctl.backtest.lake.journal import Journal
from stockctl.backtest.splits import check_jump
from stockctl.backtest.statistics import EquityPoint
from stockctl.exchange.calendar import Hours, day_bounds, is_currency_day, sessions_of
from stockctl.exchange.log_clock import LogClock
from stockctl.figures import SeriesSampler
from stockctl.metrics.trade_policies import counts
from stockctl.records import Trade
from stockctl.strategies.loading import LoadedStrategy
from stockctl.strategies.symbol_run import Decision, History, SeenFiling, SymbolRun, first_at

_NEVER = 2**63

WarmupBefore = Callable[[date, int], tuple[int, Iterator[list[Trade]]]]
"""The newest days with rows before a day, this many at most: how many there are, and their trades."""


class Known(NamedTuple):
    """What a run is given beside the trades: the filings, the days before an anchor, and the splits by date.

    ``splits`` None takes prices as they are.
    """

    filings: Sequence[SeenFiling] = ()
    warmup: WarmupBefore = lambda _day, _count: (0, iter(()))
    splits: Mapping[date, float] | None = None


class Deciding(Protocol):
    """What ``TapeRun`` needs of a ``SymbolRun``."""

    clock: LogClock

    @property
    def muted(self) -> bool:
        """Whether the strategy may not signal on this date."""
        ...

    def trades(self, trades: Sequence[Trade]) -> list[Decision]:
        """Feed ``trades``; the decisions."""
        ...


class TapeRun:
    """Runs ``strategy`` on the days of one symbol's log, and books the fills of its decisions in ``fills.account``.

    ``hours`` are those of the symbol's market: its equity is taken at the close, or where it never closes at the end of the
    exchange's date. ``prices`` takes those that trades form. ``run`` gives the decisions instead of a ``SymbolRun`` of
    ``strategy``; it gives the same ones.
    """

    def __init__(
        self,
        strategy: LoadedStrategy,
        fills: PrintFills,
        hours: Hours,
        known: Known,
        prices: SeriesSampler | None = None,
        *,
        run: Deciding | None = None,
    ) -> None:
        self.account: Account = fills.account
        self.fills = fills
        self.decisions: list[Decision] = []
        self.journal = Journal(self.account.symbol, self.account.start)
        self.days: list[date] = []
        self.muted: list[date] = []
        self.sources: set[str] = set()
        self.start = self.end = 0
        """Times of the first and of the last record, in ms UTC."""
        self.lost = False
        """Whether all of the account was lost."""
        self.prices = prices
        self._run: Deciding = run or SymbolRun(strategy, self.account.symbol, self._before, filings=known.filings)
        self._hours, self._known = hours, known
        self._mark: float | None = None
        self._mark_day = date.min
        self._expects_first_price = False
        self._close = _NEVER

    @property
    def equity(self) -> list[EquityPoint]:
        """The equity before the first record and at each close."""
        return self.journal.equity

    def feed(self, day: date, chunks: Iterable[Sequence[Trade]]) -> None:
        """Take the records of the next ``day`` of the log."""
        self._begin(day)
        for trades in chunks:
            self._feed(trades)
        if self._run.muted:
            self.muted.append(day)

    def finish(self, last: date, now: int) -> None:
        """No more records come: value what is held at each close up to ``last`` that was before ``now`` (ms UTC)."""
        self.fills.end()
        self.end = self._run.clock.ms
        if self._close <= now:
            self._reach_close()
        elif self._close < _NEVER:
            self._sample(max(self.end, self.equity[-1].time))
        if self.days:
            self._fill_up(last + timedelta(days=1), now)

    def _begin(self, day: date) -> None:
        if not self.days:
            self.start, _ = day_bounds(day)
            self._sample(self.start)
        else:
            if self._close < _NEVER:
                self._reach_close()
            self._fill_up(day, _NEVER)
            self._split(self.days[-1], day)
        self.days.append(day)
        self._close = _NEVER if (close := close_of(day, self._hours)) is None else close
        self._expects_first_price = self._mark is not None

    def _fill_up(self, day: date, now: int) -> None:
        """Value what is held on the dates before ``day`` that had no records."""
        missing = self.days[-1] + timedelta(days=1)
        while missing < day:
            close = close_of(missing, self._hours)
            if close is not None and close <= now:
                self._sample(close)
            missing += timedelta(days=1)

    def _split(self, before: date, day: date) -> None:
        for first, ratio in sorted((self._known.splits or {}).items()):
            if before < first <= day and self._mark is not None:
                self._mark /= ratio
                time, _ = day_bounds(first)
                self.account.split(ratio, self._mark, time)
                self.journal.split(ratio, self._mark, time)
                self.fills.split(ratio)

    def _feed(self, trades: Sequence[Trade]) -> None:
        if not trades:
            return
        self.sources.add(trades[0].source)
        if (index := first_at(trades, self._close)) is not None:
            self._take(trades[:index])
            trades = trades[index:]
            self._reach_close()
        self._take(trades)

    def _take(self, trades: Sequence[Trade]) -> None:
        if not trades:
            return
        if self._expects_first_price and (first := _first_price(trades)) is not None:
            self._expects_first_price = False
            if self._known.splits is not None and self._mark is not None:
                check_jump(self.account.symbol, self._mark, self._mark_day, first, self.days[-1])
        if self.prices is not None:
            for trade in trades:
                if _forms_price(trade):
                    self.prices.add(min(trade.ts_event, trade.ts_recv), trade.price)
        decisions = self._run.trades(trades)
        self.decisions += decisions
        self.fills.feed(trades, decisions)
        self.journal.fills(self.fills.fills)
        if (mark := _first_price(reversed(trades))) is not None:
            self._mark, self._mark_day = mark, self.days[-1]

    def _before(self, day: date, count: int) -> History:
        return History(*self._known.warmup(day, count))

    def _reach_close(self) -> None:
        self._sample(self._close)
        self._close = _NEVER

    def _sample(self, time: int) -> None:
        value = self.journal.sample(time, self._mark, self.account)
        if value <= 0 and not self.lost:
            self.lost = True
            self.fills.liquidate(time)


def _first_price(trades: Iterable[Trade]) -> float | None:
    """The price of the first trade that forms one."""
    for trade in trades:
        if _forms_price(trade):
            return trade.price
    return None


def _forms_price(trade: Trade) -> bool:
    return trade.volume > 0 and counts("price-forming", trade.conditions, trade.updates)


def close_of(day: date, hours: Hours) -> int | None:
    """When the equity of ``day`` is taken, in ms UTC: at the regular close, or at the end of the date in the exchange's time.

    None on a date without trading.
    """
    if hours == "exchange":
        return next((session.until for session in sessions_of(day) if session.name == "regular"), None)
    _, until = day_bounds(day)
    # The last millisecond of the date: its end is the next one's.
    return until - 1 if hours == "always" or is_currency_day(day) else None
