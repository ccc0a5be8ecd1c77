"""Ways to start a stack of real parts, and what keeps one from starting."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command import BIN, HANG
from tests.conftest import wait_for
from tests.local.stack import Stack

pytestmark = pytest.mark.server


class Lived(NamedTuple):
    """What is left of two stacks that ran in one folder: one with the real feed, and then one with the simulator."""

    stack: Stack
    live_parts: list[str]
    """Those of the first, which was asked for with a configuration file elsewhere."""
    diff: subprocess.CompletedProcess[str]
    """``topics diff`` with that file, while it ran."""
    foreground: str
    """Log of the second, which ran in the foreground until Ctrl-C."""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """Run both, with a simulator of ours for Finnhub."""
    home = tmp_path_factory.mktemp("lived")
    config = home / "elsewhere.toml"
    config.write_text('[profile.local]\nsymbols = ["AMZN"]\n[profile.local.topics.trades]\nname = "of-here"\npartitions = 2\n')
    stack = Stack(home / "a folder")
    with subprocess.Popen([BIN / "stockctl", "sim"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as finnhub:
        assert finnhub.stdout is not None
        url = finnhub.stdout.readline().strip()
        live = Stack(stack.folder, STOCKCTL_FINNHUB__URL=url, STOCKCTL_FINNHUB__TOKEN="a-key-of-mine")
        try:
            live.run("--config", str(config), "local", "up", "--live")
            parts = list(live.status())
            diff = live.run("--config", str(config), "topics", "diff", check=None)
            live.wait_for_more()
        finally:
            live.run("local", "down")
            finnhub.terminate()
    log = home / "foreground.log"
    process = stack.start("local", "up", "--foreground", log=log)
    try:
        wait_for(lambda: "produce is ready" in log.read_text(), "the stack", HANG)
        wait_for(lambda: tickers(stack.state_dir / "lake"), "trades in the lake", HANG)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(HANG)
    assert code == 0, log.read_text()
    return Lived(stack, parts, diff, log.read_text())


def tickers(lake: Path) -> set[str]:
    """Whose trades the lake in this folder holds."""
    stack = Stack(lake.parents[1], STOCKCTL_LAKE__URL=lake.as_uri())
    return {row["ticker"] for row in json.loads(stack.run("lake", "list", "-o", "json").stdout) if row["table"] == "trades"}


def test_the_live_feed_has_a_broker_and_a_lake_of_its_own(lived: Lived) -> None:
    assert lived.live_parts == ["supervisor", "broker", "consume-s3", "mongo", "consume-mongo", "produce"]
    home = lived.stack.state_dir
    assert tickers(home / "lake-live") == {"AMZN"}
    simulated = tickers(home / "lake")
    assert simulated
    assert "AMZN" not in simulated
    assert {path.name for path in (home / "local").iterdir() if (path / "kafka").is_dir()} == {"live", "sim"}


def test_no_log_and_no_note_holds_the_key(lived: Lived) -> None:
    kept = [path for path in (lived.stack.state_dir / "local").rglob("*") if path.suffix in (".log", ".1", ".json", ".toml")]
    assert len(kept) > 10
    assert [path for path in kept if "a-key-of-mine" in path.read_text()] == []


def test_a_configuration_file_elsewhere_holds_for_supervisor_and_parts(lived: Lived) -> None:
    assert lived.diff.returncode == 0, lived.diff.stdout
    assert tickers(lived.stack.state_dir / "lake-live") == {"AMZN"}


def test_foreground_stops_everything_at_ctrl_c(lived: Lived) -> None:
    stopping = [line.rsplit(" ", 1)[1] for line in lived.foreground.splitlines() if " stopping " in line]
    assert stopping == ["produce", "sim", "consume-mongo", "mongo", "consume-s3", "broker"]


def test_reset_asks_refuses_and_deletes(lived: Lived, tmp_path: Path) -> None:
    stack = Stack(tmp_path / "a folder")
    assert "nothing to delete" in stack.run("local", "reset").stderr
    shutil.copytree(lived.stack.state_dir, stack.state_dir)
    (stack.state_dir / "mine").touch()
    refused = stack.run("local", "reset", text="", check=2)
    assert "--yes" in refused.stderr
    assert len(list(stack.state_dir.iterdir())) == 4
    stack.run("local", "reset", "--yes")
    assert [path.name for path in stack.state_dir.iterdir()] == ["mine"]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """A stack that is not running."""
    return Stack(tmp_path / "a folder")


def test_the_live_feed_needs_a_key(stack: Stack) -> None:
    refused = stack.run("local", "up", "--live", check=3)
    assert "STOCKCTL_FINNHUB__TOKEN" in refused.stderr


def test_a_part_that_cannot_start_ends_up_with_its_words_and_leaves_nothing_running(stack: Stack) -> None:
    """Here the lake's folder is a file."""
    stack.state_dir.mkdir()
    (stack.state_dir / "lake").write_text("no folder")
    failed = stack.run("local", "up", check=1)
    assert "consume-s3" in failed.stderr
    assert "lake" in failed.stderr
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}


def test_another_profile_is_refused(stack: Stack) -> None:
    (stack.folder / "stockctl.toml").write_text("[profile.prod]\nsymbols = ['AAPL']\n")
    assert "-p local" in stack.run("-p", "prod", "local", "up", check=2).stderr


def test_without_the_extra_the_pip_command_is_told(stack: Stack) -> None:
    """The extra's packages are hidden by a start-up file, as if they had never been installed."""
    hidden = "import sys\nsys.modules['noida_db'] = sys.modules['websockets'] = None\n"
    (stack.folder / "sitecustomize.py").write_text(hidden)
    stack.environment["PYTHONPATH"] = str(stack.folder)
    failed = stack.run("local", "up", check=3)
    assert "pip install 'stockctl[local]'" in failed.stderr
