"""From captured frames through Apache Kafka into the lake and to the metrics: each trade once, also through a rebalance."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from stockctl.clients.kafka import Admin
from stockctl.settings import Settings
from stockctl.stream.lag import read_lag
from tests.command import HANG, Command, Process
from tests.conftest import wait_for
from tests.real import market

TRADES = int(os.environ.get("TRADES", "100000"))
"""How many go through to the metrics; `make prove` takes a million."""


def log_of(command: Command, name: str) -> Path:
    return command.folder / f"{name}.log"


def behind(settings: Settings) -> int:
    """Records that the lake's group has still to read."""
    return sum(row.lag for row in read_lag(Admin(settings), settings, [settings.lake.group]))


def stop(process: Process, log: Path) -> None:
    """SIGTERM: the batch in hand is finished, and it leaves."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANG) == 0, log.read_text()


def vwap(command: Command) -> dict[tuple[str, str], float]:
    since, until = market.DAYS[0].isoformat(), "2023-04-01"
    result = command.run("metrics", "vwap", *market.SYMBOLS, "--since", since, "--until", until, "-o", "json")
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return {(row["symbol"], row["trade_date"]): row["vwap"] for row in rows if row["vwap"] is not None}


def rows_in_the_lake(command: Command) -> int:
    """Trades in the lake by its claims; ``lake verify --deep`` has counted them in the objects, and their ids."""
    listed = json.loads(command.run("lake", "list", "-o", "json").stdout)
    return sum(int(row["rows"]) for row in listed if row["table"] == "trades")


def test_two_instances_and_a_rebalance_in_the_middle_write_each_trade_once(
    real_command: Command, real_settings: Settings, tmp_path: Path
) -> None:
    """The second joins half-way, then the first leaves, while trades go on coming."""
    capture = market.make(tmp_path / "frames.jsonl", 60_000, seed=7)
    lines = capture.file.read_text().splitlines(keepends=True)
    halves = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    halves[0].write_text("".join(lines[: len(lines) // 2]))
    halves[1].write_text("".join(lines[len(lines) // 2 :]))
    real_command.environment |= {"STOCKCTL_LAKE__MAX_RECORDS": "2000", "STOCKCTL_LAKE__MAX_AGE": "2s"}
    real_command.run("topics", "apply")

    logs = [log_of(real_command, name) for name in ("one", "two")]
    one = real_command.start("consume", "s3", log=logs[0])
    real_command.run("produce", "--replay", str(halves[0]))
    wait_for(lambda: "stored" in logs[0].read_text(), "a batch of the first instance")
    two = real_command.start("consume", "s3", log=logs[1])
    wait_for(lambda: "assigned" in logs[1].read_text(), "the second instance's share")
    producer = real_command.start("produce", "--replay", str(halves[1]))
    wait_for(lambda: "stored" in logs[1].read_text(), "a batch of the second instance")
    stop(one, logs[0])
    assert producer.wait(HANG) == 0, log_of(real_command, "produce").read_text()
    wait_for(lambda: behind(real_settings) == 0, "the second instance to catch up", 60)
    stop(two, logs[1])

    real_command.run("lake", "verify", "--deep")
    assert rows_in_the_lake(real_command) == capture.trades, (
        "records lost or duplicated: the lake's rows are not the trades made"
    )
    assert vwap(real_command) == pytest.approx(capture.vwap, rel=1e-9)


def test_more_instances_than_partitions_read_to_the_end_once_and_all_leave(
    real_command: Command, real_settings: Settings, tmp_path: Path
) -> None:
    """Those that get nothing, or have to give up what they got, end as well."""
    capture = market.make(tmp_path / "frames.jsonl", 20_000, seed=5)
    real_command.run("topics", "apply")
    real_command.run("produce", "--replay", str(capture.file))
    count = max(real_settings.topics.trades.partitions, real_settings.topics.feed_events.partitions) + 2
    logs = [log_of(real_command, f"instance {number}") for number in range(count)]
    processes = [real_command.start("consume", "s3", "--once", log=log) for log in logs]
    try:
        wait_for(lambda: all(process.poll() is not None for process in processes), "all to leave", HANG)
        assert [process.returncode for process in processes] == [0] * count, [log.read_text() for log in logs]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert behind(real_settings) == 0
    real_command.run("lake", "verify", "--deep")
    assert rows_in_the_lake(real_command) == capture.trades, (
        "records lost or duplicated: the lake's rows are not the trades made"
    )


def test_very_many_trades_reach_s3_and_give_the_vwap_of_the_input(
    real_command: Command, s3_environment: dict[str, str], s3_bucket: str, tmp_path: Path
) -> None:
    """Replay → Kafka → S3 → verify → VWAP, equal to the one computed straight from the input."""
    capture = market.make(tmp_path / "frames.jsonl", TRADES, seed=11)
    real_command.environment |= s3_environment | {"STOCKCTL_LAKE__URL": f"s3://{s3_bucket}/many"}
    real_command.run("topics", "apply")
    result = real_command.run("produce", "--replay", str(capture.file), timeout=600)
    assert f"{TRADES} trades and 0 dead letters" in result.stderr.replace(",", "")
    real_command.run("consume", "s3", "--once", timeout=600)
    verified = real_command.run("lake", "verify", "--deep", timeout=600)
    assert "is verified" in verified.stdout + verified.stderr
    assert rows_in_the_lake(real_command) == capture.trades, (
        "records lost or duplicated: the lake's rows are not the trades made"
    )
    found = vwap(real_command)
    assert found == pytest.approx(capture.vwap, rel=1e-9)
    assert len(found) == len(market.SYMBOLS) * len(market.DAYS)
    real_command.run("topics", "lag", real=True)
