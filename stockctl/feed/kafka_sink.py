"""The way into Kafka: trades and dead letters into their topics, in bounded memory, with every message's fate known."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from stockctl.clients.kafka import Admin, KafkaError, Message, Producer, UnknownTopicError
from stockctl.errors import StockctlError
from stockctl.feed.decoder import Frame
from stockctl.records import encode
from stockctl.settings import Settings
from stockctl.stream.dead_letters import as_message

log = logging.getLogger("stockctl.produce")


class Stretch:
    """The messages received for a while from ``since`` (ms UTC) on, and how many of them Kafka has acknowledged or lost."""

    __slots__ = ("_failed", "acknowledged", "lost", "sent", "since")

    def __init__(self, since: int, failed: Callable[[KafkaError], None]) -> None:
        self.since = since
        self.sent = 0
        self.acknowledged = 0
        self.lost = 0
        self._failed = failed

    def on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        """Take in the fate of one message."""
        if error is None:
            self.acknowledged += 1
        else:
            self.lost += 1
            self._failed(error)

    @property
    def outstanding(self) -> int:
        """Messages whose fate is not known yet."""
        return self.sent - self.acknowledged - self.lost


class KafkaSink:
    """Puts normalised frames into Kafka.

    ``patient`` is asked when the buffer is full: while it answers True the frame waits for room, otherwise what doesn't fit
    is dropped, counted and said.
    """

    def __init__(
        self, settings: Settings, *, patient: Callable[[], bool] = lambda: False, delivery_timeout: float = 120
    ) -> None:
        """``delivery_timeout`` in seconds: a message not acknowledged by then is lost; 0 waits for ever."""
        self._patient = patient
        self._trades_topic = settings.topics.trades.name
        self._dead_letters_topic = settings.topics.dead_letters.name
        self.producer = Producer(
            settings,
            **{
                "delivery.timeout.ms": round(delivery_timeout * 1000),
                # A topic that is deleted under us must not come back by itself, with the broker's defaults.
                "allow.auto.create.topics": False,
                "topic.metadata.propagation.max.ms": 10_000,
            },
        )
        self.trades = 0
        """Trades taken into the buffer."""
        self.dead_letters = 0
        """Dead letters taken into the buffer."""
        self.dropped = 0
        """Messages that met a full buffer and were dropped."""
        self.undelivered = 0
        """Messages that Kafka did not take."""
        self.trouble: StockctlError | None = None
        """Why the newest undelivered message was not taken."""
        self._answered = time.monotonic()
        self._full = 0
        """Messages in the buffer when it was found full; 0 once it has room again."""
        self._given_up: StockctlError | None = None

    def stretch(self, since: int) -> Stretch:
        """A new stretch of messages, received from ``since`` (ms UTC) on."""
        return Stretch(since, self._on_failure)

    def publish(self, frame: Frame, ts_recv: int, stretch: Stretch) -> None:
        """Buffer the frame's trades and dead letters, and take in what Kafka has answered so far."""
        if frame.trades:
            messages: list[tuple[bytes, str | bytes]] = [(encode(trade), trade.symbol) for trade in frame.trades]
            self.trades += self._send(self._trades_topic, messages, ts_recv, stretch)
        if frame.dead_letters:
            messages = [as_message(letter) for letter in frame.dead_letters]
            self.dead_letters += self._send(self._dead_letters_topic, messages, ts_recv, stretch)
        self.poll(0)

    def poll(self, timeout: float) -> None:
        """Take in what Kafka has answered, waiting up to ``timeout`` seconds for something."""
        answers = self.producer.poll(timeout)
        buffered = len(self.producer)
        if answers or not buffered:
            self._answered = time.monotonic()
        # A feed that never pauses never leaves the buffer empty, and at its edge it would be full and not full in turn.
        if buffered < self._full / 2:
            self._full = 0
            log.warning("the buffer has room again; %d rows were dropped so far", self.dropped)

    @property
    def late(self) -> float:
        """For how many seconds Kafka has acknowledged nothing though messages wait; 0 when none do."""
        return time.monotonic() - self._answered if len(self.producer) else 0.0

    def _send(self, topic: str, messages: list[tuple[bytes, str | bytes]], ts_recv: int, stretch: Stretch) -> int:
        taken = self.producer.send(topic, messages, ts_recv, stretch.on_delivery)
        while taken < len(messages) and self._patient():
            self.poll(0.1)
            taken += self.producer.send(topic, messages[taken:], ts_recv, stretch.on_delivery)
        missing = len(messages) - taken
        stretch.sent += len(messages)
        stretch.lost += missing
        self.dropped += missing
        if missing and not self._full:
            self._full = max(1, len(self.producer))
            log.warning("the buffer (kafka.buffer) is full: dropping the newest rows; their time will show as a gap")
        return taken

    def _on_failure(self, error: KafkaError) -> None:
        self.undelivered += 1
        self.note_failure(error)

    def note_failure(self, error: KafkaError) -> None:
        """Say why Kafka did not take a message, and remember it as ``trouble``."""
        described = self._given_up or self.producer.describe(error)
        if str(described) != str(self.trouble):
            log.error("%s", described)
        self.trouble = described

    def flush(self, timeout: float) -> int:
        """Wait up to ``timeout`` seconds for Kafka to take all, then give up the rest; how many rows are lost by that."""
        undelivered = self.undelivered
        if self.producer.flush(timeout):
            self._given_up = self.producer.trouble or StockctlError("Kafka did not answer in time")
            self.producer.purge()
            self.producer.flush(1)
        return self.undelivered - undelivered


def check_topics(settings: Settings, admin: Admin) -> None:
    """UnknownTopicError unless the topics that ``produce`` writes are there."""
    names = (settings.topics.trades.name, settings.topics.feed_events.name, settings.topics.dead_letters.name)
    missing = [name for name in names if admin.topic(name) is None]
    if missing:
        raise UnknownTopicError(
            f"Kafka at {settings.kafka.bootstrap_servers} has no topic {' and no '.join(missing)}",
            hint="`stockctl topics apply` makes the topics",
        )
