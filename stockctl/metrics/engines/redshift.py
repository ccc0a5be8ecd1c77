"""The engine ``redshift``: the metrics' SQL runs in Redshift, unchanged, on temporary tables created from Spectrum's views.

The other relations of a query become temporary tables too. Only results leave Redshift.
"""
# ruff: noqa: D102, S608  # methods are documented in ``Engine``; identifiers come from validated settings; values are integers or quoted

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import date
from itertools import islice
from typing import Any, Self
from zoneinfo import ZoneInfo

from stockctl.clients.redshift.client import Connection
from stockctl.errors import ConfigError
from stockctl.exchange.calendar import EXCHANGE, Calendar, calendar_of, day_bounds, trade_date
from stockctl.intervals import Interval
from stockctl.lake.format.keys import dates_around, ticker_slugs, tickers
from stockctl.lake.reader.duckdb_session import COLUMNS
from stockctl.metrics import sql_templates
from stockctl.metrics.coverage_report import LOOK_BACK, lag_ms
from stockctl.metrics.engines.base import Engine, Event, Notify, TradeRange, ignore
from stockctl.metrics.engines.relations import RELATIONS
from stockctl.records import CONNECTING
from stockctl.settings import Settings
from stockctl.warehouse.spectrum.ddl import literal, schemas
from stockctl.warehouse.spectrum.schema import partitions
from stockctl.warehouse.tables import FEED_EVENTS, TRADES, TRADES_PARQUET

_BATCH = 500
"""Rows per INSERT."""
_TYPES = {"VARCHAR": "VARCHAR(256)"}
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


