"""One partition as the writer holds it: the open batch, the claim it repeats if any, the upload under way if any."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import Future

from stockctl.clients.kafka import Partition
from stockctl.lake.batch import OpenBatch
from stockctl.lake.claims import Claim
from stockctl.lake.layout import Layout, Table
from stockctl.lake.recovery import Plan
from stockctl.lake.upload import Stored, Taken


class Reading:
    """One assigned partition.

    Reading (re)starts at a record that is known to stand there, the last one already taken or the first of the claim to repeat,
    and takes nothing until it has been delivered: what the client still held from before the restart cannot slip in.
    """

    def __init__(self, partition: Partition, plan: Plan, layout: Layout) -> None:
        self.partition, self.start, self.layout = partition, plan.start, layout
        self.upload: Future[Stored | Taken] | None = None
        self.uploading = 0
        """Bytes of the batch that is being stored."""
        self.stopped = False
        """Whether deliveries are ignored until ``resume_from``: the open batch is full and must wait for the one before it."""
        self.read_to_end = False
        self.repeat: Claim | None = None
        self._known = plan.before
        if plan.repeat is not None:
            self.follow(plan.repeat)
        else:
            self.open(plan.position)
            self._await = plan.before

    def open(self, at: int) -> None:
        """Begin a batch at ``at``, behind the records taken so far."""
        self.repeat = None
        self.batch = OpenBatch(self.layout, self.start.generation, self.partition.number, at)

    def follow(self, claim: Claim) -> None:
        """Begin to repeat ``claim``, cut by its own layout; reading restarts at its first record."""
        self.repeat = claim
        self.batch = OpenBatch(claim.layout, claim.generation, claim.partition, claim.start)
        self._await = min([item.first_offset for item in claim.objects] + [item.offset for item in claim.rejected])
        self.stopped = self.read_to_end = False

    def resume_from(self) -> int:
        """Take deliveries again; the offset that reading must restart at."""
        self.stopped = False
        self._await = self._known
        return self.read_from

    def stop(self) -> None:
        """Ignore deliveries until ``resume_from``."""
        self.stopped, self.read_to_end = True, False

    @property
    def read_from(self) -> int:
        """The offset to read from."""
        return self.batch.end if self._await is None else self._await

    def first_new(self, offsets: Sequence[int]) -> int | None:
        """Index of the first of the delivered ``offsets`` to take; None when they do not follow what was taken."""
        if self._await is not None:
            index = bisect_left(offsets, self._await)
            if index == len(offsets):
                return index
            if offsets[index] != self._await:
                return None
            self._await = None
        return bisect_left(offsets, self.batch.end)

    def took(self, offset: int) -> None:
        """Note the last record taken."""
        self._known = offset

    @property
    def table(self) -> Table:
        """The table that the partition's records belong to."""
        return self.layout.table
