"""Partitions from the claim log, with and without crawlers, and the status of lake, catalog and crawlers."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from stockctl.clients.aws.glue import Glue
from stockctl.clients.object_store import open_store
from stockctl.errors import StockctlError, TimedOutError, UnhealthyError
from stockctl.lake.maintenance.compact import compact
from stockctl.lake.maintenance.prune import prunable, prune
from stockctl.reconcile import Difference
from stockctl.settings import Settings, load_settings
from stockctl.warehouse.glue import catalog, crawlers
from stockctl.warehouse.glue.partition_sync import SyncResult, TableStatus, partition_input, status, sync
from stockctl.warehouse.partitions import lake_partitions
from stockctl.warehouse.tables import FEED_EVENTS, TRADES
from tests.command import clean_environment
from tests.lakes import covered, lay, signal, trade
from tests.warehouse.crawler import FakeGlue

pytestmark = pytest.mark.server


@pytest.fixture
def lake(warehouse_settings: Settings) -> Settings:
    """Two symbols on two dates, a feed event, and one report's items."""
    days = ("2026-11-20", "2026-11-23")
    lay(warehouse_settings, [trade(symbol, f"{day} 10:00", 100.0) for day in days for symbol in ("AAPL", "MSFT")], batches=2)
    lay(warehouse_settings, [covered("AAPL", "2026-11-20 10:00", "2026-11-20 10:01")], table="feed_events")
    lay(warehouse_settings, [signal("AAPL", "2026-11-20 10:00")], table="signals")
    open_store(warehouse_settings).put_new("filings/ticker=AAPL/0000320193-25-000073.jsonl.gz", b"x")
    return warehouse_settings


def run(glue: Glue, settings: Settings, **options: Any) -> dict[str, SyncResult]:
    _, done = sync(glue, open_store(settings), settings, **options)
    return {item.table: item for item in done}


def look(glue: Glue, settings: Settings) -> tuple[dict[str, TableStatus], list[Difference]]:
    standings, findings = status(glue, open_store(settings), settings)
    return {item.table: item for item in standings}, findings


def places(glue: Glue, table: str) -> dict[tuple[str, ...], str]:
    return {tuple(item["Values"]): item["StorageDescriptor"]["Location"] for item in glue.partitions(table)}


def test_sync_registers_the_objects_of_the_claims_and_is_idempotent(glue: Glue, lake: Settings) -> None:
    result = run(glue, lake)
    assert {name: item.created for name, item in result.items()} == {
        "trades": 4,
        "feed_events": 1,
        "signals": 1,
        "filings": 1,
        "trades_parquet": 0,
    }
    url = lake.lake.url
    assert places(glue, "trades")["2026-11-23", "AAPL"] == f"{url}/trades/trade_date=2026-11-23/ticker=AAPL/"
    assert places(glue, "feed_events") == {("2026-11-20",): f"{url}/feed_events/trade_date=2026-11-20/"}
    assert places(glue, "signals") == {("2026-11-20",): f"{url}/signals/trade_date=2026-11-20/"}
    assert places(glue, "filings") == {("AAPL",): f"{url}/filings/ticker=AAPL/"}
    again = run(glue, lake)
    assert {(item.created, item.changed, item.deleted, item.foreign) for item in again.values()} == {(0, 0, 0, 0)}
    assert again["trades"].unchanged == 4


def test_every_partition_has_objects_at_its_location(glue: Glue, lake: Settings) -> None:
    """Each location has objects, and each object of the tables is in one location."""
    run(glue, lake)
    found = [place for table in ("trades", "feed_events", "signals", "filings") for place in places(glue, table).values()]
    keys = [f"{lake.lake.url}/{item.key}" for item in open_store(lake).objects() if not item.key.startswith("_log")]
    assert all(sum(key.startswith(place) for place in found) == 1 for key in keys)
    assert all(any(key.startswith(place) for key in keys) for place in found)


def test_a_partition_can_be_found_by_its_date(glue: Glue, lake: Settings) -> None:
    """As Spectrum prunes: by an expression on the key's type."""
    run(glue, lake)
    found = [tuple(item["Values"]) for item in glue.partitions("trades", "trade_date > '2026-11-20' AND ticker = 'AAPL'")]
    assert found == [("2026-11-23", "AAPL")]


