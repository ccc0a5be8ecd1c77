"""``stockctl produce`` as a process: what it says, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from stockctl.clients.kafka import Admin
from stockctl.settings import Settings
from stockctl.sim import Simulator
from stockctl.stream.topics import apply
from tests.command import BIN, HANG, Command
from tests.conftest import free_port, wait_for
from tests.feed.conftest import dead_letters, trades

FRAME = '{"data":[{"c":["1"],"p":164.06,"s":"AAPL","t":1680286538064,"v":4},{"p":1,"s":"AAPL","t":1,"v":4}],"type":"trade"}'


@pytest.fixture
def topics(settings: Settings) -> Settings:
    apply(Admin(settings), settings.topics)
    return settings


def test_a_replay_from_stdin_says_what_it_did(command: Command, topics: Settings) -> None:
    result = command.run("produce", "--replay", "-", text=f"{FRAME}\n{FRAME}\nno frame\n")
    assert "replayed -: 3 lines, 2 trades and 3 dead letters delivered in " in result.stderr
    assert result.stdout == ""
    assert len(trades(topics)) == 2
    assert [letter["origin"] for letter in dead_letters(topics)] == ["-:1", "-:2", "-:3"]
    assert not (command.folder / "lake").exists(), "the lake's source is looked up, and nothing made"


def test_a_replay_is_not_sent_where_nobody_knows_which_source_the_lake_holds(command: Command, topics: Settings) -> None:
    """Rows of the feed are not to wait for that; a file can."""
    source = command.folder / "lake" / "_log" / "source.json"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"{")
    assert "_log/source.json cannot be read" in command.run("produce", "--replay", "-", text=FRAME, check=1).stderr
    assert trades(topics) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--speed", "2"], "--speed and --retime are for a replay"),
        (["--retime"], "--speed and --retime are for a replay"),
        (["AAPL", "--replay", "-"], "a replay takes all symbols of its file"),
        (["--replay", "-", "--speed", "fast"], "--speed fast is not a speed"),
        (["--replay", "-", "--speed", "0"], "--speed 0 is not a speed"),
        (["--replay", "-", "--speed", "nan"], "--speed nan is not a speed"),
        (["--for", "long"], "--for: 'long' is not a duration"),
    ],
)
def test_a_command_line_that_cannot_be_is_a_usage_error(command: Command, arguments: list[str], said: str) -> None:
    result = command.run("produce", *arguments, check=2, text="")
    assert said in result.stderr
    assert "try:" in result.stderr


def test_missing_topics_exit_1_with_what_makes_them(command: Command) -> None:
    result = command.run("produce", "--replay", "-", check=1, text="")
    assert "has no topic trades-" in result.stderr
    assert "try: `stockctl topics apply`" in result.stderr


def test_no_key_for_the_real_feed_exits_3(command: Command) -> None:
    result = command.run("produce", "AAPL", check=3)
    assert "the setting finnhub.token is not set" in result.stderr
    assert "STOCKCTL_FINNHUB__TOKEN" in result.stderr


def test_no_symbols_exit_3(command: Command) -> None:
    command.environment["STOCKCTL_SYMBOLS"] = ""
    assert "the setting symbols is not set" in command.run("produce", check=3).stderr


def test_a_refused_key_exits_4_and_is_not_shown(command: Command, topics: Settings) -> None:
    with Simulator(token="right") as sim:
        command.environment |= {"STOCKCTL_FINNHUB__URL": sim.url, "STOCKCTL_FINNHUB__TOKEN": "c0ffee-c0ffee-c0ffee"}
        result = command.run("--debug", "produce", "AAPL", check=4)
        assert "c0ffee" not in result.stderr + result.stdout
        result = command.run("produce", "AAPL", check=4)
    assert "refuses the key" in result.stderr
    assert "c0ffee" not in result.stderr + result.stdout


def test_an_absent_broker_exits_5_after_a_wait_that_says_what_it_waits_for(command: Command, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    command.environment |= {"STOCKCTL_KAFKA__BOOTSTRAP_SERVERS": address, "STOCKCTL_KAFKA__CONNECT_WAIT": "3s"}
    result = command.run("produce", "--replay", "-", check=5, text="")
    assert f"waiting up to 3s for Kafka at {address}" in result.stderr
    assert "error: cannot reach a broker within 3s" in result.stderr


def test_symbols_on_the_command_line_stand_for_the_setting(command: Command, topics: Settings) -> None:
    with Simulator(rate=200) as sim:
        command.environment |= {"STOCKCTL_FINNHUB__URL": sim.url, "STOCKCTL_SYMBOLS": "MSFT"}
        process = command.start("produce", "TSLA,AMZN", "NVDA")
        wait_for(lambda: len({trade["symbol"] for trade in trades(topics)}) >= 3, "trades of each symbol")
        process.terminate()
        assert process.wait(HANG) == 0
    assert {trade["symbol"] for trade in trades(topics)} == {"TSLA", "AMZN", "NVDA"}


def test_logs_can_be_json_lines(command: Command, topics: Settings) -> None:
    command.environment |= {"STOCKCTL_LOG__FORMAT": "json", "STOCKCTL_FINNHUB__URL": f"ws://127.0.0.1:{free_port()}"}
    process, log = command.start("produce", "AAPL"), command.folder / "produce.log"
    wait_for(lambda: "reconnecting in" in log.read_text(), "the first attempt")
    process.terminate()
    assert process.wait(HANG) == 5
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert any("cannot reach the feed" in line["message"] and line["level"] == "warning" for line in lines)


def test_a_signal_ends_a_replay_whose_stdin_is_idle(command: Command, topics: Settings) -> None:
    read, write = os.pipe()
    with subprocess.Popen(
        [BIN / "stockctl", "produce", "--replay", "-"],
        stdin=read,
        stderr=subprocess.PIPE,
        text=True,
        env=command.environment,
        cwd=command.folder,
    ) as process:
        os.close(read)
        os.write(write, f"{FRAME}\n".encode())
        wait_for(lambda: trades(topics), "the first trade")
        process.terminate()
        assert process.wait(HANG) == 1
        assert process.stderr is not None
        assert "stopped by a signal" in process.stderr.read()
    os.close(write)


def test_a_file_that_is_not_there_is_named(command: Command, topics: Settings) -> None:
    result = command.run("produce", "--replay", "absent.jsonl", check=2)
    assert "cannot read absent.jsonl: No such file or directory" in result.stderr
    assert "fresh lake" not in result.stderr
