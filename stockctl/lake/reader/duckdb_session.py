"""DuckDB over the lake's files: with explicit columns, so that nothing is inferred."""

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

Answer = TypeVar("Answer")

COLUMNS: dict[str, dict[str, str]] = {
    "trades": {
        "id": "VARCHAR",
        "symbol": "VARCHAR",
        "price": "DOUBLE",
        "volume": "DOUBLE",
        "ts_event": "BIGINT",
        "ts_recv": "BIGINT",
        "conditions": "VARCHAR",
        "updates": "VARCHAR",
        "source": "VARCHAR",
    },
    "feed_events": {
        "id": "VARCHAR",
        "kind": "VARCHAR",
        "span_start": "BIGINT",
        "span_end": "BIGINT",
        "symbols": "VARCHAR",
        "reason": "VARCHAR",
        "connection": "VARCHAR",
        "ts_recv": "BIGINT",
        "source": "VARCHAR",
    },
}
"""Each table's columns with their DuckDB types: the fields of ``stockctl.records``."""


DAMAGE = (duckdb.IOException, duckdb.SerializationException, duckdb.InternalException, duckdb.FatalException)
"""What DuckDB raises for damaged files, and for no SQL."""


class UnreadableFilesError(StockctlError):
    """DuckDB cannot read one of the lake's files."""


_THREAD = 128_000_000
"""Bytes that a thread which reads JSON wants for itself, at least."""


@contextmanager
def duck(memory: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of our own, in memory: integers divide as in Redshift, nothing is fetched or installed.

    ``memory`` bounds the bytes that it takes; the rest waits in the folder for temporary files.
    """
    with duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": str(Path(tempfile.gettempdir()) / f"stockctl-{os.getpid()}"),
        }
    ) as connection:
        # In a notebook or a prompt DuckDB draws a bar on stdout when a query is slow: stdout is for data.
        connection.execute("SET integer_division = true; SET enable_progress_bar = false")
        if memory is not None:
            threads = max(1, min(os.cpu_count() or 1, memory // _THREAD))
            connection.execute(f"SET memory_limit = '{memory}B'; SET threads = {threads}; SET preserve_insertion_order = false")
        try:
            yield connection
        except duckdb.Error as error:
            # A damaged file may give any of them; what is wrong with a person's SQL has been told before it gets here.
            raise UnreadableFilesError(
                f"the lake's files cannot be read: {error}", hint="`stockctl lake verify --deep` names damaged objects"
            ) from error


def interruptible(connection: duckdb.DuckDBPyConnection, call: Callable[[], Answer]) -> Answer:
    """The answer of ``call`` to ``connection``; Ctrl-C ends it, which would wait for the answer otherwise."""
    with ThreadPoolExecutor(1, thread_name_prefix="duckdb") as pool:
        answer = pool.submit(call)
        try:
            return answer.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def scan(connection: duckdb.DuckDBPyConnection, table: Table, paths: Iterable[Path]) -> duckdb.DuckDBPyRelation:
    """The rows of raw and of Parquet files: the table's columns, ``trade_date`` and ``filename``."""
    columns = COLUMNS[table]
    alike: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        # DuckDB scans files together only if they are compressed alike and have the same partition keys.
        alike.setdefault((path.suffix, path.parent.name.partition("=")[0]), []).append(str(path))
    scans = [_alike(connection, columns, suffix, chosen) for (suffix, _), chosen in alike.items()]
    return reduce(lambda one, other: one.union(other), scans) if scans else _nothing(connection, columns)


def _alike(
    connection: duckdb.DuckDBPyConnection, columns: dict[str, str], suffix: str, paths: list[str]
) -> duckdb.DuckDBPyRelation:
    same: dict[str, Any] = {"hive_partitioning": True, "filename": True}
    several: Any = paths  # the stubs of some versions know one path only
    if suffix == ".parquet":
        rows = connection.read_parquet(several, **same)
    else:
        same |= {"columns": columns, "format": "newline_delimited", "compression": {".gz": "gzip", ".zst": "zstd"}[suffix]}
        rows = connection.read_json(several, **same)
    return rows.select(*columns, duckdb.ColumnExpression("trade_date").cast("DATE").alias("trade_date"), "filename")


def _nothing(connection: duckdb.DuckDBPyConnection, columns: dict[str, str]) -> duckdb.DuckDBPyRelation:
    kinds = columns | {"trade_date": "DATE", "filename": "VARCHAR"}
    nulls = (duckdb.ConstantExpression(None).cast(kind).alias(name) for name, kind in kinds.items())
    return connection.sql("SELECT 1").select(*nulls).filter("false")
