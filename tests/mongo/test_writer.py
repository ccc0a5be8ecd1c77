"""``consume mongo`` as a process on the stand-in: each record one document, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stockctl.clients.kafka import Admin, Consumer, Partition, Producer
from stockctl.clients.mongo import Mongo
from stockctl.local.broker import forget_members
from stockctl.records import FeedEvent, Trade, encode
from stockctl.settings import Settings, env_name, load
from tests.conftest import Command, MongoServer, clean_environment, wait_for

SYMBOLS = ["AAPL", "MSFT", "BINANCE:BTCUSDT"]
NOW = int(time.time() * 1000)


@pytest.fixture
def topics(names: dict[str, str]) -> Settings:
    """The test's own topics, made, and its settings."""
    settings = load(environ=clean_environment(), flags=names)
    admin = Admin(settings)
    for topic in (settings.topics.trades, settings.topics.feed_events, settings.topics.dead_letters):
        admin.create_topic(topic.name, min(3, topic.partitions), 1, {})
    return settings


@pytest.fixture
def consume(topics: Settings, names: dict[str, str], tmp_path: Path) -> Command:
    """The command with those settings."""
    return Command(tmp_path, **{env_name(name): value for name, value in names.items()})


def produce(settings: Settings, count: int, *, first: int = 0, source: str = "sim", bad: tuple[bytes, ...] = ()) -> set[str]:
    """Send numbered trades, then records that are none; the trades' ids."""
    producer = Producer(settings)
    ids = set()
    for row in range(first, first + count):
        symbol = SYMBOLS[row % len(SYMBOLS)]
        trade = Trade(f"{symbol}-{NOW}-t-{row:08d}", symbol, 100.0 + row % 7, 2.0, NOW + row, NOW + row, "1", "vhl", source)
        ids.add(trade.id)
        producer.produce(settings.topics.trades.name, value=encode(trade), key=symbol.encode(), timestamp=NOW)
    for value in bad:
        producer.produce(settings.topics.trades.name, value=value, key=b"bad", timestamp=NOW)
    assert producer.flush(30) == 0
    return ids


def held(settings: Settings, collection: str = "trades") -> set[str]:
    """Ids of the documents in MongoDB."""
    with Mongo(settings) as mongo:
        return {document["_id"] for document in mongo.find(collection, {}, [])}


def everything(settings: Settings) -> dict[str, list[dict[str, object]]]:
    """All documents, in order."""
    with Mongo(settings) as mongo:
        return {
            name: sorted(mongo.find(name, {}), key=lambda document: document["_id"])
            for name in ("trades", "coverage", "bars_1m", "companies")
        }


def dead_letters(settings: Settings) -> Iterator[dict[str, object]]:
    """Dead letters in the topic now."""
    consumer = Consumer(settings, "dead-letters-of-test")
    consumer.assign({Partition(settings.topics.dead_letters.name, 0): 0})
    for message in consumer.consume(100, 2.0):
        yield json.loads(message.value())
    consumer.close()


def committed(settings: Settings) -> int:
    """How many records of trades the group has committed."""
    admin = Admin(settings)
    found = admin.committed(settings.mongo.group, admin.partitions(settings.topics.trades.name))
    return sum(max(0, one.offset) for one in found.values())


def forget(settings: Settings) -> None:
    """Set the group back to the beginning of every partition."""
    consumer = Consumer(settings, settings.mongo.group)
    for topic in (settings.topics.trades.name, settings.topics.feed_events.name):
        for partition in Admin(settings).partitions(topic):
            consumer.commit(partition, 0, "")
    consumer.close()


def test_each_record_is_a_document_and_reading_again_changes_nothing(topics: Settings, consume: Command) -> None:
    ids = produce(topics, 300)
    event = FeedEvent("e-1", "covered", NOW, NOW + 10_000, "AAPL,MSFT", "", "c", NOW + 10_000, "sim")
    producer = Producer(topics)
    producer.produce(topics.topics.feed_events.name, value=encode(event), key=b"AAPL", timestamp=NOW)
    assert producer.flush(10) == 0
    done = consume.run("consume", "mongo", "--once")
    assert "wrote 301 documents" in done.stderr
    before = everything(topics)
    assert {document["_id"] for document in before["trades"]} == ids
    one = before["trades"][0]
    assert {name: type(value).__name__ for name, value in one.items()} == {
        **dict.fromkeys(("_id", "symbol", "conditions", "updates", "source"), "str"),
        **dict.fromkeys(("price", "volume"), "float"),
        **dict.fromkeys(("ts_event", "ts_recv"), "datetime"),
    }
    assert [document["_id"] for document in before["coverage"]] == ["e-1"]
    assert {bar["symbol"] for bar in before["bars_1m"]} == set(SYMBOLS)
    assert sum(bar["trades"] for bar in before["bars_1m"]) == 300
    assert committed(topics) == 300
    forget(topics)
    assert "wrote 301 documents" in consume.run("consume", "mongo", "--once").stderr
    assert everything(topics) == before


