"""The lake and MongoDB as one engine: a date's trades from the lake, and those that it does not have yet from MongoDB.

MongoDB may keep less than a date, and the lake is a batch behind. A trade that both have counts once, by its id.
"""
# ruff: noqa: D102  # methods are documented in ``Engine``

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set
from contextlib import contextmanager
from datetime import date
from typing import Self

import duckdb

from stockctl.clients.mongo import Mongo
from stockctl.exchange.calendar import Calendar
from stockctl.lake.reader.duckdb_session import COLUMNS, duck
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.metrics.engines.base import Event, Notify, TradeRange, ignore
from stockctl.metrics.engines.duckdb_base import DuckDBEngine
from stockctl.metrics.engines.lake import LakeEngine
from stockctl.metrics.engines.mongo import MongoEngine
from stockctl.settings import Settings

OVERLAP_MS = 60_000
"""Records received so long before the lake's newest are compared by their ids: partitions do not advance together."""
LATE_MS = 900_000
"""A trade that happened longer before that is shown once the lake has it."""


class CombinedEngine(DuckDBEngine):
    """The lake, and MongoDB for what is newer."""

    place = "the lake and MongoDB"

    def __init__(self, connection: duckdb.DuckDBPyConnection, lake: LakeEngine, mongo: MongoEngine) -> None:
        super().__init__(connection)
        self._lake = lake
        self._mongo = mongo
        self._newer_than: dict[str, int] = {}
        """By symbol, the receipt time in ms up to which the lake has all of the trades that were found."""
        self.lag_ms = mongo.lag_ms

    @classmethod
    @contextmanager
    def connect(cls, settings: Settings, received_by: int | None = None, notify: Notify = ignore) -> Iterator[Self]:
        with Mongo(settings) as mongo, LakeReader(settings) as lake, duck() as connection:
            mongo.wait(say=notify)
            yield cls(
                connection,
                LakeEngine(connection, lake, received_by),
                MongoEngine(connection, mongo, settings.mongo.max_age, received_by),
            )

    def dates(self, symbol: str) -> Iterator[date]:
        yield from sorted({*self._lake.dates(symbol), *self._mongo.dates(symbol)}, reverse=True)

    def symbols(self) -> set[str]:
        return self._lake.symbols() | self._mongo.symbols()

    def all_symbols(self) -> set[str]:
        return self._lake.all_symbols() | self._mongo.all_symbols()

    def has_symbol(self, symbol: str) -> bool:
        return self._mongo.has_symbol(symbol) or self._lake.has_symbol(symbol)

    def has_filings(self, symbol: str) -> bool:
        return self._lake.has_filings(symbol)

    def find(self, symbol: str, since: int | None, until: int | None) -> list[TradeRange]:
        """The lake's objects, and MongoDB's trades since shortly before the lake's newest, one range per date."""
        stored = self._lake.find(symbol, since, until)
        reached = self._lake.through(symbol, stored)
        self._newer_than[symbol] = 0 if reached is None else reached - OVERLAP_MS
        earliest = None if reached is None else reached - OVERLAP_MS - LATE_MS
        first = max((bound for bound in (since, earliest) if bound is not None), default=None)
        if first is not None and until is not None and first >= until:
            return stored
        return [*stored, *self._mongo.find(symbol, first, until)]

    def load(self, ranges: Iterable[TradeRange], name: str) -> None:
        ranges = list(ranges)
        stored = [item for item in ranges if item.file is not None]
        newer = [item for item in ranges if item.file is None]
        self._lake.load(stored, f"{name}_stored")
        if not newer:
            self._connection.table(f"{name}_stored").create_view(name)
            return
        self._mongo.load(newer, f"{name}_newer")
        since = min(self._newer_than[item.symbol] for item in newer)
        recent = [item for item in stored if item.ts_max >= since - LATE_MS]
        self._lake.load(recent, f"{name}_recent")
        columns = ", ".join(COLUMNS["trades"])
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {name}_added AS SELECT {columns} FROM {name}_newer "  # noqa: S608  # no values
            f"WHERE ts_recv >= $since AND id NOT IN (SELECT id FROM {name}_recent)",
            {"since": since},
        )
        self._connection.sql(
            f"SELECT {columns} FROM {name}_stored UNION ALL SELECT {columns} FROM {name}_added"  # noqa: S608  # no values
        ).create_view(name)

    def through(self, symbol: str, ranges: Collection[TradeRange]) -> int | None:
        known = [
            engine.through(symbol, [item for item in ranges if (item.file is None) == (engine is self._mongo)])
            for engine in (self._lake, self._mongo)
        ]
        return max((one for one in known if one is not None), default=None)

    def events(self, since: int, until: int) -> list[Event]:
        events = {event["id"]: event for engine in (self._mongo, self._lake) for event in engine.events(since, until)}
        return sorted(events.values(), key=lambda event: (event["span_start"], event["id"]))

    def connected_before(self, symbols: Set[str], ms: int) -> set[str]:
        found = self._mongo.connected_before(symbols, ms)
        return found | self._lake.connected_before(symbols - found, ms)

    def calendar(self, symbol: str) -> Calendar:
        return self._mongo.calendar(symbol)
