"""``produce``: publishes the trades of the feed, or of a captured file, to Kafka."""

from __future__ import annotations

import logging
import threading
import time

from stockctl.clients.finnhub.websocket import feed_token
from stockctl.clients.kafka import Admin, UnknownTopicError
from stockctl.errors import RefusedError, StockctlError, UsageError
from stockctl.feed.capture_replay import SOURCE, Replay, check_capture
from stockctl.feed.coverage import COVERED_EVERY
from stockctl.feed.coverage_tracker import CoverageTracker
from stockctl.feed.decoder import Decoder
from stockctl.feed.event_outbox import EventOutbox
from stockctl.feed.kafka_sink import KafkaSink, check_topics
from stockctl.feed.stats import Stats
from stockctl.feed.websocket_session import FeedSession, ReceivedFrame
from stockctl.lake.writer.allowed_sources import refusal_of
from stockctl.records import FeedEvent
from stockctl.service import Service
from stockctl.settings import Settings, require
from stockctl.units import counted, format_duration

log = logging.getLogger("stockctl.produce")

UNACKNOWLEDGED_AFTER = 30.0
"""Seconds without a delivery report, while messages wait, after which the health port answers 503."""
STOPPED_EARLY = "stopped before Kafka answered: nothing was produced"
SHUTDOWN_TIMEOUT = 8.0
"""Seconds from the stop signal until the process has flushed and ended."""


def produce_live(settings: Settings, service: Service, *, seconds: float | None = None) -> str:
    """Publish the feed's trades to Kafka until ``service.stop`` is set, or for ``seconds``. Returns a summary.

    Raises ConfigError without symbols or, for Finnhub's own address, without a key; UsageError if the lake rejects the source;
    UnreachableError if no broker answers within ``kafka.connect_wait``; RefusedError for a wrong key; StockctlError if messages
    are lost at the end.
    """
    symbols = require(settings, "symbols")
    feed_token(settings)
    if not _wait_for_kafka(settings, service):
        return STOPPED_EARLY
    try:
        _check_source(settings, settings.finnhub.source)
    except UsageError:
        raise
    except StockctlError as error:
        # Trades must not wait for a store that only the writers need. A replay can wait.
        log.warning("cannot check which sources the lake accepts: %s", error)
    pipeline = _Pipeline(settings, symbols, service)
    timer = threading.Timer(seconds, service.stop.set) if seconds is not None else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        return pipeline.run()
    finally:
        if timer is not None:
            timer.cancel()


def produce_replay(
    settings: Settings,
    service: Service,
    path: str,
    *,
    speed: float | None = None,
    retime: bool = False,
    seconds: float | None = None,
) -> str:
    """Replay ``path`` into Kafka, for at most ``seconds``. Returns a summary. StockctlError if a message is not delivered."""
    check_capture(path)
    if not _wait_for_kafka(settings, service):
        return STOPPED_EARLY
    _check_source(settings, SOURCE)
    service.health = lambda: None
    deadline = None if seconds is None else time.monotonic() + seconds
    replay = Replay(settings, path, service.stop, speed=speed, retime=retime)
    with Stats(settings, replay.decoder, replay.sink) as stats:
        result = replay.run(deadline, stats.log_when_due)
    return (
        f"replayed {path}: {counted(result.lines, 'line')}, {counted(result.trades, 'trade')} "
        f"and {counted(result.dead_letters, 'dead letter')} delivered "
        f"in {result.seconds:.1f} s ({result.trades / max(result.seconds, 0.001):,.0f} trades/s)"
    )


def _wait_for_kafka(settings: Settings, service: Service) -> bool:
    """Wait for Kafka, and check its topics. False if the stop signal came first."""
    admin = Admin(settings)
    admin.wait(say=log.warning, stop=service.stop)
    if service.stop.is_set():
        return False
    check_topics(settings, admin)
    return True


