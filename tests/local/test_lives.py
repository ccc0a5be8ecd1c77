"""Whole lives of a stack of real parts, with the real feed and by the demo, and those that end before they begin."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from stockctl.local.processes import identity
from stockctl.sim import Simulator
from tests.command import BIN, HANG
from tests.conftest import free_port, wait_for
from tests.local.stack import Stack

pytestmark = pytest.mark.server

SYMBOLS = ("AAPL", "MSFT", "NVDA", "TSLA", "BINANCE:BTCUSDT")
"""The setting's default."""


class Lived(NamedTuple):
    """What two stacks have left that ran in one folder, one after the other: one with the real feed, and that of a demo."""

    stack: Stack
    live_parts: list[str]
    """Those of the first: with a configuration file elsewhere, and without the packages of the dashboard."""
    live_up: str
    """What its start said."""
    diff: subprocess.CompletedProcess[str]
    """``topics diff`` with that file, while it ran."""
    stopping: list[str]
    """Its parts as they were stopped at Ctrl-C."""
    code: int
    """The demo's exit code."""
    demo: str
    """What the demo showed."""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """Run both, with a simulator for Finnhub. Ctrl-C shortens the demo's live table."""
    home = tmp_path_factory.mktemp("lived")
    stack = Stack(home / "a folder")
    config = home / "elsewhere.toml"
    config.write_text('[profile.local]\nsymbols = ["AMZN"]\n[profile.local.topics.trades]\nname = "of-here"\npartitions = 2\n')
    with subprocess.Popen([BIN / "stockctl", "sim"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as finnhub:
        assert finnhub.stdout is not None
        url = finnhub.stdout.readline().strip()
        live = Stack(stack.folder, STOCKCTL_FINNHUB__URL=url, STOCKCTL_FINNHUB__TOKEN="a-key-of-mine")
        try:
            (home / "sitecustomize.py").write_text("import sys\nsys.modules['fastapi'] = None\n")
            live.environment["PYTHONPATH"] = str(home)
            up = live.run("--config", str(config), "local", "up", "--live", real=True)
            parts = live.status()
            diff = live.run("--config", str(config), "topics", "diff", check=None)
            live.wait_for_more()
            # What runs in the background is `local up --foreground`.
            supervisor = int(parts["supervisor"]["pid"])
            os.kill(supervisor, signal.SIGINT)
            wait_for(lambda: identity(supervisor) is None, "the supervisor to leave", HANG)
        finally:
            live.run("local", "down")
            finnhub.terminate()

    log = home / "demo.log"
    demo = stack.start("local", "demo", "--for", "1h", log=log, real=True)
    try:
        wait_for(lambda: all(shown(log.read_text(), symbol) > 1 for symbol in SYMBOLS), "the live table", HANG)
    finally:
        demo.send_signal(signal.SIGINT)
        code = demo.wait(HANG)
    return Lived(stack, list(parts), up.stderr, diff, stopping(live), code, log.read_text())


def shown(text: str, symbol: str) -> int:
    """How often the live table has shown figures of ``symbol``."""
    return sum(f"  {symbol}  last " in line and "vwap -" not in line for line in text.splitlines())


def stopping(stack: Stack) -> list[str]:
    """The parts in the order in which the supervisor stopped them, in all of its log."""
    return re.findall(r" stopping (.+)", stack.log("supervisor"))


def tickers(lake: Path) -> set[str]:
    """The symbols of the trades in this lake."""
    stack = Stack(lake.parents[1], STOCKCTL_LAKE__URL=lake.as_uri())
    return {row["ticker"] for row in json.loads(stack.run("lake", "list", "-o", "json").stdout) if row["table"] == "trades"}


def test_the_live_feed_has_a_broker_and_a_lake_of_its_own(lived: Lived) -> None:
    assert lived.live_parts == ["supervisor", "broker", "consume-s3", "mongo", "consume-mongo", "signals", "produce"]
    home = lived.stack.state_dir
    assert tickers(home / "lake-live") == {"AMZN"}
    simulated = tickers(home / "lake")
    assert simulated
    assert "AMZN" not in simulated
    assert {path.name for path in (home / "local").iterdir() if (path / "kafka").is_dir()} == {"live", "sim"}


def test_a_stack_without_the_packages_of_the_dashboard_says_so(lived: Lived) -> None:
    assert "note: no dashboard is served: the dashboard needs the packages fastapi" in lived.live_up
    assert "stockctl open" not in lived.live_up


def test_the_demo_names_the_dashboard(lived: Lived) -> None:
    assert f"the dashboard is at http://127.0.0.1:{lived.stack.port('dashboard')} while the demo runs" in lived.demo


def test_no_log_or_state_contains_the_key(lived: Lived) -> None:
    kept = [path for path in (lived.stack.state_dir / "local").rglob("*") if path.suffix in (".log", ".1", ".json", ".toml")]
    assert len(kept) > 10
    assert [path for path in kept if "a-key-of-mine" in path.read_text()] == []


def test_the_supervisor_and_its_services_use_the_named_configuration_file(lived: Lived) -> None:
    assert lived.diff.returncode == 0, lived.diff.stdout
    assert tickers(lived.stack.state_dir / "lake-live") == {"AMZN"}


def test_ctrl_c_in_the_foreground_stops_everything(lived: Lived) -> None:
    assert lived.stopping[:6] == ["produce", "signals", "consume-mongo", "mongo", "consume-s3", "broker"]


def test_the_demo_verifies_the_lake_and_its_suggestions_work(lived: Lived) -> None:
    """Ctrl-C shortened the live table, and the rest went on."""
    stack, text = lived.stack, lived.demo
    assert lived.code == 0, text
    assert "is verified" in text
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


def test_reset_asks_and_deletes(lived: Lived, tmp_path: Path) -> None:
    stack = Stack(tmp_path / "a folder")
    assert "nothing to delete" in stack.run("local", "reset").stderr
    shutil.copytree(lived.stack.state_dir, stack.state_dir)
    (stack.state_dir / "mine").touch()
    planned = stack.run("local", "reset", "--dry-run", "-o", "json")
    assert "dry run: nothing was changed" in planned.stderr
    assert str(stack.state_dir / "local") in [row["folder"] for row in json.loads(planned.stdout)]
    refused = stack.run("local", "reset", text="", check=2)
    assert "--yes" in refused.stderr
    assert len(list(stack.state_dir.iterdir())) == 4
    stack.run("local", "reset", "--yes", real=True)
    assert [path.name for path in stack.state_dir.iterdir()] == ["mine"]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """A stack that is not running."""
    return Stack(tmp_path / "a folder")


def test_a_dry_run_of_reset_changes_nothing_where_only_a_lake_is_left(stack: Stack) -> None:
    (stack.state_dir / "lake").mkdir(parents=True)
    (stack.state_dir / "lake" / "object").write_bytes(b"1234")
    result = stack.run("local", "reset", "--dry-run")
    assert result.stdout.splitlines()[1].split() == [*str(stack.state_dir / "lake").split(), "4"]
    assert "dry run: nothing was changed" in result.stderr
    assert sorted(path.relative_to(stack.state_dir).as_posix() for path in stack.state_dir.rglob("*")) == [
        "lake",
        "lake/object",
    ]
    stack.run("local", "reset", "--yes")
    assert list(stack.state_dir.iterdir()) == []


def test_reset_asks_about_all_that_it_deletes(stack: Stack) -> None:
    """Whatever the limit of the rows is."""
    for name in ("lake", "lake-live"):
        (stack.state_dir / name).mkdir(parents=True)
        (stack.state_dir / name / "object").write_bytes(b"1234")
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    command = [str(BIN / "stockctl"), "local", "reset", "--limit", "1", "-o", "csv"]
    result = subprocess.run(
        command, cwd=stack.folder, env=stack.environment, stdin=theirs, capture_output=True, text=True, timeout=HANG
    )
    os.close(ours)
    os.close(theirs)
    assert result.returncode == 1
    assert result.stdout.count("\n") == 3
    assert "Delete 2 folders of 8 B? [y/N]" in result.stderr
    assert len(list(stack.state_dir.iterdir())) == 2


def test_the_live_feed_needs_a_key(stack: Stack) -> None:
    refused = stack.run("local", "up", "--live", check=3)
    assert "STOCKCTL_FINNHUB__TOKEN" in refused.stderr


def test_an_unreachable_feed_fails_up_before_anything_starts(stack: Stack) -> None:
    address = f"127.0.0.1:{free_port()}"
    stack.environment |= {"STOCKCTL_FINNHUB__URL": f"ws://{address}", "STOCKCTL_FINNHUB__TOKEN": "a-key-of-mine"}
    for more in ((), ("--foreground",)):
        assert f"cannot reach the feed at {address}" in stack.run("local", "up", "--live", *more, check=5).stderr
    assert not (stack.state_dir / "local" / "logs" / "broker.log").exists()


def test_a_refused_key_fails_up_and_leaves_nothing_running(stack: Stack) -> None:
    with Simulator(token="right") as sim:
        stack.environment |= {"STOCKCTL_FINNHUB__URL": sim.url, "STOCKCTL_FINNHUB__TOKEN": "a-wrong-key-of-mine"}
        refused = stack.run("local", "up", "--live", check=4).stderr
    assert "produce exited with code 4" in refused
    assert "refuses the key" in refused
    assert "a-wrong-key-of-mine" not in refused
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}


def test_a_service_that_cannot_start_fails_up_with_its_log(stack: Stack) -> None:
    """Here the lake's folder is a file."""
    stack.state_dir.mkdir()
    (stack.state_dir / "lake").write_text("no folder")
    failed = stack.run("local", "up", check=4)
    assert "consume-s3" in failed.stderr
    assert "lake" in failed.stderr
    assert failed.stderr.count("try:") == 1, "the part's own advice is that of the command"
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}


