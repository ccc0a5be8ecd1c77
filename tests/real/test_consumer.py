"""The consumer on Apache Kafka, while others join its group and leave it."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from stockctl.clients.kafka import Admin, Consumer, Partition
from stockctl.settings import Settings, env_name, load_settings
from tests.clients.kafka.test_idle_pause import rest, send
from tests.command import Command, clean_environment
from tests.conftest import own_names, wait_for
from tests.servers import Kafka


@pytest.fixture
def flags(kafka: Kafka, tmp_path: Path) -> dict[str, str]:
    """Dotted settings of a test of its own."""
    return own_names(kafka.servers, tmp_path) | {"kafka.session_timeout": "3s"}


@pytest.fixture
def settings(flags: dict[str, str]) -> Settings:
    """The test's own topics, made, and its settings."""
    settings = load_settings(environ=clean_environment(), flags=flags)
    admin = Admin(settings)
    admin.create_topic(settings.topics.trades.name, 90, 1, {})
    admin.create_topic(settings.topics.feed_events.name, 1, 1, {})
    admin.create_topic(settings.topics.signals.name, 1, 1, {})
    return settings


@contextmanager
def another(settings: Settings) -> Iterator[threading.Event]:
    """Another member of the group while the block runs; the event is set once it has got partitions."""
    got, leave = threading.Event(), threading.Event()

    def assigned(partitions: list[Partition]) -> dict[Partition, int]:
        if partitions:
            got.set()
        return dict.fromkeys(partitions, 0)

    def run() -> None:
        other = Consumer(settings, settings.lake.group)
        other.subscribe([settings.topics.trades.name], on_assign=assigned, on_revoke=print, on_lost=print)
        while not leave.is_set():
            other.consume(1, 0.1)
        other.close()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            yield got
        finally:
            leave.set()
        running.result()


def test_what_is_committed_during_a_rebalance_is_committed(
    settings: Settings, flags: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A frozen member makes that last until its session has ended; each partition is committed once only meanwhile."""
    caplog.set_level(logging.INFO)
    held: set[Partition] = set()

    def assigned(partitions: list[Partition]) -> dict[Partition, int]:
        held.update(partitions)
        return dict.fromkeys(partitions, 0)

    consumer = Consumer(settings, settings.lake.group)
    consumer.subscribe(
        [settings.topics.trades.name], on_assign=assigned, on_revoke=held.difference_update, on_lost=held.difference_update
    )
    log = tmp_path / "frozen.log"
    frozen = Command(tmp_path, **{env_name(name): value for name, value in flags.items()}).start("consume", "s3", log=log)
    asked: list[Partition] = []

    def commit_one() -> bool:
        if left := sorted(held - set(asked)):
            asked.append(left[0])
            consumer.commit(left[0], 1, "")
        consumer.consume(1, 0.1)
        return False

    try:
        wait_for(lambda: consumer.consume(1, 0.1) or ("assigned" in log.read_text() and 0 < len(held) < 90), "both members", 60)
        frozen.send_signal(signal.SIGSTOP)
        with another(settings) as got:
            wait_for(lambda: commit_one() or got.is_set(), "a third member's partitions", 60)
            wait_for(lambda: consumer.consume(1, 0.1) or not consumer.committing, "the answers")
            offsets = consumer.committed(sorted(held & set(asked)))
        assert {one.offset for one in offsets.values()} == {1}
    finally:
        frozen.kill()
        frozen.wait()
    consumer.close()
    assert "cannot commit" not in caplog.text


def join(settings: Settings, topic: str) -> tuple[Consumer, set[Partition]]:
    """A member of the lake's group, and the partitions that it has."""
    consumer = Consumer(settings, settings.lake.group)
    held: set[Partition] = set()

    def assigned(given: list[Partition]) -> dict[Partition, int]:
        held.update(given)
        return dict.fromkeys(given, 0)

    consumer.subscribe([topic], on_assign=assigned, on_revoke=held.difference_update, on_lost=held.difference_update)
    return consumer, held


def test_what_the_broker_has_just_given_to_a_member_counts_before_its_client_knows(
    real_settings: Settings,
) -> None:
    """A member without an assignment yet must not take that for its final one and leave: no member would read the rest."""
    settings, admin, group = real_settings, Admin(real_settings), real_settings.lake.group
    topic = settings.topics.trades.name
    admin.create_topic(topic, 2, 1, {})
    assigned: list[list[Partition]] = []

    def on_assign(given: list[Partition]) -> dict[Partition, int]:
        assigned.append(given)
        return dict.fromkeys(given, 0)

    first, held = join(settings, topic)
    second = Consumer(settings, group)
    with closing(first), closing(second):
        wait_for(lambda: first.consume(1, 0.1) == [] and len(held) == 2, "all partitions at one consumer")
        assert admin.is_fully_assigned(group, [topic], first.member_id, held)
        second.subscribe([topic], on_assign=on_assign, on_revoke=print, on_lost=print)
        wait_for(lambda: second.consume(1, 0.1) == [] and assigned, "a first answer, which gives nothing")
        assert assigned == [[]]
        # The first gives up one of its two; the second gets it from the broker, and does not look.
        wait_for(
            lambda: (
                first.consume(1, 0.1) == []
                and len(held) == 1
                and admin.is_fully_assigned(group, [topic], first.member_id, held)
            ),
            "the new owner of the partition that was given up",
        )
        assert assigned == [[]]
        assert not admin.is_fully_assigned(group, [topic], second.member_id, set())
        wait_for(lambda: second.consume(1, 0.1) == [] and len(assigned) == 2, "word of it")
        assert admin.is_fully_assigned(group, [topic], second.member_id, assigned[1])


def test_a_partition_that_was_taken_away_while_resting_is_read_when_it_comes_back(
    real_settings: Settings,
) -> None:
    """Paused by us, taken away by the group, and given back: the pause must not outlast that."""
    settings, admin = real_settings, Admin(real_settings)
    assert settings.kafka.idle_pause
    admin.create_topic(settings.topics.trades.name, 3, 1, {})
    partitions = [Partition(settings.topics.trades.name, number) for number in range(3)]
    first, held = join(settings, partitions[0].topic)
    wait_for(lambda: first.consume(10, 0.2) == [] and len(held) == 3, "all partitions at one consumer")
    rest(first)
    second, others = join(settings, partitions[0].topic)
    wait_for(lambda: [*first.consume(10, 0.1), *second.consume(10, 0.1)] == [] and others, "some at another")
    rest(first)
    second.close()
    wait_for(lambda: first.consume(10, 0.2) == [] and len(held) == 3, "all at the one again")
    for partition in partitions:
        send(settings, partition, "new")
    seen: set[int] = set()

    def read() -> bool:
        seen.update(message.partition() for message in first.consume(10, 0.2))
        return len(seen) == 3

    wait_for(read, "a record of each partition")
    first.close()
