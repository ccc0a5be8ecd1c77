"""What one process of a sweep does: several sets of parameters on one symbol, whose records it reads once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from stockctl.backtest.account import Account
from stockctl.backtest.bars_run import Terms, run_symbol_bars
from stockctl.backtest.fills.prints import PrintFills
from stockctl.backtest.gaps import GapMarks, SymbolCoverage
from stockctl.backtest.lake.history import Warmup, days_of
from stockctl.backtest.lake.tape import Known, TapeRun
from stockctl.backtest.lake.terms import LakeTerms
from stockctl.backtest.lake_run import held_until, symbol_filings
from stockctl.backtest.result import SymbolResult
from stockctl.backtest.splits import parse_splits
from stockctl.backtest.sweep.shared_bars import SharedBars, sees_bars_alone
from stockctl.errors import UsageError
from stockctl.exchange.calendar import trade_date
from stockctl.exchange.log_clock import LogClock
from stockctl.lake.reader.log_order import LogReader
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.records import Trade
from stockctl.settings import Settings
from stockctl.strategies import Bar, LoadedStrategy, load_strategy
from stockctl.strategies.loading import parse_params

Day = tuple[date, list[list[Trade]]]


class BarsData(NamedTuple):
    """The bars of a symbol, encoded."""

    content: bytes
    terms: Terms


class LakeData(NamedTuple):
    """The dates of a symbol in the lake, and what its fills depend on. ``now`` is in ms UTC."""

    settings: Settings
    first: date
    last: date
    now: int
    terms: LakeTerms
    coverage: SymbolCoverage


class Work(NamedTuple):
    """Sets of parameters to run on one symbol with ``cash``; ``first`` is the number of the first set."""

    reference: str
    version: str
    symbol: str
    cash: float
    data: BarsData | LakeData
    first: int
    sets: Sequence[Mapping[str, Any]]


class Trial(NamedTuple):
    """One set of parameters on one symbol. ``result`` is without its decisions, and has the equity at the end of each date."""

    number: int
    hash: str
    decisions: int
    result: SymbolResult


def run_work(work: Work) -> list[Trial]:
    """Run all sets. What a strategy prints goes to stderr."""
    with redirect_stdout(sys.stderr):
        return list(_trials(work))


def _trials(work: Work) -> Iterator[Trial]:
    loaded = load_strategy(work.reference, work.sets[0])
    if loaded.version != work.version:
        raise UsageError(
            f"{loaded.name} has another version here than where the sweep was started", hint="install the same code everywhere"
        )
    for number, params in enumerate(work.sets, work.first):
        strategy = loaded._replace(params=parse_params(loaded.reference, loaded.kind, params))
        if isinstance(work.data, BarsData):
            bars, kept = _bars(work.data.content)
            result = run_symbol_bars(strategy, work.symbol, bars, work.data.terms, work.cash, keep_prices=False)
            equity = [result.equity[index] for index in kept]
        else:
            result = _run_lake(work, work.data, strategy)
            equity = list(result.equity)
        small = result._replace(decisions=(), equity=equity)
        yield Trial(number, result.hash, len(result.decisions), small)


@lru_cache(1)
def _bars(content: bytes) -> tuple[list[Bar], list[int]]:
    """The bars, and the indexes of the first of all and of the last of each date."""
    bars = msgspec.msgpack.decode(content, type=list[Bar])
    last = {trade_date(bar.end - 1): index for index, bar in enumerate(bars)}
    return bars, sorted({0, *last.values()})


def encode_bars(bars: Sequence[Bar]) -> bytes:
    """``bars`` for ``BarsData``."""
    return msgspec.msgpack.encode(bars)


class _Tape:
    """The trades of a symbol, read once, and the bars that were built from them."""

    def __init__(self, settings: Settings, symbol: str, first: date, last: date) -> None:
        self._settings, self.symbol, self._first = settings, symbol, first
        self._shared: dict[tuple[str, int], SharedBars] = {}
        self._before: list[Day] = []
        self._asked = 0
        with LakeReader(settings) as lake:
            self.hours = lake.calendar.hours(symbol)
            self.days: list[Day] = [(day, list(chunks)) for day, chunks in days_of(LogReader(lake), symbol, first, last)]

    def before(self, day: date, count: int) -> tuple[int, Iterator[list[Trade]]]:
        """The newest ``count`` days before ``day``: how many there are, and their trades."""
        days = [one for one in [*self.warmup(count), *self.days] if one[0] < day][-count:] if count > 0 else []
        return len(days), (trades for _, chunks in days for trades in chunks)

    def warmup(self, count: int) -> list[Day]:
        """The newest ``count`` days before the span, read when they are first asked for."""
        if count > self._asked:
            self._asked = count
            with LakeReader(self._settings) as lake:
                first = self.days[0][0] if self.days else self._first
                _, found = Warmup(lake, self.symbol, "log").before(first, count)
                self._before = _by_day(found)
        return self._before[-count:] if count > 0 else []

    def shared(self, every: str, count: int) -> SharedBars:
        """The bars of ``every``, with those of ``count`` days before."""
        before = self.warmup(count)
        key = (every, len(before))
        if key not in self._shared:
            self._shared[key] = SharedBars(self.symbol, every, [*before, *self.days], len(before))
        return self._shared[key]


def _by_day(chunks: Iterator[list[Trade]]) -> list[Day]:
    clock = LogClock()
    days: list[Day] = []
    for trades in chunks:
        for trade in trades:
            if clock.advance(trade.ts_event, trade.ts_recv):
                days.append((clock.day, [[]]))
            days[-1][1][0].append(trade)
    return days


_TAPES: dict[tuple[Any, ...], _Tape] = {}
"""The tape that was read last, by what was read."""


def _tape(work: Work, data: LakeData) -> _Tape:
    key = (str(data.settings.lake.url), work.symbol, data.first, data.last)
    if key not in _TAPES:
        _TAPES.clear()  # memory for one symbol alone
        _TAPES[key] = _Tape(data.settings, work.symbol, data.first, data.last)
    return _TAPES[key]


def _run_lake(work: Work, data: LakeData, strategy: LoadedStrategy) -> SymbolResult:
    tape = _tape(work, data)
    splits = parse_splits(data.terms.splits)
    seen = symbol_filings(data.settings, work.symbol, strategy, data.terms).seen
    known = Known(seen, tape.before, None if splits is None else splits.get(work.symbol, {}))
    account = Account(work.symbol, work.cash)
    fills = PrintFills(account, data.terms.rules(), GapMarks(data.coverage.gaps))
    shared = None
    if sees_bars_alone(strategy) and tape.days:
        instance = strategy.make(work.symbol)
        if (every := getattr(instance, "every", None)) is not None:
            shared = tape.shared(every, getattr(instance, "warmup_days", 0)).run(strategy)
    run = TapeRun(strategy, fills, tape.hours, known, run=shared)
    for day, chunks in tape.days:
        run.feed(day, chunks)
    run.finish(data.last, data.now)
    span = float(max(run.end - run.start, 0))
    return SymbolResult.of(account, run.decisions, fills.fills, run.equity, held_until(account, run.end), span)
