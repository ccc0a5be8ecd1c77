"""``signals run`` as a process on the embedded broker: what it publishes follows from the log alone."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from stockctl.records import Trade
from stockctl.settings import Settings, env_name
from stockctl.strategies.lake_filings import FILING_DELAY, read_symbol_filings
from stockctl.strategies.loading import load_strategy
from tests.command import HANG, Command
from tests.conftest import free_port, wait_for
from tests.filings.stored import store_report
from tests.signals.streams import (
    DAY,
    T0,
    committed,
    expected,
    figures,
    make_topics,
    published,
    send,
    strategy_file,
    trades,
)
from tests.topics import messages


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """The test's own topics, made."""
    make_topics(settings)
    return settings


def run(command: Command, path: Path, *arguments: str, check: int | None = 0) -> str:
    """Run the strategy to the end of the topic; what it says."""
    return command.run("signals", "run", str(path), "AAPL,MSFT,BINANCE:BTCUSDT", "--once", *arguments, check=check).stderr


def assert_published(settings: Settings, path: Path, stream: list[Trade], after: int) -> None:
    """Each expected signal exactly once, and no others."""
    found = published(settings)
    wanted = expected(path, stream, after)
    assert len(wanted) > 0
    assert sorted(record["id"] for record in found) == sorted(wanted)
    assert {record["id"]: figures(record) for record in found} == wanted


def test_a_first_run_begins_at_the_end_with_the_date_so_far_in_mind(topics: Settings, command: Command, tmp_path: Path) -> None:
    path, stream = strategy_file(tmp_path), trades(900)
    send(topics, stream[:300])
    assert "published 0 signals" in run(command, path)
    assert sum(committed(topics).values()) == 300
    send(topics, [b"no trade", *stream[300:600]])
    run(command, path)
    send(topics, stream[600:])
    assert " signals to " in run(command, path)
    assert_published(topics, path, stream, 300)
    one = published(topics)[0]
    assert (one["strategy"], one["source"], one["target"], one["kind"]) == ("counting", "sim", 0.5, "signal")


def test_a_run_says_what_is_needed_to_repeat_it(topics: Settings, command: Command, tmp_path: Path) -> None:
    path, stream = strategy_file(tmp_path), trades(600)
    send(topics, stream[:30])
    run(command, path)
    before = committed(topics)
    send(topics, stream[30:])
    run(command, path)
    [start] = published(topics, "run")
    details = json.loads(start["details"])
    assert details["starts"] == {str(partition.number): offset for partition, offset in before.items()}
    assert details["symbols"] == ["AAPL", "MSFT", "BINANCE:BTCUSDT"]
    beats = published(topics, "heartbeat")
    assert {beat["symbol"] for beat in beats} == set(details["symbols"])
    assert {record["run"] for record in [*beats, *published(topics)]} == {start["run"]}


def test_warm_up_is_read_from_the_topic_where_the_lake_ends(topics: Settings, command: Command, tmp_path: Path) -> None:
    path = strategy_file(tmp_path, warmup=2)
    dates = [trades(60, first=1000 * number, start=T0 + number * DAY - 100_000 * number) for number in range(4)]
    stream = [trade for date in dates for trade in date]
    send(topics, [*dates[0], *dates[1][:20]])
    command.run("consume", "s3", "--once")
    send(topics, dates[1][20:])
    run(command, path)
    send(topics, dates[2][:30])
    run(command, path)
    send(topics, [*dates[2][30:], *dates[3]])
    run(command, path)
    found = published(topics)
    assert found
    assert {record["reason"] for record in found if record["ts_decided"] < T0 + 1.5 * DAY} == set()
    # The strategy has seen two dates before: 40 of its symbol.
    assert min(int(record["reason"].split()[1].rstrip(",")) for record in found if record["side"] == "buy") == 42
    del stream


READS = """
    def on_filing(self, filing):
        yield buy(reason=f"{filing.accession} at trade {self.trades}")
"""


def test_filings_are_seen_at_the_same_trade_after_any_start(topics: Settings, command: Command, tmp_path: Path) -> None:
    path, stream = strategy_file(tmp_path), trades(900)
    path.write_text(path.read_text() + READS)
    command.run("consume", "s3", "--once")
    times = [trade.ts_event - FILING_DELAY for trade in (stream[0], stream[301], stream[450], stream[599], stream[800])]
    numbers = store_report(topics, "2026-09-18 16:30:00", *times, source="sim")
    filings = read_symbol_filings(topics, "AAPL", load_strategy(str(path)), "stored").seen
    send(topics, stream[:300])
    run(command, path)
    for first in range(300, 900, 150):
        send(topics, stream[first : first + 150])
        run(command, path)
    found = published(topics)
    wanted = expected(path, stream, 300, filings)
    assert {record["id"]: figures(record) for record in found} == wanted
    assert [record["record"] for record in found if record["record"] in numbers] == numbers[1:]


