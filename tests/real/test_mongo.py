"""``consume mongo`` on Apache Kafka: several instances in one group, one of them killed."""

from __future__ import annotations

import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stockctl.clients.kafka import Admin, Consumer, Partition
from stockctl.mongo.sink import MongoSink
from stockctl.service import Service
from stockctl.settings import Settings, env_name, load_settings
from stockctl.stream.consumer_loop import consume
from tests.command import HANG, Command, Process, clean_environment
from tests.conftest import MongoServer, own_names, wait_for
from tests.counting import assert_once
from tests.mongo.conftest import mongo_names
from tests.mongo.test_sink import committed, held, produce
from tests.servers import Kafka


@pytest.fixture
def flags(kafka: Kafka, mongo_server: MongoServer, tmp_path: Path) -> dict[str, str]:
    """Dotted settings of a test of its own."""
    return own_names(kafka.servers, tmp_path) | mongo_names(mongo_server, tmp_path) | {"kafka.session_timeout": "3s"}


@pytest.fixture
def topics(flags: dict[str, str]) -> Settings:
    """The test's own topics, made, and its settings."""
    settings = load_settings(environ=clean_environment(), flags=flags)
    admin = Admin(settings)
    for topic in (settings.topics.trades, settings.topics.feed_events, settings.topics.signals, settings.topics.dead_letters):
        admin.create_topic(topic.name, topic.partitions, 1, {})
    return settings


def ended(processes: list[Process]) -> bool:
    """Whether one of them has."""
    return any(process.poll() is not None for process in processes)


def test_two_instances_share_the_partitions_and_one_takes_over(topics: Settings, flags: dict[str, str], tmp_path: Path) -> None:
    """Each record is one document, while both run, and after one was killed with -9."""
    command = Command(tmp_path, **{env_name(name): value for name, value in flags.items()})
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    processes = [command.start("consume", "mongo", "--max-records", "50", log=log) for log in logs]
    try:
        wait_for(lambda: all("assigned" in log.read_text() for log in logs) or ended(processes), "both assignments", 60)
        assert not ended(processes), [log.read_text() for log in logs]
        ids = produce(topics, 300)
        wait_for(lambda: committed(topics) == 300, "all commits", 60)
        ids |= produce(topics, 900, first=300)
        wait_for(lambda: len(held(topics)) > 300, "more documents", 60)
        processes[0].kill()
        processes[0].wait()
        ids |= produce(topics, 100, first=1200)
        wait_for(lambda: committed(topics) == 1300, "the other to take over", 90)
        assert_once(held(topics), ids)
        processes[1].send_signal(signal.SIGTERM)
        assert processes[1].wait(HANG) == 0, logs[1].read_text()
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize("turn", range(3))
def test_more_instances_than_partitions_read_to_the_end_once_and_all_leave(
    topics: Settings, flags: dict[str, str], tmp_path: Path, turn: int
) -> None:
    """Those that get nothing, or have to give up what they got, end as well, in whatever order the group takes them in."""
    command = Command(tmp_path, **{env_name(name): value for name, value in flags.items()})
    ids = produce(topics, 300)
    logs = [tmp_path / f"{number}.log" for number in range(topics.topics.trades.partitions + 2)]
    processes = [command.start("consume", "mongo", "--once", log=log) for log in logs]
    try:
        wait_for(lambda: all(process.poll() is not None for process in processes), "all to leave", HANG)
        assert [process.returncode for process in processes] == [0] * len(logs), [log.read_text() for log in logs]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert_once(held(topics), ids)
    assert committed(topics) == 300, [log.read_text() for log in logs]


def test_a_partition_that_was_held_goes_on_when_others_are_added(
    topics: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    # The other one reads trades alone, and has half of all partitions: with more of them both have some of the trades.
    Admin(topics).add_partitions(topics.topics.trades.name, 6)
    monkeypatch.setattr(MongoSink, "chunk", 20)
    settings = topics.model_copy(update={"mongo": topics.mongo.model_copy(update={"max_records": 20})})
    ids, service, other, polls = produce(topics, 300), Service(), Consumer(topics, topics.mongo.group), threading.Event()
    theirs: set[Partition] = set()

    def assigned(partitions: list[Partition]) -> dict[Partition, int]:
        theirs.update(partitions)
        return dict.fromkeys(partitions, 0)

    def poll() -> None:
        other.subscribe([topics.topics.trades.name], on_assign=assigned, on_revoke=print, on_lost=print)
        while not polls.wait(0.05):
            other.consume(1, 0.1)
        other.close()

    def leave(*_: object) -> None:
        """The other one leaves while all of ours are held."""
        if not polls.is_set():
            wait_for(lambda: one._paused, "the hold")
            before = caplog.text.count("assigned ")
            polls.set()
            wait_for(lambda: caplog.text.count("assigned ") > before, "the partitions of the other one")

    one = MongoSink(settings, service.stop, leave)
    with ThreadPoolExecutor(2) as pool:
        polling = pool.submit(poll)
        wait_for(lambda: theirs, "the other one's partitions")
        writing = pool.submit(consume, one, service, report_every=60)
        try:
            wait_for(lambda: held(topics) == ids or writing.done(), "all documents")
        finally:
            polls.set()
            service.stop.set()
        writing.result()
        polling.result()
