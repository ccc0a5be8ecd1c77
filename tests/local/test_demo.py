"""``local demo`` as a process: what it shows, what it leaves, and what it does to a stack that runs already."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import HANG
from tests.conftest import wait_for
from tests.local.stack import Stack

pytestmark = pytest.mark.server

SYMBOLS = ("AAPL", "MSFT", "NVDA", "TSLA", "BINANCE:BTCUSDT")


def shown(text: str, symbol: str) -> int:
    """How often the live table has shown figures of ``symbol``."""
    lines = text.partition("is whole")[0].splitlines()
    return sum(f"  {symbol}  last " in line and "vwap -" not in line for line in lines)


def test_the_demo_shows_proves_and_leaves_a_lake_that_its_hints_can_read(tmp_path: Path) -> None:
    """Ctrl-C shortens the live table, and the rest goes on."""
    stack = Stack(tmp_path / "a folder")
    log = tmp_path / "demo.log"
    process = stack.start("local", "demo", "--for", "1h", log=log)
    try:
        wait_for(lambda: all(shown(log.read_text(), symbol) > 1 for symbol in SYMBOLS), "the live table", HANG)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(HANG)
    text = log.read_text()
    assert code == 0, text
    assert "is whole" in text
    assert re.search(rf"^  trades +{stack.rows():,} rows \(\+[1-9]", text, re.MULTILINE)
    figures = text.partition("$ stockctl metrics summary")[2]
    for symbol in SYMBOLS:
        assert f"\n{symbol} " in figures
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}
    hints = [shlex.split(line)[1:] for line in text.partition("try next:")[2].splitlines() if line.strip()]
    assert ["local", "up"] in hints
    for hint in hints:
        if hint != ["local", "up"]:
            assert stack.run(*hint).stdout


def test_a_signal_before_the_live_table_leaves_nothing_running(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "a folder")
    log = tmp_path / "demo.log"
    process = stack.start("local", "demo", log=log)
    wait_for(lambda: "starting the local stack" in log.read_text(), "the start", HANG)
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANG) != 0
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that runs already."""
    stack = Stack(tmp_path_factory.mktemp("stack") / "a folder")
    stack.run("local", "up", "AAPL", "AMZN")
    stack.wait_for_more()
    yield stack
    stack.run("local", "down")


def test_a_running_stack_is_used_and_left_running(running: Stack) -> None:
    before = running.status()
    done = running.run("local", "demo", "--for", "2s")
    assert "AMZN" in done.stdout
    assert {name: row["pid"] for name, row in running.status().items()} == {name: row["pid"] for name, row in before.items()}


def test_sigterm_shortens_the_live_table_and_the_rest_goes_on(running: Stack) -> None:
    log = running.folder / "demo.log"
    process = running.start("local", "demo", "--for", "1h", log=log)
    wait_for(lambda: "vwap" in log.read_text(), "the live table", HANG)
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANG) == 0, log.read_text()
    assert "is whole" in log.read_text()
