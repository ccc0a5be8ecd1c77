"""``consume s3``: from Kafka into the lake, each record exactly once.

One loop polls Kafka and fills an open batch a partition. A batch that is due is stored beside the loop (``upload``), then its
end is committed. What decides is the claim log, never the committed offset: see ``docs/reliability.md``.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any, TypeVar

from prometheus_client import Counter, Gauge

from stockctl.clients.kafka import Admin, Consumer, Event, Message, Partition, UnknownTopicError
from stockctl.clients.kafka.record_reader import RecordReader
from stockctl.clients.store import open_store
from stockctl.errors import RefusedError, StockctlError
from stockctl.lake.format.claims import Claim, CutReason, Start
from stockctl.lake.format.keys import TABLES, Layout, Table
from stockctl.lake.writer.batch import OpenBatch
from stockctl.lake.writer.committer import CommittedBatch, Committer, Superseded, TopicChangedError, retryable
from stockctl.lake.writer.dead_letters import DeadLetters
from stockctl.lake.writer.partition_writer import Delivery, PartitionWriter
from stockctl.lake.writer.recovery import Recovery, Seen, commit_metadata
from stockctl.lake.writer.source_guard import LakeSources
from stockctl.service import Service, retry
from stockctl.settings import Settings
from stockctl.units import format_duration

log = logging.getLogger("stockctl.lake")

Result = TypeVar("Result")

CHUNK = 10_000
"""Messages asked for at a time: enough that the calls into librdkafka cost little, few enough to keep limits."""
DRAIN_WITHIN = 7.0
"""Seconds that unfinished uploads get after a signal, before the group is left."""
LEAVE_WITHIN = 9.0
"""Seconds after a signal when the process ends, whatever the store or the broker makes it wait for."""

ROWS = Counter("stockctl_lake_rows_total", "Rows written to the lake", ["table"])
REJECTED = Counter("stockctl_lake_rejected_total", "Records sent to the dead letters by the lake writer", ["table"])
CLAIMS = Counter("stockctl_lake_claims_total", "Batches written to the lake", ["table", "reason"])
LAG = Gauge("stockctl_lake_lag_records", "Records in the topic that the lake writer has not read yet", ["table"])
NEWEST = Gauge("stockctl_lake_newest_timestamp_seconds", "Time of the last record of the newest batch in the lake", ["table"])
SECONDS = Gauge("stockctl_lake_batch_seconds", "Time that the newest batch took to store", ["table"])


class S3Sink:
    """Writes the topics of trades and feed events into the lake until told to stop, or with ``once`` to the topics' end."""

    def __init__(self, settings: Settings, service: Service, *, once: bool = False, accept_loss: bool = False) -> None:
        self._settings, self._service, self._once = settings, service, once
        self._tables: dict[str, Table] = {
            settings.topics.trades.name: "trades",
            settings.topics.feed_events.name: "feed_events",
        }
        self._layouts = {
            table: Layout(
                table,
                settings.lake.timezone,
                settings.lake.partition_by if table == "trades" else "none",
                settings.lake.compression,
                settings.lake.buckets,
                "normalized",
            )
            for table in TABLES
        }
        self._admin = Admin(settings)
        store = open_store(settings)
        writer = f"{socket.gethostname()}-{os.getpid()}"
        self._probe = RecordReader(settings)
        dead_letters = DeadLetters(settings)
        self._recovery = Recovery(store, self._probe, dead_letters, writer=writer, accept_loss=accept_loss)
        self._uploads = Committer(store, settings, self._admin, dead_letters, writer=writer)
        self._sources = LakeSources(store, set(settings.lake.extra_sources), self._retry)
        self._jobs = ThreadPoolExecutor(4, thread_name_prefix="upload")
        self._readings: dict[Partition, PartitionWriter] = {}
        self._rows = self._rejected = 0
        for table in TABLES:
            # A counter that comes with its first records would hide them from whoever asks for its increase.
            ROWS.labels(table)
            REJECTED.labels(table)
        self._last_object = "none yet"
        self._consumer = Consumer(settings, settings.lake.group, **({"enable.partition.eof": True} if once else {}))
        service.health = lambda: self._uploads.trouble or self._consumer.unassigned

    @property
    def rows(self) -> int:
        """Rows written to the lake so far."""
        return self._rows

    @property
    def rejected(self) -> int:
        """Records sent to the dead letters so far."""
        return self._rejected

    def run(self) -> None:
        """Write until told to stop, or to the end. StockctlError when going on would lose or double a record."""
        self._admin.wait(say=log.warning, stop=self._service.stop)
        if self._service.stop.is_set():
            return
        for topic in self._tables:
            if self._admin.topic(topic) is None:
                raise StockctlError(f"there is no topic {topic}", hint="`stockctl topics apply` makes the topics")
        self._consumer.subscribe(list(self._tables), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke)
        try:
            self._loop()
            self._drain()
        finally:
            gc.enable()
            # First of all: the partitions are free for others while the last requests to the store end.
            self._consumer.close()
            self._uploads.close()
            self._jobs.shutdown()
            self._probe.close()

    def _loop(self) -> None:
        # A process that was frozen may have lost its partitions, and its topic may have changed, without having been told.
        frozen_after = self._settings.kafka.session_timeout / 2
        # Millions of records make the collector run all the time and find nothing: the loop makes no cycles.
        gc.disable()
        turned = logged = time.monotonic()
        rows = 0
        while not self._service.stop.is_set():
            messages = self._consumer.consume(CHUNK, 0.1)
            now = time.monotonic()
            if now - turned > frozen_after and self._readings:
                log.warning("paused for %s: each partition is looked at anew", format_duration(now - turned))
                self._restart(list(self._readings))
                turned = time.monotonic()
            else:
                self._take(messages)
                turned = now
            self._settle(now)
            if now - logged >= self._settings.log.every:
                self._tell((self._rows - rows) / (now - logged))
                logged, rows = now, self._rows
                gc.collect()
            if (
                self._once
                and self._consumer.shared_out
                and all(reading.at_end and reading.idle for reading in self._readings.values())
                and self._admin.shared_out(
                    self._settings.lake.group, self._tables, self._consumer.member_id, self._readings.keys()
                )
            ):
                return

    # Assignment

    def _assign(self, partitions: list[Partition]) -> dict[Partition, int]:
        starts = self._plan(partitions)
        if partitions:
            log.info("assigned %s", ", ".join(f"{p.topic}/{p.number} from {offset}" for p, offset in sorted(starts.items())))
        return starts

    def _plan(self, partitions: list[Partition]) -> dict[Partition, int]:
        """Fresh readings for ``partitions``, with the offsets to read them from.

        Waits for the store and the broker, but not for ever: a service that can't begin should say so and leave.
        """
        bound = self._settings.lake.store_wait
        for reading in self._retry(lambda: self._look_at(partitions), bound) if partitions else []:
            self._readings[reading.partition] = reading
            if reading.repeat is not None:
                log.info("repeating the newest claim %s, which may be unfinished", reading.repeat.key)
        return {partition: self._readings[partition].read_from for partition in partitions}

    def _retry(self, call: Callable[[], Result], within: float | None = None) -> Result:
        return retry(call, retryable, stop=self._service.stop, within=within)

    def _look_at(self, partitions: list[Partition]) -> list[PartitionWriter]:
        committed = self._consumer.committed(partitions)

        def planned(partition: Partition) -> PartitionWriter:
            table = self._tables[partition.topic]
            plan = self._recovery.plan(table, partition.number, lambda: self._ask(partition), committed[partition])
            return PartitionWriter(
                partition, plan, self._layouts[table], self._settings.lake, self._submit, self._sources, once=self._once
            )

        with ThreadPoolExecutor(8, thread_name_prefix="plan") as pool:
            return list(pool.map(planned, partitions))

    def _ask(self, partition: Partition) -> Seen:
        cluster, topic = self._admin.cluster_id(), self._admin.topic(partition.topic)
        if topic is None:
            raise UnknownTopicError(f"the topic {partition.topic} is gone", hint="`stockctl topics apply` makes it anew")
        return Seen(cluster, topic, self._admin.offsets([partition])[partition])

    def _submit(
        self, batch: OpenBatch, start: Start, reason: CutReason, repeat: Claim | None
    ) -> Future[CommittedBatch | Superseded]:
        return self._jobs.submit(self._uploads.store, batch, start, reason, repeat)

    def _revoke(self, partitions: list[Partition]) -> None:
        # Unclaimed records are dropped: the next owner reads them. An upload under way goes on: it can only repeat lines.
        given_up = [partition for partition in sorted(partitions) if self._readings.pop(partition, None) is not None]
        if given_up:
            log.info("gave up %s", ", ".join(f"{p.topic}/{p.number}" for p in given_up))

    def _restart(self, partitions: list[Partition]) -> None:
        for partition, offset in self._plan(partitions).items():
            self._consumer.restart(partition, offset)

    # Records

    def _take(self, messages: Sequence[Message]) -> None:
        readings = dict(self._readings)
        for partition, run in _runs(messages):
            reading = readings.get(partition)
            if reading is not self._readings.get(partition):
                continue  # it has been restarted since: what is left here was delivered before
            values = list(map(_value, run))
            heads = None if reading is None or reading.stopped else reading.batch.heads(values)
            # An event's value is its text, which is no row: so nothing needs to be asked of messages that all are rows.
            if heads is None and any(map(_error, run)):
                self._take_events(run, reading)
            elif reading is not None:
                self._add(reading, run, values, heads)

    def _take_events(self, messages: list[Message], reading: PartitionWriter | None) -> None:
        """Take the records among ``messages``, and handle what is none, in order."""
        for is_event, run in groupby(messages, key=lambda message: message.error() is not None):
            records = list(run)
            if not is_event:
                if reading is not None and not self._add(reading, records, list(map(_value, records)), None):
                    return
                continue
            for message in records:
                event = self._consumer.event(message, "read the topics")
                if isinstance(event, RefusedError):
                    raise event
                if isinstance(event, StockctlError):
                    log.warning("%s", event)
                elif reading is not None and event is Event.out_of_range:
                    log.warning("%s/%d no longer holds offset %d", *reading.partition, reading.read_from)
                    reading.overtaken = True
                    reading.stop()
                elif reading is not None and not reading.ended():
                    self._astray(reading, "its end")
                    return

    def _add(
        self, reading: PartitionWriter, records: list[Message], values: list[bytes | None], heads: list[Any] | None
    ) -> bool:
        """Whether the reading goes on."""
        delivery = reading.take(records, list(map(_offset, records)), values, heads)
        if delivery is Delivery.astray:
            self._astray(reading, f"offset {records[0].offset()}")
        elif delivery is Delivery.full and not reading.stopped:
            self._stop(reading)
        return delivery is not Delivery.astray

    def _astray(self, reading: PartitionWriter, what: str) -> None:
        log.warning("%s/%d delivered %s out of turn: it is looked at anew", *reading.partition, what)
        self._restart([reading.partition])

    def _stop(self, reading: PartitionWriter) -> None:
        self._consumer.pause(reading.partition)
        reading.stop()

    # Storing

    def _settle(self, now: float) -> None:
        """Take up what was stored, cut what is due, and hold back what is full."""
        self._reap()
        readings, buffer = list(self._readings.values()), self._settings.lake.buffer
        for reading in readings:
            reason = reading.due(now)
            if reason is not None:
                reading.cut(reason)
        held = sum(reading.held for reading in readings)
        waiting = [
            reading for reading in readings if reading.upload is None and reading.repeat is None and reading.batch.records
        ]
        if held >= buffer and waiting:
            max(waiting, key=lambda reading: reading.batch.bytes).cut("buffer")
        for reading in readings:
            if reading.overtaken:
                if reading.upload is None:
                    self._restart([reading.partition])
                continue
            hold = reading.full or (reading.upload is not None and held >= buffer)
            if hold and not reading.stopped:
                self._stop(reading)
            elif reading.stopped and not hold:
                self._consumer.restart(reading.partition, reading.resume_from())

    def _reap(self) -> None:
        for reading in list(self._readings.values()):
            try:
                outcome = reading.reap()
            except TopicChangedError as error:
                log.warning("%s", error)
                self._restart([reading.partition])
                continue
            if isinstance(outcome, CommittedBatch):
                self._commit(reading, outcome)
            elif outcome is not None and outcome.claim.last is None:
                self._restart([reading.partition])  # lost, or closed: there is nothing to repeat
            elif outcome is not None:
                log.info("another writer holds %s: repeating it", outcome.claim.key)
                reading.follow(outcome.claim)
                self._consumer.restart(reading.partition, reading.read_from)

    def _commit(self, reading: PartitionWriter, stored: CommittedBatch) -> None:
        claim = stored.claim
        self._rows += claim.rows
        self._rejected += len(claim.rejected)
        ROWS.labels(claim.table).inc(claim.rows)
        REJECTED.labels(claim.table).inc(len(claim.rejected))
        CLAIMS.labels(claim.table, claim.reason).inc()
        SECONDS.labels(claim.table).set(stored.seconds)
        if claim.last is not None:
            NEWEST.labels(claim.table).set(claim.last.timestamp / 1000)
        if claim.objects:
            self._last_object = claim.objects[-1].key
        log.info(
            "%s g%d/%d [%d, %d): %d rows in %d objects%s, cut by %s, stored in %s",
            claim.table,
            claim.generation,
            claim.partition,
            claim.start,
            claim.end,
            claim.rows,
            len(claim.objects),
            f", {len(claim.rejected)} to the dead letters" if claim.rejected else "",
            claim.reason,
            format_duration(stored.seconds),
        )
        # The log holds the truth: should the commit fail, the next start repeats this claim, which changes nothing.
        self._consumer.commit(reading.partition, claim.end, commit_metadata(claim))

    def _drain(self) -> None:
        """Told to stop: store every open batch and wait for the uploads, as long as there is time."""
        deadline = time.monotonic() + DRAIN_WITHIN
        while True:
            self._reap()
            for reading in self._readings.values():
                if reading.upload is None and reading.repeat is None and reading.batch.records:
                    reading.cut("stop")
            uploads = sum(reading.upload is not None for reading in self._readings.values())
            if not uploads:
                return
            if time.monotonic() > deadline:
                log.warning("left %d batches unfinished: the next start repeats or reads them", uploads)
                return
            # Polling keeps the partitions while the uploads run; whatever it delivers is read again by the next start.
            for reading in self._readings.values():
                if not reading.stopped:
                    self._stop(reading)
            self._consumer.consume(1, 0.05)

    def _tell(self, rate: float) -> None:
        lag = dict.fromkeys(self._tables.values(), 0)
        for reading in self._readings.values():
            lag[reading.table] += max(0, self._consumer.known_end(reading.partition) - reading.batch.end)
        for table, records in lag.items():
            LAG.labels(table).set(records)
        log.info(
            "%.0f rows/s, %d rows in all, lag %d, %d partitions, last object %s",
            rate,
            self._rows,
            sum(lag.values()),
            len(self._readings),
            self._last_object,
        )


# Called by map for every message: the method itself costs half of what a lambda or an attribute look-up does.
_error: Callable[[Message], object] = Message.error
_offset: Callable[[Message], int] = Message.offset
_value: Callable[[Message], bytes | None] = Message.value
_topic: Callable[[Message], str] = Message.topic
_partition: Callable[[Message], int] = Message.partition


def _runs(messages: Sequence[Message]) -> Iterator[tuple[Partition, list[Message]]]:
    """``messages`` as runs of one partition each; a consumer delivers them so, whole fetches of one after another."""
    first = 0
    for number, same in groupby(map(_partition, messages)):
        last = first + len(list(same))
        records = list(messages[first:last])
        first = last
        if len(set(map(_topic, records))) == 1:
            yield Partition(records[0].topic(), number), records
        else:
            for topic, part in groupby(records, key=_topic):
                yield Partition(topic, number), list(part)