def test_many_partitions_go_in_batches_within_the_services_limits(
    glue: Glue, warehouse_settings: Settings, fake_glue: FakeGlue
) -> None:
    lay(warehouse_settings, [trade(f"S{number:03d}", "2026-11-23 10:00", 10.0) for number in range(230)])
    assert run(glue, warehouse_settings)["trades"].created == 230
    sizes = [len(body["PartitionInputList"]) for body in fake_glue.named("BatchCreatePartition")]
    assert sizes == [100, 100, 30]
    for item in list(glue.partitions("trades")):
        assert item["Values"][0] == "2026-11-23"
    glue.update_partitions("trades", [partition_input(TRADES, values, "s3://elsewhere/") for values in places(glue, "trades")])
    assert run(glue, warehouse_settings)["trades"].changed == 230
    assert len(places(glue, "trades")) == 230
    assert glue.delete_partitions("trades", sorted(places(glue, "trades"))) == []
    assert places(glue, "trades") == {}


def test_since_limits_sync_to_the_newest_dates(glue: Glue, lake: Settings) -> None:
    result = run(glue, lake, since=date(2026, 11, 23))
    assert set(places(glue, "trades")) == {("2026-11-23", "AAPL"), ("2026-11-23", "MSFT")}
    assert result["trades"].foreign == 0
    run(glue, lake)
    assert run(glue, lake, since=date(2026, 11, 23), prune=True)["trades"].deleted == 0, "older ones are not its matter"
    assert len(places(glue, "trades")) == 4


def test_since_includes_the_date_itself(glue: Glue, lake: Settings) -> None:
    """Partitions of that date are found again: none is created or changed twice, or reported as missing."""
    since = date(2026, 11, 23)
    catalog.apply(glue, lake)
    assert run(glue, lake, since=since)["trades"].created == 2
    again = run(glue, lake, since=since)["trades"]
    assert (again.created, again.changed, again.unchanged) == (0, 0, 2)
    assert status(glue, open_store(lake), lake, since)[1] == []


def test_a_partition_that_a_crawler_created_meanwhile_is_updated(glue: Glue, lake: Settings, fake_glue: FakeGlue) -> None:
    """Between the comparison and the request someone else makes one of the partitions, with another location."""
    catalog.apply(glue, lake)
    other = Glue(lake)

    def quicker() -> None:
        other.create_partitions("trades", [partition_input(TRADES, ("2026-11-20", "AAPL"), "s3://elsewhere/")])

    fake_glue.before["BatchCreatePartition"] = quicker
    result = run(glue, lake)
    assert (result["trades"].created, result["trades"].changed) == (3, 1)
    assert look(glue, lake)[1] == []


def test_compacted_dates_are_registered_with_their_newest_version(glue: Glue, lake: Settings) -> None:
    assert [made.trade_date for made in compact(lake, before=date(2026, 11, 21))] == [date(2026, 11, 20)]
    assert run(glue, lake)["trades_parquet"].created == 1
    (first,) = places(glue, "trades_parquet").values()
    assert first.startswith(f"{lake.lake.url}/parquet/trades/trade_date=2026-11-20/v0001-")
    assert first.endswith("/")
    store, url = open_store(lake), str(lake.lake.url)
    assert lake_partitions(store, url).compacted == (date(2026, 11, 20),)
    # A late claim reopens the date: its trades are in the raw objects alone, until it is compacted again.
    lay(lake, [trade("AAPL", "2026-11-20 15:00", 101.0)], start=4)
    assert lake_partitions(store, url).compacted == ()
    assert len(list(compact(lake, before=date(2026, 11, 21)))) == 1
    assert lake_partitions(store, url).compacted == (date(2026, 11, 20),)
    assert run(glue, lake)["trades_parquet"].changed == 1
    (second,) = places(glue, "trades_parquet").values()
    assert "/v0002-" in second


def test_a_bucket_is_the_value_of_the_ticker_key(glue: Glue, warehouse_settings: Settings) -> None:
    lay(warehouse_settings, [trade("AAPL", "2026-11-20 10:00", 100.0)], partition_by="bucket")
    run(glue, warehouse_settings)
    catalog.apply(glue, warehouse_settings)
    ((values, place),) = places(glue, "trades").items()
    assert values[1].startswith("bucket=")
    assert place.endswith(f"trades/trade_date=2026-11-20/{values[1]}/")
    assert look(glue, warehouse_settings)[1] == []