def _check_source(settings: Settings, source: str) -> None:
    """UsageError if the lake or MongoDB would reject every record of ``source``. Raises the store's errors too."""
    refusal = refusal_of(settings)(source)
    if refusal is not None:
        raise UsageError(
            refusal,
            hint=f"nothing was sent. Use other topics and another lake.url, or export STOCKCTL_LAKE__EXTRA_SOURCES={source} "
            f"STOCKCTL_MONGO__EXTRA_SOURCES={source} here and for the writers (run `stockctl local up` again to apply it)",
        )


class _Pipeline:
    """The live pipeline: session → decoder → Kafka, and coverage events."""

    def __init__(self, settings: Settings, symbols: list[str], service: Service) -> None:
        # No delivery timeout: while Kafka is down, rows wait until the buffer is full; then the newest rows are dropped.
        self._sink = KafkaSink(settings, delivery_timeout=0)
        self._outbox = EventOutbox(settings, self._sink)
        self._decoder = Decoder(settings.finnhub.source, drop_repeated_frames=settings.finnhub.drop_repeated_frames)
        self._session = FeedSession(settings, symbols, self._decoder, service.stop)
        self._tracker = CoverageTracker(self._sink.window)
        self._stats = Stats(settings, self._decoder, self._sink, self._session, self._outbox)
        service.health = self._health

    def run(self) -> str:
        covered_at = ticked_at = time.monotonic()
        try:
            with self._stats:
                for item in self._session.run():
                    if isinstance(item, ReceivedFrame):
                        window = self._tracker.received(item.ts_recv)
                        self._sink.publish(item.frame, item.ts_recv, window)
                        self._stats.received(item)
                    elif isinstance(item, FeedEvent):
                        self._on_event(item)
                    now = time.monotonic()
                    if item is None or now - ticked_at > 1:
                        ticked_at = now
                        self._tick()
                    if now - covered_at > COVERED_EVERY:
                        covered_at = now
                        self._write_coverage()
        finally:
            lost = self._shut_down()
        if lost:
            raise StockctlError(
                f"{counted(lost, 'row was', 'rows were')} not delivered: {self._sink.trouble}",
                hint="their time shows as a gap; `stockctl doctor`",
            )
        if not self._session.connections and self._session.last_error is not None:
            raise self._session.last_error
        return self._stats.summary()

    def _on_event(self, event: FeedEvent) -> None:
        self._outbox.write(event)
        if event.kind == "subscribed":
            self._tracker.subscribed(event)
        elif event.kind == "refused":
            self._tracker.refused(event)
        elif event.kind == "disconnected":
            self._tracker.disconnected()

    def _tick(self) -> None:
        self._sink.poll(0)
        if isinstance(self._sink.trouble, UnknownTopicError | RefusedError):
            # This is permanent, and each new row would be lost.
            raise self._sink.trouble
        self._outbox.pump()
        self._stats.log_when_due()

    def _write_coverage(self) -> None:
        for event in self._tracker.covered():
            self._outbox.write(event)
            self._stats.covered(event)

    def _shut_down(self) -> int:
        """Flush within ``SHUTDOWN_TIMEOUT``. Returns how many messages are lost."""
        deadline = time.monotonic() + SHUTDOWN_TIMEOUT
        lost = self._sink.flush(SHUTDOWN_TIMEOUT - 2)
        self._tracker.disconnected()
        self._write_coverage()
        if self._outbox.drain(max(0.5, deadline - time.monotonic())):
            log.warning("%d feed events stay on disk: the next produce sends them", self._outbox.waiting)
        self._outbox.close()
        return lost

    def _health(self) -> str | None:
        """The answer of the health port: None if healthy, otherwise the problem."""
        waiting = self._sink.seconds_unacknowledged
        if waiting > UNACKNOWLEDGED_AFTER:
            return (
                f"Kafka has acknowledged nothing for {format_duration(waiting)}: {self._sink.producer.trouble or 'no answer'}"
            )
        return self._session.trouble
