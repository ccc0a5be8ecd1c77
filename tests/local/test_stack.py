"""One running stack of real services and faults; each test starts with a running stack."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stockctl.exchange.calendar import now_ms
from stockctl.local.processes import identity, process_info
from stockctl.units import counted
from tests.command import HANG
from tests.conftest import wait_for
from tests.local.stack import Stack

pytestmark = pytest.mark.server

SYMBOLS = ("AAPL", "AMZN")
"""Others than the setting's default."""
SESSION = 6.0
"""Seconds after which a writer that is frozen has lost its partitions: the least that the broker takes."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack of these tests. Its lake is verified at the end."""
    stack = Stack(tmp_path_factory.mktemp("stack") / "a folder")
    # A file, so that each command of these tests sees the same. Short: a test waits until a session has ended.
    (stack.folder / "stockctl.toml").write_text(f'[profile.local.kafka]\nsession_timeout = "{SESSION:.0f}s"\n')
    yield stack
    stack.run("local", "down")
    stack.verify()


@pytest.fixture
def stack(own: Stack) -> Stack:
    """The stack, running."""
    own.run("local", "up", *SYMBOLS)
    return own


@pytest.fixture
def unharmed(stack: Stack) -> Stack:
    """The stack, in which no service has died."""
    if any(row["restarts"] for row in stack.status().values()):
        stack.run("local", "down")
        stack.run("local", "reset", "--yes")
        stack.run("local", "up", *SYMBOLS)
    return stack


def test_a_demo_uses_a_running_stack_and_leaves_it_running(unharmed: Stack) -> None:
    """SIGTERM shortens the live table, and the demo continues."""
    before = unharmed.status()
    log = unharmed.folder / "demo.log"
    process = unharmed.start("local", "demo", "--for", "1h", log=log)
    # The table of services names the strategy vwap-reversion.
    wait_for(lambda: re.search(r"vwap(?!-)", log.read_text()), "the live table", HANG)
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANG) == 0, log.read_text()
    assert "is verified" in log.read_text()
    assert "\nAMZN " in log.read_text().partition("$ stockctl metrics summary")[2]
    assert {name: row["pid"] for name, row in unharmed.status().items()} == {name: row["pid"] for name, row in before.items()}


def test_up_twice_changes_nothing(stack: Stack) -> None:
    before = stack.status()
    again = stack.run("local", "up")
    assert "ready" in again.stderr
    assert "the local stack is up" in again.stderr
    after = stack.status()
    assert {name: row["pid"] for name, row in after.items()} == {name: row["pid"] for name, row in before.items()}
    refused = stack.run("local", "up", "MSFT", check=2)
    assert "already running with the simulator and AAPL, AMZN" in refused.stderr


def test_status_and_doctor_show_each_service(stack: Stack) -> None:
    """Broker, simulator, producer and writers, and what they do, with nothing configured."""
    assert list(stack.status()) == [
        *("supervisor", "broker", "consume-s3", "mongo", "consume-mongo", "signals", "sim", "produce", "dashboard")
    ]
    found: list[dict[str, Any]] = json.loads(stack.run("status", "-o", "json").stdout)
    running = {row["part"]: row["detail"] for row in found if row["part"].startswith("local ")}
    assert len(running) == 8
    assert all(detail.startswith("running") for detail in running.values())
    assert "source sim" in next(row["detail"] for row in found if row["part"] == "feed")
    stores = {row["part"]: row["state"] for row in found if row["part"] in ("lake trades", "lake feed_events", "mongo")}
    assert set(stores.values()) == {"ok"}, "also before the first batch"
    assert len(stores) == 3
    stack.run("doctor")


def test_open_finds_the_dashboard_of_the_stack(stack: Stack) -> None:
    """And a browser gets its address."""
    seen = stack.folder / "opened"
    browser = stack.folder / "browser"
    browser.write_text(f"#!/bin/sh\necho \"$1\" > '{seen}'\n")
    browser.chmod(0o755)
    address = f"http://127.0.0.1:{stack.port('dashboard')}"
    stack.environment["BROWSER"] = f"'{browser}' %s"
    assert stack.run("open", "--print", real=True).stdout == f"{address}\n"
    assert not seen.exists()
    assert stack.run("open", real=True).stdout == f"{address}\n"
    assert seen.read_text() == f"{address}\n"
    for command in ("status", "doctor"):
        rows = json.loads(stack.run(command, "-o", "json").stdout)
        [row] = [row for row in rows if "dashboard" in row.values()]
        assert (row["state"], row["detail"]) == ("ok", f"serves {address}")


