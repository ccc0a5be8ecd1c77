"""``stockctl glue`` as a process, on a stand-in catalog: words, forms of output and exit codes."""

from __future__ import annotations

import json

import pytest

from stockctl.settings import Settings
from tests.command import Command
from tests.lakes import lay, trade
from tests.warehouse.conftest import fake_glue, moto_server, warehouse_command, warehouse_flags, warehouse_settings
from tests.warehouse.crawler import FakeGlue

pytestmark = pytest.mark.server
__all__ = ["fake_glue", "moto_server", "warehouse_command", "warehouse_flags", "warehouse_settings"]


@pytest.fixture
def lake(warehouse_settings: Settings) -> Settings:
    lay(warehouse_settings, [trade("AAPL", "2026-11-23 10:00", 100.0)])
    return warehouse_settings


def test_from_nothing_to_a_catalog_that_holds_the_lake(warehouse_command: Command, lake: Settings) -> None:
    assert warehouse_command.run("glue", "diff", check=10).stdout.splitlines()[0].split() == [
        "kind",
        "name",
        "field",
        "wanted",
        "actual",
        "fix",
    ]
    made = warehouse_command.run("glue", "apply", "--create-role")
    assert "the role stockctl-crawler" in made.stderr
    warehouse_command.run("glue", "diff", real=True)
    behind = warehouse_command.run("glue", "status", check=10)
    assert "partition trades/trade_date=2026-11-23/ticker=AAPL: absent: `stockctl glue sync`" in behind.stderr
    result = [json.loads(line) for line in warehouse_command.run("glue", "sync", "-o", "jsonl").stdout.splitlines()]
    assert {item["table"]: item["created"] for item in result}["trades"] == 1
    assert "the catalog has the partitions of the lake" in warehouse_command.run("glue", "status").stderr
    runs = json.loads(warehouse_command.run("glue", "run", "trades", "--wait", "-o", "json", real=True).stdout)
    assert [(item["state"], item["added"]) for item in runs] == [("succeeded", 0)]
    assert "try: stockctl glue delete --yes" in warehouse_command.run("glue", "delete", check=2).stderr
    assert "the catalog has the partitions of the lake" in warehouse_command.run("glue", "status").stderr
    assert "deleted" in warehouse_command.run("glue", "delete", "--yes", real=True).stdout


def test_dry_runs_change_nothing(warehouse_command: Command, lake: Settings) -> None:
    def planned(*arguments: str) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = json.loads(warehouse_command.run("glue", *arguments, "--dry-run", "-o", "json").stdout)
        return rows

    assert {row["kind"] for row in planned("apply")} == {"database"}
    assert [row["name"] for row in planned("sync") if row["kind"] == "partition"] == [
        "trades/trade_date=2026-11-23/ticker=AAPL"
    ]
    assert planned("delete") == []
    warehouse_command.run("glue", "diff", check=10)
    warehouse_command.run("glue", "apply")
    assert {row["state"] for row in planned("run", "trades")} == {"would start"}
    unchanged = warehouse_command.run("glue", "apply", "--dry-run")
    assert (unchanged.stdout, unchanged.stderr) == ("", "dry run: nothing would change\n")
    assert planned("apply") == []
    warehouse_command.run("glue", "sync")
    assert planned("sync") == []
    assert {row["action"] for row in planned("delete")} == {"deleted"}
    assert "database" in {row["kind"] for row in planned("delete")}
    warehouse_command.run("glue", "status")


def test_trades_in_buckets_need_no_crawler_and_that_is_no_failure(warehouse_command: Command, lake: Settings) -> None:
    warehouse_command.environment["STOCKCTL_LAKE__PARTITION_BY"] = "bucket"
    assert "unchanged  crawlers cannot read bucket folders" in warehouse_command.run("glue", "apply").stdout
    warehouse_command.run("glue", "diff")


def test_a_crawler_that_fails_is_a_row_beside_the_others(
    warehouse_command: Command, lake: Settings, fake_glue: FakeGlue
) -> None:
    warehouse_command.run("glue", "apply")
    fake_glue.fails[f"{lake.glue.database}-trades"] = "no reason"
    result = warehouse_command.run("glue", "run", "--wait", "-o", "json", check=1)
    assert [item["state"] for item in json.loads(result.stdout)] == ["failed"] + ["succeeded"] * 3
    assert "trades failed: no reason" in result.stderr


def test_a_table_of_someone_else_ends_in_10_and_says_how_to_adopt(warehouse_command: Command, lake: Settings) -> None:
    from stockctl.clients.aws.glue import Glue

    glue = Glue(lake)
    glue.create_database("", {})
    glue.create_table({"Name": "filings", "StorageDescriptor": {"Columns": [], "Location": "s3://other/"}})
    result = warehouse_command.run("glue", "apply", check=10)
    assert "--adopt" in result.stdout
    assert "skipped: table filings" in result.stderr
    assert "someone else made it" in warehouse_command.run("glue", "sync", check=10).stderr


def test_refused_rights_are_exit_4(warehouse_command: Command, lake: Settings, fake_glue: FakeGlue) -> None:
    fake_glue.denied = {"GetDatabase"}
    result = warehouse_command.run("glue", "apply", check=4)
    assert "not authorized" in result.stderr
    assert "owner-secret-key" not in result.stdout + result.stderr


def test_a_policy_is_json_and_needs_no_connection(warehouse_command: Command) -> None:
    warehouse_command.environment |= {"STOCKCTL_GLUE__ENDPOINT_URL": "http://127.0.0.1:9"}
    assert json.loads(warehouse_command.run("glue", "policy").stdout)["Version"] == "2012-10-17"
    trust = json.loads(warehouse_command.run("glue", "policy", "--role", "redshift", "--trust").stdout)
    assert trust["Statement"][0]["Principal"] == {"Service": "redshift.amazonaws.com"}
    warehouse_command.run("glue", "policy", "--role", "operator", "--trust", check=2)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "parquet"), 2, "there is no crawler for parquet"),
        (("sync", "--since", "tomorrow"), 2, "is not a date"),
    ],
)
def test_wrong_words_are_a_matter_of_usage(
    warehouse_command: Command, arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert words in warehouse_command.run("glue", *arguments, check=code).stderr


def test_a_lake_in_a_folder_is_a_matter_of_configuration(warehouse_command: Command) -> None:
    warehouse_command.environment |= {"STOCKCTL_LAKE__URL": "file:///tmp/lake"}
    assert "read only S3" in warehouse_command.run("glue", "apply", check=3).stderr
