"""What a symbol's log has before an anchor, read from the lake: the days that warm a strategy up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import chain

from stockctl.lake.reader.log_order import LogDay, LogReader
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.records import Trade


class DaysBefore:
    """The days with rows of ``symbol`` before a day of its log."""

    def __init__(self, lake: LakeReader, symbol: str) -> None:
        self.lake, self.symbol = lake, symbol
        self.reader = LogReader(lake)
        """The reader of these days, with the claims that it read."""
        self._found: list[date] = []
        self._searched = 0
        """How many days ``_found`` was to have."""
        self._seen: list[date] = []

    def saw(self, day: date) -> None:
        """The strategy ran on ``day``, which has rows."""
        self._seen.append(day)

    def before(self, day: date, count: int) -> tuple[int, Iterator[list[Trade]]]:
        """The newest ``count`` days with rows before ``day``: how many there are, and their trades in order."""
        if count <= 0:
            return 0, iter(())
        if count > self._searched:
            self._found, self._searched = self._search(self._seen[0] if self._seen else day, count), count
        days = [one for one in (*self._found, *self._seen) if one < day][-count:]
        if not days:
            return 0, iter(())
        return len(days), chain.from_iterable(one.chunks for one in self.days(days[0], day - timedelta(days=1)))

    def days(self, first: date, last: date) -> Iterator[LogDay]:
        """The days ``[first, last]`` with their trades."""
        return self.reader.days(self.symbol, first, last)

    def _search(self, day: date, count: int) -> list[date]:
        """The newest ``count`` days with rows before ``day``, fewer if the lake has no more.

        A folder has the date of its trades, which may differ from the day of the log: only reading finds that.
        """
        dates = sorted(one for one in {*self.lake.dates(), *self.lake.compacted_dates()} if one < day)
        begin, found = len(dates), list[date]()
        while begin > 0 and len(found) < count:
            begin = max(0, begin - (count - len(found)))
            found = [one.day for one in self.reader.days(self.symbol, dates[begin], day - timedelta(days=1))]
        return found[-count:]
