"""The engine Redshift: the metrics' SQL runs there as it stands, on temporary tables made from the views of Spectrum.

What a question needs beside the trades goes there as temporary tables too; only answers come back.
"""
# ruff: noqa: S608  # names that the settings have checked, and values that are quoted or integers

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import date
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from stockctl.clients.redshift.client import Connection
from stockctl.errors import ConfigError
from stockctl.exchange.calendar import EXCHANGE, Calendar, calendar_of, day_bounds, trade_date
from stockctl.lake.format.keys import dates_around, ticker_slugs, tickers
from stockctl.lake.reader.duckdb_session import COLUMNS
from stockctl.metrics import sql
from stockctl.metrics.coverage_report import LOOK_BACK, lag_ms
from stockctl.metrics.engines.relations import RELATIONS
from stockctl.metrics.engines.trade_sources import Event, Held
from stockctl.metrics.query import Query
from stockctl.records import CONNECTING
from stockctl.settings import Settings
from stockctl.warehouse.spectrum.ddl import literal, schemas
from stockctl.warehouse.spectrum.schema import partitions
from stockctl.warehouse.tables import FEED_EVENTS, TRADES, TRADES_PARQUET

_BATCH = 500
"""Rows of one INSERT."""
_TYPES = {"VARCHAR": "VARCHAR(256)"}
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


class RedshiftRows:
    """What Redshift can tell of the trades that it sees."""

    place = "Redshift"

    def __init__(self, settings: Settings, redshift: Connection, as_of: int | None = None) -> None:
        self._redshift = redshift
        self.settings = settings
        self._as_of = as_of
        self._zone = ZoneInfo(settings.lake.timezone)
        self._views = schemas(settings)["view_schema"]
        self.lag_ms = lag_ms(settings.lake.max_age)
        self._dates: dict[str, list[date]] = {}

    def dates(self, symbol: str) -> Iterator[date]:
        """As in ``Rows``: from the partitions, so that no object is read for it."""
        if symbol not in self._dates:
            slugs = ticker_slugs(symbol)
            known = partitions(self._redshift, self.settings, TRADES)
            named = {values[0] for values in known if values[1] in slugs or values[1].startswith("bucket=")}
            named |= {values[0] for values in partitions(self._redshift, self.settings, TRADES_PARQUET)}
            self._dates[symbol] = sorted(map(date.fromisoformat, named), reverse=True)
        return iter(self._dates[symbol])

    def symbols(self) -> set[str]:
        """As in ``SymbolLookup``: from the partitions."""
        return tickers(f"ticker={values[1]}" for values in partitions(self._redshift, self.settings, TRADES))

    all_symbols = symbols

    def has_symbol(self, symbol: str) -> bool:
        """As in ``SymbolLookup``: the newest date first, since most symbols have trades there."""
        return self.has_recent_symbol(symbol) or bool(self.find(symbol, None, None))

    def has_recent_symbol(self, symbol: str) -> bool:
        """As in ``SymbolLookup``: on the newest date that may have trades of it."""
        newest = next(self.dates(symbol), None)
        return newest is not None and bool(self.find(symbol, day_bounds(newest)[0], None))

    def has_filings(self, symbol: str) -> bool:
        """As in ``Rows``; nobody looks for them there."""
        return False

    def find(self, symbol: str, since: int | None, until: int | None) -> list[Held]:
        """As in ``Rows``."""
        found = self._redshift.execute(
            "SELECT trade_date, MIN(ts_event) AS first_ms, MAX(ts_event) AS last_ms "
            f"FROM {self._views}.trades WHERE {self.within([symbol], since, until)} GROUP BY trade_date ORDER BY trade_date"
        )
        return [Held(f"{symbol} {day}", symbol, day, int(first), int(last)) for day, first, last in found]

    def within(self, symbols: Iterable[str], since: int | None, until: int | None) -> str:
        """The condition of trades of ``symbols`` in ``[since, until)`` that had been received, by the partitions' date too: it
        prunes them.
        """
        parts = [f"symbol IN ({', '.join(map(literal, symbols))})", *self._received]
        first, last = dates_around(since, until)
        if since is not None:
            parts.append(f"trade_date >= '{first}' AND ts_event >= {since:d}")
        if until is not None:
            parts.append(f"trade_date <= '{last}' AND ts_event < {until:d}")
        return " AND ".join(parts)

    @property
    def _received(self) -> list[str]:
        """The condition of what had been received by the moment that is asked for, if one is."""
        return [] if self._as_of is None else [f"ts_recv <= {self._as_of:d}"]

    def load(self, connection: duckdb.DuckDBPyConnection, held: Iterable[Held], name: str) -> None:
        """As in ``Rows``; nobody asks for it: the trades stay in Redshift."""
        raise ConfigError("trades of Redshift stay in Redshift")

    def through(self, symbol: str, held: Collection[Held]) -> int | None:
        """As in ``Rows``: the newest receipt among the symbol's trades of that date and of the next that may have some."""
        last = max((item.ts_max for item in held), default=None)
        if last is None:
            return None
        day = trade_date(last, self._zone)
        following = min((later for later in self.dates(symbol) if later > day), default=day)
        ((newest,),) = self._redshift.execute(
            f"SELECT MAX(ts_recv) FROM {self._views}.trades "
            f"WHERE symbol = {literal(symbol)} AND trade_date IN ('{day}', '{following}')"
        )
        return None if newest is None else int(newest)

    def events(self, since: int, until: int) -> list[Event]:
        """As in ``Rows``. An event lies under the date of its end, and none that tells coverage is longer than an hour."""
        columns = tuple(COLUMNS["feed_events"])
        first, last = dates_around(since, until + 86_400_000)
        found = self._redshift.execute(
            f"SELECT {', '.join(columns)} FROM {self._views}.feed_events "
            f"WHERE trade_date >= '{first}' AND trade_date <= '{last}' AND span_end >= {since:d} AND span_start < {until:d}"
            f"{''.join(f' AND {part}' for part in self._received)} ORDER BY span_start, id"
        )
        return [dict(zip(columns, row, strict=True)) for row in found]

    def connected_before(self, symbols: Set[str], ms: int) -> set[str]:
        """As in ``Rows``: on the newest dates that have feed events."""
        last = dates_around(None, ms)[1].isoformat()
        days = sorted(
            {values[0] for values in partitions(self._redshift, self.settings, FEED_EVENTS) if values[0] <= last}, reverse=True
        )[:LOOK_BACK]
        if not days:
            return set()
        found = self._redshift.execute(
            f"SELECT DISTINCT symbols FROM {self._views}.feed_events WHERE trade_date IN ({', '.join(map(literal, days))}) "
            f"AND span_end < {ms:d} AND kind IN ({', '.join(map(literal, sorted(CONNECTING)))})"
            f"{''.join(f' AND {part}' for part in self._received)}"
        )
        return {symbol for (names,) in found for symbol in names.split(",") if symbol in symbols}

    def calendar(self, symbol: str) -> Calendar:
        """As in ``Rows``: that of the source of the symbol's rows on its newest date; the exchange's for rows of several."""
        for day in islice(self.dates(symbol), LOOK_BACK):
            found = self._redshift.execute(
                f"SELECT DISTINCT source FROM {self._views}.trades "
                f"WHERE symbol = {literal(symbol)} AND trade_date = {literal(day.isoformat())}"
            )
            if found:
                return calendar_of(found[0][0] if len(found) == 1 else None)
        return EXCHANGE


