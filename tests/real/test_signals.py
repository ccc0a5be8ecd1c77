"""``signals run`` on Apache Kafka: signals and offsets in one transaction, whatever dies."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stockctl.records import Trade
from stockctl.settings import Settings, env_name
from tests.command import HANG, Command, Process
from tests.conftest import wait_for
from tests.signals.streams import committed, expected, figures, make_topics, published, send, strategy_file, trades
from tests.topics import messages

SYMBOLS = "AAPL,MSFT,BINANCE:BTCUSDT"


@pytest.fixture
def topics(real_settings: Settings) -> Settings:
    """The test's own topics, made."""
    make_topics(real_settings)
    return real_settings


@pytest.fixture
def command(real_command: Command) -> Command:
    """The command, with transactions and without the pauses that the embedded broker needs."""
    real_command.environment |= {
        env_name("signals.transactions"): "true",
        env_name("kafka.idle_pause"): "0s",
        env_name("signals.commit_every"): "200ms",
    }
    return real_command


@contextmanager
def role(command: Command, path: Path, log: Path) -> Iterator[Process]:
    """The role in the background; it is killed at the end of the block."""
    process = command.start("signals", "run", str(path), SYMBOLS, log=log)
    try:
        wait_for(lambda: "reading" in log.read_text() or process.poll() is not None, "the role", HANG)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def assert_exactly_once(settings: Settings, path: Path, stream: list[Trade], after: int) -> None:
    """Each id that the strategy decided is there once, with what it saw."""
    found = published(settings)
    wanted = expected(path, stream, after)
    times = Counter(record["id"] for record in found)
    assert {"duplicate": [one for one, count in times.items() if count > 1], "missing": sorted(set(wanted) - set(times))} == {
        "duplicate": [],
        "missing": [],
    }
    assert {record["id"]: figures(record) for record in found} == wanted


def test_killed_five_times_each_signal_is_there_once(topics: Settings, command: Command, tmp_path: Path) -> None:
    """A lake writer runs meanwhile, so that states are made from both, and restarts after kills too."""
    path, stream, chance = strategy_file(tmp_path), trades(6000), random.Random(20261130)
    send(topics, stream[:200])
    assert "in transactions" in command.run("signals", "run", str(path), SYMBOLS, "--once").stderr
    at = 200
    for number in range(5):
        with role(command, path, tmp_path / f"{number}.log") as process:
            writer = command.start("consume", "s3", "--max-age", "200ms", log=tmp_path / f"writer-{number}.log")
            before = sum(committed(topics).values())
            for _ in range(chance.randrange(3, 8)):
                send(topics, stream[at : at + 100])
                at += 100
            wait_for(lambda: sum(committed(topics).values()) > before, "a commit")  # noqa: B023
            process.kill()
            writer.kill()
            writer.wait()
    send(topics, stream[at:])
    command.run("consume", "s3", "--once")
    command.run("signals", "run", str(path), SYMBOLS, "--once")
    assert_exactly_once(topics, path, stream, 200)
    assert len({record["run"] for record in published(topics)}) > 2


DYING = """
import os, signal
from stockctl.clients.kafka import TransactionalProducer as Transactions

_send, calls = Transactions.send_offsets, 0

def send_offsets(self, consumer, offsets):
    global calls
    calls += 1
    if calls == 3 and not {after}:
        self.flush(60)
        os.kill(os.getpid(), signal.SIGKILL)
    _send(self, consumer, offsets)
    if calls == 3:
        os.kill(os.getpid(), signal.SIGKILL)

Transactions.send_offsets = send_offsets
"""
"""What makes a run die in its third transaction, with its records at the broker: before it sends the offsets, or after that."""


@pytest.mark.parametrize("after", [False, True])
def test_killed_within_a_transaction_nothing_of_it_is_there(
    topics: Settings, command: Command, tmp_path: Path, after: bool
) -> None:
    path, stream = strategy_file(tmp_path), trades(900)
    (tmp_path / "dying").mkdir()
    dying = strategy_file(tmp_path / "dying")
    dying.write_text(dying.read_text() + DYING.format(after=after))
    command.run("signals", "run", str(path), SYMBOLS, "--once")
    log = tmp_path / "dying.log"
    process = command.start("signals", "run", str(dying), SYMBOLS, log=log)
    sent = 0
    while process.poll() is None and sent < 800:
        before = len(published(topics))
        send(topics, stream[sent : sent + 100])
        sent += 100
        wait_for(lambda: process.poll() is not None or len(published(topics)) > before, "signals", HANG)  # noqa: B023
    assert process.wait(HANG) == -signal.SIGKILL, log.read_text()
    assert len(published(topics)) < len(expected(path, stream[:sent]))
    send(topics, stream[sent:])
    command.run("signals", "run", str(path), SYMBOLS, "--once")
    assert_exactly_once(topics, path, stream, 0)


def test_a_second_run_takes_over_and_the_first_ends(topics: Settings, command: Command, tmp_path: Path) -> None:
    path, stream = strategy_file(tmp_path), trades(1500)
    first_log, second_log = tmp_path / "first.log", tmp_path / "second.log"
    with role(command, path, first_log) as first:
        send(topics, stream[:500])
        wait_for(lambda: published(topics), "signals of the first")
        first.send_signal(signal.SIGSTOP)
        send(topics, stream[500:1000])
        with role(command, path, second_log) as second:
            wait_for(lambda: len({one["run"] for one in published(topics)}) == 2, "signals of the second")
            first.send_signal(signal.SIGCONT)
            send(topics, stream[1000:])
            assert first.wait(HANG) == 1, first_log.read_text()
            assert "has taken over" in first_log.read_text()
            wait_for(lambda: sum(committed(topics).values()) >= len(stream), "the end")
            second.send_signal(signal.SIGTERM)
            assert second.wait(HANG) == 0, second_log.read_text()
    assert_exactly_once(topics, path, stream, 0)


def test_letters_of_a_failing_strategy_are_in_the_transaction(topics: Settings, command: Command, tmp_path: Path) -> None:
    path = strategy_file(tmp_path, extra='assert trade.id != "t-00000005", "not this one"')
    command.run("signals", "run", str(path), SYMBOLS, "--once")
    send(topics, trades(60))
    command.run("signals", "run", str(path), SYMBOLS, "--once")
    command.run("signals", "run", str(path), SYMBOLS, "--once")
    assert len(messages(topics, topics.topics.dead_letters.name)) == 1
