"""The engine ``mongo``: trades from MongoDB's documents, in DuckDB."""
# ruff: noqa: D102  # methods are documented in ``Engine``

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from typing import Any, Self

import duckdb
import pyarrow as pa

from stockctl.clients.mongo import Mongo
from stockctl.exchange.calendar import Calendar, calendar_of, day_bounds, trade_date
from stockctl.lake.reader.duckdb_session import COLUMNS, duck
from stockctl.metrics.coverage_report import lag_ms
from stockctl.metrics.engines.base import Event, Notify, TradeRange, ignore
from stockctl.metrics.engines.duckdb_base import DuckDBEngine
from stockctl.mongo import coverage
from stockctl.mongo.allowed_sources import begun_with
from stockctl.mongo.documents import date_of, ms_of
from stockctl.mongo.schema import COMPANIES
from stockctl.settings import Settings

_ARROW_TYPES: dict[str, pa.DataType] = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64()}
_SCHEMA = pa.schema([(column, _ARROW_TYPES[kind]) for column, kind in COLUMNS["trades"].items()])


class MongoEngine(DuckDBEngine):
    """MongoDB."""

    place = "MongoDB"

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, mongo: Mongo, max_age: float, received_by: int | None = None
    ) -> None:
        super().__init__(connection)
        self._mongo = mongo
        self._received_by = received_by
        self._tables: dict[str, pa.Table] = {}
        self.lag_ms = lag_ms(max_age)

    @classmethod
    @contextmanager
    def connect(cls, settings: Settings, received_by: int | None = None, notify: Notify = ignore) -> Iterator[Self]:
        with Mongo(settings) as mongo, duck() as connection:
            mongo.wait(say=notify)
            yield cls(connection, mongo, settings.mongo.max_age, received_by)

    def dates(self, symbol: str) -> Iterator[date]:
        end = None if self._received_by is None else day_bounds(trade_date(self._received_by))[1]
        while (last := self._seek(symbol, None, end, -1)) is not None:
            yield trade_date(last)
            end = day_bounds(trade_date(last))[0]

    def symbols(self) -> set[str]:
        """The symbols in ``companies``: each symbol with trades or filings has a document there."""
        return {document["_id"] for document in self._mongo.find(COMPANIES, {}, [])}

    all_symbols = symbols

    def has_symbol(self, symbol: str) -> bool:
        """Whether there are trades of ``symbol``: its document in ``companies`` may come later."""
        return self._seek(symbol, None, None, -1) is not None

    def has_filings(self, symbol: str) -> bool:
        return bool((self._mongo.get(COMPANIES, symbol) or {}).get("filing"))

    def find(self, symbol: str, since: int | None, until: int | None) -> list[TradeRange]:
        """One range per trade date."""
        ranges: list[TradeRange] = []
        first = self._seek(symbol, since, until, 1)
        while first is not None:
            midnight = day_bounds(trade_date(first))[1]
            last = self._seek(symbol, first, midnight if until is None else min(midnight, until), -1)
            ranges.append(TradeRange(f"{symbol} {first}", symbol, trade_date(first), first, first if last is None else last))
            first = self._seek(symbol, midnight, until, 1) if until is None or midnight < until else None
        return ranges

    def load(self, ranges: Iterable[TradeRange], name: str) -> None:
        tables = [self._table(item) for item in ranges]
        self._connection.register(name, pa.concat_tables(tables) if tables else _SCHEMA.empty_table())

    def _table(self, item: TradeRange) -> pa.Table:
        """The trades of ``item``, read once for all queries of this connection."""
        if item.key not in self._tables:
            columns: dict[str, list[Any]] = {column: [] for column in COLUMNS["trades"]}
            for document in self._mongo.find("trades", self._filter(item.symbol, item.ts_min, item.ts_max + 1)):
                document["id"] = document["_id"]
                document["ts_event"], document["ts_recv"] = ms_of(document["ts_event"]), ms_of(document["ts_recv"])
                for column, values in columns.items():
                    values.append(document[column])
            self._tables[item.key] = pa.table(columns, _SCHEMA)
        return self._tables[item.key]

    def through(self, symbol: str, ranges: Collection[TradeRange]) -> int | None:
        """From the symbol's newest trades, on any date."""
        last = max((item.ts_max for item in ranges), default=None)
        return None if last is None else coverage.through(self._mongo, symbol, day_bounds(trade_date(last))[0])

    def events(self, since: int, until: int) -> list[Event]:
        times = ("span_start", "span_end", "ts_recv")
        overlap = {"span_end": {"$gte": date_of(since)}, "span_start": {"$lt": date_of(until)}}
        documents = self._mongo.find("coverage", overlap | coverage.received(self._received_by))
        events = [
            document | {"id": document["_id"]} | {name: ms_of(document[name]) for name in times} for document in documents
        ]
        return sorted(events, key=lambda event: (event["span_start"], event["id"]))

    def connected_before(self, symbols: Set[str], ms: int) -> set[str]:
        return coverage.connected_before(self._mongo, symbols, ms, self._received_by)

    def calendar(self, symbol: str) -> Calendar:
        """The calendar of the source with which MongoDB's collections began."""
        return self._calendar

    @cached_property
    def _calendar(self) -> Calendar:
        return calendar_of(begun_with(self._mongo))

    def _seek(self, symbol: str, since: int | None, until: int | None, direction: int) -> int | None:
        """Time of the first (1) or the last (-1) trade in ``[since, until)``, in ms UTC.

        The index answers alone, except with ``received_by``, which needs the documents.
        """
        found = self._mongo.find(
            "trades", self._filter(symbol, since, until), ["ts_event"], sort=[("ts_event", direction)], limit=1
        )
        return next((ms_of(document["ts_event"]) for document in found), None)

    def _filter(self, symbol: str, since: int | None, until: int | None) -> dict[str, Any]:
        bounds = {"$gte": since, "$lt": until}
        times = {operator: date_of(bound) for operator, bound in bounds.items() if bound is not None}
        return {"symbol": symbol} | ({"ts_event": times} if times else {}) | coverage.received(self._received_by)
