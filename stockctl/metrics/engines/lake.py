"""The engine ``lake``: trades from the lake's objects, in DuckDB."""
# ruff: noqa: D102  # methods are documented in ``Engine``

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set
from contextlib import contextmanager
from datetime import date
from typing import Self

import duckdb

from stockctl.exchange.calendar import Calendar
from stockctl.lake.reader.duckdb_session import duck, received_by
from stockctl.lake.reader.events import read_events
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.symbols import LakeSymbols
from stockctl.metrics.coverage_report import connected_before, lag_ms
from stockctl.metrics.engines.base import Event, Notify, TradeRange, ignore
from stockctl.metrics.engines.duckdb_base import DuckDBEngine
from stockctl.settings import Settings


class LakeEngine(LakeSymbols, DuckDBEngine):
    """The lake."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, lake: LakeReader, received_by: int | None = None) -> None:
        LakeSymbols.__init__(self, lake)
        DuckDBEngine.__init__(self, connection)
        self._received_by = received_by
        self.lag_ms = lag_ms(lake.settings.lake.max_age)

    @classmethod
    @contextmanager
    def connect(cls, settings: Settings, received_by: int | None = None, notify: Notify = ignore) -> Iterator[Self]:
        with LakeReader(settings) as lake, duck() as connection:
            yield cls(connection, lake, received_by)

    def dates(self, symbol: str) -> Iterator[date]:
        return reversed(self._lake.dates())

    def has_filings(self, symbol: str) -> bool:
        from stockctl.filings.repository import stored_accessions

        return any(stored_accessions(self._lake.store, symbol))

    def find(self, symbol: str, since: int | None, until: int | None) -> list[TradeRange]:
        files = self._lake.find("trades", symbols=[symbol], since=since, until=until, exact=True, as_of=self._received_by)
        return [
            TradeRange(file.claimed.key, symbol, file.trade_date, file.claimed.ts_min, file.claimed.ts_max, file)
            for file in files
        ]

    def load(self, ranges: Iterable[TradeRange], name: str) -> None:
        objects = f"{name}_objects"
        self._lake.view(self._connection, "trades", [item.file for item in ranges if item.file is not None], objects)
        self._connection.table(objects).filter(received_by(self._received_by)).create_view(name)

    def through(self, symbol: str, ranges: Collection[TradeRange]) -> int | None:
        return self._lake.through(symbol, [item.file for item in ranges if item.file is not None])

    def events(self, since: int, until: int) -> list[Event]:
        return read_events(self._lake, since, until, self._received_by)

    def connected_before(self, symbols: Set[str], ms: int) -> set[str]:
        return connected_before(self._lake, symbols, ms, self._received_by)

    def calendar(self, symbol: str) -> Calendar:
        """The calendar of the source with which the lake began."""
        return self._lake.calendar
