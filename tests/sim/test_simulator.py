"""The simulator in a thread: start, stop, and what goes wrong."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import stockctl.sim
from stockctl.errors import StockctlError, UsageError
from stockctl.sim import Simulator, numbered_rows
from tests.command import HANG
from tests.sim.conftest import Connect


def test_all_names_are_exported() -> None:
    """``__all__`` does not drift from what the package imports."""
    names = {
        name
        for name, value in vars(stockctl.sim).items()
        if not name.startswith("_") and name != "annotations" and not isinstance(value, ModuleType)
    }
    assert set(stockctl.sim.__all__) == names


def test_it_stops_at_once_and_completely(connect: Connect) -> None:
    """Its thread ends, its connections end, what was sent before arrives; a silent one does not hold it up."""
    with Simulator(rate=0) as sim:
        client, silent = connect(sim, "AAPL"), connect(sim, "AAPL", token="other")
        sim.send_rows(numbered_rows(30))
        sim.go_silent()
    assert len(client.rows(30)) == len(silent.rows(30)) == 30
    assert client.ended()  # without a goodbye that one of them could let it wait for
    assert silent.ended()
    assert not any(thread.name == "simulator" for thread in threading.enumerate())
    assert sim.rows_sent == 60
    sim.stop()  # once more does nothing
    with pytest.raises(StockctlError, match="not running"):
        sim.drop()


def test_one_not_started_says_so() -> None:
    """Instead of waiting without end."""
    with pytest.raises(StockctlError, match="not running"):
        Simulator().drop()


def test_a_port_in_use_is_an_error() -> None:
    """It names the address and the way out."""
    with Simulator(rate=0) as sim:
        port = int(sim.url.rpartition(":")[2])
        with pytest.raises(StockctlError, match=f"cannot listen on 127.0.0.1:{port}") as raised:
            Simulator(port=port).start()
    assert "0 takes a free one" in (raised.value.hint or "")


def test_a_fixed_port_can_be_taken_again_at_once(connect: Connect) -> None:
    """As a restart does."""
    with Simulator(rate=0) as sim:
        connect(sim, "AAPL")
        port = int(sim.url.rpartition(":")[2])
    with Simulator(rate=0, port=port) as sim:
        connect(sim, "AAPL")


@pytest.mark.parametrize(
    "options",
    [
        {"rate": -1},
        {"rate": float("nan")},
        {"rate": float("inf")},
        {"ping_interval": 0},
        {"symbol_limit": -1},
        {"faults": ["x"]},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    """Before anything starts."""
    with pytest.raises(UsageError):
        Simulator(**options)


def test_a_replay_needs_a_file(tmp_path: Path) -> None:
    """A missing one is named, before anything starts."""
    with pytest.raises(UsageError, match=r"cannot read .*nowhere\.jsonl: No such file"):
        Simulator(replay=tmp_path / "nowhere.jsonl")


def test_without_the_extra_it_says_which_one_to_install() -> None:
    """The market alone works; the server needs websockets."""
    code = """
import sys
sys.modules["websockets"] = None  # as if it were not installed
from stockctl.errors import ConfigError
from stockctl.sim import Market, Simulator
assert Market(["AAPL"]).rows(0, 1000, 5)
try:
    Simulator().start()
except ConfigError as error:
    print(error.hint)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG)
    assert result.stdout == "pip install 'stockctl[local]'\n", result.stderr


def test_an_idle_one_uses_almost_no_cpu(connect: Connect) -> None:
    """With a connection, a subscription and no trades its loop wakes for pings, and for little more."""
    with Simulator(rate=0, ping_interval=0.2) as sim:
        connect(sim, "AAPL")
        sim.wait_for(lambda counters: counters.pings >= 1)
        selector = sim._loop._selector  # type: ignore[attr-defined]
        select, wakes = selector.select, itertools.count()

        def counted(timeout: float | None = None) -> object:
            next(wakes)
            return select(timeout)

        selector.select = counted
        sim.wait_for(lambda counters: counters.pings >= 6)
        assert next(wakes) < 30