def test_the_metrics_of_the_dashboard_count_what_a_browser_gets(stack: Stack) -> None:
    """While it looks at a view, and after it has left."""
    page = f"http://127.0.0.1:{stack.port('dashboard')}/api"

    def metrics() -> dict[str, float]:
        with urlopen(f"http://127.0.0.1:{stack.port('dashboard-health')}/metrics", timeout=HANG) as response:
            families = text_string_to_metric_families(response.read().decode())
        return {
            each.name.removeprefix("stockctl_dashboard_"): each.value
            for family in families
            for each in family.samples
            if each.name.startswith("stockctl_dashboard_") and each.labels.get("event", "view") == "view"
        }

    stack.wait_for_more()
    before = metrics()
    assert before["clients"] == 0
    with urlopen(f"{page}/snapshot?symbol=AAPL&every=5m", timeout=HANG) as response:  # noqa: S310  # our own
        snapshot = json.load(response)
    with urlopen(f"{page}/events?symbol=AAPL&every=5m&after={snapshot['id']}", timeout=HANG):  # noqa: S310  # our own
        wait_for(lambda: metrics().get("frames_total", 0) > before.get("frames_total", 0), "a frame", HANG)
        during = metrics()
    # The first view of all may be kept still.
    assert during["clients"] == 1
    assert 1 <= during["views"] <= 2
    assert 0 <= during["behind_seconds"] < HANG
    assert during["snapshot_seconds_count"] == before["snapshot_seconds_count"] + 1
    assert during["resyncs_total"] == before["resyncs_total"]
    wait_for(lambda: metrics()["clients"] == 0, "the browser to be gone", HANG)
    with urlopen(f"{page}/events?symbol=AAPL&after=other:1", timeout=HANG):  # noqa: S310  # our own
        wait_for(lambda: metrics()["resyncs_total"] == before["resyncs_total"] + 1, "a resync", HANG)


def test_settings_that_override_the_stack_are_noted(stack: Stack) -> None:
    elsewhere = Stack(stack.folder, STOCKCTL_KAFKA__BOOTSTRAP_SERVERS="kafka-1:9092")
    up = elsewhere.run("local", "up")
    assert "note: other commands use kafka.bootstrap_servers = kafka-1:9092" in up.stderr


def test_up_restarts_the_stack_when_settings_have_changed(stack: Stack) -> None:
    before = stack.status()
    # It stays for the later tests: without it they would restart the stack.
    with (stack.folder / "stockctl.toml").open("a") as config:
        config.write('[profile.local.mongo]\nmax_age = "500ms"\n')
    assert "restarting the local stack: mongo.max_age is now 0.5" in stack.run("local", "up", *SYMBOLS).stderr
    after = stack.status()
    assert all(after[part]["pid"] != row["pid"] for part, row in before.items())
    assert "restarting" not in stack.run("local", "up").stderr


def test_a_failed_writer_is_shown_and_blocks_neither_down_nor_up(stack: Stack) -> None:
    """The lake's folder is replaced by a file."""
    stack.wait_for_more()
    lake, aside = stack.state_dir / "lake", stack.state_dir / "aside"
    pid = int(stack.status()["consume-s3"]["pid"])
    lake.rename(aside)
    lake.write_text("no folder")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "failed" in stack.status(None)["consume-s3"]["state"], "the writer to be given up", HANG)
    for command in ("status", "doctor"):
        seen = stack.run(command, "-o", "json", check=10).stdout
        row = next(row for row in json.loads(seen) if "local consume-s3" in row.values())
        assert (row["state"], row["detail"].startswith("failed: exited with code 4")) == ("fail", True)
    down = stack.run("local", "down").stderr
    assert re.search(r"note: [\d,]+ records in Kafka are not in the lake yet: ", down), down
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}
    lake.unlink()
    aside.rename(lake)
    stack.run("local", "up", *SYMBOLS)
    stack.wait_for_more()


def test_a_running_stack_is_not_deleted(stack: Stack) -> None:
    running = stack.run("local", "reset", "--yes", check=1)
    assert "running" in running.stderr
    stack.status()


def test_killed_services_restart_and_no_trade_in_kafka_is_lost(stack: Stack) -> None:
    stack.wait_for_more()
    stack.kill("produce", "consume-s3", "sim")
    stack.wait_for_more()
    stack.verify()


