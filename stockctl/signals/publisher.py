"""Publishes what a run decided, with the offsets of the records that it read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from stockctl.clients.kafka import Consumer, KafkaError, Partition, Producer, TransactionalProducer
from stockctl.errors import StockctlError, TimedOutError
from stockctl.exchange.calendar import now_ms
from stockctl.settings import Settings

_DELIVER_WITHIN = 30.0


class Output(NamedTuple):
    """One message to publish."""

    topic: str
    key: str | bytes
    value: bytes


class Publisher(Protocol):
    """Publishes messages and commits offsets."""

    def publish(self, outputs: Sequence[Output], offsets: Mapping[Partition, int]) -> None:
        """Publish ``outputs``, then commit ``offsets`` of the consumer's group. FencedError if another run took over;
        after another StockctlError the committed offsets alone say whether it was done.
        """
        ...

    def close(self) -> None:
        """Discard what was not delivered."""
        ...


class TransactionalPublisher:
    """Publishes and commits in one transaction: both or neither.

    Creating one ends the transaction of an earlier run with the same ``name``, and fences that run. Read the committed offsets
    only after that.
    """

    def __init__(self, settings: Settings, name: str, consumer: Consumer) -> None:
        self._producer = TransactionalProducer(settings, name)
        self._consumer = consumer

    def publish(self, outputs: Sequence[Output], offsets: Mapping[Partition, int]) -> None:
        """As ``Publisher``."""
        with self._producer.transaction():
            now = now_ms()
            for output in outputs:
                self._producer.produce(output.topic, value=output.value, key=output.key, timestamp=now)
            self._producer.send_offsets(self._consumer, offsets)

    def close(self) -> None:
        """As ``Publisher``."""
        self._producer.purge()


class PlainPublisher:
    """Publishes, waits for the deliveries, then commits: after a crash in between, the same ids come again."""

    def __init__(self, settings: Settings, consumer: Consumer) -> None:
        self._producer = Producer(settings)
        self._consumer = consumer
        self._error: KafkaError | None = None

    def publish(self, outputs: Sequence[Output], offsets: Mapping[Partition, int]) -> None:
        """As ``Publisher``."""
        self._error = None
        now = now_ms()
        deadline = time.monotonic() + _DELIVER_WITHIN
        for output in outputs:
            while not self._producer.send(output.topic, [(output.value, output.key)], now, self._delivered):
                self._producer.poll(0.1)
                if time.monotonic() > deadline:
                    raise TimedOutError(f"{output.topic} takes no signals", hint="`stockctl doctor`")
        if self._producer.flush(_DELIVER_WITHIN):
            self._producer.purge()
            raise TimedOutError("signals were not delivered within 30 s", hint="`stockctl doctor`")
        if self._error is not None:
            raise self._producer.describe(self._error)
        self._consumer.commit_now(offsets)

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._error = error

    def close(self) -> None:
        """As ``Publisher``."""
        self._producer.purge()


def open_publisher(settings: Settings, name: str, consumer: Consumer) -> Publisher:
    """The publisher that the setting ``signals.transactions`` names. StockctlError if the broker has no transactions."""
    if not settings.signals.transactions:
        return PlainPublisher(settings, consumer)
    try:
        return TransactionalPublisher(settings, name, consumer)
    except StockctlError as error:
        if error.hint is None:
            error.hint = "a broker without transactions needs signals.transactions = false"
        raise
