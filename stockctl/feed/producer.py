"""``produce``: the feed, or a capture of it, through the normaliser into Kafka."""

from __future__ import annotations

import logging
import threading
import time

from stockctl.clients.finnhub.websocket import feed_token
from stockctl.clients.kafka import Admin, UnknownTopicError
from stockctl.errors import RefusedError, StockctlError, UsageError
from stockctl.feed.coverage import COVERED_EVERY
from stockctl.feed.coverage_tracker import CoverageTracker
from stockctl.feed.decoder import Decoder
from stockctl.feed.event_outbox import EventOutbox
from stockctl.feed.kafka_sink import KafkaSink, check_topics
from stockctl.feed.replay import SOURCE, Replay, check_capture
from stockctl.feed.session import FeedSession, Received
from stockctl.feed.stats import Stats
from stockctl.lake.writer.source_guard import refusal_of
from stockctl.records import FeedEvent
from stockctl.service import Service
from stockctl.settings import Settings, require
from stockctl.units import counted, format_duration

log = logging.getLogger("stockctl.produce")

KAFKA_LATE = 30.0
"""Seconds without an acknowledgement, though messages wait, that the health port tells as a trouble."""
STOPPED_EARLY = "stopped before Kafka answered: nothing was produced"
LEAVE_WITHIN = 8.0
"""Seconds from the signal to stop until the process has left, flushed."""


def produce_live(settings: Settings, service: Service, *, seconds: float | None = None) -> str:
    """Put the feed's trades into Kafka until ``service.stop`` is set, or for ``seconds``; what was done, in words.

    Raises ConfigError without symbols or, for Finnhub's own address, without a key; UsageError for a source that the lake does
    not take; UnreachableError if there is no broker
    within ``kafka.connect_wait``; RefusedError for a wrong key; StockctlError when messages were lost at the end.
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
        # Trades are not to wait for a store that only the writers need; a replay can.
        log.warning("cannot check which source the lake holds: %s", error)
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
    """Replay ``path`` into Kafka, for at most ``seconds``; what was done, in words. StockctlError if not all is delivered."""
    check_capture(path)
    if not _wait_for_kafka(settings, service):
        return STOPPED_EARLY
    _check_source(settings, SOURCE)
    service.health = lambda: None
    deadline = None if seconds is None else time.monotonic() + seconds
    replay = Replay(settings, path, service.stop, speed=speed, retime=retime)
    with Stats(settings, replay.normaliser, replay.publisher) as report:
        done = replay.run(deadline, report.log_when_due)
    return (
        f"replayed {path}: {counted(done.lines, 'line')}, {counted(done.trades, 'trade')} "
        f"and {counted(done.dead_letters, 'dead letter')} delivered "
        f"in {done.seconds:.1f} s ({done.trades / max(done.seconds, 0.001):,.0f} trades/s)"
    )


def _wait_for_kafka(settings: Settings, service: Service) -> bool:
    """Whether Kafka is there, with the topics that it needs; False if the signal to stop came first."""
    admin = Admin(settings)
    admin.wait(say=log.warning, stop=service.stop)
    if service.stop.is_set():
        return False
    check_topics(settings, admin)
    return True


def _check_source(settings: Settings, source: str) -> None:
    """UsageError where the lake that the topic is written to would refuse every record of ``source``; errors as the store's."""
    refusal = refusal_of(settings)(source)
    if refusal is not None:
        raise UsageError(
            refusal,
            hint=f"nothing was sent. Use other topics and another lake.url, or export STOCKCTL_LAKE__EXTRA_SOURCES={source} "
            f"STOCKCTL_MONGO__EXTRA_SOURCES={source} here and for the writers (`stockctl local up` again takes it)",
        )


class _Pipeline:
    """The live way: session → normaliser → Kafka, with coverage told beside it."""

    def __init__(self, settings: Settings, symbols: list[str], service: Service) -> None:
        # For ever: while Kafka is away rows wait until the buffer is full, and after that the newest are dropped.
        self._publisher = KafkaSink(settings, delivery_timeout=0)
        self._spool = EventOutbox(settings, self._publisher)
        self._normaliser = Decoder(settings.finnhub.source, drop_repeated_frames=settings.finnhub.drop_repeated_frames)
        self._session = FeedSession(settings, symbols, self._normaliser, service.stop)
        self._tracker = CoverageTracker(self._publisher.stretch)
        self._report = Stats(settings, self._normaliser, self._publisher, self._session, self._spool)
        service.health = self._trouble

    def run(self) -> str:
        covered_at = ticked_at = time.monotonic()
        try:
            with self._report:
                for happening in self._session.run():
                    if isinstance(happening, Received):
                        stretch = self._tracker.received(happening.ts_recv)
                        self._publisher.publish(happening.frame, happening.ts_recv, stretch)
                        self._report.received(happening)
                    elif isinstance(happening, FeedEvent):
                        self._take(happening)
                    now = time.monotonic()
                    if happening is None or now - ticked_at > 1:
                        ticked_at = now
                        self._tick()
                    if now - covered_at > COVERED_EVERY:
                        covered_at = now
                        self._tell_coverage()
        finally:
            left = self._leave()
        if left:
            raise StockctlError(
                f"{counted(left, 'row was', 'rows were')} not delivered: {self._publisher.trouble}",
                hint="their time shows as a gap; `stockctl doctor`",
            )
        if not self._session.connections and self._session.last_error is not None:
            raise self._session.last_error
        return self._report.summary()

    def _take(self, event: FeedEvent) -> None:
        self._spool.write(event)
        if event.kind == "subscribed":
            self._tracker.subscribed(event)
        elif event.kind == "refused":
            self._tracker.refused(event)
        elif event.kind == "disconnected":
            self._tracker.disconnected()

    def _tick(self) -> None:
        self._publisher.poll(0)
        if isinstance(self._publisher.trouble, UnknownTopicError | RefusedError):
            # It will not mend itself, and each row that comes in meanwhile is lost.
            raise self._publisher.trouble
        self._spool.pump()
        self._report.log_when_due()

    def _tell_coverage(self) -> None:
        for event in self._tracker.covered():
            self._spool.write(event)
            self._report.covered(event)

    def _leave(self) -> int:
        """Flush within the time there is; how many messages were given up."""
        deadline = time.monotonic() + LEAVE_WITHIN
        left = self._publisher.flush(LEAVE_WITHIN - 2)
        self._tracker.disconnected()
        self._tell_coverage()
        if self._spool.drain(max(0.5, deadline - time.monotonic())):
            log.warning("%d feed events wait on disk: the next produce sends them", self._spool.waiting)
        self._spool.close()
        return left

    def _trouble(self) -> str | None:
        """What the health port tells."""
        late = self._publisher.late
        if late > KAFKA_LATE:
            return (
                f"Kafka has acknowledged nothing for {format_duration(late)}: {self._publisher.producer.trouble or 'no answer'}"
            )
        return self._session.trouble
