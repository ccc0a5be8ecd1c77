"""The protocol under any schedule: many writers, crashes anywhere, zombies, retention, gaps, cut logs, new topics.

Hypothesis chooses the schedule; recovery, reading, batches, claims and uploads are the real ones (``simulated``).
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from obstore.store import MemoryStore

from stockctl.clients.kafka import Committed
from stockctl.clients.object_store import ExistsError, Store
from stockctl.lake.format.claims import Claim, Start, read_claim, read_lost
from stockctl.lake.format.keys import parse_claim
from stockctl.lake.maintenance.verify import verify
from stockctl.lake.writer.batch import decompress
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.conftest import examples
from tests.lake.simulated import Order, Record, SimulatedTopic, SimulatedWriter

SYMBOLS = st.lists(st.sampled_from(["A", "B", "C", ""]), min_size=1, max_size=8)


def settings_of(limit: int, compression: str, zone: str) -> Settings:
    flags = {"lake.max_records": str(limit), "lake.compression": compression, "lake.timezone": zone, "lake.uploads": "1"}
    return load_settings(environ=clean_environment(), flags=flags)


CONFIGURATIONS = [
    settings_of(4, "gzip", "America/New_York"),
    settings_of(9, "zstd", "Pacific/Kiritimati"),
    settings_of(1000, "gzip", "UTC"),
]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Without the log lines of thousands of intended crashes; afterwards logging is as before."""
    caplog.set_level(logging.ERROR, "stockctl.lake")


