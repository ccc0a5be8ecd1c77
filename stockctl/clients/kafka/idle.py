"""Reading from a broker that answers an empty fetch at once, instead of waiting for records as Kafka does.

librdkafka would ask such a broker thousands of times a second, at the cost of a core on each side. So partitions that have been
read to their end are paused, and asked for their end a few times a second, until there is more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from confluent_kafka import KafkaException, Message, TopicPartition

from stockctl.clients.kafka.common import EVENTS, Event

_SLICE = 0.02  # seconds of reading after which nothing seems to be left
_PATIENCE = 2.0  # seconds that librdkafka gets to begin with new partitions


class IdleReads:
    """Stands between ``read``, which reads from ``consumer``, and its reader, who has paused the partitions ``held``.

    With ``ends`` the reader waits to be told where each partition ends, and none is paused before that.
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
        self._untold: set[tuple[str, int]] = set()
        """Partitions whose end the reader waits for."""
        self._busy_until = self._ask_at = 0.0

    def moved(self, starts: Mapping[Any, int]) -> None:
        """Partitions have been assigned, or begun anew, at these offsets."""
        self._wake()
        self._starts.update(starts)
        if self._ends:
            self._untold.update(starts)
        self._busy_until = time.monotonic() + _PATIENCE

    def consume(self, count: int, timeout: float) -> list[Message]:
        """At most ``count`` messages; none only after ``timeout`` seconds without any. Serves callbacks."""
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            messages = self._read(count, min(left, self._pause if self._resting else _SLICE))
            if messages:
                if self._untold:
                    self._untold.difference_update(_ended(messages))
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
        if any((item.topic, item.partition) in self._untold for item in reading):
            return
        if reading and not self._more(reading):
            self._consumer.pause(reading)
            self._resting = reading

    def _wake(self) -> None:
        # Those that were taken away meanwhile too: a pause would outlast that.
        self._consumer.resume([item for item in self._resting if (item.topic, item.partition) not in self._held])
        # A request makes librdkafka look for what to fetch; it may sleep for a second otherwise.
        self._more(self._resting[:1])
        self._resting = []

    def _more(self, partitions: list[TopicPartition]) -> bool:
        """Whether one of ``partitions`` does not end where its reader stands, or cannot be asked."""
        try:
            return any(
                self._consumer.get_watermark_offsets(item, timeout=1.0)[1]
                != (item.offset if item.offset >= 0 else self._starts.get((item.topic, item.partition)))
                for item in self._consumer.position(partitions)
            )
        except KafkaException:
            return True


def _ended(messages: list[Message]) -> Iterator[tuple[Any, Any]]:
    """The partitions whose end is told among ``messages``."""
    for message in messages:
        error = message.error()
        if error is not None and EVENTS.get(error.code()) is Event.end:
            yield message.topic(), message.partition()
