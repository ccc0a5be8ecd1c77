"""Writes trades and dead letters to their Kafka topics, in bounded memory, and tracks the delivery of each message."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from stockctl.clients.kafka import Admin, KafkaError, Message, Producer, UnknownTopicError
from stockctl.errors import StockctlError
from stockctl.feed.decoder import Frame
from stockctl.records import encode
from stockctl.settings import Settings
from stockctl.stream.dead_letters.record import as_message

log = logging.getLogger("stockctl.produce")


class DeliveryWindow:
    """The messages received during one window of time from ``since`` (ms UTC) on, with delivery counts."""

    __slots__ = ("_failed", "acknowledged", "lost", "sent", "since")

    def __init__(self, since: int, failed: Callable[[KafkaError], None]) -> None:
        self.since = since
        self.sent = 0
        self.acknowledged = 0
        self.lost = 0
        self._failed = failed

    def on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        """Delivery callback of one message."""
        if error is None:
            self.acknowledged += 1
        else:
            self.lost += 1
            self._failed(error)

    @property
    def outstanding(self) -> int:
        """Messages without a delivery report yet."""
        return self.sent - self.acknowledged - self.lost


class KafkaSink:
    """Publishes decoded frames to Kafka.

    If the buffer is full, a frame waits for room while ``wait_when_full()`` returns True. Otherwise, messages that don't fit
    are dropped, counted and logged.
    """

    def __init__(
        self, settings: Settings, *, wait_when_full: Callable[[], bool] = lambda: False, delivery_timeout: float = 120
    ) -> None:
        """``delivery_timeout`` in seconds: a message not acknowledged by then is lost. 0 is no limit."""
        self._wait_when_full = wait_when_full
        self._trades_topic = settings.topics.trades.name
        self._dead_letters_topic = settings.topics.dead_letters.name
        self.producer = Producer(
            settings,
            **{
                "delivery.timeout.ms": round(delivery_timeout * 1000),
                # If a topic is deleted meanwhile, the broker must not recreate it with its defaults.
                "allow.auto.create.topics": False,
                "topic.metadata.propagation.max.ms": 10_000,
            },
        )
        self.trades = 0
        """Trades added to the buffer."""
        self.dead_letters = 0
        """Dead letters added to the buffer."""
        self.dropped = 0
        """Messages dropped because the buffer was full."""
        self.undelivered = 0
        """Messages that could not be delivered."""
        self.trouble: StockctlError | None = None
        """Why the newest undelivered message failed."""
        self._last_report = time.monotonic()
        self._full = 0
        """Messages in the buffer when it filled up; 0 once it has room again."""
        self._flush_error: StockctlError | None = None

    def window(self, since: int) -> DeliveryWindow:
        """A new window for messages received from ``since`` (ms UTC) on."""
        return DeliveryWindow(since, self._on_failure)

    def publish(self, frame: Frame, ts_recv: int, window: DeliveryWindow) -> None:
        """Buffer the frame's trades and dead letters, and process delivery reports."""
        if frame.trades:
            messages: list[tuple[bytes, str | bytes]] = [(encode(trade), trade.symbol) for trade in frame.trades]
            self.trades += self._send(self._trades_topic, messages, ts_recv, window)
        if frame.dead_letters:
            messages = [as_message(letter) for letter in frame.dead_letters]
            self.dead_letters += self._send(self._dead_letters_topic, messages, ts_recv, window)
        self.poll(0)

    def poll(self, timeout: float) -> None:
        """Process delivery reports, waiting up to ``timeout`` seconds for one."""
        reports = self.producer.poll(timeout)
        buffered = len(self.producer)
        if reports or not buffered:
            self._last_report = time.monotonic()
        # A busy feed never empties the buffer. The margin keeps it from alternating between full and not full.
        if buffered < self._full / 2:
            self._full = 0
            log.warning("the buffer has room again; %d rows were dropped so far", self.dropped)

    @property
    def seconds_unacknowledged(self) -> float:
        """Seconds without a delivery report while messages wait; 0 if none wait."""
        return time.monotonic() - self._last_report if len(self.producer) else 0.0

    def _send(self, topic: str, messages: list[tuple[bytes, str | bytes]], ts_recv: int, window: DeliveryWindow) -> int:
        accepted = self.producer.send(topic, messages, ts_recv, window.on_delivery)
        while accepted < len(messages) and self._wait_when_full():
            self.poll(0.1)
            accepted += self.producer.send(topic, messages[accepted:], ts_recv, window.on_delivery)
        dropped = len(messages) - accepted
        window.sent += len(messages)
        window.lost += dropped
        self.dropped += dropped
        if dropped and not self._full:
            self._full = max(1, len(self.producer))
            log.warning("the buffer (kafka.buffer) is full: dropping the newest rows; their time shows as a gap")
        return accepted

    def _on_failure(self, error: KafkaError) -> None:
        self.undelivered += 1
        self.record_failure(error)

    def record_failure(self, error: KafkaError) -> None:
        """Log why a message failed, once for each reason, and set ``trouble``."""
        described = self._flush_error or self.producer.describe(error)
        if str(described) != str(self.trouble):
            log.error("%s", described)
        self.trouble = described

    def flush(self, timeout: float) -> int:
        """Wait up to ``timeout`` seconds for all deliveries, then discard the rest. Returns how many rows are lost."""
        undelivered = self.undelivered
        if self.producer.flush(timeout):
            self._flush_error = self.producer.trouble or StockctlError("Kafka did not answer in time")
            self.producer.purge()
            self.producer.flush(1)
        return self.undelivered - undelivered


def check_topics(settings: Settings, admin: Admin) -> None:
    """UnknownTopicError if a topic that ``produce`` writes is missing."""
    names = (settings.topics.trades.name, settings.topics.feed_events.name, settings.topics.dead_letters.name)
    missing = [name for name in names if admin.topic(name) is None]
    if missing:
        raise UnknownTopicError(
            f"Kafka at {settings.kafka.bootstrap_servers} has no topic {' and no '.join(missing)}",
            hint="`stockctl topics apply` creates the topics",
        )