def test_writers_frozen_past_their_sessions_report_it_and_recover(stack: Stack) -> None:
    """As on a suspended machine. The broker waits for the old members, until the supervisor, frozen here too, removes them."""
    before = stack.status()
    pids = {part: int(row["pid"]) for part, row in before.items()}
    writers = ["consume-s3", "consume-mongo"]
    frozen = ["supervisor", *writers]
    try:
        for part in frozen:
            os.kill(pids[part], signal.SIGSTOP)
        time.sleep(SESSION + 1)  # nothing but time ends a session
        assert {part: row["state"] for part, row in stack.status(10).items() if part in frozen} == dict.fromkeys(
            frozen, "frozen"
        )
        assert f"try: resume it by `kill -CONT {pids['supervisor']}`" in stack.run("local", "up", check=1).stderr
        for part in writers:
            os.kill(pids[part], signal.SIGCONT)
        wait_for(lambda: all("has no partitions" in stack.trouble(part) for part in writers), "the loss", HANG)
        for command in ("status", "doctor"):
            rows = json.loads(stack.run(command, "-o", "json", check=10).stdout)
            for row in (row for row in rows if {f"local {part}" for part in writers} & set(map(str, row.values()))):
                assert (row["state"], "they were revoked" in row["detail"]) == ("fail", True)
                assert "local down" in row["fix"]
    finally:
        for part in frozen:
            os.kill(pids[part], signal.SIGCONT)
    wait_for(lambda: not any(map(stack.trouble, writers)), "the partitions to come back", HANG)
    assert stack.log("supervisor").count("live ones rejoin") >= len(writers)
    documents = stack.documents()
    stack.wait_for_more()
    wait_for(lambda: stack.documents() > documents, "more trades in MongoDB", HANG)
    assert {part: row["pid"] for part, row in stack.status().items()} == pids


def test_no_service_listens_beyond_this_machine(stack: Stack) -> None:
    """A server that listens on every address answers at every loopback address."""
    for part in stack.status():
        if part != "supervisor":
            socket.create_connection(("127.0.0.1", stack.port(part)), HANG).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", stack.port(part)), HANG)


def test_a_killed_broker_loses_its_newest_records_and_the_lake_keeps_them(stack: Stack) -> None:
    stack.wait_for_more()
    rows = stack.rows()
    stack.kill("broker")
    stack.wait_for_more()
    assert stack.rows() > rows
    stack.verify()


def test_services_stop_with_a_killed_supervisor_and_two_ups_start_one_stack(stack: Stack) -> None:
    stack.wait_for_more()
    pids = {part: int(row["pid"]) for part, row in stack.status().items()}
    os.kill(pids["supervisor"], signal.SIGKILL)
    wait_for(lambda: all(identity(pid) is None for pid in pids.values()), "all parts to leave", HANG)
    assert "not running" in stack.run("local", "status", check=10).stderr

    before = stack.log("supervisor").count("broker started")
    logs = [stack.folder / f"up-{number}.log" for number in (1, 2)]
    both = [stack.start("local", "up", *SYMBOLS, log=log) for log in logs]
    assert [one.wait(HANG) for one in both] == [0, 0], [log.read_text() for log in logs]
    assert {row["state"] for row in stack.status().values()} == {"running"}
    assert stack.log("supervisor").count("broker started") == before + 1
    stack.wait_for_more()
    stack.verify()


def aligned(shown: str, word: str) -> int:
    """How many lines ``shown`` has of a part and ``word``; all of them have it in the same column."""
    columns = [line.index(word) for line in shown.splitlines() if line.startswith("  ") and word in line]
    assert len(set(columns)) == 1, shown
    return len(columns)


def test_down_and_up_keep_every_trade_when_a_port_is_in_use(stack: Stack) -> None:
    """All records in Kafka are in the lake, and the broker continues."""
    stack.wait_for_more()
    held = stack.held()
    down = stack.run("local", "down").stderr
    assert aligned(down, " stopped") == 8
    stopping = re.findall(r" stopping (.+)", stack.log("supervisor"))
    assert stopping[-8:] == ["dashboard", "produce", "sim", "signals", "consume-mongo", "mongo", "consume-s3", "broker"]
    rows = stack.rows()
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}
    shown = {row["part"]: row["detail"] for row in json.loads(stack.run("status", "-o", "json", check=10).stdout)}
    assert shown["local stack"] == "stopped"
    stack.verify()

    taken = stack.port("broker")
    with socket.create_server(("127.0.0.1", taken)):
        up = stack.run("local", "up", *SYMBOLS)
        assert f"note: port {taken} of broker is in use by another process" in up.stderr
        assert aligned(up.stderr, " ready ") == 8
        assert stack.port("broker") != taken
        assert f"127.0.0.1:{stack.port('broker')}" in stack.run("config", "show").stdout
    assert stack.held() >= held
    stack.wait_for_more()
    assert stack.rows() > rows
    stack.verify()