class RedshiftBench:
    """A session of Redshift with temporary tables, in which the files of ``sql/metrics`` run unchanged."""

    def __init__(self, redshift: Connection, rows: RedshiftRows) -> None:
        self._redshift = redshift
        self._rows = rows
        self._provided: set[str] = set()
        self._made: set[str] = set()
        # Names without a schema mean the temporary tables, even where the user's own path looks at others first.
        self._redshift.execute("SET search_path TO pg_temp, public")

    def provide(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        """As in ``Bench``."""
        columns = ", ".join(f"{column} {_TYPES.get(kind, kind)}" for column, kind in RELATIONS[name].items())
        if name in self._made:  # or else it may be the user's own table of that name
            self._redshift.execute(f"DROP TABLE {name}")
        self._redshift.execute(f"CREATE TEMPORARY TABLE {name} ({columns})")
        self._made.add(name)
        for start in range(0, len(rows), _BATCH):
            some = ", ".join(f"({', '.join(map(_value, row))})" for row in rows[start : start + _BATCH])
            self._redshift.execute(f"INSERT INTO {name} VALUES {some}")
        self._provided.add(name)

    def place(self, held: Iterable[Held], question: Query) -> None:
        """As in ``Bench``."""
        held = list(held)
        since = min((item.ts_min for item in held), default=0)
        until = max((item.ts_max + 1 for item in held), default=1)
        columns = ", ".join(
            f"COALESCE({column}, '') AS {column}" if column in ("conditions", "updates") else column
            for column in COLUMNS["trades"]
        )
        within = self._rows.within({item.symbol for item in held} or {""}, since, until)
        views = schemas(self._rows.settings)["view_schema"]
        self._redshift.execute(f"CREATE TEMPORARY TABLE trades AS SELECT {columns} FROM {views}.trades WHERE {within}")
        self._provided.add("trades")
        placed = self._statement("placed", {"policy": question.policy}, ordered=False)
        self._redshift.execute(f"CREATE TEMPORARY TABLE placed AS {placed}")
        self._redshift.execute("DROP TABLE trades")
        self._provided = {"placed"}

    def run(self, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """As in ``Bench``."""
        columns, rows = self._redshift.query(self._statement(name, parameters))
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def _statement(self, name: str, parameters: dict[str, Any], *, ordered: bool = True) -> str:
        text = sql.written(name, frozenset(self._provided), ordered=ordered)
        return _PARAMETER.sub(lambda found: _value(parameters[found[1]]), text)


def _value(value: Any) -> str:
    """An integer, a text or null as SQL."""
    if value is None:
        return "NULL"
    return f"{value:d}" if isinstance(value, int) else literal(str(value))


@contextmanager
def redshift_bench(settings: Settings, as_of: int | None = None) -> Iterator[tuple[RedshiftRows, RedshiftBench]]:
    """Rows and bench of the settings' Redshift, as ``rows_of``.

    ConfigError for the Data API, which forgets temporary tables.
    """
    if settings.redshift.via == "data-api":
        raise ConfigError(
            "the Data API forgets temporary tables between statements, and metrics need them",
            hint="set redshift.via to connector, or leave --engine out: the lake answers",
        )
    with Connection(settings) as redshift:
        rows = RedshiftRows(settings, redshift, as_of)
        yield rows, RedshiftBench(redshift, rows)
