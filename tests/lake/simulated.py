"""One simulated partition and writers on it that run step by step: the real recovery, reading, batches, claims and uploads.

A writer is a thread that waits for an order before every request to the store and every decision of its own. So a test decides
the schedule, and may kill a writer at any step, lose the answer of a request, or let one arrive long after it was given up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple

from obstore.store import MemoryStore

from stockctl.clients.kafka import Committed, Offsets, Partition, TopicInfo
from stockctl.clients.object_store import ObjectInfo, Store
from stockctl.errors import StockctlError, UnreachableError
from stockctl.lake.format.claims import Claim, CutReason, Rejected, Start
from stockctl.lake.format.keys import Layout
from stockctl.lake.writer.batch import OpenBatch
from stockctl.lake.writer.batch_committer import CommittedBatch, Committer, Superseded, TopicChangedError
from stockctl.lake.writer.partition_writer import Delivery, PartitionWriter
from stockctl.lake.writer.recovery import BrokerState, Recovery, commit_metadata
from stockctl.records import Trade, encode
from stockctl.settings import Settings

NAME = "trades"
PARTITION = Partition(NAME, 0)
NOON = 1_700_000_000_000

Order = Literal["go", "lose the answer", "time out", "read", "cut", "store", "crash"]


class Record(NamedTuple):
    """One record as a consumer delivers it; ``row`` is its id, None where it is no row of the table."""

    place: int
    row: str | None
    content: bytes

    def offset(self) -> int:
        return self.place

    def value(self) -> bytes:
        return self.content

    def timestamp(self) -> tuple[int, int]:
        return 1, NOON


class SimulatedTopic:
    """One partition of one topic, and one group's committed offset of it."""

    def __init__(self) -> None:
        self.name = NAME
        self.identity = 1
        self.nameless = False
        """Whether the broker gives no topic ids."""
        self.start = self.end = 0
        self.records: list[Record] = []
        self.committed = Committed(-1, "")
        self.commits: list[Committed] = []
        """Everything that writers ever tried to commit, accepted or not."""
        self.owner: SimulatedWriter | None = None
        self.dead_letters: set[tuple[int, int]] = set()
        """Identity of the topic and offset of each record that was sent to the dead letters."""
        self.dead_letter_reasons: list[str] = []
        self._made = 0

    @property
    def info(self) -> TopicInfo:
        return TopicInfo(self.name, "" if self.nameless else f"topic-{self.identity}", 1, 1, None)

    @property
    def offsets(self) -> Offsets:
        return Offsets(self.start, self.end)

    def produce(self, symbols: Sequence[str], *, gap: int = 0) -> list[Record]:
        """Append a record of each of ``symbols``, garbage for an empty one, and ``gap`` offsets that hold none."""
        made = []
        for symbol in symbols:
            self._made += 1
            trade = Trade(f"{symbol}-{self._made}", symbol, 1.0, 1.0, NOON, NOON, "", "v", "sim")
            content = encode(trade) if symbol else b"garbage %d" % self._made
            made.append(Record(self.end, trade.id if symbol else None, content))
            self.end += 1
        self.records += made
        self.end += gap
        return made

    def retain(self, offset: int) -> None:
        """Forget what is before ``offset``."""
        self.start = max(self.start, min(offset, self.end))
        self.records = [record for record in self.records if record.place >= self.start]

    def truncate(self, offset: int) -> list[Record]:
        """Cut the log short at ``offset``; the records that were cut off."""
        self.end = max(self.start, min(offset, self.end))
        kept = [record for record in self.records if record.place < self.end]
        gone, self.records = self.records[len(kept) :], kept
        return gone

    def remake(self) -> None:
        """Delete the topic and recreate it."""
        self.records, self.identity = [], self.identity + 1
        self.start = self.end = 0

    def read(self, offset: int, count: int) -> list[Record]:
        return [record for record in self.records if record.place >= offset][:count]

    # What the real parts ask of the broker

    def topic(self, _name: str) -> TopicInfo:
        return self.info

    def records_of(self, since: int, until: int | None) -> Iterator[Record]:
        if since < self.start:
            return
        yield from [record for record in self.records if since <= record.place and (until is None or record.place < until)]

    def send_rejected(self, _topic: str, _partition: int, rejected: Sequence[tuple[Rejected, bytes]]) -> None:
        self.dead_letters.update((self.identity, item.offset) for item, _ in rejected)
        self.dead_letter_reasons += [item.reason for item, _ in rejected]


class GatedProbe:
    """The topic as one writer's probe sees it."""

    def __init__(self, topic: SimulatedTopic, gate: Callable[[str], Order]) -> None:
        self._topic, self._gate = topic, gate

    def first(self, _partition: Partition, offset: int) -> Record | None:
        self._gate(f"look at offset {offset}")
        return next(self._topic.records_of(offset, None), None)

    def records(self, _partition: Partition, since: int, until: int | None) -> Iterator[Record]:
        self._gate(f"read from {since}")
        yield from self._topic.records_of(since, until)


class Crash(BaseException):
    """The writer's end."""


