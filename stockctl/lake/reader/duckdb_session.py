"""DuckDB over the files of the lake, with explicit columns: it infers no types."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from stockctl.errors import StockctlError
from stockctl.lake.format.keys import Table
from stockctl.records import FeedEvent, SignalRecord, Trade, column_types

Result = TypeVar("Result")

_TYPES: dict[type, str] = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE"}
COLUMNS: dict[str, dict[str, str]] = {
    table: {name: _TYPES[kind] for name, kind in column_types(record).items()}
    for table, record in (("trades", Trade), ("feed_events", FeedEvent), ("signals", SignalRecord))
}
"""The columns of each table with their DuckDB types: the fields of ``stockctl.records``."""
LOG_COLUMNS = {"generation": "BIGINT", "partition": "BIGINT", "claim": "BIGINT", "line": "BIGINT"}
"""The columns that compacted trades have beside these: the claim of a row, by its first offset, and the row's rank in it.

Sorted by these, with the claims in their order, the rows of a symbol are in the order of Kafka's log.
"""


DAMAGE = (duckdb.IOException, duckdb.SerializationException, duckdb.InternalException, duckdb.FatalException)
"""Exceptions that DuckDB raises for damaged files, and never for wrong SQL."""


class UnreadableFilesError(StockctlError):
    """DuckDB cannot read one of the lake's files."""


_THREAD = 128_000_000
"""Minimum of memory for each thread that reads JSON, in bytes."""


@contextmanager
def duck(memory: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new DuckDB in memory. Integer division is as in Redshift; it installs no extensions.

    ``memory`` limits its memory in bytes; the rest goes to the folder for temporary files.
    """
    with duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": str(Path(tempfile.gettempdir()) / f"stockctl-{os.getpid()}"),
        }
    ) as connection:
        # In a notebook or a prompt DuckDB prints a progress bar to stdout when a query is slow: stdout is for data.
        connection.execute("SET integer_division = true; SET enable_progress_bar = false")
        if memory is not None:
            threads = max(1, min(os.cpu_count() or 1, memory // _THREAD))
            connection.execute(f"SET memory_limit = '{memory}B'; SET threads = {threads}; SET preserve_insertion_order = false")
        try:
            yield connection
        except duckdb.Error as error:
            # A damaged file may raise any of them. Errors in the SQL of a user were raised before.
            raise UnreadableFilesError(
                f"the lake's files cannot be read: {error}", hint="`stockctl lake verify --deep` lists damaged objects"
            ) from error


def interruptible(connection: duckdb.DuckDBPyConnection, call: Callable[[], Result]) -> Result:
    """The result of ``call``, a query on ``connection``. Ctrl-C interrupts the query, and does not wait for its end."""
    with ThreadPoolExecutor(1, thread_name_prefix="duckdb") as pool:
        future = pool.submit(call)
        try:
            return future.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def one_of(column: str, values: Iterable[str]) -> duckdb.Expression:
    """The condition that ``column`` is one of ``values``."""
    return duckdb.ColumnExpression(column).isin(*map(duckdb.ConstantExpression, values))


def received_by(as_of: int | None) -> duckdb.Expression:
    """The condition that a row was received by ``as_of`` (ms UTC); always true for None."""
    if as_of is None:
        return duckdb.ConstantExpression(True)
    return duckdb.ColumnExpression("ts_recv") <= duckdb.ConstantExpression(as_of)


def scan(connection: duckdb.DuckDBPyConnection, table: Table, paths: Iterable[Path]) -> duckdb.DuckDBPyRelation:
    """The rows of raw and Parquet files, with the columns of the table, ``trade_date`` and ``filename``."""
    columns = COLUMNS[table]
    groups: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        # DuckDB scans files together only if they have the same compression and partition keys.
        groups.setdefault((path.suffix, path.parent.name.partition("=")[0]), []).append(str(path))
    scans = [_scan(connection, columns, suffix, group) for (suffix, _), group in groups.items()]
    return reduce(lambda one, other: one.union(other), scans) if scans else _no_rows(connection, columns)


def _scan(
    connection: duckdb.DuckDBPyConnection, columns: dict[str, str], suffix: str, paths: list[str]
) -> duckdb.DuckDBPyRelation:
    options: dict[str, Any] = {"hive_partitioning": True, "filename": True}
    any_paths: Any = paths  # the stubs of some versions accept only one path
    if suffix == ".parquet":
        rows = connection.read_parquet(any_paths, **options)
    else:
        options |= {"columns": columns, "format": "newline_delimited", "compression": {".gz": "gzip", ".zst": "zstd"}[suffix]}
        rows = connection.read_json(any_paths, **options)
    return rows.select(*columns, duckdb.ColumnExpression("trade_date").cast("DATE").alias("trade_date"), "filename")


def _no_rows(connection: duckdb.DuckDBPyConnection, columns: dict[str, str]) -> duckdb.DuckDBPyRelation:
    types = columns | {"trade_date": "DATE", "filename": "VARCHAR"}
    nulls = (duckdb.ConstantExpression(None).cast(kind).alias(name) for name, kind in types.items())
    return connection.sql("SELECT 1").select(*nulls).filter("false")