def test_a_dashboard_that_cannot_start_leaves_the_stack_running(stack: Stack) -> None:
    stack.environment["STOCKCTL_DASHBOARD__TOKEN"] = "short"
    try:
        up = stack.run("local", "up")
        assert "note: the stack is up without dashboard, which exited with code 3" in up.stderr
        assert "try: make a longer one" in up.stderr
        assert "stockctl open" not in up.stderr
        states = {name: row["state"] for name, row in stack.status(10).items()}
        assert states.pop("dashboard") == "failed"
        assert set(states.values()) == {"running"}
        stack.wait_for_more()
        assert "no dashboard answers at" in stack.run("open", "--print", check=5).stderr
    finally:
        stack.run("local", "down")


def test_another_profile_is_refused(stack: Stack) -> None:
    (stack.folder / "stockctl.toml").write_text("[profile.prod]\nsymbols = ['AAPL']\n")
    assert "-p local" in stack.run("-p", "prod", "local", "up", check=2).stderr


def test_without_the_extra_the_pip_command_is_shown(stack: Stack) -> None:
    """The extra's packages are hidden by a start-up file, as if they had never been installed."""
    hidden = "import sys\nsys.modules['noida_db'] = sys.modules['websockets'] = None\n"
    (stack.folder / "sitecustomize.py").write_text(hidden)
    stack.environment["PYTHONPATH"] = str(stack.folder)
    failed = stack.run("local", "up", check=3)
    assert "pip install 'stockctl[local]'" in failed.stderr


def test_a_signal_before_the_live_table_of_a_demo_leaves_nothing_running(stack: Stack) -> None:
    log = stack.folder / "demo.log"
    process = stack.start("local", "demo", log=log)
    wait_for(lambda: "starting the local stack" in log.read_text(), "the start", HANG)
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANG) != 0
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}
