"""The records of a check: what each symbol's strategy is fed, in a file that the processes of the check read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from itertools import accumulate

import msgspec

from stockctl.records import Trade
from stockctl.strategies import Bar, Decision, History, LoadedStrategy, SymbolRun
from stockctl.strategies.symbol_run import SeenFiling

_trade = msgspec.msgpack.Decoder(Trade)
_bar = msgspec.msgpack.Decoder(Bar)


class TapeDay(msgspec.Struct):
    """The trades of one day of a symbol's log, each encoded: what is not decoded does not exist for a strategy."""

    day: date
    trades: list[msgspec.Raw]


class Tape(msgspec.Struct):
    """What one symbol is fed: the ``days`` from ``first`` on, or ``bars``. The days before ``first`` warm a strategy up."""

    symbol: str
    first: date
    days: list[TapeDay] = []
    filings: list[SeenFiling] = []
    bars: list[msgspec.Raw] = []

    @property
    def span(self) -> list[TapeDay]:
        """The days that a strategy decides on."""
        return [one for one in self.days if one.day >= self.first]

    @property
    def size(self) -> int:
        """The number of records that it decides on."""
        return len(self.bars) or sum(len(one.trades) for one in self.span)


class Tapes(msgspec.Struct):
    """The tapes of all symbols."""

    tapes: list[Tape]


def encoded(records: Sequence[Trade] | Sequence[Bar]) -> list[msgspec.Raw]:
    """``records``, each encoded."""
    encode = msgspec.msgpack.Encoder().encode
    return [msgspec.Raw(encode(record)) for record in records]


Change = Callable[[int, Trade], Trade]
"""Gives the trade to feed in place of the one at this position."""


class Feed:
    """Feeds ``tape`` to a strategy. The position of a decision is the place of its record in the tape's span.

    ``one_by_one`` decodes and feeds each record alone: then nothing later than it exists in the process. ``change`` replaces
    trades. ``first`` and ``stop`` are positions: those of the first record of a day, and after the last record. ``altered`` has
    the ids of records that the strategy changed.
    """

    def __init__(self, tape: Tape, *, one_by_one: bool = False, change: Change | None = None) -> None:
        self.tape, self.one_by_one, self.change = tape, one_by_one, change
        self.starts = [0, *accumulate(len(one.trades) for one in tape.span)]
        """Positions of the first record of each day, and after the last one."""
        self.altered: list[str] = []

    def decide(self, strategy: LoadedStrategy, *, first: int = 0, stop: int | None = None) -> list[Decision]:
        """The decisions of a new run of ``strategy``."""
        stop = self.tape.size if stop is None else stop
        if self.tape.bars:
            return self._decide_bars(strategy, stop)
        run = SymbolRun(strategy, self.tape.symbol, self._before, filings=self.tape.filings)
        decisions: list[Decision] = []
        for position, trades in self._parts(first, stop):
            decisions += [one._replace(position=position + one.position) for one in run.trades(trades)]
        return decisions

    def _parts(self, first: int, stop: int) -> Iterator[tuple[int, list[Trade]]]:
        """The trades of ``[first, stop)`` in lists, each with the position of its first."""
        for start, one in zip(self.starts, self.tape.span, strict=False):
            begin, end = max(first, start), min(stop, start + len(one.trades))
            size = 1 if self.one_by_one else max(end - begin, 1)
            for position in range(begin, end, size):
                trades = [_trade.decode(raw) for raw in one.trades[position - start : min(position + size, end) - start]]
                if self.change is not None:
                    trades = [self.change(position + index, trade) for index, trade in enumerate(trades)]
                before = list(map(tuple_of, trades))
                yield position, trades
                self.altered += [str(row[0]) for row, trade in zip(before, trades, strict=False) if row != tuple_of(trade)]

    def _before(self, day: date, count: int) -> History:
        days = [one for one in self.tape.days if one.day < day][-count:] if count > 0 else []
        return History(len(days), ([_trade.decode(raw) for raw in one.trades] for one in days))

    def _decide_bars(self, strategy: LoadedStrategy, stop: int) -> list[Decision]:
        run = SymbolRun(strategy, self.tape.symbol)
        decisions: list[Decision] = []
        size = 1 if self.one_by_one else max(stop, 1)
        for position in range(0, stop, size):
            bars = [_bar.decode(raw) for raw in self.tape.bars[position : min(position + size, stop)]]
            if self.change is not None:
                bars = [self._changed(position + index, bar) for index, bar in enumerate(bars)]
            decisions += [one._replace(position=position + one.position) for one in run.bars(bars)]
        return decisions

    def _changed(self, position: int, bar: Bar) -> Bar:
        """``bar`` with the prices that a trade at its close would get."""
        assert self.change is not None  # noqa: S101  # for mypy: the caller looked
        trade = Trade("noise", bar.symbol, bar.close, bar.volume, bar.start, bar.start, "", "", "noise")
        ratio = self.change(position, trade).price / bar.close
        prices = {name: getattr(bar, name) * ratio for name in ("open", "high", "low", "close", "vwap")}
        return bar if ratio == 1 else bar._replace(**prices)

    def day_start(self, position: int) -> int:
        """The position of the first record of the day of the record at ``position``."""
        return 0 if self.tape.bars else self.starts[bisect_right(self.starts, position) - 1]


def tuple_of(trade: Trade) -> tuple[object, ...]:
    """The values of ``trade``."""
    return msgspec.structs.astuple(trade)
