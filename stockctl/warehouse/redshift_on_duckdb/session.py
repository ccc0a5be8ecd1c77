"""Redshift SQL on the lake with DuckDB, for development without a cluster.

The schemas, tables and views are those of Redshift, from the same definitions: ``lake.trades`` and the others, and the views in
``stockctl``. Statements can read nothing else on this machine.
"""
# ruff: noqa: S608  # statements contain only constants, and names that the settings have checked

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from stockctl.clients.redshift.client import Result, Row
from stockctl.errors import UsageError
from stockctl.lake.format.keys import LINE_ITEMS
from stockctl.lake.format.keys import Table as LakeTable
from stockctl.lake.reader.duckdb_session import DAMAGE, duck
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.settings import RedshiftSettings, Settings
from stockctl.warehouse.redshift_on_duckdb.column_names import folded
from stockctl.warehouse.redshift_on_duckdb.redshift_to_duckdb import Schema, translate
from stockctl.warehouse.spectrum import ddl
from stockctl.warehouse.tables import FILINGS, TABLES, TRADES, TRADES_PARQUET

_DUCK = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "date": "DATE"}
_UNPARTITIONED: tuple[LakeTable, ...] = ("feed_events", "signals")
_FETCH = 10_000
_SLUG = "left(regexp_replace(symbol, '[^A-Za-z0-9._-]', '_', 'g'), 64)"
_TICKER = f"upper({_SLUG}) || CASE WHEN {_SLUG} = upper({_SLUG}) THEN '' ELSE '_' END AS ticker"
"""As ``stockctl.lake.format.keys.ticker_slug`` does it."""


@contextmanager
def query(settings: Settings, text: str, since: int | None = None, until: int | None = None) -> Iterator[Result]:
    """Run the SELECT ``text``, in Redshift's dialect, on the objects of the lake in ``[since, until)`` (ms UTC).

    UsageError for invalid SQL, and for SQL that means something else in DuckDB. The rows are valid within the context.
    """
    with LakeReader(settings) as lake, duck() as connection, TemporaryDirectory(prefix="stockctl-") as folder:
        statement = translate(text, schema(settings.redshift))
        connection.execute("SET TimeZone = 'UTC'")
        files = _provide(connection, lake, settings, text, Path(folder), since, until)
        connection.execute("SET allowed_paths = $files", {"files": [str(file) for file in files]})
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            connection.execute(statement)
        except DAMAGE:
            raise  # a damaged object: reported as for every command that reads the lake
        except duckdb.Error as error:
            message = str(error).strip()
            if "division by zero" in message.lower():
                # DuckDB's message recommends a function that Redshift does not have.
                raise UsageError("division by zero", hint="NULLIF(divisor, 0) makes it NULL") from error
            raise UsageError(message, hint="--local takes one SELECT in Redshift's dialect") from error
        yield Result(tuple(folded(item[0]) for item in connection.description or ()), _rows(connection))


def _rows(connection: duckdb.DuckDBPyConnection) -> Iterator[Row]:
    while rows := connection.fetchmany(_FETCH):
        yield from rows


def schema(settings: RedshiftSettings) -> Schema:
    """The column types of tables and views, by which ``translate`` distinguishes integers from other numbers."""
    external = {table.name: {column.name: column.redshift for column in (*table.columns, *table.keys)} for table in TABLES}
    times = dict.fromkeys(("event_time", "receipt_time", "decided_time", "start_time", "end_time"), "timestamp")
    prices = dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), "double precision")
    named = {name: dict(columns) for name, columns in external.items()}
    views = {
        "trades": named["trades"] | times,
        "feed_events": named["feed_events"] | times,
        "signals": named["signals"] | times,
        "bars_1m": {"symbol": "varchar", "trade_date": "date", "bar": "timestamp", "trades": "bigint"} | prices,
        "latest_filings": named["filings"] | {"accepted_time": "timestamp", "items": "bigint"},
        "statements": named["filings"] | {"accepted_time": "timestamp"} | dict.fromkeys(ddl.STATEMENTS, "double precision"),
    }
    return {settings.external_schema: external, settings.view_schema: views}


def _provide(
    connection: duckdb.DuckDBPyConnection,
    lake: LakeReader,
    settings: Settings,
    text: str,
    folder: Path,
    since: int | None,
    until: int | None,
) -> list[Path]:
    """Create tables and views; return the files that they read. Only tables that the text names are downloaded."""
    names = ddl.schemas(settings.redshift)
    external, views = names["external_schema"], names["view_schema"]
    connection.execute(f"CREATE SCHEMA {external}")
    if views != external:
        connection.execute(f"CREATE SCHEMA {views}")
    files: list[Path] = []
    trades = re.search(r"\b(trades|bars_1m)\b", text, re.IGNORECASE) is not None
    parquet = TRADES_PARQUET.name in text.lower()
    data_files = lake.find("trades", since=since, until=until) if trades or parquet else []
    files += lake.view(connection, "trades", data_files if trades else [], "raw_trades")
    # In a lake of buckets the key is the bucket, which a row does not contain: the column is left out.
    ticker = f", {_TICKER}" if settings.lake.partition_by == "ticker" else ""
    connection.execute(f"CREATE VIEW {external}.{TRADES.name} AS SELECT *{ticker} FROM raw_trades")
    files += lake.view(
        connection, "trades", [item for item in data_files if item.name is None] if parquet else [], "parquet_trades"
    )
    connection.execute(f"CREATE VIEW {external}.{TRADES_PARQUET.name} AS SELECT * FROM parquet_trades")
    for table in _UNPARTITIONED:
        wanted = re.search(rf"\b{table}\b", text, re.IGNORECASE) is not None
        files += lake.view(connection, table, lake.find(table, since=since, until=until) if wanted else [], f"raw_{table}")
        connection.execute(f"CREATE VIEW {external}.{table} AS SELECT * FROM raw_{table}")
    filings = re.search(r"\b(filings|latest_filings|statements)\b", text, re.IGNORECASE) is not None
    files += _filings(connection, lake, external, folder, wanted=filings)
    for view in ddl.VIEWS:
        select = translate_view(ddl.view_query(view, names, ()))
        connection.execute(f"CREATE VIEW {views}.{view} AS {select}")
    return files


def translate_view(text: str) -> str:
    """The SELECT of a view in DuckDB's dialect. Tests show that it means the same there."""
    import sqlglot

    return sqlglot.transpile(text, read="redshift", write="duckdb", comments=False)[0]


def _filings(connection: duckdb.DuckDBPyConnection, lake: LakeReader, schema: str, folder: Path, *, wanted: bool) -> list[Path]:
    """Create the table of filings from the objects of each ticker's folder."""
    files: list[Path] = []
    for item in lake.store.objects(LINE_ITEMS) if wanted else ():
        if item.key.endswith(".jsonl.gz"):
            path = folder / item.key.replace("/", "__")
            path.write_bytes(lake.store.get(item.key))
            files.append(path)
    columns = {column.name: _DUCK[column.kind] for column in FILINGS.columns}
    if not files:
        nulls = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in (columns | {"ticker": "VARCHAR"}).items())
        connection.execute(f"CREATE VIEW {schema}.{FILINGS.name} AS SELECT {nulls} WHERE false")
        return []
    rows = connection.read_json(
        [str(file) for file in files],
        columns=columns,
        format="newline_delimited",
        compression="gzip",
    )
    rows.create_view("raw_filings")
    connection.execute(f"CREATE VIEW {schema}.{FILINGS.name} AS SELECT *, {_TICKER} FROM raw_filings")
    return files
