"""The consumer, with or without a consumer group.

It returns librdkafka's own messages: a wrapper per message would cost more than reading it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer as _Consumer
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from stockctl.clients.closing import Closing
from stockctl.clients.kafka.common import (
    EVENTS,
    Committed,
    Event,
    Offsets,
    Partition,
    Watched,
    client_config,
    create_client,
    describe_error,
)
from stockctl.clients.kafka.idle_pause import IdleReads
from stockctl.errors import RefusedError, StockctlError
from stockctl.settings import Settings
from stockctl.units import format_duration

log = logging.getLogger("stockctl.kafka")

_REBALANCING = (KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS)
"""Errors of a commit during a rebalance."""
_WAIT = 10.0
"""Seconds to wait for the response to a request."""
_LOOK_EVERY = 0.01
"""Seconds between two polls of an empty queue: short for a reader, long for the CPU."""


class Consumer(Closing):
    """A consumer without auto commit and without offset reset, with isolation level read_committed."""

    def __init__(self, settings: Settings, group: str, **overrides: Any) -> None:
        self._settings = settings
        self._watched = Watched(settings.kafka)
        self._consumer = create_client(
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
                # With the default of one second, a reader that empties its queue in a tenth of that would wait.
                "fetch.queue.backoff.ms": 10,
                # The embedded broker returns everything that it has; a client never accepts a larger response than this.
                "receive.message.max.bytes": 2_147_483_647,
                "error_cb": self._watched.on_error,
                "on_commit": self._committed,
            }
            | overrides,
        )
        self._leaving = False
        self.has_assignment = False
        """Whether the group has assigned partitions, or none on purpose, since the last revocation."""
        self._owned: set[Partition] = set()
        self._lost_at: float | None = None
        self._paused: set[Partition] = set()
        self._commits: dict[Partition, Committed] = {}
        """The newest unconfirmed commit of each partition."""
        self._idle: IdleReads | None = None
        if settings.kafka.idle_pause:
            ends = bool(overrides.get("enable.partition.eof"))
            self._idle = IdleReads(self._consumer, self._read, self._paused, settings.kafka.idle_pause, ends=ends)
        self.consume: Callable[[int, float], list[Message]] = self._idle.consume if self._idle else self._read
        """``consume(count, timeout)``: up to ``count`` messages, after at most ``timeout`` seconds. Runs callbacks."""

    def _read(self, count: int, timeout: float) -> list[Message]:
        # librdkafka waits by the wall clock: if the clock is set back, its waits last longer by as much.
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
        """Join the group. ``on_assign`` returns the offset at which to start each new partition."""

        def assigned(consumer: Any, items: list[TopicPartition]) -> None:
            if self._leaving:
                return  # the next owner reads them: this consumer is closing
            self.has_assignment = True
            partitions = [Partition(item.topic, item.partition) for item in items]
            self._owned.update(partitions)
            starts = on_assign(partitions)
            # A pause outlasts the revocation of a partition.
            self._paused.difference_update(starts)
            consumer.resume(items)
            consumer.incremental_assign([TopicPartition(p.topic, p.number, offset) for p, offset in starts.items()])
            self._moved(starts)

        def remove(items: list[TopicPartition]) -> list[Partition]:
            self.has_assignment, self._lost_at = False, time.monotonic()
            partitions = [Partition(item.topic, item.partition) for item in items]
            self._owned.difference_update(partitions)
            for partition in partitions:
                self._commits.pop(partition, None)
            return partitions

        self._consumer.subscribe(
            list(topics),
            on_assign=assigned,
            on_revoke=lambda _, items: on_revoke(remove(items)),
            on_lost=lambda _, items: on_lost(remove(items)),
        )

    @property
    def unassigned(self) -> str | None:
        """Why it has no partitions; None if it has some, or if the group has more members than partitions."""
        if self.has_assignment or self._owned:
            return None
        if self._lost_at is None:
            return "has not joined its group yet"
        lost = format_duration(round(time.monotonic() - self._lost_at))
        return f"has no partitions: they were revoked {lost} ago, and none were assigned since"

    @property
    def member_id(self) -> str:
        """The member id in the group; empty before the consumer has joined."""
        return self._consumer.memberid() or ""

    def assign(self, starts: Mapping[Partition, int]) -> None:
        """Read these partitions from these offsets, without a consumer group."""
        self._consumer.assign([TopicPartition(p.topic, p.number, offset) for p, offset in starts.items()])
        self._moved(starts)

    def restart(self, partition: Partition, offset: int) -> None:
        """Read an assigned partition from ``offset`` on, also after an error has stopped it."""
        at = [TopicPartition(partition.topic, partition.number, offset)]
        self._paused.discard(partition)
        # A pause outlasts the new assignment.
        self._consumer.resume(at)
        self._consumer.incremental_unassign(at)
        self._consumer.incremental_assign(at)
        self._moved({partition: offset})

    def _moved(self, starts: Mapping[Partition, int]) -> None:
        if self._idle is not None:
            self._idle.moved(starts)

    def pause(self, partition: Partition) -> None:
        """Pause ``partition`` until ``resume`` or ``restart``."""
        self._paused.add(partition)
        self._consumer.pause([TopicPartition(partition.topic, partition.number)])

    def resume(self, partition: Partition) -> None:
        """Continue a paused partition at its position."""
        self._paused.discard(partition)
        self._consumer.resume([TopicPartition(partition.topic, partition.number)])

    def offsets(self, partition: Partition) -> Offsets:
        """First and end offset at the broker now."""
        return self._watched.call(
            f"read the offsets of {partition.topic}/{partition.number}",
            lambda: Offsets(
                *self._consumer.get_watermark_offsets(TopicPartition(partition.topic, partition.number), timeout=_WAIT)
            ),
        )

    def offsets_since(self, partitions: Sequence[Partition], ms: int) -> dict[Partition, int]:
        """The first offset of each partition with a timestamp of ``ms`` (UTC) or later; its end if there is none."""
        requested = [TopicPartition(p.topic, p.number, ms) for p in partitions]
        offsets = self._watched.call(
            "look up offsets by time", lambda: self._consumer.offsets_for_times(requested, timeout=_WAIT)
        )
        return {
            (partition := Partition(item.topic, item.partition)): item.offset
            if item.offset >= 0
            else self.offsets(partition).end
            for item in offsets
        }

    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, Committed]:
        """The committed offsets of the group."""
        requested = [TopicPartition(p.topic, p.number) for p in partitions]
        offsets = self._watched.call("read the committed offsets", lambda: self._consumer.committed(requested, timeout=_WAIT))
        return {Partition(item.topic, item.partition): Committed(max(item.offset, -1), item.metadata or "") for item in offsets}

    def group_metadata(self) -> Any:
        """What a transaction needs to commit offsets of the group."""
        return self._consumer.consumer_group_metadata()

    def commit_now(self, offsets: Mapping[Partition, int]) -> None:
        """Commit ``offsets``, and wait for the response. StockctlError if the broker refuses one."""
        items = [TopicPartition(p.topic, p.number, offset) for p, offset in offsets.items()]
        committed = self._watched.call("commit", lambda: self._consumer.commit(offsets=items, asynchronous=False))
        for item in committed or ():
            if item.error is not None:
                raise self._watched.describe(item.error, "commit")

    def commit(self, partition: Partition, offset: int, metadata: str) -> None:
        """Start to commit ``offset`` with ``metadata``; ``close`` waits for pending commits.

        A commit that fails because of a rebalance is repeated as long as the partition stays assigned. Other errors are logged.
        """
        self._commits[partition] = Committed(offset, metadata)
        at = TopicPartition(partition.topic, partition.number, offset, metadata=metadata)
        try:
            self._consumer.commit(offsets=[at], asynchronous=True)
        except KafkaException as error:
            del self._commits[partition]
            self._log_failed_commit(error.args[0])

    def _committed(self, error: KafkaError | None, items: list[TopicPartition]) -> None:
        is_rebalancing = error is not None and error.code() in _REBALANCING
        for item in items:
            partition = Partition(item.topic, item.partition)
            commit = self._commits.get(partition)
            if commit is not None and commit.offset == item.offset:
                del self._commits[partition]
                if is_rebalancing:
                    self.commit(partition, *commit)
        if error is not None and not is_rebalancing:
            self._log_failed_commit(error)

    def _log_failed_commit(self, error: KafkaError) -> None:
        log.warning("%s", describe_error(error, self._settings.kafka, "commit"))

    @property
    def committing(self) -> bool:
        """Whether a commit is pending; ``consume`` receives the responses."""
        return bool(self._commits)

    def known_end(self, partition: Partition) -> int:
        """The end offset in the newest fetch response, −1 before the first; sends no request."""
        requested = TopicPartition(partition.topic, partition.number)
        return int(self._consumer.get_watermark_offsets(requested, cached=True)[1])

    def close(self) -> None:
        """Leave the group."""
        self._leaving = True
        self._commits.clear()
        self._consumer.close()

    def event(self, message: Message, action: str) -> Event | StockctlError:
        """The event or the error of a message that is not a record; ``action`` names what failed.

        RefusedError is raised: another attempt cannot help.
        """
        error = message.error()
        event = EVENTS.get(error.code())
        if event is not None:
            return event
        problem = describe_error(error, self._settings.kafka, action)
        if isinstance(problem, RefusedError):
            raise problem
        return problem

    @property
    def trouble(self) -> StockctlError | None:
        """The newest client-wide error; None if there was none."""
        return self._watched.trouble("consume")
