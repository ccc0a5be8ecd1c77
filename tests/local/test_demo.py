"""``local demo`` as a process: what it shows, what it leaves, and when it fails."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_for
from tests.local.test_stack import Stack

pytestmark = pytest.mark.server


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack that is not running yet; it is stopped with the test."""
    made = Stack(tmp_path / "a folder")
    yield made
    made.run("local", "down", check=None)


def test_the_demo_shows_proves_and_leaves_a_lake_that_its_hints_can_read(stack: Stack) -> None:
    done = stack.run("local", "demo", "--for", "7s", timeout=100)
    live, _, figures = done.stdout.partition("symbol ")
    for symbol in ("AAPL", "MSFT", "NVDA", "TSLA", "BINANCE:BTCUSDT"):
        assert sum(symbol in line and "vwap" in line for line in live.splitlines()) > 3
        assert symbol in figures
    assert "is whole" in done.stderr
    assert f"trades       {stack.rows()} rows (+{stack.rows()})" in done.stderr
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}
    hints = [shlex.split(line)[1:] for line in done.stderr.partition("try next:")[2].splitlines() if line.strip()]
    assert ["local", "up"] in hints
    for hint in hints:
        if hint != ["local", "up"]:
            assert stack.run(*hint).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_shortens_the_live_table_and_the_rest_goes_on(stack: Stack, number: signal.Signals) -> None:
    log = stack.folder / "demo.log"
    process = stack.start("local", "demo", "--for", "100s", log=log)
    wait_for(lambda: "vwap" in log.read_text(), "the live table", 60)
    process.send_signal(number)
    assert process.wait(60) == 0, log.read_text()
    assert "is whole" in log.read_text()
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}


def test_a_signal_before_the_live_table_leaves_nothing_running(stack: Stack) -> None:
    log = stack.folder / "demo.log"
    process = stack.start("local", "demo", log=log)
    wait_for(lambda: "starting the local stack" in log.read_text(), "the start")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) != 0
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}


def test_a_running_stack_is_used_and_left_running(stack: Stack) -> None:
    stack.run("local", "up", "AMZN")
    before = stack.status()
    stack.wait_for_more()
    done = stack.run("local", "demo", "--for", "2s", timeout=100)
    assert "AMZN" in done.stdout
    assert {name: row["pid"] for name, row in stack.status().items()} == {name: row["pid"] for name, row in before.items()}


def test_a_part_that_died_meanwhile_fails_the_demo(stack: Stack) -> None:
    log = stack.folder / "demo.log"
    process = stack.start("local", "demo", "--for", "15s", log=log)
    wait_for(lambda: "vwap" in log.read_text(), "the live table", 60)
    stack.kill("sim")
    assert process.wait(100) == 1, log.read_text()
    assert "the demo went wrong: sim is " in log.read_text()
    assert "is whole" in log.read_text()
