"""The DDL: golden texts, and texts that a strict parser reads back."""

from __future__ import annotations

import json
from datetime import date

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from stockctl.errors import ConfigError, StockctlError, UsageError
from stockctl.resources import resource
from stockctl.settings import Settings, load_settings
from stockctl.warehouse.partitions import LakePartitions, Values
from stockctl.warehouse.spectrum import ddl
from stockctl.warehouse.tables import TABLES, TRADES, TRADES_PARQUET, Table
from tests.command import clean_environment
from tests.warehouse.parser import Garbage, parse

URL = "s3://my-bucket/market"
ROLE = "arn:aws:iam::123456789012:role/spectrum"
FLAGS = {"lake.url": URL, "s3.region": "us-east-1", "redshift.role": ROLE}


def settings(**flags: str) -> Settings:
    return load_settings(
        environ=clean_environment(), flags=FLAGS | {name.replace("__", "."): value for name, value in flags.items()}
    )


settings_once = settings()


def want(trades: dict[Values, str] | None = None, compacted: tuple[date, ...] = ()) -> LakePartitions:
    return LakePartitions({table.name: {} for table in TABLES} | {"trades": trades or {}}, compacted, {})


def test_the_external_schema_is_over_glues_database() -> None:
    assert ddl.external_schema(settings()).sql == (
        "CREATE EXTERNAL SCHEMA IF NOT EXISTS lake\n"
        "FROM DATA CATALOG\n"
        "DATABASE 'stockctl'\n"
        "REGION 'us-east-1'\n"
        "IAM_ROLE 'arn:aws:iam::123456789012:role/spectrum'"
    )
    found = parse(ddl.external_schema(settings(redshift__role="default", redshift__catalog="tables")).sql)
    assert found.options == {"database": "stockctl", "region": "us-east-1", "role": "default", "create": "yes"}


def test_the_statement_of_a_table_is_golden() -> None:
    assert ddl.external_table(settings().redshift, TRADES, URL).sql == (
        "CREATE EXTERNAL TABLE lake.trades (\n"
        "    id         varchar(65535),\n"
        "    symbol     varchar(65535),\n"
        "    price      double precision,\n"
        "    volume     double precision,\n"
        "    ts_event   bigint,\n"
        "    ts_recv    bigint,\n"
        "    conditions varchar(65535),\n"
        "    updates    varchar(65535),\n"
        "    source     varchar(65535)\n"
        ")\n"
        "PARTITIONED BY (trade_date date, ticker varchar(65535))\n"
        "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\n"
        "WITH SERDEPROPERTIES ('ignore.malformed.json'='true')\n"
        "STORED AS TEXTFILE\n"
        "LOCATION 's3://my-bucket/market/trades/'\n"
        "TABLE PROPERTIES ('made_by'='stockctl', 'compression_type'='gzip')"
    )


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_is_parsed_back(table: Table) -> None:
    found = parse(ddl.external_table(settings().redshift, table, URL).sql)
    assert found.columns == [(column.name, column.redshift) for column in table.columns]
    assert found.keys == [(key.name, key.redshift) for key in table.keys]
    assert found.stored == ("PARQUET" if table.form == "parquet" else "TEXTFILE")
    assert found.location == f"{URL}/{table.folder}/"


def test_a_statement_adds_at_most_100_partitions() -> None:
    places: dict[tuple[str, ...], str] = {
        ("2026-11-23", f"S{number:03d}"): f"{URL}/trades/trade_date=2026-11-23/ticker=S{number:03d}" for number in range(205)
    }
    parsed = [parse(statement.sql) for statement in ddl.add_partitions(settings().redshift, TRADES, places)]
    assert [len(item.partitions) for item in parsed] == [100, 100, 5]
    assert {values: place for item in parsed for values, place in item.partitions} == {
        values: f"{place}/" for values, place in places.items()
    }
    assert parsed[0].partition_keys == ["trade_date", "ticker"]
    moved = parse(ddl.move_partition(settings().redshift, TRADES_PARQUET, ("2026-11-23",), f"{URL}/v2").sql)
    assert (moved.kind, moved.table, moved.partition_keys) == ("move", "trades_parquet", ["trade_date"])
    assert moved.partitions == [(("2026-11-23",), f"{URL}/v2/")]
    dropped = parse(ddl.drop_partition(settings().redshift, TRADES_PARQUET, ("2026-11-23",)).sql)
    assert (dropped.kind, dropped.partitions) == ("drop", [(("2026-11-23",), "")])


def test_a_managed_table_is_recognised_by_its_property() -> None:
    adopted = parse(ddl.adopt_table(settings().redshift, TRADES).sql)
    assert (adopted.kind, adopted.schema, adopted.table) == ("properties", "lake", "trades")
    for table in (adopted, parse(ddl.external_table(settings().redshift, TRADES_PARQUET, URL).sql)):
        assert ddl.is_managed(json.dumps(table.properties | {"EXTERNAL": "TRUE"}))
    assert not any(map(ddl.is_managed, ("", "{}", "[]", '{"made_by":"ann"}', "made_by=stockctl")))


