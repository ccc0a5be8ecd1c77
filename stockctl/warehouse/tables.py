"""The tables of the lake as data, from which both Glue's ``TableInput`` and Spectrum's DDL are made.

Columns are the fields of the records with explicit types, times as ms in a bigint. A partition key is never a column too,
because a Hive-style table cannot have a name twice. Malformed lines become rows of nulls and do not end the query.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from stockctl.errors import ConfigError, UsageError
from stockctl.lake.format.keys import PARQUET
from stockctl.records import FeedEvent, SignalRecord, Trade, column_types
from stockctl.settings import Settings, require

Kind = Literal["text", "integer", "number", "date"]

MADE_BY = "made_by"
OURS = "stockctl"
"""The parameter ``made_by`` marks tables and databases that stockctl manages."""

JSON_SERDE = "org.openx.data.jsonserde.JsonSerDe"
JSON_OPTIONS = {"ignore.malformed.json": "true"}
PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"

_GLUE: dict[Kind, str] = {"text": "string", "integer": "bigint", "number": "double", "date": "date"}
# The length of a Glue string in Spectrum: both ways to create a table agree, and no text is truncated.
_REDSHIFT: dict[Kind, str] = {"text": "varchar(65535)", "integer": "bigint", "number": "double precision", "date": "date"}
_RESERVED = frozenset({"offset", "partition"})
"""Names of columns that are reserved words in Redshift."""
_KINDS: dict[type, Kind] = {str: "text", int: "integer", float: "number"}


class Column(NamedTuple):
    """A column, or a partition key."""

    name: str
    kind: Kind

    @property
    def glue(self) -> str:
        """The type in Glue."""
        return _GLUE[self.kind]

    @property
    def identifier(self) -> str:
        """The name in Redshift's SQL."""
        return f'"{self.name}"' if self.name in _RESERVED else self.name

    @property
    def redshift(self) -> str:
        """The type in Redshift."""
        return _REDSHIFT[self.kind]


class Table(NamedTuple):
    """One table: its folder in the lake, its columns, and the partition keys in the names of its folders."""

    name: str
    folder: str
    columns: tuple[Column, ...]
    keys: tuple[Column, ...]
    about: str
    form: Literal["json", "parquet"] = "json"
    crawled: bool = True


def _of(record: type[msgspec.Struct]) -> tuple[Column, ...]:
    return tuple(Column(name, _KINDS[kind]) for name, kind in column_types(record).items())


_DATE = Column("trade_date", "date")
_TICKER = Column("ticker", "text")

_LINES: dict[str, Kind] = {
    **dict.fromkeys(("symbol", "accession", "cik", "form"), "text"),
    **dict.fromkeys(("year", "quarter"), "integer"),
    **dict.fromkeys(("period_start", "period_end", "filed"), "text"),
    "accepted": "integer",
    "statement": "text",
    "position": "integer",
    **dict.fromkeys(("concept", "name", "label", "unit", "measure"), "text"),
    "value": "number",
}
LINES = tuple(Column(name, kind) for name, kind in _LINES.items())
"""The columns of line items, as ``stockctl.filings.model`` writes them."""

TRADES = Table("trades", "trades", _of(Trade), (_DATE, _TICKER), "Trades as they were received, one JSON object per line")
FEED_EVENTS = Table(
    "feed_events",
    "feed_events",
    _of(FeedEvent),
    (_DATE,),
    "Coverage of the feed and its gaps, one JSON object per line",
)
SIGNALS = Table(
    "signals",
    "signals",
    _of(SignalRecord),
    (_DATE,),
    "Decisions of strategies, and what is needed to repeat them, one JSON object per line",
)
FILINGS = Table("filings", "filings", LINES, (_TICKER,), "Items of companies' reports, one JSON object per line")
TRADES_PARQUET = Table(
    "trades_parquet", PARQUET, _of(Trade), (_DATE,), "Trades of compacted dates, as Parquet", form="parquet", crawled=False
)
TABLES = (TRADES, FEED_EVENTS, SIGNALS, FILINGS, TRADES_PARQUET)
"""All tables. Parquet is never crawled: only the newest version of a date counts, and crawlers cannot recognise it."""


class RepeatedKeyError(UsageError):
    """A partition key with the name of a column."""


def check(table: Table) -> Table:
    """``table``; RepeatedKeyError if a partition key has the name of a column."""
    names = [column.name for column in (*table.columns, *table.keys)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RepeatedKeyError(f"the table {table.name} has {', '.join(twice)} both as a column and as a partition key")
    return table


def lake_url(settings: Settings) -> str:
    """The URL of the lake, without a final ``/``. ConfigError unless the lake is in S3, in a format that Spectrum reads."""
    url = str(require(settings, "lake.url")).rstrip("/")
    if not url.startswith("s3://"):
        raise ConfigError(
            f"the lake is at {url}, and Glue and Redshift read only S3", hint="set lake.url to s3://bucket/prefix"
        )
    if settings.lake.compression == "zstd":
        raise ConfigError(
            "lake.compression is zstd, which Redshift Spectrum does not read in JSON lines: it knows gzip, bzip2 and snappy",
            hint="set lake.compression to gzip; `stockctl lake compact` turns dates that are stored as zstd into Parquet",
        )
    return url


def location(url: str, folder: str) -> str:
    """The URL of ``folder`` in the lake at ``url``. It ends in ``/``: without it, ``trades`` would match ``trades_old`` too."""
    return f"{url}/{folder}/"


def descriptor(table: Table, place: str) -> dict[str, Any]:
    """Glue's ``StorageDescriptor`` of the table, or of one of its partitions, at ``place``."""
    if table.form == "json":
        formats = ("org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat")
        serde: dict[str, Any] = {
            "SerializationLibrary": JSON_SERDE,
            # Crawlers write the columns there too: with it, their tables are the same.
            "Parameters": JSON_OPTIONS | {"paths": ",".join(sorted(column.name for column in table.columns))},
        }
    else:
        formats = (
            "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        )
        serde = {"SerializationLibrary": PARQUET_SERDE, "Parameters": {"serialization.format": "1"}}
    return {
        "Columns": [{"Name": column.name, "Type": column.glue} for column in table.columns],
        "Location": place,
        "InputFormat": formats[0],
        "OutputFormat": formats[1],
        "Compressed": table.form == "json",
        "SerdeInfo": serde,
    }


def table_input(table: Table, url: str) -> dict[str, Any]:
    """Glue's ``TableInput`` of the table in the lake at ``url``."""
    check(table)
    parameters = {MADE_BY: OURS, "EXTERNAL": "TRUE", "classification": table.form}
    if table.form == "json":
        parameters |= {"compressionType": "gzip", "typeOfData": "file"}
    return {
        "Name": table.name,
        "Description": table.about,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": parameters,
        "PartitionKeys": [{"Name": key.name, "Type": key.glue} for key in table.keys],
        "StorageDescriptor": descriptor(table, location(url, table.folder)),
    }
