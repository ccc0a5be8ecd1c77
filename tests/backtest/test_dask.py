"""A sweep on a real Dask scheduler with two worker processes gives the rows of one machine."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stockctl.backtest.lake.terms import LakeTerms
from stockctl.backtest.sweep.dask_scheduler import connect, run_on
from stockctl.backtest.sweep.grid import parse_grid
from stockctl.backtest.sweep.sweep import Span, lake_data, run_here, sweep
from stockctl.errors import StockctlError, UnreachableError
from stockctl.settings import Settings
from stockctl.strategies import load_strategy
from tests.backtest.tapes import cover, day, fresh
from tests.command import clean_environment
from tests.conftest import wait_for
from tests.lakes import lay

ALL = Span("all", None, None)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler with two workers, whose settings name no lake."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{found.getsockname()[1]}"
    options = ["--host", "127.0.0.1", "--no-dashboard"]
    port = address.rpartition(":")[2]
    commands = [["scheduler", *options, "--port", port]]
    commands += [["worker", address, "--host", "127.0.0.1", "--no-dashboard", "--no-nanny", "--nthreads", "1"]] * 2
    log = (tmp_path / "dask.log").open("wb")
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + name, *rest],
            env=clean_environment(),
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
        for name, *rest in commands
    ]
    try:

        def has_workers() -> bool:
            assert all(process.poll() is None for process in processes), (tmp_path / "dask.log").read_text()
            with suppress(UnreachableError), connect(address) as client:
                return len(client.nthreads()) == 2
            return False

        wait_for(has_workers, "two workers of Dask")
        yield address
    finally:
        for process in processes:
            process.kill()
            process.wait()
        log.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = fresh(tmp_path)
    lay(found, [row for symbol in ("AAPL", "MSFT") for row in day(symbol, "2026-11-23", 300)], batches=3)
    cover(found, "AAPL,MSFT", ["2026-11-23"])
    return found


def test_the_rows_are_those_of_one_machine(settings: Settings, scheduler: str, tmp_path: Path) -> None:
    grid = parse_grid("sma-cross", {"fast": "2..4", "slow": "5..9:2"})
    data, calendar = lake_data(settings, ["AAPL", "MSFT"], LakeTerms(), ALL)
    strategy = load_strategy("sma-cross", grid.sets[0])
    here = sweep(strategy, grid, data, "all", run_here(1), workers=1, calendar=calendar)
    with connect(scheduler) as client:
        there = sweep(strategy, grid, data, "all", run_on(client), workers=2, calendar=calendar)
    assert there == here
    assert len({row.hash for row in here}) > 3

    # An error of a strategy is that of one machine too.
    path = tmp_path / "fails.py"
    path.write_text(
        "from stockctl.strategies import *\nclass Fails(Strategy):\n    def on_trade(self, trade):\n        return 1 // 0\n"
    )
    failing = load_strategy(str(path))
    with connect(scheduler) as client, pytest.raises(StockctlError, match="ZeroDivisionError"):
        sweep(failing, parse_grid(str(path), {}), data, "all", run_on(client), workers=2)
    other = failing._replace(version="0" * 64)
    with connect(scheduler) as client, pytest.raises(StockctlError, match="another version"):
        sweep(other, parse_grid(str(path), {}), data, "all", run_on(client), workers=2)


def test_no_scheduler_is_named() -> None:
    with pytest.raises(UnreachableError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        connect("tcp://127.0.0.1:1")