class GatedStore(Store):
    """The shared store as one writer sees it: each request waits for an order."""

    def __init__(self, backend: Any, gate: Callable[[str], Order], late: list[Callable[[], None]]) -> None:
        super().__init__(backend, "memory:///lake")
        self._gate, self._late = gate, late

    def put_new(self, key: str, data: bytes) -> None:
        order = self._gate(f"put {key}")
        if order == "time out":
            self._late.append(lambda: Store(self._backend, self.url).put_new(key, data))
            raise UnreachableError(f"no answer to the put of {key}")
        super().put_new(key, data)
        if order == "lose the answer":
            raise UnreachableError(f"the answer to the put of {key} was lost")

    def get(self, key: str) -> bytes:
        self._gate(f"get {key}")
        return super().get(key)

    def exists(self, key: str) -> bool:
        self._gate(f"look at {key}")
        return super().exists(key)

    def objects(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        self._gate(f"list {prefix}")
        return super().objects(prefix, after=after)


class SimulatedWriter:
    """A writer of the partition; ``step`` gives its next order, ``at`` says what it waits to do."""

    def __init__(
        self,
        topic: SimulatedTopic,
        backend: MemoryStore,
        settings: Settings,
        late: list[Callable[[], None]],
        *,
        accept_loss: bool,
    ) -> None:
        self._topic, self._settings = topic, settings
        self._layout = Layout("trades", settings.lake.timezone, "ticker", settings.lake.compression)
        store = GatedStore(backend, self._gate, late)
        # The topic and its probe stand in for the classes named: they answer only what is asked here.
        self._recovery = Recovery(store, GatedProbe(topic, self._gate), topic, writer="simulated", accept_loss=accept_loss)  # type: ignore[arg-type]
        self._uploads = Committer(store, settings, topic, topic, writer="simulated", pause=0)  # type: ignore[arg-type]
        self._turn, self._reached = threading.Semaphore(0), threading.Semaphore(0)
        self._order: Order = "go"
        self._count = 0
        self._pending: tuple[Callable[[], CommittedBatch | Superseded], Future[CommittedBatch | Superseded]] | None = None
        self.at = ""
        self.reads_to = 0
        self.error: StockctlError | None = None
        self.ended = False
        self.must_replan = False
        """Whether it has noticed a pause, and must plan the partition again before it continues."""
        topic.owner = self
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._reached.acquire()

    # The test's side

    def step(self, order: Order, count: int = 0) -> None:
        """Let it go on with ``order`` until it waits for the next one, or has ended."""
        self._order, self._count = order, count
        self._turn.release()
        self._reached.acquire()
        if self.ended:
            self._thread.join()
            self._uploads.close()

    def crash(self) -> None:
        """End it where it is."""
        while not self.ended:
            self.step("crash")

    @property
    def deciding(self) -> bool:
        """Whether it waits for ``read``, ``cut`` or ``store``, not for an answer of the store."""
        return self.at == "decide"

    @property
    def storing(self) -> bool:
        """Whether it has a batch to store."""
        return self._pending is not None

    # The writer's side

    def _gate(self, what: str) -> Order:
        self.at = what
        self._crash_if_ordered()
        self._reached.release()
        self._turn.acquire()
        self._crash_if_ordered()
        return self._order

    def _crash_if_ordered(self) -> None:
        if self._order == "crash":
            raise Crash

    def _run(self) -> None:
        try:
            self._gate("begin")
            self._replan()
            while True:
                self._decide(self._gate("decide"))
        except Crash:
            pass
        except StockctlError as error:
            self.error = error
        finally:
            self.ended = True
            self._reached.release()

    def _replan(self) -> None:
        while True:
            committed = self._topic.committed
            try:
                plan = self._recovery.plan("trades", 0, self._ask, committed)
                break
            except UnreachableError:
                continue
        self.must_replan, self._pending = False, None
        self._writer = PartitionWriter(PARTITION, plan, self._layout, self._settings.lake, self._submit)
        self.reads_to = self._writer.read_from

    def _ask(self) -> BrokerState:
        self._gate("ask for the topic")
        info = self._topic.info
        self._gate("ask for the offsets")
        return BrokerState("cluster", info, self._topic.offsets)

    def _submit(
        self, batch: OpenBatch, start: Start, reason: CutReason, repeat: Claim | None
    ) -> Future[CommittedBatch | Superseded]:
        future: Future[CommittedBatch | Superseded] = Future()
        self._pending = (lambda: self._uploads.store(batch, start, reason, repeat)), future
        return future

    def _decide(self, order: Order) -> None:
        writer = self._writer
        if order == "store" and self._pending is not None:
            self._store()
        elif self.must_replan:
            self._replan()
        elif order == "cut" and writer.can_cut:
            writer.cut("age")
        elif order == "read":
            self._read(self._count)

    def _read(self, count: int) -> None:
        writer = self._writer
        if writer.expired or not self._topic.start <= self.reads_to <= self._topic.end:
            writer.expired = True
            reason = writer.due(0)
            if reason is not None:
                writer.cut(reason)
            elif writer.upload is None:
                self._replan()
            return
        records = self._topic.read(self.reads_to, count)
        if not records:
            if not writer.reached_end():
                self._replan()
            return
        values = [record.content for record in records]
        delivery = writer.append(records, [record.place for record in records], values, writer.batch.heads(values))
        if delivery is Delivery.out_of_sequence:
            self._replan()
        elif delivery is Delivery.full:
            writer.pause()
            self.reads_to = writer.resume()
        else:
            self.reads_to = records[-1].place + 1

    def _store(self) -> None:
        assert self._pending is not None
        store, future = self._pending
        self._pending = None
        try:
            future.set_result(store())
        except StockctlError as error:
            future.set_exception(error)
        try:
            outcome = self._writer.collect()
        except TopicChangedError:
            self._replan()
            return
        if isinstance(outcome, CommittedBatch):
            committed = Committed(outcome.claim.end, commit_metadata(outcome.claim))
            self._topic.commits.append(committed)
            if self._topic.owner is self:
                self._topic.committed = committed
        elif outcome is not None and outcome.claim.last is None:
            self._replan()
        elif outcome is not None:
            self._writer.replay_claim(outcome.claim)
            self.reads_to = self._writer.read_from

    @property
    def idle(self) -> bool:
        """Whether everything of the topic is stored."""
        return self.deciding and not self.must_replan and self._writer.at_end and self._writer.idle
