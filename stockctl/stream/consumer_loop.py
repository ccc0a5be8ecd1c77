"""One loop from Kafka into a sink: the lake or MongoDB.

The loop polls the topics, hands the records to a sink, reports the lag and leaves the consumer group. A sink decides the rest:
where a partition is read from, what a batch is, when it is stored and what is committed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from threading import Event
from typing import Protocol

from stockctl.clients.kafka import Admin, Consumer, Message, Partition
from stockctl.errors import StockctlError
from stockctl.service import Service
from stockctl.settings import Settings

DRAIN_WITHIN = 7.0
"""Seconds that unfinished batches get after a signal, before the consumer leaves its group."""
LEAVE_WITHIN = 9.0
"""Seconds after a signal when the process ends, whatever a store or the broker makes it wait for."""
_POLL = 0.1
"""Seconds that a poll waits for records."""
_DRAIN_POLL = 0.05


class Subscription:
    """The topics of a sink and its consumer group. With ``once`` it reads to where each topic ends when reading begins."""

    def __init__(self, settings: Settings, group: str, topics: Collection[str], *, once: bool) -> None:
        self.group, self.topics, self.once = group, topics, once
        self.admin = Admin(settings)
        self.consumer = Consumer(settings, group, **({"enable.partition.eof": True} if once else {}))

    def wait(self, stop: Event, log: logging.Logger) -> bool:
        """Wait until a broker answers, at most ``kafka.connect_wait``; False if ``stop`` was set meanwhile.

        UnreachableError after that time; StockctlError if a topic does not exist.
        """
        self.admin.wait(say=log.warning, stop=stop)
        if stop.is_set():
            return False
        for topic in self.topics:
            if self.admin.topic(topic) is None:
                raise StockctlError(f"there is no topic {topic}", hint="`stockctl topics apply` creates the topics")
        return True

    def lag(self, positions: Mapping[Partition, int]) -> dict[str, int]:
        """By topic, the records after ``positions`` as of the newest fetches; asks no broker."""
        lag = dict.fromkeys(self.topics, 0)
        for partition, offset in positions.items():
            lag[partition.topic] += max(0, self.consumer.known_end(partition) - offset)
        return lag

    def settled(self, assigned: Collection[Partition]) -> bool:
        """Whether ``assigned`` is what the group's coordinator has for this member, and every partition has an owner.

        Asks the broker, which may block and raise.
        """
        return self.consumer.has_assignment and self.admin.is_fully_assigned(
            self.group, self.topics, self.consumer.member_id, assigned
        )


class Sink(Protocol):
    """A destination of records. The loop calls everything here from one thread."""

    @property
    def subscription(self) -> Subscription:
        """What the loop reads."""
        ...

    @property
    def log(self) -> logging.Logger:
        """Where the loop logs."""
        ...

    @property
    def chunk(self) -> int:
        """Most messages of one poll."""
        ...

    @property
    def trouble(self) -> str | None:
        """What the sink waits for, for ``/healthz``; None if nothing is wrong. Called from other threads too."""
        ...

    @property
    def rows(self) -> int:
        """Records stored so far."""
        ...

    @property
    def positions(self) -> Mapping[Partition, int]:
        """The next offset of each assigned partition."""
        ...

    @property
    def finished(self) -> bool:
        """With ``once``: whether all that the topics held is stored."""
        ...

    def open(self) -> None:
        """Prepare the store, before the consumer joins its group. May block; raises what cannot be retried."""
        ...

    def assigned(self, partitions: list[Partition]) -> Mapping[Partition, int]:
        """The offset to read each new partition from. May block for the store and the broker; raises when that takes too
        long, or when the sink cannot continue without losing or duplicating a record.
        """
        ...

    def revoked(self, partitions: list[Partition]) -> None:
        """Forget these partitions; the next owner reads what is not committed. Never blocks."""
        ...

    def submit(self, messages: Sequence[Message], now: float) -> None:
        """Take what one poll delivered at ``now`` (``time.monotonic()``), events included.

        Blocks only to read a partition from another offset. Raises RefusedError when the broker refuses the login.
        """
        ...

    def poll(self, now: float) -> None:
        """Collect what is stored, begin to store what is due and pause what is full, once after each ``submit``.

        Blocks for less than a second. Raises the errors of the store that another attempt cannot cure.
        """
        ...

    def drain(self) -> int:
        """Begin to store every open batch, and take no more records; the number of batches not stored yet.

        Called until it returns 0. Blocks for less than a second; raises as ``poll`` does.
        """
        ...

    def report(self, rate: float, lag: Mapping[str, int]) -> None:
        """Log and export the state: ``rate`` in rows per second since the last report, ``lag`` in records by topic."""
        ...

    def close(self) -> None:
        """Free threads and connections, after the consumer has left its group. May block for requests under way."""
        ...


def consume(sink: Sink, service: Service, *, report_every: float) -> None:
    """Run ``sink`` until ``service.stop`` is set or, with ``once``, to the end of its topics; then drain and close it.

    Reports every ``report_every`` seconds. Raises what the methods of the sink raise.
    """
    subscription, consumer = sink.subscription, sink.subscription.consumer
    service.health = lambda: sink.trouble or consumer.unassigned

    def assigned(partitions: list[Partition]) -> Mapping[Partition, int]:
        starts = sink.assigned(partitions) if partitions else {}
        if starts:
            places = ", ".join(f"{p.topic}/{p.number} from {offset}" for p, offset in sorted(starts.items()))
            sink.log.info("assigned %s", places)
        return starts

    def revoked(partitions: list[Partition]) -> None:
        sink.revoked(partitions)
        if partitions:
            sink.log.info("gave up %s", ", ".join(f"{p.topic}/{p.number}" for p in sorted(partitions)))

    try:
        if subscription.wait(service.stop, sink.log):
            sink.open()
            consumer.subscribe(list(subscription.topics), on_assign=assigned, on_revoke=revoked, on_lost=revoked)
            _loop(sink, service.stop, report_every)
            _drain(sink)
    finally:
        # First of all: the partitions are free for other members while the last requests to the store end.
        consumer.close()
        sink.close()


def _loop(sink: Sink, stop: Event, report_every: float) -> None:
    subscription, read, chunk = sink.subscription, sink.subscription.consumer.consume, sink.chunk
    reported, rows = time.monotonic(), 0
    while not stop.is_set():
        messages = read(chunk, _POLL)
        now = time.monotonic()
        sink.submit(messages, now)
        sink.poll(now)
        if now - reported >= report_every:
            sink.report((sink.rows - rows) / (now - reported), subscription.lag(sink.positions))
            reported, rows = now, sink.rows
        # Partitions may arrive until the consumer leaves, and then there is more to read.
        if subscription.once and sink.finished and subscription.settled(sink.positions.keys()):
            return


def _drain(sink: Sink) -> None:
    deadline = time.monotonic() + DRAIN_WITHIN
    while unfinished := sink.drain():
        if time.monotonic() > deadline:
            sink.log.warning("left %d batches unfinished: the next start repeats or reads them", unfinished)
            return
        # Polling keeps the partitions while the sink stores; the next start reads again whatever it delivers.
        sink.subscription.consumer.consume(1, _DRAIN_POLL)


# Called by map for each message: the method itself costs half of what a lambda or an attribute look-up does.
error_of: Callable[[Message], object] = Message.error
offset_of: Callable[[Message], int] = Message.offset
value_of: Callable[[Message], bytes | None] = Message.value
_topic: Callable[[Message], str] = Message.topic
_partition: Callable[[Message], int] = Message.partition


def by_partition(messages: Sequence[Message]) -> Iterator[tuple[Partition, list[Message]]]:
    """``messages`` as runs of one partition each; a consumer delivers them so, whole fetches one after another."""
    first = 0
    for number, same in groupby(map(_partition, messages)):
        last = first + len(list(same))
        records = list(messages[first:last])
        first = last
        if len(set(map(_topic, records))) == 1:
            yield Partition(records[0].topic(), number), records
        else:
            for topic, part in groupby(records, key=_topic):
                yield Partition(topic, number), list(part)
