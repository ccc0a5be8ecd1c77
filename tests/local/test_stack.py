"""The stack of real parts, through the installed command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stockctl.local.demo import totals
from stockctl.local.process import identity
from stockctl.local.stack import status as stack_status
from stockctl.settings import Settings, load
from tests.command import BIN, Command
from tests.conftest import wait_for

pytestmark = pytest.mark.server


class Stack(Command):
    """The local stack of one test, in a folder with a space in its name."""

    def __init__(self, folder: Path, **environment: str) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder, STOCKCTL_LAKE__MAX_AGE="1s", **environment)
        self.state_dir = folder / "state"

    def status(self, check: int | None = 0) -> dict[str, dict[str, Any]]:
        """``local status``, by part."""
        done = self.run("local", "status", "-o", "json", check=check)
        return {row["part"]: row for row in json.loads(done.stdout)}

    def settings(self) -> Settings:
        """The settings as the command sees them."""
        return load(environ=self.environment)

    def rows(self) -> int:
        """Trades in the lake."""
        return totals(self.settings()).get("trades", (0, 0, 0))[1]

    def verify(self) -> None:
        """The lake is whole. After a kill a feed event may be there twice: it is sent again if nobody knows. Its id tells."""
        done = self.run("lake", "verify", "--deep", "-o", "json", check=None)
        wrong = [finding for finding in json.loads(done.stdout or "[]") if finding["kind"] != "cut short"]
        doubled = [finding for finding in wrong if finding["kind"] == "doubled" and finding["key"].startswith("feed_events/")]
        assert wrong == doubled, done.stdout
        assert done.returncode in (0, 10 if doubled else 0), done.stderr

    def port(self, part: str) -> int:
        """The port that the stack remembers for a part."""
        return int(json.loads((self.state_dir / "local" / "ports.json").read_text())[part])

    def kill(self, *parts: str) -> None:
        """``kill -9`` these parts."""
        status = self.status()
        for part in parts:
            os.kill(int(status[part]["pid"]), signal.SIGKILL)

    def wait_for_restart(self, *parts: str) -> None:
        """Wait until parts that were killed run again, and all others still do."""

        def back() -> bool:
            rows = {row.part: row for row in stack_status(self.settings())}
            return all(rows[part].restarts == 1 for part in parts) and {row.state for row in rows.values()} == {"running"}

        wait_for(back, f"{parts} to be restarted")

    def wait_for_more(self) -> None:
        """Wait until more trades have come into the lake."""
        before = self.rows()
        wait_for(lambda: self.rows() > before, "more trades in the lake")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack that is not running yet; it is stopped with the test."""
    made = Stack(tmp_path / "a folder")
    yield made
    made.run("local", "down", check=None)


def test_up_and_down_and_up_again_keep_every_trade(stack: Stack) -> None:
    """What was in Kafka at the end is in the lake, and the broker goes on where it was."""
    up = stack.run("local", "up")
    assert "the local stack is up" in up.stderr
    assert list(stack.status()) == ["supervisor", "broker", "consume-s3", "mongo", "consume-mongo", "sim", "produce"]
    stack.wait_for_more()
    stack.run("local", "down")
    first = stack.rows()
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}

    stack.run("local", "up")
    held = sum(
        row["records"] for row in json.loads(stack.run("topics", "list", "-o", "json").stdout) if row["topic"] == "trades"
    )
    assert held >= first
    stack.wait_for_more()
    stack.run("local", "down")
    assert stack.rows() > first
    stack.verify()


def test_a_configuration_file_elsewhere_holds_for_supervisor_and_parts(stack: Stack, tmp_path: Path) -> None:
    config = tmp_path / "elsewhere.toml"
    config.write_text('[profile.local.topics.trades]\nname = "of-here"\npartitions = 2\n')
    stack.run("--config", str(config), "local", "up")
    stack.run("--config", str(config), "topics", "diff")
    wait_for(lambda: stack.rows() > 0, "trades in the lake")
    stack.run("--config", str(config), "local", "down")


def test_up_twice_changes_nothing(stack: Stack) -> None:
    stack.run("local", "up")
    before = stack.status()
    again = stack.run("local", "up")
    assert "ready" in again.stderr
    after = stack.status()
    assert {name: row["pid"] for name, row in after.items()} == {name: row["pid"] for name, row in before.items()}
    refused = stack.run("local", "up", "AMZN", check=2)
    assert "running already, with the simulator" in refused.stderr


def test_two_ups_at_once_make_one_stack(stack: Stack) -> None:
    both = [stack.start("local", "up", log=stack.folder / f"{number}.log") for number in (1, 2)]
    assert [one.wait(60) for one in both] == [0, 0], [(stack.folder / f"{number}.log").read_text() for number in (1, 2)]
    assert {row["state"] for row in stack.status().values()} == {"running"}
    log = (stack.state_dir / "local" / "logs" / "supervisor.log").read_text()
    assert log.count("broker started") == 1


