"""``stockctl spectrum`` as a process: words, forms of output and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stockctl.settings import env_name, load_settings
from tests.command import Command, clean_environment
from tests.conftest import free_port
from tests.lakes import lay, trade
from tests.warehouse.conftest import (
    fake_redshift,
    postgres,
    redshift_flags,
    warehouse_flags,
)
from tests.warehouse.redshift import FakeRedshift

__all__ = ["fake_redshift", "postgres", "redshift_flags", "warehouse_flags"]


@pytest.fixture
def command(tmp_path: Path, warehouse_flags: dict[str, str], redshift_flags: dict[str, str]) -> Command:
    """The command over a lake of one trade, and an empty Redshift."""
    flags = warehouse_flags | redshift_flags
    lay(load_settings(environ=clean_environment(), flags=flags), [trade("AAPL", "2026-11-23 10:00", 100.0)])
    return Command(tmp_path, **{env_name(name): value for name, value in flags.items()})


@pytest.mark.postgres
def test_from_nothing_to_views_that_answer(command: Command) -> None:
    assert "absent" in command.run("spectrum", "status", check=10).stdout
    differences = command.run("spectrum", "diff", "-o", "json", check=10, real=True).stdout
    assert command.run("spectrum", "apply", "--dry-run", "-o", "json").stdout == differences
    command.run("spectrum", "status", check=10)
    assert "view" in command.run("spectrum", "apply", real=True).stdout
    assert "no differences between Redshift, the lake and the settings" in command.run("spectrum", "diff").stderr
    command.run("spectrum", "status", real=True)
    command.environment["STOCKCTL_REDSHIFT__ROLE"] = "arn:aws:iam::123456789012:role/another"
    differing = command.run("spectrum", "status", check=10)
    assert "these differ from the settings: external schema lake" in differing.stderr
    (command.folder / "report.sql").write_text("SELECT count(*) AS trades FROM stockctl.trades;\n")
    assert json.loads(command.run("spectrum", "query", "report.sql", "-o", "jsonl").stdout) == {"trades": 0}


@pytest.mark.postgres
def test_a_query_streams_and_an_error_marks_its_place(command: Command) -> None:
    result = command.run(
        "spectrum", "query", "-", "-o", "csv", text="SELECT n, n / 2 AS half FROM generate_series(1, 2500) AS s(n)"
    )
    lines = result.stdout.splitlines()
    assert (lines[0], lines[1], lines[-1], len(lines)) == ("n,half", "1,0", "2500,1250", 2501)
    wrong = command.run("spectrum", "query", "-", text="SELECT 1\nFROM nowhere", check=2)
    assert "  line 2: FROM nowhere\n               ^" in wrong.stderr
    assert "there is no SQL in stdin" in command.run("spectrum", "query", "-", text=" ;", check=2).stderr
    assert "cannot read nope.sql: No such file" in command.run("spectrum", "query", "nope.sql", check=2).stderr
    (command.folder / "bytes.sql").write_bytes(b"\xff")
    assert "bytes.sql is not UTF-8" in command.run("spectrum", "query", "bytes.sql", check=2).stderr


@pytest.mark.postgres
def test_where_nothing_listens_it_is_exit_5_and_a_wrong_password_exit_4(command: Command) -> None:
    command.environment["STOCKCTL_REDSHIFT__PASSWORD"] = "wrong-secret-4711"
    refused = command.run("spectrum", "status", check=4)
    assert "wrong-secret" not in refused.stderr
    command.environment["STOCKCTL_REDSHIFT__PORT"] = str(free_port())
    assert "cannot reach Redshift" in command.run("spectrum", "status", check=5).stderr


@pytest.mark.postgres
def test_what_was_scanned_is_reported_for_the_last_statement(command: Command, fake_redshift: FakeRedshift) -> None:
    """From the system views of a provisioned cluster, of a statement that no cache answers; where there are none it says so."""
    assert "does not report scans" in command.run("spectrum", "query", "-", "--explain-scan", text="SELECT 1", check=2).stderr
    fake_redshift.postgres.sql(
        fake_redshift.database,
        """SET ROLE analyst;
        CREATE FUNCTION pg_last_query_id() RETURNS int LANGUAGE sql AS
            $$ SELECT CASE WHEN current_setting('redshift.enable_result_cache_for_session', true) = 'off' THEN 42 END $$;
        CREATE TABLE svl_s3query_summary (query int, segment int, external_table_name text, files int,
            s3_scanned_rows bigint, s3_scanned_bytes bigint);
        CREATE TABLE svl_s3partition_summary (query int, segment int, total_partitions int, qualified_partitions int);""",
    )
    nothing = command.run("spectrum", "query", "-", "--explain-scan", text="SELECT 1")
    assert "reads no external table, or its filters match no partition" in nothing.stderr
    fake_redshift.postgres.sql(
        fake_redshift.database,
        """INSERT INTO svl_s3query_summary VALUES (42, 1, 'lake.trades', 3, 10, 500), (41, 1, 'lake.trades', 9, 9, 9);
        INSERT INTO svl_s3query_summary VALUES (42, 2, 'lake.filings', 1, 2, 30);
        INSERT INTO svl_s3partition_summary VALUES (42, 1, 100, 2), (41, 1, 1, 1);""",
    )
    fake_redshift.statements.clear()
    result = command.run(
        "spectrum", "query", "-", "--explain-scan", "-o", "csv", text="SELECT n FROM generate_series(1, 2500) AS s(n)"
    )
    assert result.stdout.splitlines() == [
        "table,partitions,scanned_partitions,files,scanned_rows,scanned_bytes",
        "lake.filings,,,1,2,30",
        "lake.trades,100,2,3,10,500",
    ]
    # The rows themselves are of no use: a cursor's first ones make Redshift run all of it.
    assert len([text for text in fake_redshift.statements if text.startswith("FETCH")]) == 1
    assert not [text for text in fake_redshift.statements if text.startswith("SELECT n")]


@pytest.mark.server
def test_render_needs_no_redshift(tmp_path: Path, warehouse_flags: dict[str, str]) -> None:
    flags = warehouse_flags | {"redshift.role": "default"}
    lay(load_settings(environ=clean_environment(), flags=flags), [trade("AAPL", "2026-11-23 10:00", 100.0)])
    command = Command(tmp_path, **{env_name(name): value for name, value in flags.items()})
    text = command.run("spectrum", "render").stdout
    assert text.startswith("CREATE EXTERNAL SCHEMA IF NOT EXISTS lake\n")
    assert "IAM_ROLE default;\n" in text
    assert "CREATE OR REPLACE VIEW stockctl.bars_1m AS" in text


def test_redshifts_sql_runs_on_the_lake_without_redshift(tmp_path: Path) -> None:
    settings = {"lake.url": (tmp_path / "lake").as_uri()}
    lay(load_settings(environ=clean_environment(), flags=settings), [trade("AAPL", "2026-11-23 10:00", 100.0)])
    command = Command(tmp_path, STOCKCTL_LAKE__URL=settings["lake.url"])
    text = "SELECT symbol, COUNT(*) / 2 AS half, MAX(price) AS high FROM stockctl.trades GROUP BY symbol"
    result = command.run("spectrum", "query", "-", "--local", "-o", "csv", text=text)
    assert result.stdout == "symbol,half,high\nAAPL,0,100.0\n"
    text = "SELECT MAX(price), MAX(volume), 1 AS max FROM stockctl.trades; -- of all\n"
    alike = command.run("spectrum", "query", "-", "--local", "-o", "csv", text=text.replace("MAX(volume)", "MIN(price) AS max"))
    assert alike.stdout.splitlines() == ["max,max_2,max_3", "100.0,100.0,1"]
    nameless = command.run("spectrum", "query", "-", "--local", "-o", "csv", text="SELECT COUNT(*), 1/2 FROM stockctl.trades")
    assert nameless.stdout == "count,?column?\n1,0\n"
    refused = command.run("spectrum", "query", "-", "--local", text="SELECT CONCAT('a', NULL)", check=2)
    assert "CONCAT is null in Redshift" in refused.stderr
