"""The idempotent producer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as _Producer

from stockctl.clients.kafka.common import Watched, client_config, create_client
from stockctl.errors import StockctlError
from stockctl.settings import Settings


class Producer:
    """An idempotent producer: acks=all, the partitioner of Java clients, and a callback for every delivery."""

    def __init__(self, settings: Settings, **overrides: Any) -> None:
        self._watched = Watched(settings.kafka)
        self._producer = create_client(
            _Producer,
            client_config(settings)
            | {
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": settings.kafka.compression,
                "partitioner": "murmur2_random",
                "linger.ms": 20,
                "batch.size": 1_000_000,
                "queue.buffering.max.kbytes": max(1, settings.kafka.buffer // 1024),
                "queue.buffering.max.messages": max(1, min(settings.kafka.buffer // 100, 10_000_000)),
                # The caller limits the wait, and reports what it discards.
                "delivery.timeout.ms": 120_000,
                "error_cb": self._watched.on_error,
            }
            | overrides,
        )
        self.produce: Callable[..., None] = self._producer.produce
        """librdkafka's own ``produce(topic, value, key, timestamp=, on_delivery=)``; BufferError when the buffer is full."""
        self.poll: Callable[[float], int] = self._producer.poll

    def send(
        self,
        topic: str,
        messages: Iterable[tuple[bytes, str | bytes]],
        timestamp: int,
        on_delivery: Callable[[KafkaError | None, Message], None],
    ) -> int:
        """Buffer each value with its key, in order; return how many the buffer had room for.

        ``timestamp`` is in ms UTC. ``poll`` calls ``on_delivery`` for each message (``describe`` converts its error).
        """
        produce, buffered = self._producer.produce, 0
        try:
            for value, key in messages:
                # By name: the position of the timestamp in the extension differs from its documentation.
                produce(topic, value, key, -1, on_delivery, timestamp=timestamp)
                buffered += 1
        except BufferError:
            pass
        except KafkaException as error:
            raise self.describe(error.args[0]) from error
        return buffered

    def describe(self, error: KafkaError) -> StockctlError:
        """The StockctlError of a failed delivery."""
        return self._watched.describe(error, "deliver a message")

    def flush(self, timeout: float) -> int:
        """Wait up to ``timeout`` seconds for all deliveries; return how many are pending."""
        return int(self._producer.flush(timeout))

    def purge(self) -> None:
        """Discard the buffer: the callback of each pending delivery gets an error at the next ``poll``."""
        self._producer.purge()

    def __len__(self) -> int:
        return len(self._producer)

    @property
    def trouble(self) -> StockctlError | None:
        """The newest client-wide error, such as brokers down or a wrong password; None if there was none."""
        return self._watched.trouble("produce")