def test_bad_records_go_to_the_dead_letters_before_the_commit(topics: Settings, consume: Command) -> None:
    row = Trade("x", "AAPL", -1.0, 1.0, NOW, NOW, "1", "vhl", "sim")
    bad = (b"no json", b'{"id":"y"}', encode(row), b'{"id":"z","ts_event":' + b"9" * 30 + b"}")
    ids = produce(topics, 30, bad=bad)
    done = consume.run("consume", "mongo", "--once")
    assert f"4 records to {topics.topics.dead_letters.name}" in done.stderr
    letters = list(dead_letters(topics))
    assert sorted(str(letter["raw"]).encode() for letter in letters) == sorted(bad)
    assert all(letter["topic"] == topics.topics.trades.name and letter["offset"] >= 0 for letter in letters)
    (refused,) = [letter for letter in letters if letter["raw"] == encode(row).decode()]
    assert "MongoDB does not take it" in str(refused["reason"])
    assert "price" in str(refused["reason"])
    assert held(topics) == ids
    assert committed(topics) == 34


def test_kill_9_loses_and_doubles_nothing(topics: Settings, consume: Command) -> None:
    consume.environment |= {"STOCKCTL_KAFKA__SESSION_TIMEOUT": "6s", "STOCKCTL_MONGO__MAX_RECORDS": "50"}
    ids = produce(topics, 1500)
    process = consume.start("consume", "mongo")
    wait_for(lambda: held(topics), "first documents", 60)
    process.kill()
    process.wait()
    assert len(held(topics)) < 1500
    # The embedded broker waits for its dead members for ever.
    forget_members(topics, topics.mongo.group)
    consume.run("consume", "mongo", "--once")
    assert held(topics) == ids
    assert sum(bar["trades"] for bar in everything(topics)["bars_1m"]) == 1500


def test_a_signal_finishes_the_batch_in_hand(topics: Settings, consume: Command) -> None:
    consume.environment |= {"STOCKCTL_MONGO__MAX_AGE": "1h"}
    process = consume.start("consume", "mongo", "--max-age", "1h")
    wait_for(lambda: "assigned" in (consume.folder / "consume.log").read_text(), "the assignment", 60)
    ids = produce(topics, 100)
    time.sleep(1.0)  # the records reach the open batch; nothing tells of it
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert held(topics) == ids
    assert committed(topics) == 100


def test_an_outage_pauses_and_then_goes_on(topics: Settings, consume: Command, tmp_path: Path) -> None:
    server = MongoServer(tmp_path / "mongo")
    server.start()
    consume.environment |= {"STOCKCTL_MONGO__URL": server.url, "STOCKCTL_MONGO__MAX_RECORDS": "50"}
    here = load(environ=consume.environment)
    process = consume.start("consume", "mongo")
    log = consume.folder / "consume.log"
    try:
        ids = produce(topics, 100)
        wait_for(lambda: committed(topics) == 100, "the first batch", 60)
        server.stop()
        ids |= produce(topics, 500, first=100)
        wait_for(lambda: "waiting: " in log.read_text(), "word of the outage", 30)
        ids |= produce(topics, 100, first=600)
        assert process.poll() is None
        server.start()
        wait_for(lambda: committed(topics) == 700, "everything", 60)
        assert held(here) == ids
        # Away again: a signal is obeyed at once, and what was read is read again later.
        server.stop()
        produce(topics, 100, first=700)
        wait_for(lambda: log.read_text().count("waiting: ") == 2, "word of the second outage", 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert committed(topics) == 700
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        server.stop()


def test_another_source_is_refused_unless_named(topics: Settings, consume: Command) -> None:
    ids = produce(topics, 10)
    consume.run("consume", "mongo", "--once")
    produce(topics, 10, first=10, source="finnhub")
    done = consume.run("consume", "mongo", "--once", check=1)
    assert "would mix" in done.stderr
    assert "mongo.extra_sources" in done.stderr
    assert held(topics) == ids
    consume.environment["STOCKCTL_MONGO__EXTRA_SOURCES"] = "finnhub"
    consume.run("consume", "mongo", "--once")
    assert len(held(topics)) == 20


def test_it_says_whether_it_is_well(topics: Settings, consume: Command) -> None:
    from tests.conftest import free_port

    port = free_port()
    process = consume.start("consume", "mongo", "--health-port", str(port))
    try:
        produce(topics, 10)
        wait_for(lambda: committed(topics) == 10, "the commit", 60)
        asked = subprocess.run(["curl", "-fsS", f"http://127.0.0.1:{port}/metrics"], capture_output=True, text=True, check=True)
        assert 'stockctl_mongo_documents_total{collection="trades"} 10.0' in asked.stdout
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
