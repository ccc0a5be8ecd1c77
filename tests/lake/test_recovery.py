"""Where a writer goes on: the claim log held against what the topic still holds. Steps are chosen by hand (``simulated``)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from obstore.store import MemoryStore

from stockctl.clients.kafka import Committed
from stockctl.clients.object_store import Store
from stockctl.errors import StockctlError
from stockctl.lake.format.claims import Claim, newest_claim, newest_start, read_claim
from stockctl.lake.format.keys import parse_claim
from stockctl.lake.maintenance.verify import verify
from stockctl.lake.writer.batch import decompress
from stockctl.settings import load_settings
from tests.command import clean_environment
from tests.lake.simulated import Order, SimulatedTopic, SimulatedWriter


class Lake:
    """A lake of one simulated partition, and writers that run as far as a test lets them."""

    def __init__(self) -> None:
        self.topic, self.backend = SimulatedTopic(), MemoryStore()
        self.store = Store(self.backend, "memory:///lake")
        self.late: list[Callable[[], None]] = []

    def writer(self, *, accept_loss: bool = False, limit: int = 100) -> SimulatedWriter:
        flags = {"lake.max_records": str(limit), "lake.uploads": "1"}
        settings = load_settings(environ=clean_environment(), flags=flags)
        return SimulatedWriter(self.topic, self.backend, settings, self.late, accept_loss=accept_loss)

    def run(self, *, accept_loss: bool = False, limit: int = 100) -> StockctlError | None:
        """Run a writer until all is stored, or it fails; its error."""
        writer = self.writer(accept_loss=accept_loss, limit=limit)
        for turn in range(1000):
            if writer.ended or writer.idle:
                break
            writer.step(("read", "store", "cut")[turn % 3] if writer.deciding else "go", 1000)
        assert writer.ended or writer.idle, writer.at
        writer.crash()
        return writer.error

    def rows(self) -> list[str]:
        """Ids of all rows in the lake, sorted by the order in which they were produced."""
        found = []
        for item in self.store.objects("trades"):
            found += [json.loads(line)["id"] for line in decompress(self.store.get(item.key), item.key).splitlines()]
        return sorted(found, key=lambda name: int(name.rpartition("-")[2]))

    def claims(self) -> list[Claim]:
        return [read_claim(self.store, item.key) for item in self.store.objects("_log/trades") if parse_claim(item.key)]

    def newest(self) -> Claim:
        start = newest_start(self.store, "trades", 0)
        assert start is not None
        claim = newest_claim(self.store, start)
        assert claim is not None
        return claim

    def sound(self) -> bool:
        """Whether verify finds nothing wrong."""
        return not [finding for finding in verify(self.store, deep=True).issues if finding.wrong]


@pytest.fixture
def lake() -> Lake:
    return Lake()


def until(writer: SimulatedWriter, what: str, order: Order = "store") -> None:
    """Let ``writer`` go on until it waits to do ``what``."""
    for _ in range(100):
        if writer.at.startswith(what):
            return
        writer.step(order if writer.deciding else "go", 1000)
    pytest.fail(f"it waits to {writer.at}")


def die_behind_the_claim(lake: Lake, records: int) -> None:
    """A writer claims a batch of ``records`` and puts nothing of it."""
    writer = lake.writer()
    until(writer, "decide")
    writer.step("read", records)
    writer.step("cut")
    until(writer, "put trades/")
    writer.crash()


def test_a_group_that_remembers_another_lake_does_not_disturb_a_new_one(lake: Lake) -> None:
    """The committed offset names a claim that this lake has never had: it is begun from the topic's first record."""
    lake.topic.produce(["A"] * 5)
    lake.run()
    other = Lake()
    other.topic = lake.topic
    assert other.run() is None
    assert other.rows() == lake.rows()


def test_a_claim_of_the_same_key_in_another_lake_proves_nothing(lake: Lake) -> None:
    """Two lakes of one topic have a claim of the same key and end; that the one is finished says nothing of the other."""
    lake.topic.produce(["A", "B"])
    lake.run()
    finished = lake.topic.committed
    other = Lake()
    other.topic = lake.topic
    other.topic.committed = Committed(-1, "")
    die_behind_the_claim(other, 2)
    assert other.rows() == []
    other.topic.committed = finished
    assert other.run() is None
    assert other.rows() == lake.rows()


