"""The part that engines share which load trades into an in-memory DuckDB and run the metrics' SQL there."""
# ruff: noqa: D102  # methods are documented in ``Engine``

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import duckdb

from stockctl.intervals import Interval
from stockctl.metrics import sql_templates
from stockctl.metrics.engines.base import Engine, TradeRange
from stockctl.metrics.engines.relations import RELATIONS


class DuckDBEngine(Engine):
    """DuckDB, with the trades that ``load`` brings into it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._provided: set[str] = set()

    @abstractmethod
    def load(self, ranges: Iterable[TradeRange], name: str) -> None:
        """Create the view ``name`` of the trades in ``ranges``, with the columns of ``COLUMNS``."""

    def conditions(
        self, symbol: str, ranges: Collection[TradeRange], intervals: Iterable[Interval]
    ) -> Iterator[Collection[str]]:
        self.load(ranges, "candidates")
        for since, until in intervals:
            rows = self._connection.execute(
                "SELECT DISTINCT COALESCE(conditions, '') FROM candidates "
                "WHERE symbol = $symbol AND ts_event >= $since AND ts_event < $until",
                {"symbol": symbol, "since": since, "until": until},
            )
            yield [conditions for (conditions,) in rows.fetchall()]

    def provide(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        create_relation(self._connection, name, rows)
        self._provided.add(name)

    def place_trades(self, ranges: Iterable[TradeRange], policy: str) -> None:
        # One connection may answer several queries, one after the other.
        self._connection.execute("DROP TABLE IF EXISTS placed")
        self._provided.discard("placed")
        self.load(ranges, "stored")
        fill_nulls(self._connection)
        self._connection.sql(
            "SELECT * FROM filled WHERE symbol IN (SELECT symbol FROM slices) "
            "AND ts_event >= (SELECT MIN(since_ms) FROM slices) "
            "AND ts_event < (SELECT MAX(until_ms) FROM slices)"
        ).create("trades")
        self._provided.add("trades")
        self._query("placed", {"policy": policy}, ordered=False).create("placed")
        self._connection.execute("DROP TABLE trades")
        self._provided = {"placed"}

    def run(self, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        rows = self._query(name, parameters)
        return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]

    def _query(self, name: str, parameters: dict[str, Any], *, ordered: bool = True) -> duckdb.DuckDBPyRelation:
        return self._connection.sql(
            sql_templates.statement(name, frozenset(self._provided), ordered=ordered), params=parameters
        )


def create_relation(connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Sequence[Any]]) -> None:
    """Create or replace the table ``name`` of ``RELATIONS`` with ``rows``."""
    columns = RELATIONS[name]
    lists = list(zip(*rows, strict=True)) or [()] * len(columns)
    unnested = ", ".join(f"unnest(CAST(${column} AS {kind}[])) AS {column}" for column, kind in columns.items())
    connection.execute(
        f"CREATE OR REPLACE TABLE {name} AS SELECT {unnested}",
        {column: list(values) for column, values in zip(columns, lists, strict=True)},
    )


def fill_nulls(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the view ``filled``: the trades of ``stored`` with '' for null conditions and updates, like Redshift's views."""
    connection.sql(
        "SELECT * REPLACE (COALESCE(conditions, '') AS conditions, COALESCE(updates, '') AS updates) FROM stored"
    ).create_view("filled")
