"""Database, tables and crawlers in a catalog: created, compared, adopted, deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stockctl.clients.aws.glue import Glue
from stockctl.errors import ConfigError, RefusedError, UnreachableError
from stockctl.reconcile import Change
from stockctl.settings import Settings, load_settings
from stockctl.warehouse.glue import catalog, crawlers
from stockctl.warehouse.tables import FEED_EVENTS, TABLES, TRADES, TRADES_PARQUET, table_input
from tests.command import clean_environment
from tests.conftest import free_port
from tests.warehouse.crawler import FakeGlue

pytestmark = pytest.mark.server


def done(changes: list[Change]) -> dict[str, str]:
    return {f"{change.kind} {change.name}": change.action for change in changes}


def foreign_table(**more: Any) -> dict[str, Any]:
    """A table that someone else made with the name of a lake table."""
    return {
        "Name": "trades",
        "StorageDescriptor": {"Columns": [{"Name": "x", "Type": "int"}], "Location": "s3://other/"},
    } | more


def test_apply_creates_everything_and_is_idempotent(glue: Glue, warehouse_settings: Settings) -> None:
    first = catalog.apply(glue, warehouse_settings)
    assert set(done(first).values()) == {"created"}
    assert [change.kind for change in first] == ["database"] + ["table"] * 5 + ["crawler"] * 4
    assert catalog.differences(glue, warehouse_settings) == []
    assert set(done(catalog.apply(glue, warehouse_settings)).values()) == {"unchanged"}


def test_a_crawler_has_a_catalog_table_as_its_target_and_logs_changes(
    glue: Glue, warehouse_settings: Settings, fake_glue: FakeGlue
) -> None:
    catalog.apply(glue, warehouse_settings)
    made = {body["Name"]: body for body in fake_glue.named("CreateCrawler")}
    targets = [body["Targets"]["CatalogTargets"][0]["Tables"] for body in made.values()]
    assert targets == [["trades"], ["feed_events"], ["signals"], ["filings"]]
    for body in made.values():
        assert body["SchemaChangePolicy"] == {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"}
        assert json.loads(body["Configuration"])["CrawlerOutput"]["Partitions"]["AddOrUpdateBehavior"] == "InheritFromTable"
        assert "Schedule" not in body


def test_a_schedule_is_set_and_removed(warehouse_flags: dict[str, str], fake_glue: FakeGlue) -> None:
    same = warehouse_flags | {"glue.endpoint_url": fake_glue.url}
    without = load_settings(environ=clean_environment(), flags=same)
    scheduled = load_settings(environ=clean_environment(), flags=same | {"glue.schedule": "cron(15 * * * ? *)"})
    client = Glue(without)
    catalog.apply(client, without)
    assert {item.field for item in catalog.differences(client, scheduled)} == {"Schedule"}
    catalog.apply(client, scheduled)
    assert catalog.differences(client, scheduled) == []
    assert {item.field for item in catalog.differences(client, without)} == {"Schedule"}
    catalog.apply(client, without)
    assert catalog.differences(client, without) == []


def test_crawlers_from_paths_create_one_table_per_folder(glue: Glue, warehouse_settings: Settings) -> None:
    url = str(warehouse_settings.lake.url)
    wanted = crawlers.crawler_input(warehouse_settings.glue, FEED_EVENTS, url, from_paths=True)
    assert wanted["Targets"] == {"S3Targets": [{"Path": f"{url}/feed_events/"}]}
    assert wanted["TablePrefix"] == "found_"
    # market / the test's prefix / feed_events: the third level
    assert json.loads(wanted["Configuration"])["Grouping"]["TableLevelConfiguration"] == 3
    catalog.apply(glue, warehouse_settings, from_paths=True)
    assert catalog.differences(glue, warehouse_settings, from_paths=True) == []
    assert "Targets" in {item.field for item in catalog.differences(glue, warehouse_settings)}


def test_a_table_of_someone_else_is_skipped_until_it_is_adopted(glue: Glue, warehouse_settings: Settings) -> None:
    glue.create_database("another's", {})
    glue.create_table(foreign_table(Parameters={"owner": "ann"}))
    assert done(catalog.apply(glue, warehouse_settings))["table trades"] == "skipped"
    there = glue.find_table("trades")
    assert there is not None
    assert there["StorageDescriptor"]["Location"] == "s3://other/"
    assert ("trades", "owner", "stockctl", "someone else") in {
        item[1:5] for item in catalog.differences(glue, warehouse_settings)
    }
    keyed = foreign_table(PartitionKeys=table_input(TRADES, "s3://b/p")["PartitionKeys"], Parameters={"owner": "ann"})
    glue.delete_table("trades")
    glue.create_table(keyed)
    assert done(catalog.apply(glue, warehouse_settings, adopt=True))["table trades"] == "adopted"
    taken = glue.find_table("trades")
    assert taken is not None
    assert taken["StorageDescriptor"]["Location"] == f"{warehouse_settings.lake.url}/trades/"
    assert taken["Parameters"]["owner"] == "ann", "what others noted there stays"
    assert catalog.differences(glue, warehouse_settings) == []


def test_different_partition_keys_are_skipped_with_the_reason(glue: Glue, warehouse_settings: Settings) -> None:
    glue.create_database("", {})
    glue.create_table(foreign_table(Parameters={"made_by": "stockctl"}))
    (change,) = [change for change in catalog.apply(glue, warehouse_settings) if change.name == "trades"]
    assert change.action == "skipped"
    assert "partition keys" in change.detail


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("StorageDescriptor", "Location"), "s3://elsewhere/trades/", "Location"),
        (("StorageDescriptor", "SerdeInfo"), {"SerializationLibrary": "other"}, "SerdeInfo"),
        (("StorageDescriptor", "Columns"), [{"Name": "id", "Type": "int"}], "Columns"),
        (("Parameters",), {"made_by": "stockctl"}, "Parameters"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else None,
)
def test_a_changed_table_is_reported_and_corrected(
    glue: Glue, warehouse_settings: Settings, place: tuple[str, ...], value: object, named: str
) -> None:
    catalog.apply(glue, warehouse_settings)
    spoiled = table_input(TRADES, str(warehouse_settings.lake.url))
    inner = spoiled if len(place) == 1 else spoiled[place[0]]
    inner[place[-1]] = value
    glue.update_table(spoiled)
    (found,) = catalog.differences(glue, warehouse_settings)
    assert (found.name, found.field) == ("trades", named)
    assert done(catalog.apply(glue, warehouse_settings))["table trades"] == "changed"
    assert catalog.differences(glue, warehouse_settings) == []


def test_comments_and_other_parameters_are_not_differences(glue: Glue, warehouse_settings: Settings) -> None:
    """Crawlers and users write their own."""
    catalog.apply(glue, warehouse_settings)
    noted = table_input(TRADES_PARQUET, str(warehouse_settings.lake.url))
    noted["Parameters"]["CrawlerSchemaSerializerVersion"] = "1.0"
    noted["StorageDescriptor"]["Columns"][0]["Comment"] = "who"
    glue.update_table(noted)
    assert catalog.differences(glue, warehouse_settings) == []


def test_without_a_role_there_are_no_crawlers(warehouse_flags: dict[str, str], fake_glue: FakeGlue) -> None:
    flags = {name: value for name, value in warehouse_flags.items() if name != "glue.role"}
    settings = load_settings(environ=clean_environment(), flags=flags | {"glue.endpoint_url": fake_glue.url})
    changes = catalog.apply(Glue(settings), settings)
    assert "sync" in changes[-1].detail
    assert fake_glue.crawlers == {}
    assert catalog.differences(Glue(settings), settings) == []


def test_trades_in_buckets_get_no_crawler(warehouse_flags: dict[str, str], fake_glue: FakeGlue) -> None:
    flags = warehouse_flags | {"glue.endpoint_url": fake_glue.url, "lake.partition_by": "bucket"}
    settings = load_settings(environ=clean_environment(), flags=flags)
    changes = done(catalog.apply(Glue(settings), settings))
    assert changes[f"crawler {settings.glue.database}-trades"] == "unchanged"
    assert set(fake_glue.crawlers) == {f"{settings.glue.database}-{name}" for name in ("feed-events", "signals", "filings")}
    assert catalog.differences(Glue(settings), settings) == []


def test_a_crawler_of_a_lake_that_now_has_buckets_is_reported(
    glue: Glue, warehouse_settings: Settings, warehouse_flags: dict[str, str], fake_glue: FakeGlue
) -> None:
    """It would create wrong partitions from the names of bucket folders."""
    catalog.apply(glue, warehouse_settings)
    flags = warehouse_flags | {"glue.endpoint_url": fake_glue.url, "lake.partition_by": "bucket"}
    settings = load_settings(environ=clean_environment(), flags=flags)
    name = crawlers.name_of(settings.glue, TRADES)
    (change,) = [change for change in catalog.apply(glue, settings) if change.name == name]
    assert (change.action, "bucket folders" in change.detail) == ("skipped", True)
    (difference,) = catalog.differences(glue, settings)
    assert (difference.name, f"delete-crawler --name {name}" in difference.fix) == (name, True)
    fake_glue.crawlers[name]["Description"] = "of Ann"
    assert catalog.differences(glue, settings) == []


def test_a_running_crawler_is_not_changed(glue: Glue, warehouse_settings: Settings, fake_glue: FakeGlue) -> None:
    catalog.apply(glue, warehouse_settings)
    name = crawlers.name_of(warehouse_settings.glue, TRADES)
    fake_glue.crawlers[name] |= {"State": "RUNNING", "SchemaChangePolicy": {}}
    fake_glue.left[name] = 10
    (change,) = [change for change in catalog.apply(glue, warehouse_settings) if change.name == name]
    assert (change.action, "running" in change.detail) == ("skipped", True)


def test_delete_deletes_what_stockctl_manages_and_nothing_else(
    glue: Glue, warehouse_settings: Settings, fake_glue: FakeGlue
) -> None:
    catalog.apply(glue, warehouse_settings)
    glue.create_table(foreign_table(Name="of_ann"))
    changes = done(catalog.delete(glue, warehouse_settings.glue))
    assert changes[f"database {glue.database}"] == "skipped"
    assert [table["Name"] for table in glue.tables()] == ["of_ann"]
    assert fake_glue.crawlers == {}
    glue.delete_table("of_ann")
    assert done(catalog.delete(glue, warehouse_settings.glue)) == {f"database {glue.database}": "deleted"}
    assert catalog.delete(glue, warehouse_settings.glue) == []


def test_the_names_of_the_tables_are_distinct() -> None:
    assert len({table.name for table in TABLES}) == len(TABLES)


def test_a_missing_permission_is_an_error_with_the_policy_as_hint(
    glue: Glue, warehouse_settings: Settings, fake_glue: FakeGlue
) -> None:
    fake_glue.denied = {"CreateTable"}
    with pytest.raises(RefusedError, match=r"cannot create the table .*trades: not authorized") as caught:
        catalog.apply(glue, warehouse_settings)
    assert "policy" in (caught.value.hint or "")


def test_missing_credentials_are_an_error(warehouse_flags: dict[str, str]) -> None:
    flags = {name: value for name, value in warehouse_flags.items() if not name.startswith("s3.")}
    settings = load_settings(environ=clean_environment(), flags=flags | {"s3.profile": "nobody", "s3.region": "us-east-1"})
    with pytest.raises(RefusedError, match="no AWS credentials"):
        Glue(settings)


def test_a_missing_region_is_an_error(warehouse_flags: dict[str, str]) -> None:
    flags = {name: value for name, value in warehouse_flags.items() if name != "s3.region"}
    with pytest.raises(ConfigError, match="no region"):
        Glue(load_settings(environ=clean_environment(), flags=flags))


def test_an_address_where_nothing_answers_is_unreachable(warehouse_flags: dict[str, str]) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    settings = load_settings(environ=clean_environment(), flags=warehouse_flags | {"glue.endpoint_url": dead})
    with pytest.raises(UnreachableError, match=r"cannot get the database"):
        Glue(settings).find_database()