def test_an_error_of_the_strategy_goes_to_the_dead_letters_and_the_run_goes_on(
    topics: Settings, command: Command, tmp_path: Path
) -> None:
    path, stream = strategy_file(tmp_path, extra='print("seen"); assert trade.id != "t-00000042", "not this one"'), trades(300)
    run(command, path)
    send(topics, stream)
    said = run(command, path)
    assert "failed on 1 record" in said
    assert "seen" in said
    [letter] = [json.loads(message.value()) for message in messages(topics, topics.topics.dead_letters.name)]
    assert "counting.py, line 16" in letter["reason"]
    assert json.loads(letter["raw"])["id"] == "t-00000042"
    assert "t-00000042" in letter["reason"]
    assert len(published(topics)) > 60


def test_too_many_errors_stop_the_run_and_commit_nothing(topics: Settings, command: Command, tmp_path: Path) -> None:
    path = strategy_file(tmp_path, extra="assert False")
    run(command, path)
    before = committed(topics)
    send(topics, trades(30))
    command.environment[env_name("signals.max_errors")] = "5"
    assert "more than signals.max_errors" in run(command, path, check=1)
    assert committed(topics) == before


def test_killed_and_started_again_each_id_is_published(topics: Settings, command: Command, tmp_path: Path) -> None:
    path, stream = strategy_file(tmp_path), trades(2400)
    send(topics, stream[:100])
    run(command, path)
    for number in range(4):
        port = free_port()
        log = tmp_path / f"{number}.log"
        process = command.start("signals", "run", str(path), "AAPL,MSFT,BINANCE:BTCUSDT", "--health-port", str(port), log=log)
        try:
            count = len(published(topics))
            send(topics, stream[100 + 500 * number : 600 + 500 * number])
            wait_for(lambda: len(published(topics)) > count, "a signal")  # noqa: B023
            if number == 3:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=HANG) as answer:
                    assert answer.read() == b"ok\n"
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=HANG) as answer:
                    text = answer.read().decode()
                assert 'stockctl_signals_total{side="buy",strategy="counting"}' in text
                process.send_signal(signal.SIGTERM)
                assert process.wait(HANG) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
    send(topics, stream[2100:])
    run(command, path)
    found = published(topics)
    wanted = expected(path, stream, 100)
    # Without transactions a crash may repeat what it had published.
    assert {record["id"] for record in found} == set(wanted)
    assert all(figures(record) == wanted[record["id"]] for record in found)


def test_the_end_of_a_partition_comes_with_its_last_records(settings: Settings, command: Command, tmp_path: Path) -> None:
    make_topics(settings, partitions=1)
    path, stream = strategy_file(tmp_path), trades(300)
    run(command, path)
    send(settings, stream)
    run(command, path)
    assert_published(settings, path, stream, 0)


LOST_ANSWER = """
from stockctl.clients.kafka import Consumer
from stockctl.errors import TimedOutError

_commit, calls = Consumer.commit_now, 0

def commit_now(self, offsets):
    global calls
    calls += 1
    _commit(self, offsets)
    if calls == 1:
        raise TimedOutError("the answer is lost")

Consumer.commit_now = commit_now
"""
"""What makes a run believe that its first commit failed."""


def test_a_commit_whose_answer_is_lost_publishes_nothing_again(settings: Settings, command: Command, tmp_path: Path) -> None:
    make_topics(settings, partitions=1)
    path = strategy_file(tmp_path)
    stream = [trade for trade in trades(9000) if trade.symbol == "AAPL"]
    run(command, path)
    send(settings, stream)
    path.write_text(path.read_text() + LOST_ANSWER)
    assert "beginning again at the committed offsets: the answer is lost" in run(command, path)
    assert_published(settings, path, stream, 0)
    times = Counter(record["id"] for record in published(settings, None))
    assert {id for id, count in times.items() if count > 1} == set()
    assert len(published(settings, "run")) == 1
    # One at the beginning, and one when it began again.
    assert len(published(settings, "heartbeat")) >= 2
