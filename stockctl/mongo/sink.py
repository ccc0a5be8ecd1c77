"""``consume mongo``: from Kafka into MongoDB, as documents put by their ids.

The sink fills an open batch. A thread writes a batch that is due, then brings bars and companies up to date; the sink commits
the batch's end after that. So whatever happens in between is read and put again, which changes nothing. While MongoDB is away
the partitions are paused, and the polling continues.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from prometheus_client import Counter, Gauge

from stockctl.clients.kafka import Event, Message, Partition
from stockctl.clients.mongo import Mongo
from stockctl.mongo.batch import Batch
from stockctl.mongo.batch_writer import BatchWriter, RefreshCompanies, Written
from stockctl.mongo.schema import COVERAGE, SIGNALS, TRADES
from stockctl.settings import Settings
from stockctl.stream.consumer_loop import Subscription, by_partition, error_of

USUAL_WRITE = 0.5
"""Seconds that a write takes at most while all is well."""
ANSWER_WITHIN = 2.0
"""Seconds to look for a server before a write is tried again: short, so that a signal is noticed."""
_DRAIN_WAIT = 0.05

ROWS = Counter("stockctl_mongo_documents_total", "Documents written to MongoDB", ["collection"])
REJECTED = Counter("stockctl_mongo_rejected_total", "Records sent to the dead letters by the MongoDB writer")
LAG = Gauge("stockctl_mongo_lag_records", "Records in the topics that the MongoDB writer has not read yet")
SECONDS = Gauge("stockctl_mongo_batch_seconds", "Time that the newest batch took to write")


class MongoSink:
    """Writes the topics of trades, feed events and signals into MongoDB."""

    log = logging.getLogger("stockctl.mongo")
    chunk = 1_000
    """Most messages of one poll."""

    def __init__(
        self, settings: Settings, stop: threading.Event, refresh_companies: RefreshCompanies, *, once: bool = False
    ) -> None:
        self._limits = settings.mongo
        topics = settings.topics
        self._collections = {topics.trades.name: TRADES, topics.feed_events.name: COVERAGE, topics.signals.name: SIGNALS}
        self.subscription = Subscription(settings, settings.mongo.group, self._collections, once=once)
        self._admin, self._consumer = self.subscription.admin, self.subscription.consumer
        self._mongo = Mongo(settings, wait=ANSWER_WITHIN)
        self._writer = BatchWriter(self._mongo, settings, stop, refresh_companies)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mongo")
        self._batch = Batch()
        self._write: Future[Written] | None = None
        self.positions: dict[Partition, int] = {}
        """The next offset of each assigned partition."""
        self._until: dict[Partition, float] = {}
        """Where reading of each ends. With ``once``, later records are left to the next run: a topic that grows ends too."""
        self._at_end: set[Partition] = set()
        self._paused: bool | None = False
        """Whether the partitions are paused; None if some are and those assigned since are not."""
        self.rows = 0
        """Documents written so far."""
        self.rejected = 0
        """Records sent to the dead letters so far."""

    @property
    def trouble(self) -> str | None:
        """The error for which a write is retried; None if there is none."""
        return self._writer.trouble

    @property
    def finished(self) -> bool:
        """Whether each partition is read to its end, and all that follows from it is written and committed."""
        return self._writer.finishing and not (self._busy or self._consumer.committing)

    def open(self) -> None:
        """Log in and create what the schema lacks. Errors as ``Mongo`` raises them."""
        self._writer.open()

    def close(self) -> None:
        """End the thread that writes, and the connections."""
        self._writer.close()
        self._thread.shutdown()
        self._mongo.close()

    # Partitions

    def assigned(self, partitions: list[Partition]) -> dict[Partition, int]:
        """The committed offset of each of ``partitions``, or its start where Kafka no longer holds that."""
        committed = self._consumer.committed(partitions)
        offsets = self._admin.offsets(partitions)
        for partition in partitions:
            edges, at = offsets[partition], committed[partition].offset
            if at > edges.end:
                self.log.warning(
                    "%s/%d ends at %d, before the committed offset: reading it from its start", *partition, edges.end
                )
            elif 0 <= at < edges.start:
                self.log.warning("%s/%d no longer holds offsets %d to %d: they are lost here", *partition, at, edges.start)
            self.positions[partition] = at if edges.start <= at <= edges.end else edges.start
            self._until[partition] = edges.end if self.subscription.once else math.inf
        self._paused = None
        return {partition: self.positions[partition] for partition in partitions}

    def revoked(self, partitions: list[Partition]) -> None:
        """Forget ``partitions``. What was read of them is still written and never committed: the next owner repeats it."""
        for partition in partitions:
            self.positions.pop(partition, None)
            self._at_end.discard(partition)

    def _pause(self, pause: bool) -> None:
        """Pause every partition, or resume all."""
        if pause == self._paused:
            return
        self._paused = pause
        for partition, at in self.positions.items():
            if pause:
                self._consumer.pause(partition)
            elif self.subscription.once:
                # A pause may swallow the event of the partition's end, which only another assignment repeats.
                self._consumer.restart(partition, at)
            else:
                self._consumer.resume(partition)

    # Records

    def submit(self, messages: Sequence[Message], now: float) -> None:
        """Put the records into the open batch."""
        for partition, run in by_partition(messages):
            if not any(map(error_of, run)):
                self._take(partition, run)
                continue
            for message in run:
                if message.error() is None:
                    self._take(partition, [message])
                else:
                    self._take_event(message, partition)

    def _take(self, partition: Partition, messages: list[Message]) -> None:
        at = self.positions.get(partition)
        if at is None:
            return
        until = self._until[partition]
        records = [message for message in messages if at <= message.offset() < until]
        if records:
            self._batch.add(self._collections[partition.topic], partition, records)
            self.positions[partition] = records[-1].offset() + 1
            self._at_end.discard(partition)
        if messages[-1].offset() + 1 >= until:
            self._at_end.add(partition)

    def _take_event(self, message: Message, partition: Partition) -> None:
        event = self._consumer.event(message, "read the topics")
        if event is Event.end:
            if partition in self.positions:
                self._at_end.add(partition)
        elif event is Event.out_of_range and partition in self.positions:
            start = self._admin.offsets([partition])[partition].start
            self.log.warning("%s/%d no longer holds offset %d: continuing at %d", *partition, self.positions[partition], start)
            self.positions[partition] = start
            self._consumer.restart(partition, start)
        else:
            self.log.warning("%s", event)

    # Batches

    def poll(self, now: float) -> None:
        """Commit what is written, begin the next write when it is due, pause the partitions while both batches are full."""
        self._collect()
        limit, writer = self._limits.max_records, self._writer
        # Partitions may arrive until the consumer leaves, and then there is more to read.
        writer.finishing = self.subscription.once and self._consumer.has_assignment and self._at_end >= self.positions.keys()
        writer.behind = sum(self.subscription.lag(self.positions).values()) > limit
        full = self._batch.records >= limit
        # A write that takes its usual moment is waited for: pausing throws away what the client has fetched.
        if full and self._write is not None and wait([self._write], timeout=USUAL_WRITE).done:
            self._collect()
        old = self._batch.records and (now - self._batch.opened >= self._limits.max_age or writer.finishing)
        if self._write is None and (full or old or writer.due):
            self._begin_write()
            full = False
        self._pause(full)

    def _begin_write(self) -> None:
        batch, self._batch = self._batch, Batch()
        self._write = self._thread.submit(self._writer.write, batch)

    def _collect(self) -> None:
        if self._write is None or not self._write.done():
            return
        write, self._write = self._write, None
        self._count(write.result())

    def _count(self, written: Written) -> None:
        for collection, number in written.documents.items():
            self.rows += number
            ROWS.labels(collection).inc(number)
        self.rejected += written.rejected
        REJECTED.inc(written.rejected)
        SECONDS.set(written.seconds)
        for partition, end in written.ends.items():
            # Only the next owner may commit a partition that was revoked.
            if partition in self.positions:
                self._consumer.commit(partition, end, "")

    @property
    def _busy(self) -> bool:
        """Whether something read is not yet in MongoDB, with all that follows from it."""
        return bool(self._write is not None or self._batch.records or self._writer.uncommitted)

    def drain(self) -> int:
        """Write the open batch and bring everything up to date; 1 until that is done, unless the writer gave up."""
        self._writer.finishing = True
        if self._busy:
            if self._write is None:
                self._begin_write()
            if self._write is not None:
                wait([self._write], timeout=_DRAIN_WAIT)
            self._collect()
            self._pause(True)
        if self._busy and not self._writer.gave_up:
            return 1
        self.log.info("%d documents in all; bars and companies took %.1f s", self.rows, self._writer.refresh_seconds)
        return 0

    def report(self, rate: float, lag: Mapping[str, int]) -> None:
        """Log and export the state."""
        records = sum(lag.values())
        LAG.set(records)
        self.log.info("%.0f documents/s, %d in all, lag %d, %d partitions", rate, self.rows, records, len(self.positions))