def test_what_a_dead_writer_refused_reaches_the_dead_letters(lake: Lake) -> None:
    """It died between its claim and the dead letters: the writer that replays the claim sends them."""
    lake.topic.produce(["A", "", "A"])
    die_behind_the_claim(lake, 3)
    assert lake.topic.dead_letters == set()
    assert lake.run() is None
    assert lake.topic.dead_letters == {(1, 1)}
    assert len(lake.rows()) == 2


def test_what_another_writer_claims_during_the_look_is_no_log_cut_short(lake: Lake) -> None:
    """The log grows, and a zombie claims what came, between a writer's questions: its answers are of different moments."""
    lake.topic.produce(["A"] * 4)
    zombie = lake.writer()
    until(zombie, "decide")
    lake.run()
    late = lake.writer()
    until(late, "get _log/trades/g1/000/start.json")
    lake.topic.produce(["A"] * 4)
    lake.run()
    for _ in range(50):
        late.step("read" if late.deciding else "go", 1000)
    late.crash()
    zombie.crash()
    assert {claim.generation for claim in lake.claims()} == {1}
    assert len(lake.rows()) == 8


def test_a_log_cut_within_a_claim_that_retention_has_begun_to_forget(lake: Lake) -> None:
    """The lines of an object show where the logs differ, also when its first records are gone from the topic."""
    lake.topic.produce(["A", "B"] * 5)
    lake.run()
    lake.topic.retain(3)
    lake.topic.truncate(7)
    lake.topic.produce(["A"] * 6)
    assert lake.run() is None
    assert lake.newest().generation == 2
    assert lake.newest().start == 7
    assert len(lake.rows()) == 16
    assert lake.sound()


def test_a_log_cut_twice_the_second_time_deeper(lake: Lake) -> None:
    """The second cut reaches below the generation that the first one opened."""
    lake.topic.produce(["A"] * 10)
    lake.run(limit=4)
    lake.topic.truncate(6)
    lake.topic.produce(["A"] * 6)
    lake.run(limit=4)
    lake.topic.truncate(3)
    lake.topic.produce(["A"] * 20)
    assert lake.run() is None
    assert [claim.opens.start for claim in lake.claims() if claim.opens] == [6, 3]
    assert len(lake.rows()) == 36
    assert lake.sound()


def test_a_log_cut_again_before_the_new_generation_has_a_claim(lake: Lake) -> None:
    """A generation without claims is held against the one before it."""
    lake.topic.produce(["A"] * 10)
    lake.run()
    lake.topic.truncate(6)
    lake.topic.produce(["A"])
    writer = lake.writer()
    until(writer, "decide", "read")
    writer.crash()
    lake.topic.truncate(2)
    lake.topic.produce(["A"] * 10)
    assert lake.run() is None
    assert [claim.opens.start for claim in lake.claims() if claim.opens] == [6, 2]
    assert len(lake.rows()) == 20
    assert lake.sound()


def test_a_log_cut_to_nothing_that_retention_left_behind(lake: Lake) -> None:
    """Nothing is left to compare: the partition goes on at what the topic begins with, and the lake says what it can't know."""
    lake.topic.produce(["A"] * 10)
    lake.run()
    lake.topic.retain(5)
    lake.topic.truncate(5)
    lake.topic.produce(["A"] * 3)
    assert lake.run() is None
    assert len(lake.rows()) == 13
    assert lake.sound()
    assert "that no writer ever read" in next(finding.message for finding in verify(lake.store).issues)


def test_a_generation_is_opened_by_agreement(lake: Lake) -> None:
    """One writer sees a cut log, another no longer can: the first to claim decides, and a late request changes nothing."""
    lake.topic.produce(["A"] * 5)
    lake.run()
    lake.topic.truncate(2)
    lake.topic.produce(["A"] * 5)
    slow = lake.writer()
    until(slow, "put _log/trades/g1/000/0")
    lake.topic.retain(7)
    lake.topic.produce(["A"] * 5)
    lake.run(accept_loss=True)
    held = lake.rows()
    for _ in range(50):
        slow.step("go")
    slow.crash()
    lake.run(accept_loss=True)
    assert lake.rows() == held
    assert len(held) == len(set(held)) == 10


def test_a_writer_that_saw_the_topic_before_it_was_recreated_opens_nothing(lake: Lake) -> None:
    """Another began the lake on the new topic meanwhile: what the slow one knows is older."""
    slow = lake.writer()
    until(slow, "ask for the offsets")
    lake.topic.remake()
    lake.topic.produce(["A"] * 5)
    lake.run()
    for _ in range(50):
        slow.step("read" if slow.deciding else "go", 5)
    slow.crash()
    lake.run()
    assert {claim.generation for claim in lake.claims()} == {1}
    assert len(lake.rows()) == 5