def test_records_of_an_unknown_source_become_dead_letters_and_can_be_replayed(stack: Stack) -> None:
    """They are dead letters, which status and doctor see, until the settings allow their source."""
    stack.wait_for_more()
    frames = stack.folder / "frames.jsonl"
    row = {"s": "AAPL", "p": 200.0, "v": 1.0, "t": now_ms() - 60_000, "c": []}
    frames.write_text(json.dumps({"type": "trade", "data": [row] * 5}))
    refused = stack.run("produce", "--replay", str(frames), check=2)
    assert "STOCKCTL_LAKE__EXTRA_SOURCES=replay" in refused.stderr
    allowing = Stack(stack.folder, STOCKCTL_LAKE__EXTRA_SOURCES="replay", STOCKCTL_MONGO__EXTRA_SOURCES="replay")

    allowing.run("produce", "--replay", str(frames))
    before = stack.status()
    # Both writers refuse each trade, and the one event of their coverage.
    wait_for(lambda: len(json.loads(stack.run("dlq", "list", "-o", "json").stdout)) == 12, "the dead letters", HANG)
    for command in ("status", "doctor"):
        found = json.loads(stack.run(command, "-o", "json", check=10).stdout)
        [fix] = [one["fix"] for one in found if "dead letters" in one.values() and one["state"] == "fail"]
        assert "lake.extra_sources" in fix
    stack.wait_for_more()
    assert {name: row["pid"] for name, row in stack.status().items()} == {name: row["pid"] for name, row in before.items()}

    allowing.run("local", "up", *SYMBOLS)
    assert "6 sent" in allowing.run("dlq", "replay", "--all").stderr
    count = ("lake", "query", "SELECT count(*) AS trades FROM trades WHERE source = 'replay'", "-o", "json")
    wait_for(lambda: json.loads(allowing.run(*count).stdout) == [{"trades": 5}], "the trades", HANG)
    found = json.loads(allowing.run("status", "-o", "json", check=None).stdout)
    assert [row["state"] for row in found if row["part"] == "dead letters"] == ["ok"]
    allowing.run("local", "down")
    stack.verify()


def test_damaged_files_of_a_running_stack_are_rewritten(stack: Stack) -> None:
    """By the supervisor, or by the next ``up``, which the other commands name meanwhile."""
    state, shared = (stack.state_dir / "local" / name for name in ("state.json", "settings.toml"))
    before, pid = shared.read_bytes(), stack.status()["supervisor"]["pid"]
    for damage in (b"\0" * 300, before[: before.index(b"[mongo]")], b""):
        shared.write_bytes(damage)
        wait_for(lambda: shared.read_bytes() == before, "the settings", HANG)
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: (found := process_info(pid)) is not None and found.frozen, "the supervisor to be suspended", HANG)
        shared.write_bytes(b"\0" * 300)
        assert f"{shared} is not valid TOML" in (refused := stack.run("lake", "list", check=3).stderr)
        assert "local up" in refused
        shared.unlink()
    finally:
        os.kill(pid, signal.SIGCONT)
    state.write_bytes(b"\0" * 300)
    stack.run("local", "up", *SYMBOLS)
    assert shared.read_bytes() == before
    stack.run("lake", "list")
    assert stack.status()["supervisor"]["pid"] == pid


def test_a_service_that_died_fails_the_demo(stack: Stack) -> None:
    log = stack.folder / "failed.log"
    process = stack.start("local", "demo", "--for", "1h", log=log)
    # The table of services names the strategy vwap-reversion.
    wait_for(lambda: re.search(r"vwap(?!-)", log.read_text()), "the live table", HANG)
    restarts = stack.kill("sim")["sim"]
    process.send_signal(signal.SIGINT)
    assert process.wait(HANG) == 1, log.read_text()
    assert "the demo failed: " in log.read_text()
    assert f"sim is running after {counted(restarts, 'restart')}" in log.read_text()
    assert "$ stockctl metrics summary" in log.read_text()
