"""The days of a symbol's log, and those before an anchor, which warm a strategy up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import chain
from operator import attrgetter

import msgspec

from stockctl.backtest.lake.terms import Order
from stockctl.lake.reader.log_order import LogDay, LogReader
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.records import Trade
from stockctl.strategies.lake_history import DaysBefore

_BY_EVENT = attrgetter("ts_event", "ts_recv", "id")


def days_of(reader: LogReader, symbol: str, first: date, last: date, order: Order = "log") -> Iterator[LogDay]:
    """The days ``[first, last]`` of the symbol's log.

    With ``order`` ``event``, the records of each day are sorted by the time of the trade, as if each had been received then.
    """
    for day, chunks in reader.days(symbol, first, last):
        yield LogDay(day, chunks if order == "log" else iter([by_event(chain.from_iterable(chunks))]))


def by_event(trades: Iterable[Trade]) -> list[Trade]:
    """``trades`` by their time, each received at that time."""
    return [msgspec.structs.replace(trade, ts_recv=trade.ts_event) for trade in sorted(trades, key=_BY_EVENT)]


class Warmup(DaysBefore):
    """The days with rows of ``symbol`` before those that a backtest runs on, in ``order``."""

    def __init__(self, lake: LakeReader, symbol: str, order: Order) -> None:
        super().__init__(lake, symbol)
        self._order = order

    def days(self, first: date, last: date) -> Iterator[LogDay]:
        """The days ``[first, last]`` with their trades."""
        return days_of(self.reader, self.symbol, first, last, self._order)