def test_partitions_that_spectrum_cannot_read_are_left_out_and_reported(glue: Glue, lake: Settings) -> None:
    lay(lake, [trade("AAPL", "2026-11-24 10:00", 100.0), trade("AAPL", "2026-11-23 11:00", 100.0)], start=4, compression="zstd")
    result = run(glue, lake)
    catalog.apply(glue, lake)
    assert result["trades"].unread == 2
    assert set(places(glue, "trades")) == {("2026-11-20", "AAPL"), ("2026-11-20", "MSFT"), ("2026-11-23", "MSFT")}
    _, findings = look(glue, lake)
    assert {(item.name, item.field) for item in findings} == {
        ("trades/trade_date=2026-11-23/ticker=AAPL", "compression"),
        ("trades/trade_date=2026-11-24/ticker=AAPL", "compression"),
    }
    assert all("zstd" in item.actual for item in findings)


def test_status_reports_missing_stale_and_foreign_partitions(glue: Glue, lake: Settings) -> None:
    run(glue, lake)
    standings, findings = look(glue, lake)
    # The crawlers are not made yet.
    assert {item.actual for item in findings} == {"absent"}
    catalog.apply(glue, lake)
    assert look(glue, lake)[1] == []
    assert standings["trades"] == TableStatus("trades", 4, 4, 0, 0, 0, "absent")
    url = str(lake.lake.url)
    glue.delete_partitions("trades", [("2026-11-20", "AAPL")])
    glue.update_partitions("trades", [partition_input(TRADES, ("2026-11-20", "MSFT"), "s3://elsewhere/")])
    empty, outside = f"{url}/trades/trade_date=2020-01-02/ticker=AAPL/", "s3://elsewhere/x/"
    glue.create_partitions(
        "trades",
        [
            partition_input(TRADES, ("2020-01-02", "AAPL"), empty),
            partition_input(TRADES, ("2020-01-03", "AAPL"), outside),
        ],
    )
    standings, findings = look(glue, lake)
    assert standings["trades"]._replace(crawler="") == TableStatus("trades", 4, 5, 1, 1, 2, "")
    folder = f"{url}/trades/trade_date=2026-11-20"
    assert {item[1:] for item in findings} == {
        ("trades/trade_date=2026-11-20/ticker=AAPL", "", f"{folder}/ticker=AAPL/", "absent", "`stockctl glue sync`"),
        (
            "trades/trade_date=2026-11-20/ticker=MSFT",
            "Location",
            f"{folder}/ticker=MSFT/",
            "s3://elsewhere/",
            "`stockctl glue sync`",
        ),
        (
            "trades/trade_date=2020-01-02/ticker=AAPL",
            "",
            "absent",
            f"{empty}, which is empty",
            "`stockctl glue sync --prune`",
        ),
        (
            "trades/trade_date=2020-01-03/ticker=AAPL",
            "",
            "absent",
            f"{outside}, outside the lake",
            "`stockctl glue sync --prune`",
        ),
    }
    assert run(glue, lake)["trades"].foreign == 2, "sync deletes nothing by itself"
    assert run(glue, lake, prune=True)["trades"].deleted == 2
    assert look(glue, lake)[1] == []


def test_expired_dates_are_foreign(glue: Glue, lake: Settings) -> None:
    catalog.apply(glue, lake)
    run(glue, lake)
    store = open_store(lake)
    prune(store, date(2026, 11, 23), prunable(store, date(2026, 11, 23)))
    standings, findings = look(glue, lake)
    assert standings["trades"].foreign == 2
    assert {item.wanted for item in findings} == {"absent"}


def test_a_crawler_finds_what_sync_registers(glue: Glue, lake: Settings, fake_glue: FakeGlue) -> None:
    """Both lead to the same catalog, in either order."""
    catalog.apply(glue, lake)
    messages: list[str] = []
    runs = list(crawlers.run(glue, lake, ["trades", "feed_events", "signals", "filings"], wait=True, say=messages.append))
    assert [(item.state, item.added) for item in runs] == [("succeeded", added) for added in (4, 1, 1, 1)]
    assert any("30s left" in line for line in messages)
    assert look(glue, lake)[1] == []
    assert {item.created + item.changed for item in run(glue, lake).values()} == {0}
    again = list(crawlers.run(glue, lake, ["trades"], wait=True))
    assert [item.added for item in again] == [0]
    assert look(glue, lake)[0]["trades"].crawler == "ready, last run succeeded"


