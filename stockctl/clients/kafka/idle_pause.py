"""Reading from a broker that answers an empty fetch immediately, and does not wait for records as Kafka does.

librdkafka would send thousands of fetches per second to such a broker, at the cost of one core on each side. So partitions that
were read to their end are paused, and polled for their end a few times per second, until they have more records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from confluent_kafka import KafkaException, Message, TopicPartition

from stockctl.clients.kafka.common import EVENTS, Event

_SLICE = 0.02  # seconds without a record after which a partition seems to be at its end
_PATIENCE = 2.0  # seconds for librdkafka to start with new partitions


class IdleReads:
    """Wraps ``read`` of ``consumer``; ``held`` are the partitions that its user has paused.

    With ``ends`` the user waits for the end event of each partition, and no partition is paused before that.
    """

    def __init__(
        self,
        consumer: Any,
        read: Callable[[int, float], list[Message]],
        held: Collection[tuple[str, int]],
        pause: float,
        *,
        ends: bool,
    ) -> None:
        self._consumer, self._read, self._held, self._pause = consumer, read, held, pause
        self._resting: list[TopicPartition] = []
        self._starts: dict[tuple[str, int], int] = {}
        self._ends = ends
        self._without_end: set[tuple[str, int]] = set()
        """Partitions whose end event is still to come."""
        self._busy_until = self._ask_at = 0.0

    def moved(self, starts: Mapping[Any, int]) -> None:
        """Partitions were assigned, or restarted, at these offsets."""
        self._wake()
        self._starts.update(starts)
        if self._ends:
            self._without_end.update(starts)
        self._busy_until = time.monotonic() + _PATIENCE

    def consume(self, count: int, timeout: float) -> list[Message]:
        """At most ``count`` messages; empty only after ``timeout`` seconds without one. Runs callbacks."""
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            messages = self._read(count, min(left, self._pause if self._resting else _SLICE))
            if messages:
                if self._without_end:
                    self._without_end.difference_update(_ended(messages))
                return messages
            now = time.monotonic()
            if self._resting and now >= self._ask_at:
                self._ask_at = now + self._pause / 2
                if self._more(self._resting):
                    self._wake()
            elif not self._resting and now >= self._busy_until:
                self._rest()
            if now >= deadline:
                return []

    def _rest(self) -> None:
        reading = [item for item in self._consumer.assignment() if (item.topic, item.partition) not in self._held]
        if any((item.topic, item.partition) in self._without_end for item in reading):
            return
        if reading and not self._more(reading):
            self._consumer.pause(reading)
            self._resting = reading

    def _wake(self) -> None:
        # Revoked partitions too: a pause outlasts the revocation.
        self._consumer.resume([item for item in self._resting if (item.topic, item.partition) not in self._held])
        # A request wakes librdkafka; it may otherwise sleep for one second.
        self._more(self._resting[:1])
        self._resting = []

    def _more(self, partitions: list[TopicPartition]) -> bool:
        """Whether one of ``partitions`` has more records, or its end is unknown."""
        try:
            return any(
                self._consumer.get_watermark_offsets(item, timeout=1.0)[1]
                != (item.offset if item.offset >= 0 else self._starts.get((item.topic, item.partition)))
                for item in self._consumer.position(partitions)
            )
        except KafkaException:
            return True


def _ended(messages: list[Message]) -> Iterator[tuple[Any, Any]]:
    """The partitions with an end event in ``messages``."""
    for message in messages:
        error = message.error()
        if error is not None and EVENTS.get(error.code()) is Event.end:
            yield message.topic(), message.partition()
