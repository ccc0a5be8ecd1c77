"""What Kafka may do to a writer while the broker is up: offsets moved, records deleted, topics recreated, transactions."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import Producer as TransactionalProducer
from confluent_kafka.admin import AdminClient

from stockctl.clients.kafka import Partition
from tests.conftest import wait_for
from tests.faults.conftest import MakeRig
from tests.faults.proxy import CLAIM, OBJECT, Proxy
from tests.faults.rig import Rig, Writer
from tests.servers import Kafka


@pytest.fixture
def single(kafka: Kafka, rig_on: MakeRig) -> Rig:
    """A rig with one partition whose writers put one object after the other."""
    rig = rig_on(kafka.servers, partitions=1, **{"lake.uploads": "1"})
    rig.make_topics()
    return rig


# The group's offsets


def test_offsets_deleted_or_moved_by_hand(single: Rig) -> None:
    """The claim log decides where to go on."""
    single.produce(250)
    single.finish()
    admin = AdminClient({"bootstrap.servers": single.settings.kafka.bootstrap_servers})
    admin.delete_consumer_groups([single.settings.lake.group])[single.settings.lake.group].result(30)
    single.inject("the group's offsets deleted")
    for moved, offset in (("back", 3), ("forward", 10_000), ("into the middle", 120)):
        single.produce(150)
        single.finish()
        single.commit(0, offset)
        single.inject(f"the committed offset set {moved}")
    single.produce(50)
    single.finish()
    single.check()


# Retention


def unfinished(rig: Rig, proxy: Proxy) -> list[str]:
    """Leave a claim with one of its six objects there; ids of the rows in the others."""
    rule = proxy.rule("PUT", OBJECT, "hold", nth=2)
    rig.produce(100)
    writer = rig.writer()
    rule.reached()
    wait_for(lambda: len(rig.objects()) == 1, "the first object")
    rig.kill(writer, "before retention takes the records of its claim")
    rule.release(passes_on=False)
    there = rig.held()
    return [name for name in rig.sent if name not in there]


def test_retention_passes_an_unfinished_claim(single: Rig, proxy: Proxy) -> None:
    """The writer refuses to go on until the loss is accepted; then it stays on record."""
    lost = unfinished(single, proxy)
    single.produce(50)
    single.admin.delete_records({Partition(single.topic, 0): 60})
    single.inject("retention passed an unfinished claim")
    refused = single.command.run("consume", "s3", "--once", check=1).stderr
    assert "--accept-loss" in refused
    assert "5 of its 6 objects are missing" in refused
    single.finish("--accept-loss")
    single.produce(50)
    single.finish()
    verified = single.check(lost=lost, verify=10)
    assert "lost" in verified
    assert "missing" not in verified


def test_retention_passes_a_claim_whose_objects_all_stand(single: Rig, proxy: Proxy) -> None:
    """Nothing is lost, and nothing needs to be accepted."""
    rule = proxy.rule("PUT", OBJECT, "hold the answer", nth=6)
    single.produce(100)
    writer = single.writer()
    rule.reached()
    single.kill(writer, "after its last object, before retention takes the records")
    rule.release(passes_on=False)
    single.admin.delete_records({Partition(single.topic, 0): 100})
    single.inject("retention passed a claim that was whole but not committed")
    single.produce(50)
    single.finish()
    single.check()


def stuffed(rig: Rig, proxy: Proxy, *arguments: str) -> Writer:
    """A writer whose claim is held by the store and whose next batch is full, so that it reads no further."""
    rule = proxy.rule("PUT", CLAIM, "hold")
    rig.produce(300)
    writer = rig.writer(*arguments, log__every="1s")
    rule.reached()
    # 100 records are being stored, 100 more are held; the rest waits in Kafka.
    wait_for(lambda: "lag 200" in writer.text or "lag 100" in writer.text, "the writer to be full")
    return writer


def test_retention_passes_a_writers_position(single: Rig, proxy: Proxy) -> None:
    """What the writer holds comes into the lake; what it had not read is a loss that must be accepted."""
    writer = stuffed(single, proxy, "--accept-loss")
    single.admin.delete_records({Partition(single.topic, 0): 250})
    single.inject("retention passed a writer's position")
    lost = single.sent[200:250]
    proxy.clear()
    writer.says("[250, 300)")
    assert writer.stop() == 0
    verified = single.check(lost=lost, verify=10)
    assert "offsets 200 to 250" in verified


def test_retention_takes_what_a_writer_has_just_read(single: Rig, proxy: Proxy) -> None:
    """A writer that holds all that was deleted loses nothing."""
    writer = stuffed(single, proxy)
    single.admin.delete_records({Partition(single.topic, 0): 200})
    single.inject("retention came up to a writer's position")
    proxy.clear()
    single.until_held()
    assert writer.stop() == 0
    single.finish()
    single.check()


# Topics recreated


def test_topic_recreated_under_a_writer(rig: Rig) -> None:
    """A running writer goes on in the next generation, without a restart."""
    writer = rig.writer()
    rig.produce(600)
    rig.until_held()
    rig.recreate_trades()
    rig.inject("topic recreated under a writer")
    rig.produce(900)
    rig.until_held()
    assert writer.stop() == 0, writer.text
    rig.finish()
    assert "truncated" in rig.check()


def test_topic_recreated_while_a_writer_is_frozen(rig: Rig, proxy: Proxy) -> None:
    """Another opens the next generation; the frozen one holds a claim of the old topic and finishes that alone."""
    rig.produce(600)
    frozen = rig.writer()
    rig.until_held()
    rule = proxy.rule("PUT", OBJECT, "hold", nth=3)
    rig.produce(100)
    rule.reached()
    wait_for(lambda: sum(claim.rows for claim in rig.claims()) == len(rig.sent), "the claims of the old topic's last records")
    frozen.freeze()
    rig.recreate_trades()
    rig.inject("topic recreated while a writer is frozen")
    other = rig.writer("--accept-loss")
    rig.produce(900)
    other.says("generation g2")
    rig.until_held()
    rule.release()
    frozen.thaw()
    rig.produce(300)
    rig.until_held()
    assert frozen.stop() == 0, frozen.text
    assert other.stop() == 0, other.text
    rig.finish()
    rig.check()


# Transactions


def test_transactions(single: Rig) -> None:
    """Markers and aborted records are gaps; a log that ends with markers, or with an open transaction, ends there."""
    producer = TransactionalProducer(
        {"bootstrap.servers": single.settings.kafka.bootstrap_servers, "transactional.id": f"{single.topic}-feed"}
    )
    producer.init_transactions(30)

    def send(count: int, *, keep: bool) -> None:
        ids = []
        for row in range(len(single.sent), len(single.sent) + count):
            name, value, key, partition = single.value(row)
            ids.append(name)
            producer.produce(single.topic, value, key, partition)
        producer.flush(30)
        if keep:
            single.sent += ids

    def transaction(count: int, *, keep: bool) -> None:
        producer.begin_transaction()
        send(count, keep=keep)
        (producer.commit_transaction if keep else producer.abort_transaction)(30)
        single.inject("transaction committed" if keep else "transaction aborted")

    writer = single.writer()
    for turn in range(30):
        transaction(1 + turn * 7 % 40, keep=turn % 3 != 1)
        time.sleep(0.05)  # some transactions end within a batch, some between two
    single.until_held()
    assert writer.stop() == 0
    for keep in (True, False, True):
        transaction(40, keep=keep)
        single.finish()
    transaction(3, keep=False)
    producer.begin_transaction()
    send(20, keep=True)
    single.finish()
    assert sum(claim.rows for claim in single.claims()) == len(single.sent) - 20
    producer.commit_transaction(30)
    single.finish()
    assert sum(claim.gaps for claim in single.claims()) >= 30
    single.check()


def test_partitions_added_under_a_writer(rig: Rig) -> None:
    """New partitions begin with their first record."""
    writer = rig.writer()
    rig.produce(300)
    rig.until_held()
    rig.admin.add_partitions(rig.topic, 4)
    rig.inject("partitions added under a writer")
    object.__setattr__(rig.settings.topics.trades, "partitions", 4)
    rig.produce(300)
    assert writer.stop() == 0
    rig.finish()
    rig.check()
    assert {claim.partition for claim in rig.claims()} == {0, 1, 2, 3}
