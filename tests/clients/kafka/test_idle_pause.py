"""Reading from the embedded broker, which answers an empty fetch at once."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from stockctl.clients.kafka import Admin, Consumer, Event, Partition, Producer, idle_pause
from stockctl.clients.kafka.consumer import _LOOK_EVERY as LOOK_EVERY
from stockctl.settings import Settings
from tests.command import HANG
from tests.conftest import wait_for


@pytest.fixture(autouse=True)
def no_consumer_left_open() -> Iterator[None]:
    """Close what a failing test leaves open: librdkafka may hang when the collector destroys a consumer in a group."""
    yield
    for left in [one for one in gc.get_objects() if type(one) is Consumer]:  # a weak proxy may be dead
        with suppress(RuntimeError):  # it is closed
            left.close()


@pytest.fixture
def partitions(settings: Settings) -> list[Partition]:
    """The partitions of an empty topic."""
    admin = Admin(settings)
    admin.wait()
    name = settings.topics.trades.name
    admin.create_topic(name, 3, 1, {})
    return [Partition(name, number) for number in range(3)]


@pytest.fixture
def consumer(settings: Settings, partitions: list[Partition]) -> Iterator[Consumer]:
    """A consumer at the start of all partitions."""
    assert settings.kafka.idle_pause
    consumer = Consumer(settings, "idle")
    consumer.assign(dict.fromkeys(partitions, 0))
    yield consumer
    consumer.close()


def send(settings: Settings, partition: Partition, *values: str) -> None:
    producer = Producer(settings)
    for value in values:
        producer.produce(partition.topic, value.encode(), partition=partition.number)
    assert producer.flush(HANG) == 0


def rest(consumer: Consumer) -> None:
    """Read on until the consumer has nothing to do, and has looked once more."""
    assert consumer._idle is not None
    while not consumer._idle._resting:
        assert consumer.consume(10, 0.5) == []
    assert consumer.consume(10, 0.5) == []


def test_nothing_to_read_costs_next_to_nothing(settings: Settings, partitions: list[Partition]) -> None:
    """No fetch, of which such a broker answers thousands a second, and no more looks than the time given holds."""
    fetches: list[int] = []

    def record_statistics(statistics: str) -> None:
        fetches.append(sum(broker["req"].get("Fetch", 0) for broker in json.loads(statistics)["brokers"].values()))

    consumer = Consumer(settings, "idle", **{"statistics.interval.ms": 100, "stats_cb": record_statistics})
    consumer.assign(dict.fromkeys(partitions, 0))
    rest(consumer)
    fetches.clear()
    looks = counted(consumer)
    for _ in range(10):
        assert consumer.consume(10, 0.2) == []
    assert 10 <= len(looks) <= 10 * 0.2 / LOOK_EVERY * 1.5
    wait_for(lambda: consumer.consume(10, 0.2) == [] and len(fetches) > 10, "librdkafka's statistics")
    consumer.close()
    assert 0 < fetches[0] == fetches[-1]


def counted(consumer: Consumer) -> list[float]:
    """A list with an item for each look at librdkafka's queue from now on."""
    looks: list[float] = []

    class Counted:
        def __init__(self, wrapped: Any) -> None:
            self._wrapped = wrapped

        def consume(self, count: int, timeout: float) -> Any:
            looks.append(timeout)
            return self._wrapped.consume(count, timeout)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._wrapped, name)

    consumer._consumer = Counted(consumer._consumer)
    return looks


def test_no_message_comes_only_after_the_time_given(consumer: Consumer) -> None:
    """And not long after: it looks no more often than fits into it."""
    rest(consumer)
    looks = counted(consumer)
    for timeout in (0.05, 0.7):
        looks.clear()
        started = time.monotonic()
        assert consumer.consume(10, timeout) == []
        assert time.monotonic() - started >= timeout
        assert len(looks) <= timeout / LOOK_EVERY * 1.5 + 2


def test_single_records_come_soon_and_none_is_left_behind(
    settings: Settings, consumer: Consumer, partitions: list[Partition]
) -> None:
    """A record that comes at any moment of resting and waking."""
    rest(consumer)
    for number in range(8):
        send(settings, partitions[number % 3], str(number))
        messages: list[Any] = []
        wait_for(lambda messages=messages: messages.extend(consumer.consume(10, 0.2)) or messages, f"record {number}")  # type: ignore[misc]
        assert [message.value() for message in messages] == [str(number).encode()]


def test_a_partition_restarted_while_paused_is_read(
    settings: Settings, consumer: Consumer, partitions: list[Partition]
) -> None:
    send(settings, partitions[0], "a", "b", "c")
    seen: list[bytes] = []

    def read(count: int) -> bool:
        seen.extend(message.value() for message in consumer.consume(10, 0.2))
        return len(seen) >= count

    wait_for(lambda: read(3), "the records")
    rest(consumer)
    consumer.restart(partitions[0], 1)
    wait_for(lambda: read(5), "the records again")
    assert seen == [b"a", b"b", b"c", b"b", b"c"]


def test_a_partition_that_its_reader_paused_stays_paused(
    settings: Settings, consumer: Consumer, partitions: list[Partition]
) -> None:
    rest(consumer)
    consumer.pause(partitions[0])
    send(settings, partitions[0], "held")
    send(settings, partitions[1], "free")
    seen: list[bytes] = []

    def read() -> bool:
        seen.extend(message.value() for message in consumer.consume(10, 0.2))
        return bool(seen)

    wait_for(read, "the record of the other")
    assert (seen, consumer.consume(10, 0.5)) == ([b"free"], [])
    consumer.restart(partitions[0], 0)
    wait_for(lambda: [message.value() for message in consumer.consume(10, 0.2)] == [b"held"], "the record held back")


def test_the_end_of_each_partition_is_reported(settings: Settings, partitions: list[Partition]) -> None:
    consumer = Consumer(settings, "idle-end", **{"enable.partition.eof": True})
    consumer.assign(dict.fromkeys(partitions, 0))
    ended: set[int] = set()

    def read() -> bool:
        for message in consumer.consume(10, 0.2):
            assert consumer.event(message, "read") is Event.end
            ended.add(message.partition())
        return len(ended) == 3

    wait_for(read, "the ends")
    consumer.close()


def test_an_end_that_comes_late_is_reported_too(
    settings: Settings, partitions: list[Partition], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine librdkafka has hardly begun when all partitions look read, and a pause would swallow their ends."""
    monkeypatch.setattr(idle_pause, "_PATIENCE", 0.0)
    monkeypatch.setattr(idle_pause, "_SLICE", 0.0)
    monkeypatch.setattr(idle_pause.IdleReads, "_more", lambda *_: False)
    test_the_end_of_each_partition_is_reported(settings, partitions)