def test_killed_parts_are_started_again_and_no_trade_of_kafka_is_lost(stack: Stack) -> None:
    stack.run("local", "up")
    stack.wait_for_more()
    stack.kill("produce", "consume-s3", "sim")
    stack.wait_for_restart("produce", "consume-s3", "sim")
    stack.wait_for_more()
    stack.run("local", "down")
    stack.verify()


def test_a_killed_broker_loses_its_newest_records_and_the_lake_keeps_them(stack: Stack) -> None:
    stack.run("local", "up")
    stack.wait_for_more()
    rows = stack.rows()
    stack.kill("broker")
    stack.wait_for_restart("broker")
    stack.wait_for_more()
    stack.run("local", "down")
    assert stack.rows() > rows
    stack.verify()


def test_a_killed_supervisor_takes_its_parts_along_and_the_next_up_goes_on(stack: Stack) -> None:
    stack.run("local", "up")
    stack.wait_for_more()
    pids = [row["pid"] for row in stack.status().values()]
    stack.kill("supervisor")
    wait_for(lambda: all(identity(pid) is None for pid in pids), "all parts to leave")
    down = stack.run("local", "status", check=10)
    assert "not running" in down.stderr
    stack.run("local", "up")
    stack.wait_for_more()
    stack.run("local", "down")
    stack.verify()


def test_a_port_that_somebody_took_is_changed_and_said(stack: Stack) -> None:
    stack.run("local", "up")
    stack.run("local", "down")
    taken = stack.port("broker")
    with socket.create_server(("127.0.0.1", taken)):
        up = stack.run("local", "up")
        assert f"note: port {taken} of broker is taken by somebody else" in up.stderr
        assert stack.port("broker") != taken
        assert f"127.0.0.1:{stack.port('broker')}" in stack.run("config", "show").stdout


def test_the_live_feed_has_a_broker_and_a_lake_of_its_own(stack: Stack, tmp_path: Path) -> None:
    """A simulator of the test plays Finnhub."""
    refused = stack.run("local", "up", "--live", check=3)
    assert "STOCKCTL_FINNHUB__TOKEN" in refused.stderr
    stack.run("local", "up")
    stack.wait_for_more()
    simulated = stack.rows()
    stack.run("local", "down")
    with subprocess.Popen([BIN / "stockctl", "sim"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as finnhub:
        assert finnhub.stdout is not None
        live = Stack(
            stack.folder, STOCKCTL_FINNHUB__URL=finnhub.stdout.readline().strip(), STOCKCTL_FINNHUB__TOKEN="a-key-of-mine"
        )
        live.run("local", "up", "--live", "AMZN")
        assert "sim" not in live.status()
        live.wait_for_more()
        live.run("local", "down")
        finnhub.terminate()
    assert {row["ticker"] for row in json.loads(live.run("lake", "list", "-o", "json").stdout) if row["table"] == "trades"} == {
        "AMZN"
    }
    assert (stack.state_dir / "lake-live").is_dir()
    stack.run("local", "up")
    stack.run("local", "down")
    assert stack.rows() >= simulated
    logs = "".join(
        path.read_text() for path in (stack.state_dir / "local").rglob("*") if path.suffix in (".log", ".json", ".toml")
    )
    assert "a-key-of-mine" not in logs


def test_reset_asks_refuses_and_deletes(stack: Stack) -> None:
    assert "nothing to delete" in stack.run("local", "reset").stderr
    stack.run("local", "up")
    running = stack.run("local", "reset", "--yes", check=1)
    assert "running" in running.stderr
    stack.run("local", "down")
    refused = stack.run("local", "reset", text="", check=2)
    assert "--yes" in refused.stderr
    (stack.state_dir / "mine").touch()
    stack.run("local", "reset", "--yes")
    assert [path.name for path in stack.state_dir.iterdir()] == ["mine"]


def test_a_part_that_cannot_start_ends_up_with_its_words_and_leaves_nothing_running(stack: Stack) -> None:
    """Here the lake's folder is a file."""
    stack.state_dir.mkdir()
    (stack.state_dir / "lake").write_text("no folder")
    failed = stack.run("local", "up", check=1)
    assert "consume-s3" in failed.stderr
    assert "lake" in failed.stderr
    assert {row["state"] for row in stack.status(10).values()} == {"stopped"}


def test_settings_that_lead_elsewhere_are_said(stack: Stack) -> None:
    stack.environment["STOCKCTL_KAFKA__BOOTSTRAP_SERVERS"] = "kafka-1:9092"
    up = stack.run("local", "up")
    assert "note: other commands use kafka.bootstrap_servers = kafka-1:9092" in up.stderr


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


def test_foreground_stops_everything_at_ctrl_c(stack: Stack) -> None:
    log = stack.folder / "foreground.log"
    process = stack.start("local", "up", "--foreground", log=log)
    wait_for(lambda: "produce is ready" in log.read_text(), "the stack")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0, log.read_text()
    stopping = [line.rsplit(" ", 1)[1] for line in log.read_text().splitlines() if " stopping " in line]
    assert stopping == ["produce", "sim", "consume-mongo", "mongo", "consume-s3", "broker"]
