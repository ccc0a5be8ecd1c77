"""Where a question's trades and feed events come from: the lake's objects, or MongoDB's documents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import duckdb

from stockctl.exchange.calendar import Calendar, calendar_of, day_bounds, trade_date
from stockctl.lake.reader.catalog import DataFile, LakeReader
from stockctl.lake.reader.duckdb_session import COLUMNS, received_by
from stockctl.lake.reader.events import read_events
from stockctl.lake.reader.symbols import LakeSymbols
from stockctl.metrics.coverage_report import connected_before, lag_ms
from stockctl.settings import Settings
from stockctl.symbols import SymbolLookup

if TYPE_CHECKING:
    from stockctl.clients.mongo import Mongo

Event = dict[str, Any]


class Held(NamedTuple):
    """Trades that an engine holds of one symbol, between ``ts_min`` and ``ts_max`` (ms UTC), both included.

    ``found`` is the object that they lie in, where there is one; ``key`` tells two apart.
    """

    key: str
    symbol: str
    trade_date: date
    ts_min: int
    ts_max: int
    found: DataFile | None = None


class Rows(SymbolLookup, Protocol):
    """What an engine must be able to tell, of what had been received by the moment for which it was made, if for one: records,
    coverage and connections. Which symbols and dates there are it may tell of all that it holds.

    ``lag_ms`` is how far behind the feed it may be while all is well.
    """

    lag_ms: int

    def dates(self, symbol: str) -> Iterator[date]:
        """Dates that may have trades of ``symbol``, the newest first."""
        ...

    def has_filings(self, symbol: str) -> bool:
        """Whether it holds filings of ``symbol``, whatever it holds of its trades."""
        ...

    def find(self, symbol: str, since: int | None, until: int | None) -> list[Held]:
        """What is held of ``symbol`` that may lie in ``[since, until)`` (ms UTC); None is no bound."""
        ...

    def load(self, connection: duckdb.DuckDBPyConnection, held: Iterable[Held], name: str) -> None:
        """Make these trades the relation ``name``, with the columns of ``COLUMNS``."""
        ...

    def through(self, symbol: str, held: Collection[Held]) -> int | None:
        """Receipt time in ms up to which all trades of ``symbol`` are held; None if nothing was ``held`` of it."""
        ...

    def events(self, since: int, until: int) -> list[Event]:
        """The feed events that touch ``[since, until)``, as mappings of their fields."""
        ...

    def connected_before(self, symbols: Set[str], ms: int) -> set[str]:
        """Those of ``symbols`` that the feed had been connected for before ``ms`` (UTC)."""
        ...

    def calendar(self, symbol: str) -> Calendar:
        """By which hours the trades of ``symbol`` are read."""
        ...


class LakeRows(LakeSymbols):
    """The lake."""

    def __init__(self, settings: Settings, lake: LakeReader, as_of: int | None = None) -> None:
        super().__init__(lake)
        self._as_of = as_of
        self.lag_ms = lag_ms(settings.lake.max_age)

    def dates(self, symbol: str) -> Iterator[date]:
        """As in ``Rows``."""
        return reversed(self._lake.dates())

    def has_filings(self, symbol: str) -> bool:
        """As in ``Rows``."""
        from stockctl.filings.repository import stored_accessions

        return any(stored_accessions(self._lake.store, symbol))

    def find(self, symbol: str, since: int | None, until: int | None) -> list[Held]:
        """As in ``Rows``."""
        found = self._lake.find("trades", symbols=[symbol], since=since, until=until, exact=True, as_of=self._as_of)
        return [
            Held(item.claimed.key, symbol, item.trade_date, item.claimed.ts_min, item.claimed.ts_max, item) for item in found
        ]

    def load(self, connection: duckdb.DuckDBPyConnection, held: Iterable[Held], name: str) -> None:
        """As in ``Rows``."""
        found, stored = [item.found for item in held if item.found is not None], f"{name}_objects"
        self._lake.view(connection, "trades", found, stored)
        connection.table(stored).filter(received_by(self._as_of)).create_view(name)

    def through(self, symbol: str, held: Collection[Held]) -> int | None:
        """As in ``Rows``."""
        return self._lake.through(symbol, [item.found for item in held if item.found is not None])

    def events(self, since: int, until: int) -> list[Event]:
        """As in ``Rows``."""
        return read_events(self._lake, since, until, self._as_of)

    def connected_before(self, symbols: Set[str], ms: int) -> set[str]:
        """As in ``Rows``."""
        return connected_before(self._lake, symbols, ms, self._as_of)

    def calendar(self, symbol: str) -> Calendar:
        """As in ``Rows``: that of the source that the lake was begun with."""
        return self._lake.calendar


class MongoRows(SymbolLookup):
    """MongoDB."""

    place = "MongoDB"

    def __init__(self, settings: Settings, mongo: Mongo, as_of: int | None = None) -> None:
        self._mongo = mongo
        self._as_of = as_of
        self.lag_ms = lag_ms(settings.mongo.max_age)

    def _seek(self, symbol: str, since: int | None, until: int | None, direction: int) -> int | None:
        """Time of the first (1) or the last (−1) trade of ``[since, until)``; answered by the index alone, unless some were not
        yet received.
        """
        from stockctl.mongo.documents import ms_of

        found = self._mongo.find(
            "trades", self._between(symbol, since, until), ["ts_event"], sort=[("ts_event", direction)], limit=1
        )
        return next((ms_of(document["ts_event"]) for document in found), None)

    def dates(self, symbol: str) -> Iterator[date]:
        """As in ``Rows``."""
        last = self._seek(symbol, None, None if self._as_of is None else day_bounds(trade_date(self._as_of))[1], -1)
        while last is not None:
            yield trade_date(last)
            last = self._seek(symbol, None, day_bounds(trade_date(last))[0], -1)

    def symbols(self) -> set[str]:
        """As in ``SymbolLookup``: there is a company for each."""
        from stockctl.mongo.schema import COMPANIES

        return {document["_id"] for document in self._mongo.find(COMPANIES, {}, [])}

    all_symbols = symbols

    def has_symbol(self, symbol: str) -> bool:
        """As in ``SymbolLookup``: trades alone where the company's document is not there yet."""
        return self._seek(symbol, None, None, -1) is not None

    def has_filings(self, symbol: str) -> bool:
        """As in ``Rows``."""
        from stockctl.mongo.schema import COMPANIES

        return bool((self._mongo.get(COMPANIES, symbol) or {}).get("filing"))

    def find(self, symbol: str, since: int | None, until: int | None) -> list[Held]:
        """As in ``Rows``."""
        held: list[Held] = []
        first = self._seek(symbol, since, until, 1)
        while first is not None:
            midnight = day_bounds(trade_date(first))[1]
            last = self._seek(symbol, first, midnight if until is None else min(midnight, until), -1)
            held.append(Held(f"{symbol} {first}", symbol, trade_date(first), first, first if last is None else last))
            first = self._seek(symbol, midnight, until, 1) if until is None or midnight < until else None
        return held

    def load(self, connection: duckdb.DuckDBPyConnection, held: Iterable[Held], name: str) -> None:
        """As in ``Rows``."""
        import pyarrow as pa

        from stockctl.mongo.documents import ms_of

        kinds: dict[str, pa.DataType] = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64()}
        schema = pa.schema([(column, kinds[kind]) for column, kind in COLUMNS["trades"].items()])
        columns: dict[str, list[Any]] = {column: [] for column in COLUMNS["trades"]}
        for item in held:
            for document in self._mongo.find("trades", self._between(item.symbol, item.ts_min, item.ts_max + 1)):
                document["id"] = document["_id"]
                document["ts_event"], document["ts_recv"] = ms_of(document["ts_event"]), ms_of(document["ts_recv"])
                for column, values in columns.items():
                    values.append(document[column])
        connection.register(name, pa.table(columns, schema))

    def through(self, symbol: str, held: Collection[Held]) -> int | None:
        """As in ``Rows``: told by the symbol's newest trades, on whatever date."""
        from stockctl.mongo.coverage import through

        day = max((item.ts_max for item in held), default=None)
        return None if day is None else through(self._mongo, symbol, day_bounds(trade_date(day))[0])

    def events(self, since: int, until: int) -> list[Event]:
        """As in ``Rows``."""
        from stockctl.mongo.coverage import received
        from stockctl.mongo.documents import date_of, ms_of

        times = ("span_start", "span_end", "ts_recv")
        touching = {"span_end": {"$gte": date_of(since)}, "span_start": {"$lt": date_of(until)}}
        found = self._mongo.find("coverage", touching | received(self._as_of))
        rows = [document | {"id": document["_id"]} | {name: ms_of(document[name]) for name in times} for document in found]
        return sorted(rows, key=lambda row: (row["span_start"], row["id"]))

    def connected_before(self, symbols: Set[str], ms: int) -> set[str]:
        """As in ``Rows``."""
        from stockctl.mongo.coverage import connected_before

        return connected_before(self._mongo, symbols, ms, self._as_of)

    def calendar(self, symbol: str) -> Calendar:
        """As in ``Rows``: that of the source that MongoDB was begun with."""
        return self._calendar

    @cached_property
    def _calendar(self) -> Calendar:
        from stockctl.mongo.source_guard import begun_with

        return calendar_of(begun_with(self._mongo))

    def _between(self, symbol: str, since: int | None, until: int | None) -> dict[str, Any]:
        from stockctl.mongo.coverage import received
        from stockctl.mongo.documents import date_of

        bounds = {"$gte": since, "$lt": until}
        asked = {operator: date_of(bound) for operator, bound in bounds.items() if bound is not None}
        return {"symbol": symbol} | ({"ts_event": asked} if asked else {}) | received(self._as_of)


@contextmanager
def rows_of(settings: Settings, engine: str, as_of: int | None = None) -> Iterator[Rows]:
    """The rows of ``engine``, ``lake`` or ``mongo``, that had been received by ``as_of`` (ms UTC); None is no bound."""
    if engine == "mongo":
        from stockctl.clients.mongo import Mongo

        with Mongo(settings) as mongo:
            yield MongoRows(settings, mongo, as_of)
    else:
        with LakeReader(settings) as lake:
            yield LakeRows(settings, lake, as_of)
