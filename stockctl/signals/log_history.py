"""What a symbol's log holds before a place: from the lake in log order, then from the topic where the lake ends."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from itertools import takewhile

from stockctl.clients.closing import Closing
from stockctl.clients.kafka import Admin, Partition
from stockctl.errors import StockctlError, UnreachableError
from stockctl.exchange.calendar import EXCHANGE_ZONE, day_bounds, trade_date
from stockctl.exchange.log_clock import LogClock
from stockctl.lake.format.claims import start_of
from stockctl.lake.reader.log_order import LogReader
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.store import NoLakeError
from stockctl.records import Trade
from stockctl.settings import Settings, TopicsSettings
from stockctl.signals.topic_tail import TopicTail
from stockctl.strategies.symbol_run import History

_FRESH = 300.0
"""Seconds for which a listing of the lake is used: the topic has what came later."""

Rows = Iterator[tuple[date, Sequence[Trade]]]
"""Trades in log order with the day of the log that they belong to."""


class MissingHistoryError(StockctlError):
    """Records that a strategy must have seen are neither in the lake nor in Kafka."""


class AheadError(UnreachableError):
    """The lake is ahead of the topic: its writer has not noticed yet that the topic is another one."""


class LogHistory(Closing):
    """Reads the past of ``symbols``. The lake may be absent where Kafka has everything that is needed."""

    def __init__(self, settings: Settings, group: str, symbols: Collection[str]) -> None:
        self._settings = settings
        self._admin = Admin(settings)
        self._tail = TopicTail(settings, group, symbols)
        self._lake: _Lake | None = None
        self._opened = ExitStack()
        self._until = 0.0

    def trades_before(self, trade: Trade, partition: Partition, offset: int) -> Iterator[list[Trade]]:
        """The trades of the symbol that the log has before ``trade``, which is at ``offset``, from the same date on."""
        day = trade_date(min(trade.ts_event, trade.ts_recv))
        for _, trades in self._log(trade.symbol, partition, day, offset):
            ids = [one.id for one in trades]
            if trade.id in ids:
                # The lake is ahead.
                yield list(trades[: ids.index(trade.id)])
                return
            yield list(trades)

    def dates_before(self, symbol: str, day: date, days: int, partition: Partition, until: int) -> History:
        """The last ``days`` dates of the log before ``day``, as far as there are so many; the topic is read up to ``until``."""
        if not days:
            return History()
        lake = self._current()
        known = set() if lake is None else {*lake.reader.dates(), *lake.reader.compacted_dates()}
        dates = sorted(one for one in known if one < day)
        wanted = days
        while True:
            first = dates[max(0, len(dates) - wanted)] if dates else None
            found: list[date] = []
            for at, _ in self._days_until(symbol, partition, first, day, until):
                if not found or found[-1] != at:
                    found.append(at)
            if len(found) >= days or wanted >= len(dates):
                break
            # A date of the lake may have no rows of the symbol, or only rows that came later.
            wanted *= 2
        chosen = set(found[-days:])
        rows = self._days_until(symbol, partition, min(chosen, default=day), day, until) if chosen else iter(())
        return History(len(chosen), (trades for at, trades in rows if at in chosen))

    def _days_until(self, symbol: str, partition: Partition, first: date | None, day: date, until: int) -> Rows:
        """The days from ``first`` on (None: all that Kafka has) before ``day``."""
        return takewhile(lambda item: item[0] < day, self._log(symbol, partition, first, until))

    def _log(self, symbol: str, partition: Partition, first: date | None, until: int) -> Rows:
        lake, clock = self._current(), LogClock()
        since = self._begin(lake, partition, first)
        if lake is not None and first is not None:
            for log_day in lake.log.days(symbol, first, date.max - timedelta(2)):
                for trades in log_day.chunks:
                    for trade in trades:
                        clock.advance(trade.ts_event, trade.ts_recv)
                    yield log_day.day, trades
        if since >= until:
            return
        for placed in self._tail.rows(partition, since, until).get(symbol, ()):
            if placed.offset >= until:
                return
            clock.advance(placed.trade.ts_event, placed.trade.ts_recv)
            if first is None or clock.day >= first:
                yield clock.day, [placed.trade]

    def _begin(self, lake: _Lake | None, partition: Partition, first: date | None) -> int:
        """The offset from which the topic is read: where the lake ends. MissingHistoryError if records are in neither."""
        edges = self._admin.offsets([partition])[partition]
        since = 0 if lake is None else lake.ends.get(partition.number, 0)
        place = f"{partition.topic}/{partition.number}"
        if since > edges.end:
            raise AheadError(
                f"the lake has {place} up to offset {since}, and Kafka ends at {edges.end}",
                hint="start `stockctl consume s3`: it finds out what happened to the topic",
            )
        if since >= edges.start:
            return since
        if first is not None:
            midnight, _ = day_bounds(first, EXCHANGE_ZONE)
            if (at := self._tail.since(partition, midnight)) > edges.start:
                return at
        needed = "earlier dates" if first is None else f"the records from {first} on"
        has = "there is no lake" if lake is None else f"the lake has {place} up to offset {since}"
        raise MissingHistoryError(
            f"the strategy needs {needed}: {has}, and Kafka begins at {edges.start}",
            hint="run `stockctl consume s3` all the time, and set a longer retention for the topic",
        )

    def _current(self) -> _Lake | None:
        """The lake as listed at most ``_FRESH`` seconds ago; None if there is none."""
        if time.monotonic() >= self._until:
            self._opened.close()
            self._lake = None
            if self._settings.lake.url is not None:
                try:
                    reader = self._opened.enter_context(LakeReader(self._settings))
                except NoLakeError:
                    reader = None
                if reader is not None:
                    self._lake = _Lake(self._settings.topics, self._admin, reader)
            self._until = time.monotonic() + _FRESH
        return self._lake

    def close(self) -> None:
        """Close the lake's files and the connection to Kafka."""
        self._opened.close()
        self._tail.close()


class _Lake:
    """An open lake; ``ends`` says up to which offset it has each partition of the topic as it is now."""

    def __init__(self, topics: TopicsSettings, admin: Admin, reader: LakeReader) -> None:
        self.reader, self.log = reader, LogReader(reader)
        topic = topics.trades.name
        info = admin.topic(topic)
        self.ends: dict[int, int] = {}
        newest: dict[int, int] = {}
        for generation, number in self.log.ends():
            newest[number] = max(newest.get(number, 0), generation)
        for number, generation in newest.items():
            start = start_of(reader.store, "trades", generation, number)
            same = start is not None and start.topic == topic
            if same and start is not None and info is not None and start.topic_id and info.topic_id:
                same = start.topic_id == info.topic_id
            if same:
                self.ends[number] = self.log.ends()[generation, number]
