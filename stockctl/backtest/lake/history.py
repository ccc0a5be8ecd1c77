"""The days of a symbol's log, and those before an anchor, which warm a strategy up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import chain
from operator import attrgetter

import msgspec

from stockctl.backtest.lake.terms import Order
from stockctl.lake.reader.log_order import LogDay, LogReader
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.records import Trade

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


class Warmup:
    """The days with rows of ``symbol`` before those that a backtest runs on."""

    def __init__(self, lake: LakeReader, symbol: str, order: Order) -> None:
        self._lake, self._symbol, self._order = lake, symbol, order
        self._reader = LogReader(lake)
        self._found: list[date] | None = None
        self._seen: list[date] = []

    @property
    def reader(self) -> LogReader:
        """The reader of these days, with the claims that it read."""
        return self._reader

    def saw(self, day: date) -> None:
        """The backtest ran on ``day``, which has rows."""
        self._seen.append(day)

    def before(self, day: date, count: int) -> tuple[int, Iterator[list[Trade]]]:
        """The newest ``count`` days with rows before ``day``: how many there are, and their trades in log order."""
        if count <= 0:
            return 0, iter(())
        if self._found is None:
            self._found = self._search(self._seen[0] if self._seen else day, count)
        days = [one for one in (*self._found, *self._seen) if one < day][-count:]
        if not days:
            return 0, iter(())
        found = days_of(self._reader, self._symbol, days[0], day - timedelta(days=1), self._order)
        return len(days), chain.from_iterable(one.chunks for one in found)

    def _search(self, day: date, count: int) -> list[date]:
        """The newest ``count`` days with rows before ``day``, fewer if the lake has no more.

        A folder has the date of its trades, which may differ from the day of the log: only reading finds that.
        """
        dates = sorted(one for one in {*self._lake.dates(), *self._lake.compacted_dates()} if one < day)
        begin, found = len(dates), list[date]()
        while begin > 0 and len(found) < count:
            begin = max(0, begin - (count - len(found)))
            found = [one.day for one in self._reader.days(self._symbol, dates[begin], day - timedelta(days=1))]
        return found[-count:]
