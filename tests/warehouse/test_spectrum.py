"""External schema, tables and views in a Redshift with Spectrum's system views: created, compared, recreated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import pytest

from stockctl.clients.aws.glue import Glue
from stockctl.clients.object_store import open_store
from stockctl.clients.redshift.client import Connection
from stockctl.errors import UsageError
from stockctl.lake.maintenance.compact import compact
from stockctl.settings import Settings, load_settings
from stockctl.warehouse.glue import catalog
from stockctl.warehouse.glue.partition_sync import partition_input, sync
from stockctl.warehouse.partitions import LakePartitions, lake_partitions
from stockctl.warehouse.spectrum import ddl, schema
from stockctl.warehouse.tables import FILINGS, TABLES, TRADES, table_input
from tests.command import clean_environment
from tests.lakes import covered, lay, trade
from tests.warehouse.redshift import FakeRedshift

pytestmark = pytest.mark.postgres


@pytest.fixture
def settings(warehouse_flags: dict[str, str], redshift_flags: dict[str, str]) -> Settings:
    """A lake of two dates and an event, and an empty Redshift."""
    own_settings = load_settings(environ=clean_environment(), flags=warehouse_flags | redshift_flags)
    lay(own_settings, [trade("AAPL", f"{day} 10:00", 100.0) for day in ("2026-11-20", "2026-11-23")])
    lay(own_settings, [covered("AAPL", "2026-11-20 10:00", "2026-11-20 10:01")], table="feed_events")
    return own_settings


@pytest.fixture
def redshift(settings: Settings) -> Iterator[Connection]:
    with Connection(settings) as connection:
        yield connection


def want(settings: Settings) -> LakePartitions:
    return lake_partitions(open_store(settings), str(settings.lake.url))


def done(redshift: Connection, settings: Settings, **options: bool) -> dict[str, str]:
    changes = schema.apply(redshift, settings, want(settings), **options)
    return {f"{change.kind} {change.name}": change.action for change in changes}


def test_apply_creates_everything_and_is_idempotent(redshift: Connection, settings: Settings) -> None:
    first = done(redshift, settings)
    assert set(first.values()) == {"created"}
    assert [name for name in first if name.startswith("external table")] == [f"external table {table.name}" for table in TABLES]
    assert schema.differences(redshift, settings, want(settings)) == []
    assert set(done(redshift, settings).values()) == {"unchanged"}
    rows = {(row.kind, row.name): row for row in schema.status(redshift, settings, want(settings))}
    assert {row.state for row in rows.values()} == set(schema.SOUND)
    assert rows["external schema", "lake"].location == settings.glue.database
    trades = rows["external table", "trades"]
    assert (trades.columns, trades.partitions) == (11, 2)


def test_apply_runs_what_render_prints(redshift: Connection, settings: Settings, fake_redshift: FakeRedshift) -> None:
    """The same statements in the same order on an empty Redshift."""
    before = len(fake_redshift.statements)
    done(redshift, settings)
    asked = ("CREATE", "ALTER", "COMMENT")
    ran = [text for text in fake_redshift.statements[before:] if text.startswith(asked)]
    assert ran == [statement.sql for statement in ddl.statements(settings, want(settings))]


def test_a_compacted_date_changes_the_view_and_its_parquet_partition(redshift: Connection, settings: Settings) -> None:
    done(redshift, settings)
    list(compact(settings, before=date(2026, 11, 21)))
    found = [item[:5] for item in schema.differences(redshift, settings, want(settings))]
    # The view reads the date raw for as long as Redshift does not see its Parquet.
    assert found == [("partitions", "trades_parquet", "missing", "0", "1, such as 2026-11-20")]
    assert {name for name, what in done(redshift, settings).items() if what != "unchanged"} == {
        "partitions trades_parquet",
        "view trades",
    }
    # A late trade reopens the date: until it is compacted again all of it is read raw.
    lay(settings, [trade("AAPL", "2026-11-20 15:00", 101.0)], start=2)
    assert [item.name for item in schema.differences(redshift, settings, want(settings))] == ["trades"]
    list(compact(settings, before=date(2026, 11, 21)))
    fields = [(item.name, item.field) for item in schema.differences(redshift, settings, want(settings))]
    assert fields == [("trades_parquet", "stale"), ("trades", "definition")]
    assert done(redshift, settings)["partitions trades_parquet"] == "changed"
    assert schema.differences(redshift, settings, want(settings)) == []


def test_a_partition_is_moved_without_being_dropped(
    redshift: Connection, settings: Settings, fake_redshift: FakeRedshift
) -> None:
    """If it was dropped and added again, its date would have no trades in between, or after a failure."""
    done(redshift, settings)
    redshift.execute("UPDATE svv_external_partitions SET location = 's3://elsewhere/' WHERE tablename = 'trades'")
    before = len(fake_redshift.statements)
    (change,) = [item for item in schema.apply(redshift, settings, want(settings)) if item.kind == "partitions"]
    assert (change.action, change.detail) == ("changed", "2 moved")
    assert not [text for text in fake_redshift.statements[before:] if " DROP " in text]
    assert schema.differences(redshift, settings, want(settings)) == []


def test_a_view_of_someone_else_is_skipped_until_it_is_adopted(redshift: Connection, settings: Settings) -> None:
    redshift.execute("CREATE SCHEMA stockctl")
    columns = "''::text AS symbol, ''::text AS form, ''::text AS accession, ''::text AS cik, 0::bigint AS year"
    redshift.execute(f"CREATE VIEW stockctl.latest_filings AS SELECT {columns}")
    assert done(redshift, settings)["view latest_filings"] == "skipped"
    (found,) = schema.differences(redshift, settings, want(settings))
    assert (found.name, found.field, found.actual) == ("latest_filings", "owner", "someone else")
    assert done(redshift, settings, adopt=True)["view latest_filings"] == "adopted"
    assert schema.differences(redshift, settings, want(settings)) == []


def test_a_view_of_someone_else_with_other_columns_must_be_dropped_first(redshift: Connection, settings: Settings) -> None:
    redshift.execute("CREATE SCHEMA stockctl")
    redshift.execute("CREATE VIEW stockctl.latest_filings AS SELECT 1 AS one")
    done(redshift, settings)
    (found,) = schema.differences(redshift, settings, want(settings))
    with pytest.raises(UsageError):
        done(redshift, settings, adopt=True)
    assert "if its columns differ, DROP VIEW stockctl.latest_filings first" in found.fix
    redshift.execute("DROP VIEW stockctl.latest_filings")
    done(redshift, settings, adopt=True)
    assert schema.differences(redshift, settings, want(settings)) == []


def test_a_different_table_is_reported_and_skipped_until_it_is_dropped(redshift: Connection, settings: Settings) -> None:
    done(redshift, settings)
    redshift.execute("UPDATE svv_external_tables SET location = 's3://elsewhere/' WHERE tablename = 'trades'")
    redshift.execute(
        "UPDATE svv_external_columns SET external_type = 'int' WHERE tablename = 'filings' AND columnname = 'value'"
    )
    found = schema.differences(redshift, settings, want(settings))
    fields = {"trades": "location", "filings": "columns"}
    assert {item.name: item.field for item in found} == fields
    by_name = {item.name: item for item in found}
    assert by_name["trades"].actual == "s3://elsewhere/"
    assert ("value number" in by_name["filings"].wanted, "value int" in by_name["filings"].actual) == (True, True)
    rows = schema.status(redshift, settings, want(settings))
    states = {name: f"{field} differs" for name, field in fields.items()}
    assert {row.name: row.state for row in rows if row.state not in schema.SOUND} == states
    changes = done(redshift, settings)
    assert (changes["external table trades"], changes["external table filings"]) == ("skipped", "skipped")
    for item in found:
        drop, _, rest = item.fix.partition(", ")
        assert (drop, rest) == (f"DROP TABLE lake.{item.name}", "then apply")
        redshift.execute(drop)
    done(redshift, settings)
    assert schema.differences(redshift, settings, want(settings)) == []


@pytest.mark.parametrize("properties", ["NULL", "'{}'", """'{"made_by":"ann"}'"""])
def test_a_table_of_someone_else_is_skipped_with_its_partitions_until_it_is_adopted(
    redshift: Connection, settings: Settings, properties: str
) -> None:
    done(redshift, settings)
    redshift.execute(f"UPDATE svv_external_tables SET parameters = {properties} WHERE tablename = 'trades'")  # noqa: S608
    redshift.execute("DELETE FROM svv_external_partitions WHERE tablename = 'trades'")
    redshift.execute("""INSERT INTO svv_external_partitions VALUES ('lake', 'trades', '["2026-11-19","AAPL"]', 's3://gone/')""")
    before = schema.partitions(redshift, settings.redshift, TRADES)
    changes = done(redshift, settings, prune=True)
    assert (changes["external table trades"], "partitions trades" in changes) == ("skipped", False)
    assert schema.partitions(redshift, settings.redshift, TRADES) == before
    (found,) = schema.differences(redshift, settings, want(settings))
    assert (found.name, found.actual, "--adopt" in found.fix) == ("trades", "someone else", True)
    assert done(redshift, settings, adopt=True, prune=True)["external table trades"] == "adopted"
    assert schema.differences(redshift, settings, want(settings)) == []
    assert done(redshift, settings)["external table trades"] == "unchanged"


def test_foreign_partitions_stay_until_they_are_pruned(redshift: Connection, settings: Settings) -> None:
    done(redshift, settings)
    redshift.execute("""INSERT INTO svv_external_partitions VALUES ('lake', 'trades', '["2026-11-19","AAPL"]', 's3://gone/')""")
    (found,) = schema.differences(redshift, settings, want(settings))
    assert found[2:] == ("foreign", "0", "1, such as 2026-11-19/AAPL", "`stockctl spectrum apply --prune`")
    done(redshift, settings)
    assert schema.differences(redshift, settings, want(settings)) == [found]
    assert done(redshift, settings, prune=True)["partitions trades"] == "deleted"
    assert schema.differences(redshift, settings, want(settings)) == []
    trades = next(row for row in schema.status(redshift, settings, want(settings)) if row.name == "trades")
    assert trades.partitions == 2


def test_an_external_schema_of_another_database_or_role_is_reported(redshift: Connection, settings: Settings) -> None:
    done(redshift, settings)
    redshift.execute("UPDATE svv_external_schemas SET esoptions = '{}'")
    (found,) = schema.differences(redshift, settings, want(settings))
    assert (found.field, found.actual) == ("role", "another role")
    redshift.execute("UPDATE svv_external_schemas SET databasename = 'other'")
    (found,) = schema.differences(redshift, settings, want(settings))
    assert (found.field, found.actual) == ("database", "other")
    (row,) = [row for row in schema.status(redshift, settings, want(settings)) if row.state not in schema.SOUND]
    assert (row.name, row.state) == ("lake", "database differs")
    redshift.execute("DELETE FROM svv_external_partitions")
    redshift.execute("DROP VIEW stockctl.latest_filings")
    assert done(redshift, settings) == {"external schema lake": "skipped"}, "nothing is made in another's database"
    redshift.execute(found.fix.partition(",")[0])
    assert done(redshift, settings)["external schema lake"] == "created"
    assert schema.differences(redshift, settings, want(settings)) == []


def test_status_shows_views_that_differ_or_are_not_managed(redshift: Connection, settings: Settings) -> None:
    done(redshift, settings)
    redshift.execute("COMMENT ON VIEW stockctl.trades IS 'made by stockctl: of before'")
    redshift.execute("COMMENT ON VIEW stockctl.bars_1m IS 'mine'")
    states = {row.name: row.state for row in schema.status(redshift, settings, want(settings)) if row.kind == "view"}
    assert (states["trades"], states["bars_1m"]) == ("definition differs", "made by someone else")


def test_in_a_glue_catalog_only_views_are_created(
    warehouse_flags: dict[str, str], redshift_flags: dict[str, str], settings: Settings, redshift: Connection
) -> None:
    done(redshift, settings)  # stands in for what Glue shows
    over_glue = load_settings(
        environ=clean_environment(), flags=warehouse_flags | redshift_flags | {"redshift.catalog": "glue"}
    )
    changes = done(redshift, over_glue)
    assert {name.rpartition(" ")[0] for name in changes} == {"external schema", "view"}
    # What was compacted and is not in Glue yet is read raw.
    list(compact(settings, before=date(2026, 11, 21)))
    assert done(redshift, over_glue)["view trades"] == "unchanged"
    assert [item[2:5] for item in schema.differences(redshift, over_glue, want(settings))] == [
        ("missing", "0", "1, such as 2026-11-20")
    ]
    done(redshift, settings)  # as `glue sync` does
    assert schema.differences(redshift, over_glue, want(settings)) == []
    redshift.execute("DELETE FROM svv_external_partitions WHERE tablename = 'feed_events'")
    (found,) = schema.differences(redshift, over_glue, want(settings))
    assert found[2:] == ("missing", "0", "1, such as 2026-11-20", "`stockctl glue sync`")


def shown(glue: Glue, fake: FakeRedshift) -> None:
    """Let Redshift see the tables of Glue, as an external schema over its database does."""
    lines = ["DELETE FROM svv_external_tables; DELETE FROM svv_external_columns; DELETE FROM svv_external_partitions;"]

    def note(book: str, *values: object) -> None:
        quoted = ", ".join("'" + str(value).replace("'", "''") + "'" for value in ("lake", *values))
        lines.append(f"INSERT INTO svv_external_{book} VALUES ({quoted});")  # noqa: S608  # the test's own

    for table in TABLES:
        found = glue.find_table(table.name)
        assert found is not None
        note("tables", table.name, found["StorageDescriptor"]["Location"])
        for number, column in enumerate((*found["StorageDescriptor"]["Columns"], *found["PartitionKeys"])):
            note("columns", table.name, column["Name"], column["Type"], number)
        for item in glue.partitions(table.name):
            note("partitions", table.name, json.dumps(item["Values"]), item["StorageDescriptor"]["Location"])
    fake.postgres.sql(fake.database, "\n".join(lines))


@pytest.mark.server
def test_each_fix_resolves_its_difference_in_a_glue_catalog(
    warehouse_flags: dict[str, str],
    redshift_flags: dict[str, str],
    settings: Settings,
    redshift: Connection,
    glue: Glue,
    warehouse_settings: Settings,
    fake_redshift: FakeRedshift,
) -> None:
    done(redshift, settings)  # the ordinary tables that the views stand on
    store = open_store(settings)
    over_glue = load_settings(
        environ=clean_environment(), flags=warehouse_flags | redshift_flags | {"redshift.catalog": "glue"}
    )

    def fixes() -> dict[str, str]:
        shown(glue, fake_redshift)
        return {item.name: item.fix for item in schema.differences(redshift, over_glue, want(settings))}

    sync(glue, store, warehouse_settings)
    assert fixes() == {}
    glue.create_partitions("trades", [partition_input(TRADES, ("2026-11-19", "AAPL"), "s3://gone/")])
    assert fixes() == {"trades": "`stockctl glue sync --prune`"}
    sync(glue, store, warehouse_settings)
    assert fixes() == {"trades": "`stockctl glue sync --prune`"}
    sync(glue, store, warehouse_settings, prune=True)
    assert fixes() == {}
    # Which of its ways helps depends on whose the table is, and Glue alone knows.
    glue.update_table(table_input(FILINGS, "s3://elsewhere") | {"Parameters": {}})
    assert fixes() == {"filings": "`stockctl glue diff` shows how to correct it in Glue"}
    (found,) = [item for item in catalog.differences(glue, warehouse_settings) if item.name == "filings"]
    assert "--adopt" in found.fix
    catalog.apply(glue, warehouse_settings, adopt=True)
    assert fixes() == {}