def test_a_crawler_that_is_already_running_is_waited_for(glue: Glue, lake: Settings, fake_glue: FakeGlue) -> None:
    catalog.apply(glue, lake)
    glue.start_crawler(crawlers.name_of(lake.glue, FEED_EVENTS))
    messages: list[str] = []
    assert [item.state for item in crawlers.run(glue, lake, ["feed_events"], wait=False, say=messages.append)] == [
        "already running"
    ]
    assert "already running" in messages[0]
    assert [item.state for item in crawlers.run(glue, lake, ["feed_events"], wait=True)] == ["succeeded"]


def test_a_failed_crawler_is_reported_with_its_reason(glue: Glue, lake: Settings, fake_glue: FakeGlue) -> None:
    catalog.apply(glue, lake)
    words = "Insufficient Lake Formation permission(s)"
    fake_glue.fails[crawlers.name_of(lake.glue, TRADES)] = words
    with pytest.raises(StockctlError, match=r"failed: Insufficient Lake Formation") as caught:
        list(crawlers.run(glue, lake, ["trades"], wait=True))
    assert "CloudWatch" in (caught.value.hint or "")
    assert ("LastCrawl", f"FAILED: {words}") in {(item.field, item.actual) for item in look(glue, lake)[1]}


def test_a_failed_crawler_does_not_hide_the_results_of_others(glue: Glue, lake: Settings, fake_glue: FakeGlue) -> None:
    catalog.apply(glue, lake)
    fake_glue.fails[crawlers.name_of(lake.glue, TRADES)] = "no reason"
    following = crawlers.run(glue, lake, ["trades", "feed_events"], wait=True)
    runs = [next(following), next(following)]
    with pytest.raises(StockctlError, match="trades failed: no reason"):
        next(following)
    assert [(item.state, item.added) for item in runs] == [("failed", None), ("succeeded", 1)]
    assert "no reason" in runs[0].detail


def test_crawlers_from_paths_are_counted_and_compared(glue: Glue, lake: Settings, fake_glue: FakeGlue) -> None:
    catalog.apply(glue, lake, from_paths=True)
    run(glue, lake)
    tables = ["trades", "feed_events", "signals", "filings"]
    assert [item.added for item in crawlers.run(glue, lake, tables, wait=True)] == [4, 1, 1, 1]
    assert len(places(glue, "found_trades")) == 4
    assert [item.added for item in crawlers.run(glue, lake, tables, wait=True)] == [0, 0, 0, 0]
    assert look(glue, lake)[1] == []
    fake_glue.crawlers[crawlers.name_of(lake.glue, TRADES)]["Role"] = "another"
    (found,) = look(glue, lake)[1]
    assert (found.field, found.fix) == ("Role", "`stockctl glue apply --from-paths`")
    turned = [change for change in catalog.apply(glue, lake) if change.kind == "crawler"]
    assert all(change.action == "changed" and "no longer discovers tables" in change.detail for change in turned)
    assert look(glue, lake)[1] == []


def test_a_crawler_that_does_not_finish_times_out(warehouse_flags: dict[str, str], fake_glue: FakeGlue) -> None:
    flags = warehouse_flags | {"glue.endpoint_url": fake_glue.url, "glue.wait": "300ms"}
    settings = load_settings(environ=clean_environment(), flags=flags)
    catalog.apply(Glue(settings), settings)
    fake_glue.looks = 10_000
    with pytest.raises(TimedOutError, match="still running"):
        list(crawlers.run(Glue(settings), settings, ["trades"], wait=True))


def test_a_table_of_someone_else_gets_no_partitions(glue: Glue, lake: Settings) -> None:
    glue.create_database("", {})
    glue.create_table({"Name": "trades", "StorageDescriptor": {"Columns": [], "Location": "s3://other/"}})
    with pytest.raises(UnhealthyError, match="someone else made it"):
        run(glue, lake)
    assert places(glue, "trades") == {}


def test_an_empty_lake_has_tables_and_no_partitions(glue: Glue, warehouse_settings: Settings) -> None:
    assert {item.created for item in run(glue, warehouse_settings).values()} == {0}
    catalog.apply(glue, warehouse_settings)
    assert look(glue, warehouse_settings)[1] == []
