"""Where the metrics' SQL runs: in a DuckDB of our own, into which the trades are brought, or in Redshift, beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import duckdb

from stockctl.metrics import sql
from stockctl.metrics.engines.relations import fill_nulls, provide
from stockctl.metrics.engines.trade_sources import Held, Rows
from stockctl.metrics.query import Query


class Bench(Protocol):
    """The relations of one question, and the queries over them."""

    def provide(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        """Make ``rows`` the relation ``name`` of ``RELATIONS``, in place of what it held."""
        ...

    def place(self, held: Iterable[Held], question: Query) -> None:
        """Make the trades ``held`` that lie in ``pieces`` the relation ``placed``."""
        ...

    def run(self, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of the file ``name`` of ``sql/metrics``, over the placed trades and what was provided."""
        ...


class DuckBench:
    """DuckDB, with the trades that ``rows`` loads into it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, rows: Rows) -> None:
        self._connection = connection
        self._rows = rows
        self._provided: set[str] = set()

    def provide(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        """As in ``Bench``."""
        provide(self._connection, name, rows)
        self._provided.add(name)

    def place(self, held: Iterable[Held], question: Query) -> None:
        """As in ``Bench``."""
        self._rows.load(self._connection, held, "stored")
        fill_nulls(self._connection)
        self._connection.sql(
            "SELECT * FROM filled WHERE symbol IN (SELECT symbol FROM pieces) "
            "AND ts_event >= (SELECT MIN(since_ms) FROM pieces) "
            "AND ts_event < (SELECT MAX(until_ms) FROM pieces)"
        ).create("trades")
        self._provided.add("trades")
        self._relation("placed", {"policy": question.policy}, ordered=False).create("placed")
        self._connection.execute("DROP TABLE trades")
        self._provided = {"placed"}

    def run(self, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """As in ``Bench``."""
        rows = self._relation(name, parameters)
        return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]

    def _relation(self, name: str, parameters: dict[str, Any], *, ordered: bool = True) -> duckdb.DuckDBPyRelation:
        return self._connection.sql(sql.statement(name, frozenset(self._provided), ordered=ordered), params=parameters)