class RedshiftEngine(Engine):
    """A session of Redshift."""

    place = "Redshift"

    def __init__(self, redshift: Connection, settings: Settings, received_by: int | None = None) -> None:
        self._redshift = redshift
        self._settings = settings
        self._received = [] if received_by is None else [f"ts_recv <= {received_by:d}"]
        self._zone = ZoneInfo(settings.lake.timezone)
        self._views = schemas(settings.redshift)["view_schema"]
        self.lag_ms = lag_ms(settings.lake.max_age)
        self._dates: dict[str, list[date]] = {}
        self._provided: set[str] = set()
        self._created: set[str] = set()

    @classmethod
    @contextmanager
    def connect(cls, settings: Settings, received_by: int | None = None, notify: Notify = ignore) -> Iterator[Self]:
        """ConfigError with the Data API: it loses temporary tables between statements."""
        if settings.redshift.via == "data-api":
            raise ConfigError(
                "the Data API forgets temporary tables between statements, and metrics need them",
                hint="set redshift.via to connector, or leave --engine out: the lake answers",
            )
        with Connection(settings) as redshift:
            # Unqualified names mean the temporary tables, even if the user's own search path starts elsewhere.
            redshift.execute("SET search_path TO pg_temp, public")
            yield cls(redshift, settings, received_by)

    def dates(self, symbol: str) -> Iterator[date]:
        """From the partitions: no object is read."""
        if symbol not in self._dates:
            slugs = ticker_slugs(symbol)
            raw = partitions(self._redshift, self._settings.redshift, TRADES)
            days = {values[0] for values in raw if values[1] in slugs or values[1].startswith("bucket=")}
            days |= {values[0] for values in partitions(self._redshift, self._settings.redshift, TRADES_PARQUET)}
            self._dates[symbol] = sorted(map(date.fromisoformat, days), reverse=True)
        return iter(self._dates[symbol])

    def symbols(self) -> set[str]:
        """From the partitions."""
        return tickers(f"ticker={values[1]}" for values in partitions(self._redshift, self._settings.redshift, TRADES))

    all_symbols = symbols

    def has_symbol(self, symbol: str) -> bool:
        """Whether there are trades of ``symbol``. Looks at the newest date first: most symbols have trades there."""
        return self.has_recent_symbol(symbol) or bool(self.find(symbol, None, None))

    def has_recent_symbol(self, symbol: str) -> bool:
        newest = next(self.dates(symbol), None)
        return newest is not None and bool(self.find(symbol, day_bounds(newest)[0], None))

    def has_filings(self, symbol: str) -> bool:
        """False: this engine reads trades alone."""
        return False

    def find(self, symbol: str, since: int | None, until: int | None) -> list[TradeRange]:
        """One range per trade date."""
        rows = self._redshift.execute(
            "SELECT trade_date, MIN(ts_event) AS first_ms, MAX(ts_event) AS last_ms "
            f"FROM {self._views}.trades WHERE {self._where([symbol], since, until)} GROUP BY trade_date ORDER BY trade_date"
        )
        return [TradeRange(f"{symbol} {day}", symbol, day, int(first), int(last)) for day, first, last in rows]

    def conditions(
        self,
        symbol: str,
        ranges: Collection[TradeRange],  # the views find the trades
        intervals: Iterable[Interval],
    ) -> Iterator[Collection[str]]:
        for since, until in intervals:
            rows = self._redshift.execute(
                "SELECT DISTINCT COALESCE(conditions, '') AS conditions "
                f"FROM {self._views}.trades WHERE {self._where([symbol], since, until)}"
            )
            yield [conditions for (conditions,) in rows]

    def through(self, symbol: str, ranges: Collection[TradeRange]) -> int | None:
        """The newest receipt among the symbol's trades on the last date in ``ranges`` and on the next date with partitions."""
        last = max((item.ts_max for item in ranges), default=None)
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
        """An event is in the partition of its end's date, and no event that reports coverage is longer than an hour."""
        columns = tuple(COLUMNS["feed_events"])
        first, last = dates_around(since, until + 86_400_000)
        conditions = [
            f"trade_date >= '{first}' AND trade_date <= '{last}' AND span_end >= {since:d} AND span_start < {until:d}",
            *self._received,
        ]
        rows = self._redshift.execute(
            f"SELECT {', '.join(columns)} FROM {self._views}.feed_events "
            f"WHERE {' AND '.join(conditions)} ORDER BY span_start, id"
        )
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def connected_before(self, symbols: Set[str], ms: int) -> set[str]:
        """From the newest dates that have feed events."""
        last = dates_around(None, ms)[1].isoformat()
        days = {values[0] for values in partitions(self._redshift, self._settings.redshift, FEED_EVENTS) if values[0] <= last}
        newest = sorted(days, reverse=True)[:LOOK_BACK]
        if not newest:
            return set()
        conditions = [
            f"trade_date IN ({', '.join(map(literal, newest))}) AND span_end < {ms:d}",
            f"kind IN ({', '.join(map(literal, sorted(CONNECTING)))})",
            *self._received,
        ]
        rows = self._redshift.execute(
            f"SELECT DISTINCT symbols FROM {self._views}.feed_events WHERE {' AND '.join(conditions)}"
        )
        return {symbol for (names,) in rows for symbol in names.split(",") if symbol in symbols}

    def calendar(self, symbol: str) -> Calendar:
        """The calendar of the source of the symbol's newest trades; the exchange's if they have several sources."""
        for day in islice(self.dates(symbol), LOOK_BACK):
            sources = self._redshift.execute(
                f"SELECT DISTINCT source FROM {self._views}.trades "
                f"WHERE symbol = {literal(symbol)} AND trade_date = {literal(day.isoformat())}"
            )
            if sources:
                return calendar_of(sources[0][0] if len(sources) == 1 else None)
        return EXCHANGE

    def provide(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        columns = ", ".join(f"{column} {_TYPES.get(kind, kind)}" for column, kind in RELATIONS[name].items())
        if name in self._created:  # otherwise DROP could hit a table of the user
            self._redshift.execute(f"DROP TABLE {name}")
        self._redshift.execute(f"CREATE TEMPORARY TABLE {name} ({columns})")
        self._created.add(name)
        for start in range(0, len(rows), _BATCH):
            values = ", ".join(f"({', '.join(map(_value, row))})" for row in rows[start : start + _BATCH])
            self._redshift.execute(f"INSERT INTO {name} VALUES {values}")
        self._provided.add(name)

    def place_trades(self, ranges: Iterable[TradeRange], policy: str) -> None:
        ranges = list(ranges)
        since = min((item.ts_min for item in ranges), default=0)
        until = max((item.ts_max + 1 for item in ranges), default=1)
        columns = ", ".join(
            f"COALESCE({column}, '') AS {column}" if column in ("conditions", "updates") else column
            for column in COLUMNS["trades"]
        )
        condition = self._where({item.symbol for item in ranges} or {""}, since, until)
        self._redshift.execute(f"CREATE TEMPORARY TABLE trades AS SELECT {columns} FROM {self._views}.trades WHERE {condition}")
        self._provided.add("trades")
        placed = self._statement("placed", {"policy": policy}, ordered=False)
        self._redshift.execute(f"CREATE TEMPORARY TABLE placed AS {placed}")
        self._redshift.execute("DROP TABLE trades")
        self._provided = {"placed"}

    def run(self, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        columns, rows = self._redshift.query(self._statement(name, parameters))
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def _where(self, symbols: Iterable[str], since: int | None, until: int | None) -> str:
        """The condition for trades of ``symbols`` in ``[since, until)`` that had been received.

        It names the partition key ``trade_date`` too, so that Redshift prunes partitions.
        """
        conditions = [f"symbol IN ({', '.join(map(literal, symbols))})", *self._received]
        first, last = dates_around(since, until)
        if since is not None:
            conditions.append(f"trade_date >= '{first}' AND ts_event >= {since:d}")
        if until is not None:
            conditions.append(f"trade_date <= '{last}' AND ts_event < {until:d}")
        return " AND ".join(conditions)

    def _statement(self, name: str, parameters: dict[str, Any], *, ordered: bool = True) -> str:
        text = sql_templates.written(name, frozenset(self._provided), ordered=ordered)
        return _PARAMETER.sub(lambda match: _value(parameters[match[1]]), text)


def _value(value: Any) -> str:
    """An integer, a text or None as an SQL literal."""
    if value is None:
        return "NULL"
    return f"{value:d}" if isinstance(value, int) else literal(str(value))
