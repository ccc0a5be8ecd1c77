"""`stockctl backtest sweep` and `compare`: what they write, errors in words, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.backtest.waves import walk
from tests.command import HANG, Command
from tests.conftest import wait_for

BARS = ("AAPL", "--bars", "walk.csv")
SWEEP = ("backtest", "sweep", "sma-cross", *BARS, "--param", "fast=2..4", "--param", "slow=4..10:3", "--workers", "1")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command, with a file of bars of a day from 2025-11-25 on."""
    lines = [f"{bar.start},{bar.open!r},{bar.high!r},{bar.low!r},{bar.close!r},{bar.volume}" for bar in walk(1, 120)]
    (tmp_path / "walk.csv").write_text("\n".join(["time,open,high,low,close,volume", *lines]))
    return Command(tmp_path)


def test_a_row_of_a_sweep_is_what_a_run_gives(command: Command) -> None:
    result = command.run(*SWEEP, "-o", "json")
    rows = json.loads(result.stdout)
    # Of nine combinations, the fast average of 4 is not faster than the slow one of 4.
    assert [tuple(row["params"].values()) for row in rows] == [(f, s) for f in "234" for s in ("4", "7", "10") if f != s]
    run = ("backtest", "run", "sma-cross", *BARS, "--param", "fast=3", "--param", "slow=7", "-o", "json")
    record = json.loads(command.run(*run).stdout)
    row = next(row for row in rows if row["params"] == {"fast": "3", "slow": "7"})
    assert {name: row[name] for name in ("hash", "sharpe", "fills", "total_return")} == {
        name: record[name] for name in ("hash", "sharpe", "fills", "total_return")
    }
    assert "8 trials\n" in result.stderr
    assert "1 combination left out as invalid" in result.stderr
    assert "no set is named best" in result.stderr


def test_the_best_set_is_named_on_dates_held_out(command: Command) -> None:
    spans = ("--train", "2025-11-25..2026-01-31", "--test", "2026-02-01..2026-03-20")
    result = command.run(*SWEEP, *spans, "--sort", "total_return", "-o", "json")
    held_out, *trained = json.loads(result.stdout)
    assert held_out["span"] == "test"
    assert {row["span"] for row in trained} == {"train"}
    returns = [row["total_return"] for row in trained]
    assert returns == sorted(returns, reverse=True)
    assert held_out["params"] == trained[0]["params"]
    assert f"best on train: fast={held_out['params']['fast']}, slow={held_out['params']['slow']}" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--train", "2025-11-25..2026-01-31"), "--train and --test need each other"),
        (("--train", "2025-11-25..2026-01-31", "--test", "2026-01-31..2026-02-10"), "--test must begin after --train ends"),
        (("--train", "soon", "--test", "2026-01-31..2026-02-10"), "is no span of dates"),
        (("--sort", "luck"), "no statistic 'luck'"),
        (("--param", "fats=2"), "no parameter 'fats'"),
        (("--workers", "0"), "--workers"),
    ],
)
def test_what_is_no_sweep_says_why(command: Command, options: tuple[str, ...], message: str) -> None:
    result = command.run(*SWEEP, *options, check=2)
    assert result.stdout == ""
    assert message in result.stderr


BLOCKED = '''
import os
import threading
from pathlib import Path

from pydantic import BaseModel

from stockctl.strategies import Strategy


class Params(BaseModel):
    n: int = 0


class Blocked(Strategy):
    """Says that it has started, and never ends."""

    Params = Params

    def on_bar(self, bar):
        Path(f"started-{os.getpid()}").touch()
        threading.Event().wait()
'''


def test_ctrl_c_ends_a_sweep_with_all_its_processes(command: Command, tmp_path: Path) -> None:
    (tmp_path / "blocked.py").write_text(BLOCKED)
    process = command.start("backtest", "sweep", "blocked.py", *BARS, "--param", "n=1..8", "--workers", "2")
    try:
        wait_for(lambda: len(list(tmp_path.glob("started-*"))) == 2, "two processes of the sweep")
        workers = [int(one.name.partition("-")[2]) for one in tmp_path.glob("started-*")]
        assert process.pid not in workers
        # A terminal sends it to all of them.
        for pid in (*workers, process.pid):
            os.kill(pid, signal.SIGINT)
        assert process.wait(HANG) == 130
    finally:
        process.kill()
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert "Traceback" not in (tmp_path / "backtest.log").read_text()


def test_two_sets_of_parameters_side_by_side(command: Command) -> None:
    rows = json.loads(
        command.run("backtest", "compare", "sma-cross,fast=2,slow=5", "sma-cross,fast=3,slow=5", *BARS, "-o", "json").stdout
    )
    found = {row["name"]: row for row in rows}
    for name, fast in (("first", 2), ("second", 3)):
        run = ("backtest", "run", "sma-cross", *BARS, "--param", f"fast={fast}", "--param", "slow=5", "-o", "json")
        (command.folder / f"{name}.json").write_text(command.run(*run).stdout)
        record = json.loads((command.folder / f"{name}.json").read_text())
        assert found["final_equity"][name] == record["final_equity"]
    assert found["final_equity"]["difference"] == found["final_equity"]["second"] - found["final_equity"]["first"]
    assert found["first decision that differs"]["first"] != found["first decision that differs"]["second"]
    # The same, of results in files.
    rows = json.loads(command.run("backtest", "compare", "first.json", "second.json", "-o", "json").stdout)
    assert {row["name"]: row for row in rows}["final_equity"] == found["final_equity"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sma-cross", "a.json"), "are not alike"),
        (("a.json", "b.json"), "a.json"),
        (("sma-cross", "sma-crass", *BARS), "there is no strategy 'sma-crass'"),
        (("sma-cross", "sma-cross,fast=x", *BARS), "fast"),
        (("sma-cross", "sma-cross,fast=2", *BARS, "--since", "2026-01-01"), "--bars takes the whole file"),
    ],
)
def test_what_cannot_be_compared_says_why(command: Command, arguments: tuple[str, ...], message: str) -> None:
    result = command.run("backtest", "compare", *arguments, check=2)
    assert result.stdout == ""
    assert message in result.stderr
