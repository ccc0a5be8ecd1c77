"""The tables as data: types from the records, partition keys from the folders, no name twice."""

from __future__ import annotations

from datetime import date
from itertools import combinations

import msgspec
import pytest

from stockctl.errors import ConfigError
from stockctl.filings.model import Filing, Item, line_item_records
from stockctl.lake.format.keys import Layout, parse_object
from stockctl.lake.reader.duckdb_session import COLUMNS
from stockctl.records import FeedEvent, SignalRecord, Trade, encode
from stockctl.settings import load_settings
from stockctl.warehouse import tables
from stockctl.warehouse.tables import TABLES, Column, RepeatedKeyError, Table, check, lake_url, location, table_input
from tests.command import clean_environment
from tests.lakes import signal, trade

URL = "s3://my-bucket/market"


def kinds(table: Table) -> dict[str, str]:
    return {column.name: column.kind for column in table.columns}


def test_types_are_explicit_and_match_the_records() -> None:
    """Times are ms in a bigint, prices doubles; no type is left to a crawler's guess."""
    assert [(column.name, column.glue, column.redshift) for column in tables.TRADES.columns] == [
        ("id", "string", "varchar(65535)"),
        ("symbol", "string", "varchar(65535)"),
        ("price", "double", "double precision"),
        ("volume", "double", "double precision"),
        ("ts_event", "bigint", "bigint"),
        ("ts_recv", "bigint", "bigint"),
        ("conditions", "string", "varchar(65535)"),
        ("updates", "string", "varchar(65535)"),
        ("source", "string", "varchar(65535)"),
    ]
    assert tables.TRADES_PARQUET.columns == tables.TRADES.columns


@pytest.mark.parametrize("table", [tables.TRADES, tables.FEED_EVENTS, tables.SIGNALS], ids=lambda table: table.name)
def test_duckdb_reads_the_same_columns(table: Table) -> None:
    """The lake's own reader and the warehouse agree on each column and its type."""
    same = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE"}
    assert {name: same[kind] for name, kind in kinds(table).items()} == COLUMNS[table.name]


@pytest.mark.parametrize(
    ("table", "record"),
    [
        (tables.TRADES, trade("AAPL", 1_795_447_800_000, 164.06)),
        (tables.FEED_EVENTS, FeedEvent("e", "covered", 1, 2, "AAPL", "", "k3f9a2", 2, "finnhub")),
        (tables.SIGNALS, signal("AAPL", 1_795_447_800_000)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_stored_line_has_the_columns(table: Table, record: Trade | FeedEvent | SignalRecord) -> None:
    """A stored line, read back as JSON."""
    found = msgspec.json.decode(encode(record))
    assert list(found) == list(kinds(table))
    same = {"text": str, "integer": int, "number": float}
    assert {name: type(value) for name, value in found.items()} == {name: same[kind] for name, kind in kinds(table).items()}


def test_a_line_item_has_the_columns() -> None:
    """The columns are those of the filings' line items, with their types."""
    item = Item("us-gaap_Assets", "Assets", "Total assets", "u_usd", "usd", 364980000000.0)
    filing = Filing(
        "0000320193-24-000123",
        "AAPL",
        "320193",
        "10-K",
        2024,
        0,
        date(2023, 10, 1),
        date(2024, 9, 28),
        date(2024, 11, 1),
        None,
        (item,),
    )
    (found,) = line_item_records(filing)
    assert list(found) == [column.name for column in tables.LINES]
    same = {"text": str, "integer": int, "number": float}
    for name, value in found.items():
        assert value is None or type(value) is same[kinds(tables.FILINGS)[name]]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_no_partition_key_is_a_column(table: Table) -> None:
    assert check(table) is table


def test_a_partition_key_that_is_a_column_is_an_error() -> None:
    bad = tables.TRADES._replace(keys=(Column("trade_date", "date"), Column("symbol", "text")))
    with pytest.raises(RepeatedKeyError, match="trades has symbol both"):
        table_input(bad, URL)


def test_the_partition_keys_are_those_of_the_folders() -> None:
    """In the order of an object's key."""
    layout = Layout("trades", "America/New_York", "ticker", "gzip")
    key = layout.object_key(layout.folder("AAPL", date(2026, 11, 23)), 1, 3, 42)
    assert parse_object(key) is not None
    names = [part.partition("=")[0] for part in key.split("/") if "=" in part]
    assert names == [column.name for column in tables.TRADES.keys]


def test_every_location_ends_in_a_slash_and_is_no_prefix_of_another() -> None:
    """S3 compares prefixes: ``trades`` without the slash would match ``trades_parquet`` too."""
    places = [table_input(table, URL)["StorageDescriptor"]["Location"] for table in TABLES]
    assert all(place.startswith(f"{URL}/") and place.endswith("/") for place in places)
    assert not any(one.startswith(other) or other.startswith(one) for one, other in combinations(places, 2))
    assert not any(place.startswith(location(URL, "_log")) or place.startswith(location(URL, "raw")) for place in places)


def test_the_table_input_of_glue_is_golden() -> None:
    """The request of ``glue apply`` for trades."""
    assert table_input(tables.TRADES, URL) == {
        "Name": "trades",
        "Description": "Trades as they were received, one JSON object per line",
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {
            "made_by": "stockctl",
            "EXTERNAL": "TRUE",
            "classification": "json",
            "compressionType": "gzip",
            "typeOfData": "file",
        },
        "PartitionKeys": [{"Name": "trade_date", "Type": "date"}, {"Name": "ticker", "Type": "string"}],
        "StorageDescriptor": {
            "Columns": [
                {"Name": "id", "Type": "string"},
                {"Name": "symbol", "Type": "string"},
                {"Name": "price", "Type": "double"},
                {"Name": "volume", "Type": "double"},
                {"Name": "ts_event", "Type": "bigint"},
                {"Name": "ts_recv", "Type": "bigint"},
                {"Name": "conditions", "Type": "string"},
                {"Name": "updates", "Type": "string"},
                {"Name": "source", "Type": "string"},
            ],
            "Location": "s3://my-bucket/market/trades/",
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "Compressed": True,
            "SerdeInfo": {
                "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
                "Parameters": {
                    "ignore.malformed.json": "true",
                    "paths": "conditions,id,price,source,symbol,ts_event,ts_recv,updates,volume",
                },
            },
        },
    }


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"lake.url": "file:///lake"}, "read only S3"),
        ({"lake.url": URL, "lake.compression": "zstd"}, "zstd, which Redshift Spectrum does not read"),
    ],
)
def test_a_lake_that_glue_cannot_read_is_an_error(flags: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        lake_url(load_settings(environ=clean_environment(), flags=flags))
    assert caught.value.hint


def test_the_lakes_url_has_no_final_slash() -> None:
    assert lake_url(load_settings(environ=clean_environment(), flags={"lake.url": f"{URL}/"})) == URL
