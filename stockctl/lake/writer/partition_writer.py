"""One assigned partition: its open batch, the claim that it replays, if any, and the batch that is being stored, if any."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import Enum
from typing import Any

from stockctl.clients.kafka import Message, Partition
from stockctl.lake.format.claims import Claim, CutReason, Start
from stockctl.lake.format.keys import Layout, Table
from stockctl.lake.writer.batch import OpenBatch, Sources
from stockctl.lake.writer.batch_committer import CommittedBatch, Superseded
from stockctl.lake.writer.recovery import Plan
from stockctl.settings.model import LakeSettings

Submit = Callable[[OpenBatch, Start, CutReason, Claim | None], Future[CommittedBatch | Superseded]]
"""Begins to store a batch (``Committer.store``)."""


class Delivery(Enum):
    """What happened to delivered records."""

    taken = "all that were new are in the batch"
    full = "the open batch is full and must wait for the one before it"
    out_of_sequence = "they do not follow the records taken before"


class PartitionWriter:
    """One assigned partition.

    After each start and restart, reading begins at a record whose offset is known, the last one taken or the first one of the
    claim to replay, and takes nothing before that record is delivered. So nothing gets in that the client still had in its
    queue from before the restart.
    """

    def __init__(
        self,
        partition: Partition,
        plan: Plan,
        layout: Layout,
        limits: LakeSettings,
        submit: Submit,
        sources: Sources | None = None,
        *,
        once: bool = False,
    ) -> None:
        self.partition, self.start, self.layout = partition, plan.start, layout
        self._limits, self._submit, self._sources = limits, submit, sources
        # With ``once``, later records are left to the next run: a topic that grows has an end too.
        self._until: float = plan.end if once else math.inf
        self.upload: Future[CommittedBatch | Superseded] | None = None
        self._upload_bytes = 0
        self.paused = False
        """Whether deliveries are ignored until ``resume``."""
        self.expired = False
        """Whether retention has passed the position: the open batch is stored, then the partition is planned again."""
        self.at_end = False
        """Whether all that the topic held when reading began is taken."""
        self.repeat: Claim | None = None
        """The claim to replay: the open batch becomes it."""
        self._last_taken = self._expected = plan.before
        if plan.repeat is not None:
            self.replay_claim(plan.repeat)
        else:
            self._open(plan.position)

    @property
    def table(self) -> Table:
        """The table of the partition's records."""
        return self.layout.table

    @property
    def read_from(self) -> int:
        """The offset to read from."""
        return self.batch.end if self._expected is None else self._expected

    @property
    def size(self) -> int:
        """Bytes in memory, in the open batch and the one that is being stored."""
        return self.batch.bytes + self._upload_bytes

    @property
    def can_cut(self) -> bool:
        """Whether the open batch may be cut: it has records, replays no claim, and the batch before it is stored."""
        return bool(self.upload is None and self.repeat is None and self.batch.records)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to store."""
        return self.upload is None and self.repeat is None and not self.batch.records

    def _open(self, at: int) -> None:
        self.repeat = None
        self.batch = OpenBatch(self.layout, self.start.generation, self.partition.number, at, self._sources)

    def replay_claim(self, claim: Claim) -> None:
        """Drop the open batch and begin to replay ``claim`` with the claim's layout; reading must restart at ``read_from``."""
        self.repeat = claim
        self._until = max(self._until, claim.end)
        self.batch = OpenBatch(claim.layout, claim.generation, claim.partition, claim.start)
        self._expected = claim.first_record
        self.paused = self.at_end = False

    def pause(self) -> None:
        """Ignore deliveries until ``resume``."""
        self.paused = True

    def resume(self) -> int:
        """Take deliveries again; the offset that reading must restart at."""
        self.paused = False
        self._expected = self._last_taken
        return self.read_from

    def append(
        self, records: Sequence[Message], offsets: Sequence[int], values: Sequence[bytes | None], heads: Sequence[Any] | None
    ) -> Delivery:
        """Take what is new of ``records``, cutting where the batch, or the claim that it replays, ends.

        ``offsets`` and ``values`` are those of ``records``, ``heads`` are ``self.batch.heads(values)``.
        """
        if self.paused:
            return Delivery.full
        first = self._first_new(offsets)
        if first is None:
            return Delivery.out_of_sequence
        limit = self._limits.max_records
        stop = bisect_left(offsets, self._until)
        while first < len(offsets):
            repeat = self.repeat
            if repeat is None and first >= stop:
                self.at_end = True
                break
            if repeat is None and self.batch.records >= limit:
                if self.upload is not None:
                    return Delivery.full
                self.cut("records")
            if repeat is None:
                last, refuse = min(stop, first + limit - self.batch.records), None
            else:
                last, refuse = bisect_left(offsets, repeat.end), frozenset(item.offset for item in repeat.rejected)
            if first < last:
                part = slice(first, last)
                timestamp = records[last - 1].timestamp()[1]
                self.batch.add(offsets[part], values[part], heads and heads[part], timestamp, refuse)
                self._last_taken = offsets[last - 1]
            first = last
            if repeat is not None and (first < len(offsets) or self.batch.end >= repeat.end):
                self.cut(repeat.reason)
        return Delivery.taken

    def _first_new(self, offsets: Sequence[int]) -> int | None:
        """Index of the first of the delivered ``offsets`` to take; None if they do not follow the records taken before."""
        if self._expected is not None:
            index = bisect_left(offsets, self._expected)
            if index == len(offsets):
                return index
            if offsets[index] != self._expected:
                return None
            self._expected = None
        return bisect_left(offsets, self.batch.end)

    def reached_end(self) -> bool:
        """Note the end of the partition; False if the expected record was not delivered before it."""
        if self.paused:
            return True
        self.at_end = self._expected is None
        return self.at_end

    def due(self, now: float) -> CutReason | None:
        """Why to cut the open batch now, None if it is not due; with ``once`` also at the topic's end."""
        if not self.can_cut:
            return None
        if self.expired:
            return "retention"
        ended = self._until < math.inf and self.at_end
        return self.batch.limit(self._limits, now) or ("end" if ended else None)

    @property
    def full(self) -> bool:
        """Whether the open batch has its size while the one before it is still being stored."""
        large = self.batch.bytes >= self._limits.max_bytes or self.batch.records >= self._limits.max_records
        return self.upload is not None and large

    def cut(self, reason: CutReason) -> None:
        """Begin to store the open batch, and open the next."""
        self._upload_bytes = self.batch.bytes
        self.upload = self._submit(self.batch, self.start, reason, self.repeat)
        self._open(self.batch.end if self.repeat is None else self.repeat.end)

    def collect(self) -> CommittedBatch | Superseded | None:
        """The outcome of the batch that was being stored, once; None if there is none yet. Raises what storing it raised."""
        if self.upload is None or not self.upload.done():
            return None
        upload, self.upload, self._upload_bytes = self.upload, None, 0
        return upload.result()
