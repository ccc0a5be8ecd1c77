"""What a symbol's log has before an anchor, read from the lake: the days that warm a strategy up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import chain

from stockctl.lake.reader.log_order import LogReader
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.records import Trade


class DaysBefore:
    """The days with rows of ``symbol`` before a day of its log."""

    def __init__(self, lake: LakeReader, symbol: str) -> None:
        self._lake, self._symbol = lake, symbol
        self.reader = LogReader(lake)
        """The reader of these days, with the claims that it read."""

    def read(self, day: date, count: int) -> tuple[int, Iterator[list[Trade]]]:
        """The newest ``count`` days with rows before ``day``: how many there are, and their trades in log order."""
        days = self._search(day, count) if count > 0 else []
        if not days:
            return 0, iter(())
        found = self.reader.days(self._symbol, days[0], day - timedelta(days=1))
        return len(days), chain.from_iterable(one.chunks for one in found)

    def _search(self, day: date, count: int) -> list[date]:
        """The newest ``count`` days with rows before ``day``, fewer if the lake has no more.

        A folder names the date of a trade, and the log's day may differ: only reading finds it.
        """
        dates = sorted(one for one in {*self._lake.dates(), *self._lake.compacted_dates()} if one < day)
        begin, found = len(dates), list[date]()
        while begin > 0 and len(found) < count:
            begin = max(0, begin - (count - len(found)))
            found = [one.day for one in self.reader.days(self._symbol, dates[begin], day - timedelta(days=1))]
        return found[-count:]
