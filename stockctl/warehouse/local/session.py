"""A person's Redshift SQL on the lake, with DuckDB: for developing without a cluster.

The same schemas, tables and views are there as in Redshift, made of the same definitions: ``lake.trades`` and the others, and
the views of ``stockctl``. Nothing else of this machine is.
"""
# ruff: noqa: S608  # what is put into statements are names that the settings have checked, and our own

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
from stockctl.lake.reader.catalog import LakeReader
from stockctl.lake.reader.duckdb_session import DAMAGE, duck
from stockctl.settings import Settings
from stockctl.warehouse.local.column_names import folded
from stockctl.warehouse.local.redshift_to_duckdb import Schema, carried
from stockctl.warehouse.spectrum import ddl
from stockctl.warehouse.tables import FEED_EVENTS, FILINGS, TABLES, TRADES, TRADES_PARQUET

_DUCK = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "date": "DATE"}
_FETCH = 10_000
_SLUG = "left(regexp_replace(symbol, '[^A-Za-z0-9._-]', '_', 'g'), 64)"
_TICKER = f"upper({_SLUG}) || CASE WHEN {_SLUG} = upper({_SLUG}) THEN '' ELSE '_' END AS ticker"
"""As ``stockctl.lake.format.keys.ticker_slug`` does it."""


@contextmanager
def query(settings: Settings, text: str, since: int | None = None, until: int | None = None) -> Iterator[Result]:
    """The answer of the SELECT ``text``, in Redshift's dialect, over the lake's objects of ``[since, until)`` in ms UTC.

    UsageError for SQL that is wrong, and for what cannot be carried over, by its name. The rows last as long as the context.
    """
    with LakeReader(settings) as lake, duck() as connection, TemporaryDirectory(prefix="stockctl-") as folder:
        statement = carried(text, schema(settings))
        connection.execute("SET TimeZone = 'UTC'")
        files = _provide(connection, lake, settings, text, Path(folder), since, until)
        connection.execute("SET allowed_paths = $files", {"files": [str(file) for file in files]})
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            connection.execute(statement)
        except DAMAGE:
            raise  # a damaged object: told as for every reading of the lake
        except duckdb.Error as error:
            told = str(error).strip()
            if "division by zero" in told.lower():
                # What DuckDB advises is not there in Redshift.
                raise UsageError("division by zero", hint="NULLIF(divisor, 0) makes it NULL") from error
            raise UsageError(told, hint="--local takes one SELECT in Redshift's dialect") from error
        yield Result(tuple(folded(item[0]) for item in connection.description or ()), _rows(connection))


def _rows(connection: duckdb.DuckDBPyConnection) -> Iterator[Row]:
    while some := connection.fetchmany(_FETCH):
        yield from some


def schema(settings: Settings) -> Schema:
    """The columns' types of tables and views, by which ``carried`` tells integers from others."""
    external = {table.name: {column.name: column.redshift for column in (*table.columns, *table.keys)} for table in TABLES}
    times = dict.fromkeys(("event_time", "receipt_time", "start_time", "end_time"), "timestamp")
    prices = dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), "double precision")
    named = {name: dict(columns) for name, columns in external.items()}
    views = {
        "trades": named["trades"] | times,
        "feed_events": named["feed_events"] | times,
        "bars_1m": {"symbol": "varchar", "trade_date": "date", "bar": "timestamp", "trades": "bigint"} | prices,
        "latest_filings": named["filings"] | {"accepted_time": "timestamp", "items": "bigint"},
        "statements": named["filings"] | {"accepted_time": "timestamp"} | dict.fromkeys(ddl.STATEMENTS, "double precision"),
    }
    return {settings.redshift.external_schema: external, settings.redshift.view_schema: views}


def _provide(
    connection: duckdb.DuckDBPyConnection,
    lake: LakeReader,
    settings: Settings,
    text: str,
    folder: Path,
    since: int | None,
    until: int | None,
) -> list[Path]:
    """Make tables and views; the files that they read. What the text does not name costs no download."""
    names = ddl.schemas(settings)
    external, views = names["external_schema"], names["view_schema"]
    connection.execute(f"CREATE SCHEMA {external}")
    if views != external:
        connection.execute(f"CREATE SCHEMA {views}")
    files: list[Path] = []
    trades = re.search(r"\b(trades|bars_1m)\b", text, re.IGNORECASE) is not None
    parquet = TRADES_PARQUET.name in text.lower()
    found = lake.find("trades", since=since, until=until) if trades or parquet else []
    files += lake.view(connection, "trades", found if trades else [], "held_trades")
    # In a lake of buckets the key is the bucket's folder, which a row does not tell: the column is left out.
    ticker = f", {_TICKER}" if settings.lake.partition_by == "ticker" else ""
    connection.execute(f"CREATE VIEW {external}.{TRADES.name} AS SELECT *{ticker} FROM held_trades")
    files += lake.view(connection, "trades", [item for item in found if item.name is None] if parquet else [], "held_parquet")
    connection.execute(f"CREATE VIEW {external}.{TRADES_PARQUET.name} AS SELECT * FROM held_parquet")
    events = re.search(r"\bfeed_events\b", text, re.IGNORECASE) is not None
    files += lake.view(
        connection, "feed_events", lake.find("feed_events", since=since, until=until) if events else [], "held_events"
    )
    connection.execute(f"CREATE VIEW {external}.{FEED_EVENTS.name} AS SELECT * FROM held_events")
    filings = re.search(r"\b(filings|latest_filings|statements)\b", text, re.IGNORECASE) is not None
    files += _filings(connection, lake, external, folder, wanted=filings)
    for view in ddl.VIEWS:
        select = carried_view(ddl.view_query(view, names, ()))
        connection.execute(f"CREATE VIEW {views}.{view} AS {select}")
    return files


def carried_view(text: str) -> str:
    """A view's own SELECT in DuckDB's dialect; that it means the same there is tested, not looked up."""
    import sqlglot

    return sqlglot.transpile(text, read="redshift", write="duckdb", comments=False)[0]


def _filings(connection: duckdb.DuckDBPyConnection, lake: LakeReader, schema: str, folder: Path, *, wanted: bool) -> list[Path]:
    """Make the table of filings, of the objects of each ticker's folder."""
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
    rows.create_view("held_filings")
    connection.execute(f"CREATE VIEW {schema}.{FILINGS.name} AS SELECT *, {_TICKER} FROM held_filings")
    return files