class Protocol(RuleBasedStateMachine):
    """One partition, its lake, and up to five writers at a time; the newest owns the partition, the others don't know."""

    def __init__(self) -> None:
        super().__init__()
        self.backend = MemoryStore()
        self.store = Store(self.backend, "memory:///lake")
        self.topic = SimulatedTopic()
        self.late: list[Callable[[], None]] = []
        self.writers: list[SimulatedWriter] = []
        self.made: dict[str, tuple[int, Record]] = {}
        """Every row by its id: the topic that it was in, and the record."""
        self.refused: set[tuple[int, Record]] = set()
        """Every record that is no row, with the topic that it was in."""
        self.destroyed: set[str] = set()
        """Rows of truncated logs and of deleted topics."""
        self.once = 0
        """The end of the topic before it was truncated: other records get the offsets below."""
        self.again: set[tuple[int, Record]] = set()
        """Every record that has the offset of one that was cut off."""
        self.left: dict[int, int] = {}
        """Where each deleted topic began in the end."""

    # The world

    @rule(symbols=SYMBOLS, gap=st.integers(0, 3))
    def produce(self, symbols: list[str], gap: int = 0) -> None:
        for record in self.topic.produce(symbols, gap=gap):
            if record.place < self.once:
                self.again.add((self.topic.identity, record))
            if record.row is not None:
                self.made[record.row] = (self.topic.identity, record)
            else:
                self.refused.add((self.topic.identity, record))

    @rule(where=st.floats(0, 1))
    def retain(self, where: float) -> None:
        self.topic.retain(self.topic.start + round(where * (self.topic.end - self.topic.start)))

    @rule(where=st.floats(0, 1), grown=SYMBOLS)
    def truncate(self, where: float, grown: list[str]) -> None:
        """The log is truncated while no broker answers, and may have grown again when one does."""
        self.once = max(self.once, self.topic.end)
        gone = self.topic.truncate(self.topic.start + round(where * (self.topic.end - self.topic.start)))
        self.destroyed |= {record.row for record in gone if record.row}
        self.refused -= {(self.topic.identity, record) for record in gone}
        for writer in self.writers:
            writer.must_replan = True
        self.produce(grown)

    @rule()
    def remake(self) -> None:
        self.destroyed |= {row for row, (identity, _) in self.made.items() if identity == self.topic.identity}
        self.refused = {(identity, record) for identity, record in self.refused if identity != self.topic.identity}
        self.left[self.topic.identity] = self.topic.start
        self.topic.remake()
        self.once = 0

    @rule(offset=st.integers(-1, 60))
    def move_committed(self, offset: int) -> None:
        self.topic.committed = Committed(offset, "")

    @precondition(lambda self: self.topic.commits)
    @rule(which=st.integers(0, 20))
    def restore_committed(self, which: int) -> None:
        """The group's offsets come back from an old copy, or from a writer that had lost the partition."""
        self.topic.committed = self.topic.commits[which % len(self.topic.commits)]

    @precondition(lambda self: self.late)
    @rule(which=st.integers(0, 20))
    def arrive(self, which: int) -> None:
        """A request that was given up long ago reaches the store."""
        put = self.late.pop(which % len(self.late))
        try:
            put()
        except ExistsError:
            return

    # The writers

    @precondition(lambda self: len(self.writers) < 5)
    @rule(configuration=st.integers(0, len(CONFIGURATIONS) - 1), accept_loss=st.booleans())
    def begin(self, configuration: int, accept_loss: bool) -> None:
        held = CONFIGURATIONS[configuration]
        self.writers.append(SimulatedWriter(self.topic, self.backend, held, self.late, accept_loss=accept_loss))

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 20))
    def crash(self, which: int) -> None:
        self.writers.pop(which % len(self.writers)).crash()

    @precondition(lambda self: self.writers)
    @rule(
        which=st.integers(0, 20),
        order=st.sampled_from(["read", "cut", "store"]),
        count=st.integers(1, 9),
        steps=st.integers(1, 12),
    )
    def go_on(self, which: int, order: Order, count: int, steps: int) -> None:
        writer = self.writers[which % len(self.writers)]
        for _ in range(steps):
            self.step(writer, order if writer.deciding else "go", count)

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 20), order=st.sampled_from(["lose the answer", "time out"]))
    def fail(self, which: int, order: Order) -> None:
        """The next put is stored and its answer lost, or it is given up and arrives later or never."""
        writer = self.writers[which % len(self.writers)]
        for _ in range(8):
            if writer.ended or writer.at.startswith("put "):
                break
            self.step(writer, "store" if writer.deciding else "go", 0)
        self.step(writer, order if not writer.deciding else "read", 1)

    def step(self, writer: SimulatedWriter, order: Order, count: int) -> None:
        if not writer.ended:
            writer.step(order, count)
        if writer.ended and writer in self.writers:
            self.writers.remove(writer)

    # The end

    def teardown(self) -> None:
        try:
            for writer in list(self.writers):
                writer.crash()
            self.finish()
            while self.late:
                self.arrive(0)
            self.finish()
            self.prove()
        finally:
            for writer in list(self.writers):
                writer.crash()

    def finish(self) -> None:
        """An undisturbed writer stores the rest; after an error it is started again."""
        errors: list[str] = []
        while True:
            self.begin(0, accept_loss=True)
            writer = self.writers[-1]
            for turn in range(2000):
                if writer.ended or writer.idle:
                    break
                self.step(writer, ("read", "store", "cut")[turn % 3] if writer.deciding else "go", 5)
            assert writer.ended or writer.idle, f"it waits to {writer.at}"
            if not writer.ended:
                self.writers.remove(writer)
                writer.crash()
                return
            errors.append(str(writer.error))
            assert len(errors) < 3, errors

    def claims(self) -> list[Claim]:
        return [read_claim(self.store, item.key) for item in self.store.objects("_log/trades") if parse_claim(item.key)]

    def starts(self) -> list[Start]:
        keys = [item.key for item in self.store.objects("_log/trades") if item.key.endswith("start.json")]
        return [msgspec.json.decode(self.store.get(key), type=Start) for key in keys]

    def prove(self) -> None:
        held: Counter[str] = Counter()
        for item in self.store.objects("trades"):
            held.update(json.loads(line)["id"] for line in decompress(self.store.get(item.key), item.key).splitlines())
        assert not [name for name, times in held.items() if times > 1], "lost or duplicated: duplicate"
        assert not held.keys() - self.made.keys(), "lost or duplicated: strange"
        missing = self.made.keys() - held.keys() - self.destroyed
        unaccounted = [name for name in missing if not self.given_up(*self.made[name])]
        assert not unaccounted, f"lost or duplicated: lost: {unaccounted}"
        unsent = [
            (identity, record)
            for identity, record in self.refused
            if (identity, record.place) not in self.topic.dead_letters and not self.given_up(identity, record)
        ]
        assert not unsent, f"lost or duplicated: no dead letters of {unsent}"
        report = verify(self.store, deep=True)
        wrong = [finding for finding in report.issues if finding.wrong and finding.kind != "lost"]
        assert not wrong, wrong

    def given_up(self, identity: int, record: Record) -> bool:
        """Whether the log reports the record as lost, or begins after it."""
        starts = [start for start in self.starts() if start.topic_id == f"topic-{identity}"]
        if all(record.place < start.start for start in starts) or any(
            record.place < start.start for start in starts if start.blind
        ):
            return True
        for claim in self.claims():
            if claim.topic_id == f"topic-{identity}" and claim.start <= record.place < claim.end:
                if claim.reason == "lost":
                    return True
                lost = read_lost(self.store, claim)
                if any(item.key in lost and item.first_offset <= record.place <= item.last_offset for item in claim.objects):
                    return True
        return self.never_seen(identity, record)

    def never_seen(self, identity: int, record: Record) -> bool:
        """Whether retention took the record, and all others of a log that had grown again over what was claimed.

        Then nothing is left that differs from the claims: nobody can know.
        """
        over = [claim.end for claim in self.claims() if claim.topic_id == f"topic-{identity}" and claim.end > record.place]
        start = self.topic.start if identity == self.topic.identity else self.left[identity]
        return (identity, record) in self.again and start >= min(over, default=start + 1)


def test_a_rejected_record_that_kafka_forgot_before_its_dead_letter_was_sent_has_one_without_its_value() -> None:
    state = Protocol()
    state.produce([""])
    state.begin(configuration=0, accept_loss=False)
    for order in ("read", "cut"):
        state.go_on(which=0, order=order, count=1, steps=12)  # it waits to store the batch
    state.fail(which=0, order="lose the answer")  # of the claim
    state.crash(which=0)
    assert [len(claim.rejected) for claim in state.claims()] == [1]
    assert state.topic.dead_letters == set()
    state.retain(where=1.0)
    state.begin(configuration=0, accept_loss=False)
    state.go_on(which=0, order="read", count=1, steps=12)
    (reason,) = state.topic.dead_letter_reasons
    assert "without its value" in reason
    state.teardown()


def test_a_log_that_grew_again_and_was_emptied_before_a_writer_looked_leaves_no_trace() -> None:
    state = Protocol()
    state.begin(configuration=0, accept_loss=False)
    state.produce(["A"] * 5)
    state.go_on(which=0, order="read", count=1, steps=12)
    state.truncate(where=0.0, grown=["A", "A"])
    state.produce(["A", "A"])
    state.retain(where=1.0)
    state.go_on(which=0, order="store", count=1, steps=3)
    state.teardown()


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(
    max_examples=examples(1.5),
    stateful_step_count=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