def test_a_batch_with_records_of_two_topics_is_not_claimed(lake: Lake) -> None:
    """Recreated, the topic reaches the reader's offset before the reader knows: what it read then would come twice."""
    lake.topic.produce(["A"] * 2)
    lake.run()
    slow = lake.writer()
    until(slow, "decide")
    lake.topic.produce(["A"] * 5)
    slow.step("read", 5)
    lake.topic.remake()
    lake.topic.produce(["A"] * 10)
    slow.step("read", 5)
    slow.step("cut")
    while slow.storing or not slow.deciding:
        slow.step("store" if slow.deciding else "go")
    slow.crash()
    lake.run()
    assert [(claim.generation, claim.rows) for claim in lake.claims()] == [(1, 2), (1, 0), (2, 10)]
    assert len(set(lake.rows())) == len(lake.rows())
    assert lake.sound()


def test_what_retention_deleted_of_a_new_topic_before_the_first_writer_is_recorded(lake: Lake) -> None:
    """Its amount is unknown: the generation's start records that permanently."""
    lake.topic.produce(["A"] * 5)
    lake.run()
    lake.topic.remake()
    lake.topic.produce(["A"] * 5)
    lake.topic.retain(3)
    assert lake.run() is None
    start = newest_start(lake.store, "trades", 0)
    assert start is not None
    assert (start.reason, start.start, start.blind) == ("new topic", 3, True)
    assert "that no writer ever read" in str(start)


@pytest.mark.parametrize("data", [b"damaged", b'{"format":99}'])
def test_a_claim_that_cannot_be_read_ends_the_writer(lake: Lake, data: bytes) -> None:
    """It stands where the writer's own would go, and will be no other however often it is asked for."""
    lake.topic.produce(["A"] * 5)
    writer = lake.writer()
    until(writer, "decide")
    writer.step("read", 1000)
    key = "_log/trades/g1/000/00000000000000000000.json"
    writer.step("cut")
    until(writer, f"put {key}")
    lake.store.put_new(key, data)
    for _ in range(50):
        if not writer.ended:
            writer.step("store" if writer.deciding else "go", 1000)
    assert key in str(writer.error)


def test_a_generation_that_was_agreed_on_is_opened_by_the_next_writer(lake: Lake) -> None:
    """Its opener died between the closing claim and the start."""
    lake.topic.produce(["A"] * 5)
    lake.run()
    lake.topic.remake()
    lake.topic.produce(["A"] * 5)
    writer = lake.writer()
    until(writer, "put _log/trades/g2")
    writer.crash()
    assert lake.run() is None
    assert len(lake.rows()) == 10
    assert lake.sound()


def test_retention_that_took_only_gaps_takes_nothing_from_a_claim(lake: Lake) -> None:
    """A claim whose first record still stands can be repeated, though the offsets before it are gone."""
    lake.topic.produce(["A"] * 3, gap=4)
    lake.run()
    lake.topic.produce(["A", "B"])
    writer = lake.writer()
    until(writer, "decide")
    writer.step("read", 1)
    writer.step("read", 5)
    writer.step("cut")
    until(writer, "put trades/")
    writer.crash()
    lake.topic.retain(6)
    assert lake.run() is None
    assert len(lake.rows()) == 5
    assert lake.sound()


def test_an_open_batch_is_stored_before_its_partition_is_planned_again(lake: Lake) -> None:
    """Retention passes the position of a writer that has read, and not stored yet: only what it had not read is lost."""
    lake.topic.produce(["A"] * 5)
    writer = lake.writer(accept_loss=True)
    until(writer, "decide")
    writer.step("read", 5)
    lake.topic.produce(["A"] * 5)
    lake.topic.retain(8)
    for turn in range(50):
        writer.step(("read", "store")[turn % 2] if writer.deciding else "go", 5)
    writer.crash()
    lake.run(accept_loss=True)
    assert len(lake.rows()) == 7
    assert [(claim.start, claim.end) for claim in lake.claims() if claim.reason == "lost"] == [(5, 8)]


def test_another_topic_of_a_broker_without_topic_ids(lake: Lake) -> None:
    """A topic that is read under another name is another topic."""
    lake.topic.nameless = True
    lake.topic.produce(["A"] * 5)
    lake.run()
    lake.topic.name = "trades-of-today"
    lake.topic.remake()
    lake.topic.produce(["A"] * 7)
    assert lake.run() is None
    assert len(lake.rows()) == 12
    assert lake.sound()