@given(st.text(st.characters(exclude_characters="\0\\", exclude_categories=["Cs"])))
def test_any_text_is_parsed_back(text: str) -> None:
    """Quotes in a value never end the literal."""
    found = parse(ddl.add_partitions(settings_once.redshift, TRADES, {("2026-11-23", text): "s3://b/x/"})[0].sql)
    assert found.partitions == [(("2026-11-23", text), "s3://b/x/")]


@pytest.mark.parametrize(
    "garbage",
    [
        "CREATE EXTERNAL TABLE lake.trades (id text) PARTITIONED BY (d date)",
        "CREATE EXTERNAL SCHEMA IF NOT EXISTS lake FROM DATA CATALOG DATABASE 'x' REGION 'y' IAM_ROLE 'z' please",
        "CREATE TABLE lake.trades (id bigint)",
        "ALTER TABLE lake.trades ADD IF NOT EXISTS PARTITION (d='x')",
        "DROP TABLE lake.trades",
    ],
)
def test_the_parser_rejects_garbage(garbage: str) -> None:
    with pytest.raises(Garbage):
        parse(garbage)


def test_trades_are_read_from_parquet_on_compacted_dates_and_raw_on_others() -> None:
    query = ddl.view_query("trades", ddl.schemas(settings().redshift), (date(2026, 11, 20), date(2026, 11, 23)))
    assert "FROM lake.trades_parquet\nWHERE trade_date IN ('2026-11-20', '2026-11-23')\nUNION ALL" in query
    assert query.endswith("FROM lake.trades\nWHERE trade_date NOT IN ('2026-11-20', '2026-11-23') AND id IS NOT NULL")
    assert "parquet" not in ddl.view_query("trades", ddl.schemas(settings().redshift), ())
    view = ddl.view_statement(settings(redshift__parquet="false").redshift, "trades", (date(2026, 11, 20),)).sql
    assert "parquet" not in view
    assert view.startswith("CREATE OR REPLACE VIEW stockctl.trades AS\nSELECT\n")
    assert view.endswith("\nWITH NO SCHEMA BINDING")


@pytest.mark.parametrize("view", ddl.VIEWS)
def test_a_views_query_is_one_select_that_redshift_reads(view: str) -> None:
    found = sqlglot.parse(ddl.view_query(view, ddl.schemas(settings().redshift), (date(2026, 11, 20),)), read="redshift")
    assert len(found) == 1
    assert isinstance(found[0], sqlglot.exp.Query)


def test_the_fingerprint_changes_with_the_view() -> None:
    """A compacted date changes only the view of trades."""
    before, after = ddl.views(settings().redshift, ()), ddl.views(settings().redshift, (date(2026, 11, 20),))
    changed = [one.name for one, other in zip(before, after, strict=True) if ddl.fingerprint(one) != ddl.fingerprint(other)]
    assert changed == ["trades"]


def test_the_statements_are_in_an_order_that_can_run() -> None:
    written = ddl.statements(settings(redshift__catalog="tables"), want({("2026-11-23", "AAPL"): f"{URL}/trades/x/"}))
    kinds = [(item.kind, item.name) for item in written]
    assert kinds[:3] == [("external schema", "lake"), ("external table", "trades"), ("partitions", "trades")]
    assert kinds[7:9] == [("schema", "stockctl"), ("view", "trades")]
    assert [name for what, name in kinds if what == "view"] == list(ddl.VIEWS)
    assert not any(";" in item.sql for item in written)
    assert {item.kind for item in ddl.statements(settings(), want())} == {"external schema", "schema", "view", "comment"}


def test_names_that_need_quotes_and_zero_bytes_are_rejected() -> None:
    with pytest.raises(UsageError):
        ddl.name("drop table")
    with pytest.raises(UsageError):
        ddl.literal("a\0b")
    assert ddl.literal("a\\'b") == "'a\\\\''b'"


def test_a_missing_or_unused_parameter_is_an_error() -> None:
    with pytest.raises(StockctlError, match="has the parameters"):
        ddl.fill("view_schema", {})
    with pytest.raises(StockctlError, match="has the parameters"):
        ddl.fill("view_schema", {"view_schema": "a", "other": "b"})


def test_without_a_role_nothing_can_be_rendered() -> None:
    with pytest.raises(ConfigError, match=r"redshift\.role"):
        ddl.external_schema(load_settings(environ=clean_environment(), flags={"lake.url": URL, "s3.region": "us-east-1"}))


def test_every_file_is_used() -> None:
    used = {
        "schema_glue",
        "schema_tables",
        "table_json",
        "table_parquet",
        "adopt_table",
        "partitions",
        "drop_partition",
        "move_partition",
        "view_schema",
        "view",
        "comment",
    }
    assert {path.stem for path in resource(ddl.FOLDER).glob("*.sql")} == used
    assert {path.stem for path in (resource(ddl.FOLDER) / "views").glob("*.sql")} == {*ddl.VIEWS, "trades_raw"}
