"""One partition as the writer holds it: the open batch, the claim it repeats if any, the upload under way if any."""

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
from stockctl.lake.writer.committer import CommittedBatch, Superseded
from stockctl.lake.writer.recovery import Plan
from stockctl.settings.model import LakeSettings

Submit = Callable[[OpenBatch, Start, CutReason, Claim | None], Future[CommittedBatch | Superseded]]
"""Begins to store a batch (``Uploads.store``)."""


class Delivery(Enum):
    """What became of delivered records."""

    taken = "all that was new has been taken"
    full = "the open batch is full and must wait for the one before it"
    astray = "they do not follow what was taken"


class PartitionWriter:
    """One assigned partition.

    Reading (re)starts at a record that is known to stand there, the last one already taken or the first of the claim to repeat,
    and takes nothing until it has been delivered: what the client still held from before the restart cannot slip in.
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
        # With ``once``, what comes in meanwhile is left to the next run: a topic that grows has an end too.
        self._until: float = plan.end if once else math.inf
        self.upload: Future[CommittedBatch | Superseded] | None = None
        self.uploading = 0
        """Bytes of the batch that is being stored."""
        self.stopped = False
        """Whether deliveries are ignored until ``resume_from``."""
        self.overtaken = False
        """Whether retention has passed the position: what is held is stored, then the partition is looked at anew."""
        self.at_end = False
        """Whether all that the topic held when the reading began has been taken."""
        self.repeat: Claim | None = None
        self._known = self._await = plan.before
        if plan.repeat is not None:
            self.follow(plan.repeat)
        else:
            self._open(plan.position)

    @property
    def table(self) -> Table:
        """The table that the partition's records belong to."""
        return self.layout.table

    @property
    def read_from(self) -> int:
        """The offset to read from."""
        return self.batch.end if self._await is None else self._await

    @property
    def held(self) -> int:
        """Bytes that the partition holds in memory."""
        return self.batch.bytes + self.uploading

    @property
    def idle(self) -> bool:
        """Whether nothing is left to store."""
        return self.upload is None and self.repeat is None and not self.batch.records

    def _open(self, at: int) -> None:
        self.repeat = None
        self.batch = OpenBatch(self.layout, self.start.generation, self.partition.number, at, self._sources)

    def follow(self, claim: Claim) -> None:
        """Drop what is held and begin to repeat ``claim``, cut by its own layout; reading must restart at ``read_from``."""
        self.repeat = claim
        self._until = max(self._until, claim.end)
        self.batch = OpenBatch(claim.layout, claim.generation, claim.partition, claim.start)
        self._await = claim.first_record
        self.stopped = self.at_end = False

    def stop(self) -> None:
        """Ignore deliveries until ``resume_from``."""
        self.stopped = True

    def resume_from(self) -> int:
        """Take deliveries again; the offset that reading must restart at."""
        self.stopped = False
        self._await = self._known
        return self.read_from

    def take(
        self, records: Sequence[Message], offsets: Sequence[int], values: Sequence[bytes | None], heads: Sequence[Any] | None
    ) -> Delivery:
        """Take what is new of ``records``, cutting where the batch, or the claim that is repeated, ends.

        ``offsets`` and ``values`` are those of ``records``, ``heads`` are ``self.batch.heads(values)``.
        """
        if self.stopped:
            return Delivery.full
        first = self._first_new(offsets)
        if first is None:
            return Delivery.astray
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
                self._known = offsets[last - 1]
            first = last
            if repeat is not None and (first < len(offsets) or self.batch.end >= repeat.end):
                self.cut(repeat.reason)
        return Delivery.taken

    def _first_new(self, offsets: Sequence[int]) -> int | None:
        """Index of the first of the delivered ``offsets`` to take; None when they do not follow what was taken."""
        if self._await is not None:
            index = bisect_left(offsets, self._await)
            if index == len(offsets):
                return index
            if offsets[index] != self._await:
                return None
            self._await = None
        return bisect_left(offsets, self.batch.end)

    def ended(self) -> bool:
        """Note that the partition has been read to its end; False when the awaited record never came."""
        if self.stopped:
            return True
        self.at_end = self._await is None
        return self.at_end

    def due(self, now: float) -> CutReason | None:
        """Why the open batch is to be cut now, None if it is not; with ``once`` also at the topic's end."""
        batch, limits = self.batch, self._limits
        if self.upload is not None or self.repeat is not None or not batch.records:
            return None
        if self.overtaken:
            return "retention"
        if batch.bytes >= limits.max_bytes:
            return "bytes"
        if batch.records >= limits.max_records:
            return "records"
        if batch.objects >= limits.max_objects:
            return "objects"
        if now - batch.opened >= limits.max_age:
            return "age"
        return "end" if self._until < math.inf and self.at_end else None

    @property
    def full(self) -> bool:
        """Whether the open batch has its size while the one before it is still being stored."""
        large = self.batch.bytes >= self._limits.max_bytes or self.batch.records >= self._limits.max_records
        return self.upload is not None and large

    def cut(self, reason: CutReason) -> None:
        """Begin to store the open batch, and open the next."""
        self.uploading = self.batch.bytes
        self.upload = self._submit(self.batch, self.start, reason, self.repeat)
        self._open(self.batch.end if self.repeat is None else self.repeat.end)

    def reap(self) -> CommittedBatch | Superseded | None:
        """What became of the upload, once; None while there is none or it runs. Raises what it raised."""
        if self.upload is None or not self.upload.done():
            return None
        upload, self.upload, self.uploading = self.upload, None, 0
        return upload.result()
