"""``consume s3``: from Kafka into the lake, each record exactly once.

The sink fills an open batch for each partition. A thread stores a batch that is due (``Committer``), then the sink commits its
end. The claim log decides where to continue, never the committed offset: see ``docs/reliability.md``.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any, TypeVar

from prometheus_client import Counter, Gauge

from stockctl.clients.kafka import Event, Message, Partition, UnknownTopicError
from stockctl.clients.kafka.record_reader import RecordReader
from stockctl.clients.object_store import open_store
from stockctl.errors import StockctlError
from stockctl.lake.format.claims import Claim, CutReason, Start
from stockctl.lake.format.keys import TABLES, Layout, Table
from stockctl.lake.writer.allowed_sources import LakeSources
from stockctl.lake.writer.batch import OpenBatch
from stockctl.lake.writer.batch_committer import CommittedBatch, Committer, Superseded, TopicChangedError, retryable
from stockctl.lake.writer.dead_letter_sender import DeadLetters
from stockctl.lake.writer.partition_writer import Delivery, PartitionWriter
from stockctl.lake.writer.recovery import BrokerState, Recovery, commit_metadata
from stockctl.service import retry
from stockctl.settings import Settings
from stockctl.stream.consumer_loop import Subscription, by_partition, error_of, offset_of, value_of
from stockctl.stream.topics import table_topics
from stockctl.units import format_duration

Result = TypeVar("Result")

ROWS = Counter("stockctl_lake_rows_total", "Rows written to the lake", ["table"])
REJECTED = Counter("stockctl_lake_rejected_total", "Records sent to the dead letters by the lake writer", ["table"])
CLAIMS = Counter("stockctl_lake_claims_total", "Batches written to the lake", ["table", "reason"])
LAG = Gauge("stockctl_lake_lag_records", "Records in the topic that the lake writer has not read yet", ["table"])
NEWEST = Gauge("stockctl_lake_newest_timestamp_seconds", "Time of the last record of the newest batch in the lake", ["table"])
SECONDS = Gauge("stockctl_lake_batch_seconds", "Time that the newest batch took to store", ["table"])


class S3Sink:
    """Writes the topics of trades, feed events and signals into the lake."""

    log = logging.getLogger("stockctl.lake")
    chunk = 10_000
    """Most messages of one poll: enough that the calls into librdkafka cost little, few enough to keep limits."""

    def __init__(self, settings: Settings, stop: threading.Event, *, once: bool = False, accept_loss: bool = False) -> None:
        self._limits, self._stop = settings.lake, stop
        topics = table_topics(settings.topics)
        self._tables: dict[str, Table] = {topics[table]: table for table in TABLES}
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
        self.subscription = Subscription(settings, settings.lake.group, self._tables, once=once)
        self._admin, self._consumer = self.subscription.admin, self.subscription.consumer
        store = open_store(settings)
        writer = f"{socket.gethostname()}-{os.getpid()}"
        self._probe = RecordReader(settings)
        dead_letters = DeadLetters(settings)
        self._recovery = Recovery(store, self._probe, dead_letters, writer=writer, accept_loss=accept_loss)
        self._committer = Committer(store, settings, self._admin, dead_letters, writer=writer)
        self._sources = LakeSources(store, set(settings.lake.extra_sources), self._retry)
        self._uploads = ThreadPoolExecutor(4, thread_name_prefix="upload")
        self._writers: dict[Partition, PartitionWriter] = {}
        # A process that was frozen for longer may have lost its partitions, or its topic may have changed, without notice.
        self._frozen_after = settings.kafka.session_timeout / 2
        self._polled = time.monotonic()
        self.rows = 0
        """Rows written to the lake so far."""
        self.rejected = 0
        """Records sent to the dead letters so far."""
        for table in TABLES:
            # A counter that appears with its first records would hide them from a query for its increase.
            ROWS.labels(table)
            REJECTED.labels(table)
        self._last_object = "none yet"

    @property
    def trouble(self) -> str | None:
        """The error for which a batch is retried; None if there is none."""
        return self._committer.trouble

    @property
    def positions(self) -> dict[Partition, int]:
        """The next offset of each assigned partition."""
        return {partition: writer.batch.end for partition, writer in self._writers.items()}

    @property
    def finished(self) -> bool:
        """Whether each partition is read to its end and stored."""
        return all(writer.at_end and writer.idle for writer in self._writers.values())

    def open(self) -> None:
        """Begin: the store is asked when partitions are assigned."""
        # Millions of records make the collector run all the time and find nothing: the loop makes no cycles.
        gc.disable()
        self._polled = time.monotonic()

    def close(self) -> None:
        """End the requests to the store, and their threads."""
        gc.enable()
        self._committer.close()
        self._uploads.shutdown()
        self._probe.close()

    # Assignment

    def assigned(self, partitions: list[Partition]) -> dict[Partition, int]:
        """Plan ``partitions``; the offsets to read them from.

        Waits for the store and the broker, at most ``lake.store_wait``: a writer that cannot begin reports that and exits.
        StockctlError where continuing would lose or duplicate a record.
        """
        for writer in self._retry(lambda: self._planned(partitions), self._limits.store_wait):
            self._writers[writer.partition] = writer
            if writer.repeat is not None:
                self.log.info("repeating the newest claim %s, which may be unfinished", writer.repeat.key)
        return {partition: self._writers[partition].read_from for partition in partitions}

    def _retry(self, call: Callable[[], Result], within: float | None = None) -> Result:
        return retry(call, retryable, stop=self._stop, within=within)

    def _planned(self, partitions: list[Partition]) -> list[PartitionWriter]:
        committed = self._consumer.committed(partitions)

        def plan(partition: Partition) -> PartitionWriter:
            table = self._tables[partition.topic]
            found = self._recovery.plan(table, partition.number, lambda: self._broker_state(partition), committed[partition])
            once = self.subscription.once
            return PartitionWriter(
                partition, found, self._layouts[table], self._limits, self._submit_batch, self._sources, once=once
            )

        with ThreadPoolExecutor(8, thread_name_prefix="plan") as pool:
            return list(pool.map(plan, partitions))

    def _broker_state(self, partition: Partition) -> BrokerState:
        cluster, topic = self._admin.cluster_id(), self._admin.topic(partition.topic)
        if topic is None:
            raise UnknownTopicError(f"the topic {partition.topic} is gone", hint="`stockctl topics apply` recreates it")
        return BrokerState(cluster, topic, self._admin.offsets([partition])[partition])

    def _submit_batch(
        self, batch: OpenBatch, start: Start, reason: CutReason, repeat: Claim | None
    ) -> Future[CommittedBatch | Superseded]:
        return self._uploads.submit(self._committer.store, batch, start, reason, repeat)

    def revoked(self, partitions: list[Partition]) -> None:
        """Drop the records that are not claimed: the next owner reads them. An upload under way only repeats its lines."""
        for partition in partitions:
            self._writers.pop(partition, None)

    def _restart(self, partitions: list[Partition]) -> None:
        for partition, offset in self.assigned(partitions).items():
            self._consumer.restart(partition, offset)

    # Records

    def submit(self, messages: Sequence[Message], now: float) -> None:
        """Put the records into the open batches. After a freeze, drop them and plan each partition again."""
        if now - self._polled > self._frozen_after and self._writers:
            self.log.warning("paused for %s: checking each partition again", format_duration(now - self._polled))
            self._restart(list(self._writers))
            self._polled = time.monotonic()
            return
        self._polled = now
        writers = dict(self._writers)
        for partition, records in by_partition(messages):
            writer = writers.get(partition)
            if writer is not self._writers.get(partition):
                continue  # restarted since: these were delivered before
            values = list(map(value_of, records))
            heads = None if writer is None or writer.paused else writer.batch.heads(values)
            # An event's value is its text, which is no row: where all values are rows, there is no event to look for.
            if heads is None and any(map(error_of, records)):
                self._take_events(records, writer)
            elif writer is not None:
                self._append(writer, records, values, heads)

    def _take_events(self, messages: list[Message], writer: PartitionWriter | None) -> None:
        """Take the records among ``messages``, and handle the events, in order."""
        for is_event, run in groupby(messages, key=lambda message: message.error() is not None):
            records = list(run)
            if not is_event:
                if writer is not None and not self._append(writer, records, list(map(value_of, records)), None):
                    return
                continue
            for message in records:
                event = self._consumer.event(message, "read the topics")
                if isinstance(event, StockctlError):
                    self.log.warning("%s", event)
                elif writer is not None and event is Event.out_of_range:
                    self.log.warning("%s/%d no longer holds offset %d", *writer.partition, writer.read_from)
                    writer.expired = True
                    writer.pause()
                elif writer is not None and not writer.reached_end():
                    self._out_of_sequence(writer, "its end")
                    return

    def _append(
        self, writer: PartitionWriter, records: list[Message], values: list[bytes | None], heads: list[Any] | None
    ) -> bool:
        """Whether the writer continues."""
        delivery = writer.append(records, list(map(offset_of, records)), values, heads)
        if delivery is Delivery.out_of_sequence:
            self._out_of_sequence(writer, f"offset {records[0].offset()}")
        elif delivery is Delivery.full and not writer.paused:
            self._pause(writer)
        return delivery is not Delivery.out_of_sequence

    def _out_of_sequence(self, writer: PartitionWriter, what: str) -> None:
        self.log.warning("%s/%d delivered %s out of sequence: checking it again", *writer.partition, what)
        self._restart([writer.partition])

    def _pause(self, writer: PartitionWriter) -> None:
        self._consumer.pause(writer.partition)
        writer.pause()

    # Batches

    def poll(self, now: float) -> None:
        """Commit what is stored, cut what is due, pause what is full."""
        self._collect()
        writers, buffer = list(self._writers.values()), self._limits.buffer
        for writer in writers:
            reason = writer.due(now)
            if reason is not None:
                writer.cut(reason)
        size = sum(writer.size for writer in writers)
        if size >= buffer and (open_ones := [writer for writer in writers if writer.can_cut]):
            max(open_ones, key=lambda writer: writer.batch.bytes).cut("buffer")
        for writer in writers:
            if writer.expired:
                if writer.upload is None:
                    self._restart([writer.partition])
                continue
            must_wait = writer.full or (writer.upload is not None and size >= buffer)
            if must_wait and not writer.paused:
                self._pause(writer)
            elif writer.paused and not must_wait:
                self._consumer.restart(writer.partition, writer.resume())

    def _collect(self) -> None:
        for writer in list(self._writers.values()):
            try:
                outcome = writer.collect()
            except TopicChangedError as error:
                self.log.warning("%s", error)
                self._restart([writer.partition])
                continue
            if isinstance(outcome, CommittedBatch):
                self._commit(writer, outcome)
            elif outcome is not None and outcome.claim.last is None:
                self._restart([writer.partition])  # lost, or closed: there is nothing to repeat
            elif outcome is not None:
                self.log.info("another writer holds %s: repeating it", outcome.claim.key)
                writer.replay_claim(outcome.claim)
                self._consumer.restart(writer.partition, writer.read_from)

    def _commit(self, writer: PartitionWriter, stored: CommittedBatch) -> None:
        claim = stored.claim
        self.rows += claim.rows
        self.rejected += len(claim.rejected)
        ROWS.labels(claim.table).inc(claim.rows)
        REJECTED.labels(claim.table).inc(len(claim.rejected))
        CLAIMS.labels(claim.table, claim.reason).inc()
        SECONDS.labels(claim.table).set(stored.seconds)
        if claim.last is not None:
            NEWEST.labels(claim.table).set(claim.last.timestamp / 1000)
        if claim.objects:
            self._last_object = claim.objects[-1].key
        self.log.info(
            "%s g%d/%d [%d, %d): %d rows in %d objects%s, reason: %s, stored in %s",
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
        # The claim log holds the truth: if the commit fails, the next start repeats this claim, which changes nothing.
        self._consumer.commit(writer.partition, claim.end, commit_metadata(claim))

    def drain(self) -> int:
        """Cut every open batch; the number of batches that are being stored."""
        self._collect()
        for writer in self._writers.values():
            if writer.can_cut:
                writer.cut("stop")
        unfinished = sum(writer.upload is not None for writer in self._writers.values())
        if unfinished:
            for writer in self._writers.values():
                if not writer.paused:
                    self._pause(writer)
        return unfinished

    def report(self, rate: float, lag: Mapping[str, int]) -> None:
        """Log and export the state."""
        for topic, table in self._tables.items():
            LAG.labels(table).set(lag[topic])
        self.log.info(
            "%.0f rows/s, %d rows in all, lag %d, %d partitions, last object %s",
            rate,
            self.rows,
            sum(lag.values()),
            len(self._writers),
            self._last_object,
        )
        gc.collect()
