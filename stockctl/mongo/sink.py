"""``consume mongo``: from Kafka into MongoDB, as documents put by their ids.

One loop polls Kafka and fills an open batch. A batch that is due is written by a thread beside the loop, which then brings
bars and companies up to date; the loop commits the batch's end after that. So whatever happens in between is read and put
again, which changes nothing. While MongoDB is away the partitions are paused, and the polling goes on.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import groupby

from prometheus_client import Counter, Gauge

from stockctl.clients.kafka import Admin, Consumer, Event, Message, Partition
from stockctl.clients.mongo import Mongo
from stockctl.errors import StockctlError
from stockctl.mongo.batch import Batch
from stockctl.mongo.batch_writer import Also, BatchWriter, Written
from stockctl.mongo.schema import COVERAGE, TRADES
from stockctl.service import Service
from stockctl.settings import Settings

log = logging.getLogger("stockctl.mongo")

USUAL_WRITE = 0.5
"""Seconds that a write takes at most while all is well."""
ANSWER_WITHIN = 2.0
"""Seconds to look for a server before a write is tried again: short, so that a signal is heard."""
CHUNK = 1_000
"""Messages asked for at a time."""
DRAIN_WITHIN = 7.0
"""Seconds that the batch in hand gets after a signal, before the group is left."""
LEAVE_WITHIN = 9.0
"""Seconds after a signal when the process ends, whatever MongoDB or the broker makes it wait for."""

ROWS = Counter("stockctl_mongo_documents_total", "Documents written to MongoDB", ["collection"])
REJECTED = Counter("stockctl_mongo_rejected_total", "Records sent to the dead letters by the MongoDB writer")
LAG = Gauge("stockctl_mongo_lag_records", "Records in the topics that the MongoDB writer has not read yet")
SECONDS = Gauge("stockctl_mongo_batch_seconds", "Time that the newest batch took to write")


class MongoSink:
    """Writes the topics of trades and feed events into MongoDB until told to stop, or with ``once`` to where the topics
    ended as it began.

    ``also`` is called whenever bars and companies were brought up to date.
    """

    def __init__(self, settings: Settings, service: Service, *, once: bool = False, also: Also | None = None) -> None:
        self._settings, self._service, self._once = settings, service, once
        self._collections = {settings.topics.trades.name: TRADES, settings.topics.feed_events.name: COVERAGE}
        self._admin = Admin(settings)
        self._mongo = Mongo(settings, wait=ANSWER_WITHIN)
        self._writing = BatchWriter(self._mongo, settings, service.stop, also)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mongo")
        self._batch = Batch()
        self._write: Future[Written] | None = None
        self._next: dict[Partition, int] = {}
        """Where each assigned partition stands: one past the last record taken."""
        self._until: dict[Partition, float] = {}
        """Where each is read to. With ``once`` what comes in meanwhile is the next run's: a topic that grows ends too."""
        self._at_end: set[Partition] = set()
        self._paused: bool | None = False
        """Whether the partitions are paused; None where some are and those that came since are not."""
        self._rows = self._rejected = 0
        self._consumer = Consumer(settings, settings.mongo.group, **({"enable.partition.eof": True} if once else {}))
        service.health = lambda: self._writing.trouble or self._consumer.unassigned

    @property
    def rows(self) -> int:
        """Documents written so far."""
        return self._rows

    @property
    def rejected(self) -> int:
        """Records sent to the dead letters so far."""
        return self._rejected

    def run(self) -> None:
        """Write until told to stop, or to the end. StockctlError when MongoDB refuses, or holds another source's data."""
        try:
            self._admin.wait(say=log.warning, stop=self._service.stop)
            if self._service.stop.is_set():
                return
            for topic in self._collections:
                if self._admin.topic(topic) is None:
                    raise StockctlError(f"there is no topic {topic}", hint="`stockctl topics apply` makes the topics")
            self._writing.begin()
            self._consumer.subscribe(
                list(self._collections), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke
            )
            self._loop()
            self._drain()
            log.info("%d documents in all; bars and companies took %.1f s", self._rows, self._writing.derived_seconds)
        finally:
            self._consumer.close()
            self._thread.shutdown()
            self._mongo.close()

    def _loop(self) -> None:
        limit, max_age = self._settings.mongo.max_records, self._settings.mongo.max_age
        logged, rows = time.monotonic(), 0
        while not self._service.stop.is_set():
            self._reap()
            now, batch = time.monotonic(), self._batch
            self._writing.behind = self._lag > limit
            full = batch.records >= limit
            old = batch.records and (now - batch.opened >= max_age or self._writing.finishing)
            if self._write is None and (full or old or self._writing.due):
                self._write = self._started()
            elif full and self._write is not None:
                # A write that takes its usual moment is waited for: pausing throws away what the client has fetched.
                if wait([self._write], timeout=USUAL_WRITE).done:
                    continue
                self._hold(True)
            else:
                self._hold(False)
            self._take(self._consumer.consume(CHUNK, 0.1))
            if now - logged >= self._settings.log.every:
                self._tell((self._rows - rows) / (now - logged))
                logged, rows = now, self._rows
            # Partitions may come until we leave, and then there is more to read.
            self._writing.finishing = self._once and self._consumer.shared_out and self._at_end >= self._next.keys()
            if (
                self._writing.finishing
                and not (self._busy or self._consumer.committing)
                and self._admin.shared_out(
                    self._settings.mongo.group, self._collections, self._consumer.member_id, self._next.keys()
                )
            ):
                return

    # Partitions

    def _assign(self, partitions: list[Partition]) -> dict[Partition, int]:
        if not partitions:
            return {}
        committed = self._consumer.committed(partitions)
        offsets = self._admin.offsets(partitions)
        for partition in partitions:
            held, at = offsets[partition], committed[partition].offset
            if at > held.end:
                log.warning("%s/%d ends at %d, before what was read of it: it is read anew", *partition, held.end)
            elif 0 <= at < held.start:
                log.warning("%s/%d no longer holds offsets %d to %d: they are lost here", *partition, at, held.start)
            self._next[partition] = at if held.start <= at <= held.end else held.start
            self._until[partition] = held.end if self._once else math.inf
        self._paused = None
        starts = {partition: self._next[partition] for partition in partitions}
        log.info("assigned %s", ", ".join(f"{p.topic}/{p.number} from {offset}" for p, offset in sorted(starts.items())))
        return starts

    def _revoke(self, partitions: list[Partition]) -> None:
        # What was read of them is still written, and never committed: the next owner writes the same.
        for partition in partitions:
            self._next.pop(partition, None)
            self._at_end.discard(partition)
        if partitions:
            log.info("gave up %s", ", ".join(f"{p.topic}/{p.number}" for p in sorted(partitions)))

    def _hold(self, stop: bool) -> None:
        """Pause every partition, or let them go on."""
        if stop == self._paused:
            return
        self._paused = stop
        for partition, at in self._next.items():
            if stop:
                self._consumer.pause(partition)
            elif self._once:
                # A pause may swallow the word of the partition's end, which only a fresh start tells again.
                self._consumer.restart(partition, at)
            else:
                self._consumer.resume(partition)

    # Records

    def _take(self, messages: Sequence[Message]) -> None:
        for (topic, number, is_event), run in groupby(messages, key=_place):
            partition = Partition(topic, number)
            if is_event:
                for message in run:
                    self._take_event(message, partition)
                continue
            at = self._next.get(partition)
            if at is None:
                continue
            messages, until = list(run), self._until[partition]
            records = [message for message in messages if at <= message.offset() < until]
            if records:
                self._batch.add(self._collections[topic], partition, records)
                self._next[partition] = records[-1].offset() + 1
                self._at_end.discard(partition)
            if messages[-1].offset() + 1 >= until:
                self._at_end.add(partition)

    def _take_event(self, message: Message, partition: Partition) -> None:
        event = self._consumer.event(message, "read the topics")
        if event is Event.end:
            if partition in self._next:
                self._at_end.add(partition)
        elif event is Event.out_of_range and partition in self._next:
            held = self._admin.offsets([partition])[partition]
            log.warning("%s/%d no longer holds offset %d: going on at %d", *partition, self._next[partition], held.start)
            self._next[partition] = held.start
            self._consumer.restart(partition, held.start)
        else:
            log.warning("%s", event)

    # Batches

    def _started(self) -> Future[Written]:
        batch, self._batch = self._batch, Batch()
        return self._thread.submit(self._writing.write, batch)

    def _reap(self) -> None:
        if self._write is None or not self._write.done():
            return
        write, self._write = self._write, None
        self._count(write.result())

    def _count(self, written: Written) -> None:
        for collection, number in written.documents.items():
            self._rows += number
            ROWS.labels(collection).inc(number)
        self._rejected += written.rejected
        REJECTED.inc(written.rejected)
        SECONDS.set(written.seconds)
        for partition, end in written.ends.items():
            # A partition that was given up is its next owner's to commit.
            if partition in self._next:
                self._consumer.commit(partition, end, "")

    @property
    def _busy(self) -> bool:
        """Whether something read is not yet in MongoDB, with all that follows from it."""
        return bool(self._write is not None or self._batch.records or self._writing.owes)

    def _drain(self) -> None:
        """Told to stop: write what is open and bring all up to date, as long as there is time."""
        deadline = time.monotonic() + DRAIN_WITHIN
        self._writing.finishing = True
        while self._busy:
            self._write = self._write or self._started()
            wait([self._write], timeout=0.05)
            self._reap()
            if time.monotonic() > deadline or self._writing.gave_up:
                log.warning("left a batch unfinished: the next start reads it again")
                return
            self._hold(True)
            # Polling keeps the partitions; what it may deliver is read again by the next start.
            self._consumer.consume(1, 0.0)

    @property
    def _lag(self) -> int:
        """Records that wait to be read, as far as the newest fetches told."""
        return sum(max(0, self._consumer.known_end(partition) - at) for partition, at in self._next.items())

    def _tell(self, rate: float) -> None:
        lag = self._lag
        LAG.set(lag)
        log.info("%.0f documents/s, %d in all, lag %d, %d partitions", rate, self._rows, lag, len(self._next))


_Key = tuple[str, int, bool]
_place: Callable[[Message], _Key] = lambda message: (message.topic(), message.partition(), message.error() is not None)  # noqa: E731
