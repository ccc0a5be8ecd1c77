"""The consumer, in a group or without one.

Its hot loop hands out librdkafka's own messages, because a wrapper a message would cost more than reading it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer as _Consumer
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from stockctl.clients.kafka.common import (
    EVENTS,
    Committed,
    Event,
    Offsets,
    Partition,
    Result,
    Watched,
    client_config,
    describe_error,
    made,
)
from stockctl.clients.kafka.idle import IdleReads
from stockctl.errors import StockctlError
from stockctl.settings import Settings
from stockctl.units import format_duration

log = logging.getLogger("stockctl.kafka")

_SHARING_OUT = (KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS)
"""What a group answers to a commit that its next generation overtakes."""
_LOOK_EVERY = 0.01
"""Seconds between two looks at an empty queue: short against what a reader waits for, long against the look."""


class Consumer:
    """A consumer that commits nothing by itself, reads committed records only, and never jumps to an offset on its own."""

    def __init__(self, settings: Settings, group: str, **overrides: Any) -> None:
        self._settings = settings
        self._watched = Watched(settings)
        self._consumer = made(
            _Consumer,
            client_config(settings)
            | {
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": int(settings.kafka.session_timeout * 1000),
                "heartbeat.interval.ms": max(200, int(settings.kafka.session_timeout * 1000 / 15)),
                "max.poll.interval.ms": max(300_000, int(settings.kafka.session_timeout * 1000)),
                "queued.max.messages.kbytes": 32_768,
                "queued.min.messages": 100_000,
                "fetch.wait.max.ms": 100,
                # The default of a second would idle a reader that empties its queue in a tenth of that.
                "fetch.queue.backoff.ms": 10,
                # The embedded broker answers a fetch with all that it holds; a longer answer than this would never be taken.
                "receive.message.max.bytes": 2_147_483_647,
                "error_cb": self._watched.on_error,
                "on_commit": self._committed,
            }
            | overrides,
        )
        self._leaving = False
        self.shared_out = False
        """Whether the group has assigned us partitions, or none on purpose, since it last took something away."""
        self._owned: set[Partition] = set()
        self._lost_at: float | None = None
        self._paused: set[Partition] = set()
        self._commits: dict[Partition, Committed] = {}
        """The newest commit of each partition that the broker has not confirmed."""
        self._idle: IdleReads | None = None
        if settings.kafka.idle_pause:
            ends = bool(overrides.get("enable.partition.eof"))
            self._idle = IdleReads(self._consumer, self._read, self._paused, settings.kafka.idle_pause, ends=ends)
        self.consume: Callable[[int, float], list[Message]] = self._idle.consume if self._idle else self._read
        """``consume(count, timeout)``: the next ``count`` messages, fewer after ``timeout`` seconds; serves callbacks."""

    def _read(self, count: int, timeout: float) -> list[Message]:
        # librdkafka's waits end by the wall clock: once that is set back, they would last for as long as it was set back.
        messages: list[Message] = self._consumer.consume(count, 0)
        deadline = time.monotonic() + timeout
        while len(messages) < count and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_EVERY))
            messages += self._consumer.consume(count - len(messages), 0)
        return messages

    def subscribe(
        self,
        topics: Sequence[str],
        *,
        on_assign: Callable[[list[Partition]], Mapping[Partition, int]],
        on_revoke: Callable[[list[Partition]], None],
        on_lost: Callable[[list[Partition]], None],
    ) -> None:
        """Join the group. ``on_assign`` answers with the offset to start each new partition at."""

        def assigned(consumer: Any, given: list[TopicPartition]) -> None:
            if self._leaving:
                return  # they are the next one's, and who leaves gets no answers any more
            self.shared_out = True
            partitions = [Partition(item.topic, item.partition) for item in given]
            self._owned.update(partitions)
            starts = on_assign(partitions)
            # A pause outlasts losing the partition, and so would the standstill.
            self._paused.difference_update(starts)
            consumer.resume(given)
            consumer.incremental_assign([TopicPartition(p.topic, p.number, offset) for p, offset in starts.items()])
            self._moved(starts)

        def gone(given: list[TopicPartition]) -> list[Partition]:
            self.shared_out, self._lost_at = False, time.monotonic()
            partitions = [Partition(item.topic, item.partition) for item in given]
            self._owned.difference_update(partitions)
            for partition in partitions:
                self._commits.pop(partition, None)
            return partitions

        self._consumer.subscribe(
            list(topics),
            on_assign=assigned,
            on_revoke=lambda _, given: on_revoke(gone(given)),
            on_lost=lambda _, given: on_lost(gone(given)),
        )

    @property
    def unassigned(self) -> str | None:
        """Why it has no partitions; None if it has some, or if the group has none for it, since it has more members."""
        if self.shared_out or self._owned:
            return None
        if self._lost_at is None:
            return "has not joined its group yet"
        lost = format_duration(round(time.monotonic() - self._lost_at))
        return f"has no partitions: its group took them away {lost} ago, and has assigned none since"

    @property
    def member_id(self) -> str:
        """The id that the group's coordinator knows us by; empty before we have joined."""
        return self._consumer.memberid() or ""

    def assign(self, starts: Mapping[Partition, int]) -> None:
        """Read these partitions from these offsets, without a group."""
        self._consumer.assign([TopicPartition(p.topic, p.number, offset) for p, offset in starts.items()])
        self._moved(starts)

    def restart(self, partition: Partition, offset: int) -> None:
        """Read an assigned partition from ``offset`` on; also after an error has stopped it."""
        at = [TopicPartition(partition.topic, partition.number, offset)]
        self._paused.discard(partition)
        # A pause would outlast the new assignment.
        self._consumer.resume(at)
        self._consumer.incremental_unassign(at)
        self._consumer.incremental_assign(at)
        self._moved({partition: offset})

    def _moved(self, starts: Mapping[Partition, int]) -> None:
        if self._idle is not None:
            self._idle.moved(starts)

    def pause(self, partition: Partition) -> None:
        """Deliver nothing more from ``partition`` until ``resume`` or ``restart``."""
        self._paused.add(partition)
        self._consumer.pause([TopicPartition(partition.topic, partition.number)])

    def resume(self, partition: Partition) -> None:
        """Go on with a partition that was paused, where it stands."""
        self._paused.discard(partition)
        self._consumer.resume([TopicPartition(partition.topic, partition.number)])

    def offsets(self, partition: Partition, *, timeout: float = 10.0) -> Offsets:
        """First and end offset that the broker holds now."""
        return self._call(
            f"read the offsets of {partition.topic}/{partition.number}",
            lambda: Offsets(
                *self._consumer.get_watermark_offsets(TopicPartition(partition.topic, partition.number), timeout=timeout)
            ),
        )

    def offsets_since(self, partitions: Sequence[Partition], ms: int, *, timeout: float = 10.0) -> dict[Partition, int]:
        """Each partition's first offset with a timestamp of ``ms`` (UTC) or later; its end where there is none."""
        asked = [TopicPartition(p.topic, p.number, ms) for p in partitions]
        found = self._call("look offsets up by time", lambda: self._consumer.offsets_for_times(asked, timeout=timeout))
        return {
            (partition := Partition(item.topic, item.partition)): item.offset
            if item.offset >= 0
            else self.offsets(partition, timeout=timeout).end
            for item in found
        }

    def committed(self, partitions: Sequence[Partition], *, timeout: float = 10.0) -> dict[Partition, Committed]:
        """The group's committed offsets."""
        asked = [TopicPartition(p.topic, p.number) for p in partitions]
        found = self._call("read the committed offsets", lambda: self._consumer.committed(asked, timeout=timeout))
        return {Partition(item.topic, item.partition): Committed(max(item.offset, -1), item.metadata or "") for item in found}

    def commit(self, partition: Partition, offset: int, metadata: str) -> None:
        """Begin to commit ``offset`` with ``metadata``; ``close`` waits for commits under way.

        What is refused because the group is being shared out anew is committed again, as long as the partition stays here.
        Any other failure is logged.
        """
        self._commits[partition] = Committed(offset, metadata)
        at = TopicPartition(partition.topic, partition.number, offset, metadata=metadata)
        try:
            self._consumer.commit(offsets=[at], asynchronous=True)
        except KafkaException as error:
            del self._commits[partition]
            self._tell_uncommitted(error.args[0])

    def _committed(self, error: KafkaError | None, items: list[TopicPartition]) -> None:
        overtaken = error is not None and error.code() in _SHARING_OUT
        for item in items:
            partition = Partition(item.topic, item.partition)
            commit = self._commits.get(partition)
            if commit is not None and commit.offset == item.offset:
                del self._commits[partition]
                if overtaken:
                    self.commit(partition, *commit)
        if error is not None and not overtaken:
            self._tell_uncommitted(error)

    def _tell_uncommitted(self, error: KafkaError) -> None:
        log.warning("%s", describe_error(error, self._settings, "commit"))

    @property
    def committing(self) -> bool:
        """Whether a commit is neither confirmed nor refused for good; ``consume`` brings the answers."""
        return bool(self._commits)

    def known_end(self, partition: Partition) -> int:
        """The end offset that the newest fetch told, −1 while there was none; asks nobody."""
        asked = TopicPartition(partition.topic, partition.number)
        return int(self._consumer.get_watermark_offsets(asked, cached=True)[1])

    def close(self) -> None:
        """Leave the group."""
        self._leaving = True
        self._commits.clear()
        self._consumer.close()

    def event(self, message: Message, doing: str) -> Event | StockctlError:
        """What a message that is no record tells: an event, or an error met while ``doing``."""
        error = message.error()
        event = EVENTS.get(error.code())
        return event if event is not None else describe_error(error, self._settings, doing)

    @property
    def trouble(self) -> StockctlError | None:
        """The newest client-wide error; None if there was none."""
        error = self._watched.last_error
        return None if error is None else describe_error(error, self._settings, "consume")

    def _call(self, doing: str, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except KafkaException as error:
            raise describe_error(self._watched.cause(error.args[0]), self._settings, doing) from error
