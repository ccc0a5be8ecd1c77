"""``consume mongo`` as a process on the stand-in: each record one document, whatever happens on the way."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pymongo import MongoClient

from stockctl.clients.kafka import Admin, Consumer, Offsets, Partition, Producer
from stockctl.clients.mongo import Mongo
from stockctl.company.trade_fields import refresh_trades
from stockctl.errors import UnreachableError
from stockctl.exchange.calendar import now_ms, trade_date
from stockctl.local.broker import forget_members
from stockctl.mongo import bars, schema
from stockctl.mongo import batch_writer as writing_room
from stockctl.mongo.bars import Touched
from stockctl.mongo.batch import Batch
from stockctl.mongo.batch_writer import BatchWriter, RefreshCompanies, Written
from stockctl.mongo.documents import BadRecord, event_documents, trade_documents
from stockctl.mongo.sink import MongoSink
from stockctl.records import MAX_MS, FeedEvent, Trade, encode
from stockctl.service import Service
from stockctl.settings import Settings, env_name, load_settings
from stockctl.stream import consumer_loop
from stockctl.stream.consumer_loop import consume
from tests.command import HANG, Command, clean_environment
from tests.conftest import MongoServer, free_port, wait_for
from tests.counting import assert_once
from tests.lakes import TOO_DEEP
from tests.mongo.made import documents_of, refresh
from tests.topics import messages

SYMBOLS = ["AAPL", "MSFT", "BINANCE:BTCUSDT"]
NOW = int(time.time() * 1000)


@pytest.fixture
def topics(names: dict[str, str]) -> Settings:
    """The test's own topics, made, and its settings."""
    settings = load_settings(environ=clean_environment(), flags=names)
    admin = Admin(settings)
    for topic in (settings.topics.trades, settings.topics.feed_events, settings.topics.signals, settings.topics.dead_letters):
        admin.create_topic(topic.name, min(3, topic.partitions), 1, {})
    return settings


@pytest.fixture
def command(topics: Settings, names: dict[str, str], tmp_path: Path) -> Command:
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
    assert producer.flush(HANG) == 0
    return ids


def held(settings: Settings, collection: str = "trades") -> set[str]:
    """Ids of the documents in MongoDB."""
    with Mongo(settings) as mongo:
        return {document["_id"] for document in mongo.find(collection, {}, [])}


def everything(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """All documents, in order."""
    with Mongo(settings) as mongo:
        return {
            name: sorted(mongo.find(name, {}), key=lambda document: document["_id"])
            for name in ("trades", "coverage", "bars_1m", "companies")
        }


def dead_letters(settings: Settings) -> list[dict[str, Any]]:
    """Dead letters in the topic now."""
    return [json.loads(message.value()) for message in messages(settings, settings.topics.dead_letters.name)]


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


def run(settings: Settings, refresh_companies: RefreshCompanies = refresh_trades) -> None:
    """``consume mongo --once`` in this process."""
    service = Service()
    consume(MongoSink(settings, service.stop, refresh_companies, once=True), service, report_every=60)


def test_each_record_is_a_document_and_reading_again_changes_nothing(topics: Settings, command: Command) -> None:
    ids = produce(topics, 300)
    event = FeedEvent("e-1", "covered", NOW, NOW + 10_000, "AAPL,MSFT", "", "c", NOW + 10_000, "sim")
    producer = Producer(topics)
    producer.produce(topics.topics.feed_events.name, value=encode(event), key=b"AAPL", timestamp=NOW)
    assert producer.flush(HANG) == 0
    result = command.run("consume", "mongo", "--once", real=True)
    assert "wrote 301 documents" in result.stderr
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
    assert "wrote 301 documents" in command.run("consume", "mongo", "--once").stderr
    assert everything(topics) == before


def test_once_ends_where_the_topics_ended_as_it_began(topics: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in from that moment on is left to the next run, so that it also ends on topics that go on growing."""
    ids, later = produce(topics, 300), set[str]()
    ask = Admin.offsets

    def then_more(admin: Admin, partitions: Iterable[Partition]) -> dict[Partition, Offsets]:
        found = ask(admin, partitions)
        later.update(produce(topics, 100, first=len(ids) + len(later)))
        return found

    with monkeypatch.context() as growing:
        growing.setattr(Admin, "offsets", then_more)
        run(topics)
    assert later
    assert_once(held(topics), ids)
    assert committed(topics) == 300
    run(topics)
    assert_once(held(topics), ids | later)


def test_once_goes_on_when_its_partitions_come_back(
    topics: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a pause longer than the session timeout: lost partitions are not read to their end."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(MongoSink, "chunk", 20)
    ids = produce(topics, 300)
    settings = topics.model_copy(update={"mongo": topics.mongo.model_copy(update={"max_records": 20})})

    def lose(*_: object) -> None:
        if "gave up" not in caplog.text:
            forget_members(topics, topics.mongo.group)
            wait_for(lambda: "gave up" in caplog.text, "the loss")

    run(settings, lose)
    assert_once(held(topics), ids)
    assert committed(topics) == 300


class Clock:
    """A clock for the writing, which can be set forward, and stands still unless it ``goes``."""

    def __init__(self) -> None:
        self.ahead, self.goes = 0.0, False
        self.time = time.time

    def monotonic(self) -> float:
        """The moment, in seconds."""
        return self.ahead + (time.monotonic() if self.goes else 0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which the writing measures how long bars take."""
    clock = Clock()
    monkeypatch.setattr(writing_room, "time", clock)
    return clock


def test_one_slow_refresh_of_bars_puts_off_no_commit(topics: Settings, clock: Clock) -> None:
    """It took an hour once. Without a backlog, what comes after is committed as if it had not."""
    clock.goes = True
    slow: list[float] = []

    def also(*_: object) -> None:
        if not slow:
            slow.append(3600.0)
            clock.ahead += 3600.0

    produce(topics, 10)
    service = Service()
    sink = MongoSink(topics, service.stop, also)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(consume, sink, service, report_every=60)
        try:
            wait_for(lambda: committed(topics) == 10 or running.done(), "the commit after the slow refresh")
            produce(topics, 10, first=10)
            wait_for(lambda: committed(topics) == 20 or running.done(), "the next commit")
        finally:
            service.stop.set()
        running.result()
    assert slow


@pytest.mark.parametrize(
    ("behind", "took", "pause"),
    [(False, 3600.0, 5.0), (True, 0.1, 5.0), (True, 2.0, 18.0), (True, 3600.0, writing_room.COMMIT_WITHIN)],
)
def test_a_backlog_leaves_bars_a_tenth_of_the_time_and_no_commit_waits_for_long(
    mongo_settings: Settings, clock: Clock, behind: bool, took: float, pause: float
) -> None:
    settings = mongo_settings.model_copy(update={"mongo": mongo_settings.mongo.model_copy(update={"derive_every": 5.0})})

    def also(*_: object) -> None:
        clock.ahead += took

    def row(number: int) -> Batch:
        batch = Batch()
        batch.ends[Partition("trades", 0)] = number
        return batch

    with Mongo(settings) as mongo:
        writing = BatchWriter(mongo, settings, threading.Event(), also)
        writing.behind = behind
        clock.ahead += 5.0
        assert writing.write(row(1)).ends
        assert not writing.write(row(2)).ends
        clock.ahead += pause - 0.5
        assert not writing.due
        clock.ahead += 0.5
        assert writing.due


def test_what_was_given_up_during_a_write_is_its_next_owners_to_commit(topics: Settings) -> None:
    """That one may have read on, and would be set back to where we stood."""
    admin = Admin(topics)
    partitions = sorted(admin.partitions(topics.topics.trades.name))
    lost, *rest = partitions
    assert rest
    writing = MongoSink(topics, threading.Event(), refresh_trades)
    try:
        writing.assigned(partitions)
        writing.revoked([lost])
        writing._count(Written(ends=dict.fromkeys(partitions, 5)))
        wait_for(lambda: not (writing._consumer.consume(1, 0.0) or writing._consumer.committing), "the commits")
    finally:
        writing._consumer.close()
        writing._mongo.close()
    found = {partition: one.offset for partition, one in admin.committed(topics.mongo.group, partitions).items()}
    assert {partition for partition, offset in found.items() if offset == 5} == set(rest)


def test_bad_records_go_to_the_dead_letters_before_the_commit(topics: Settings, command: Command) -> None:
    row = Trade("x", "AAPL", -1.0, 1.0, NOW, NOW, "1", "vhl", "sim")
    deep = encode(row)[:-1] + b',"n":' + TOO_DEEP + b"}"
    bad = (b"no json", b'{"id":"y"}', encode(row), b'{"id":"z","ts_event":' + b"9" * 30 + b"}", deep)
    ids = produce(topics, 30, bad=bad)
    result = command.run("consume", "mongo", "--once")
    assert f"5 records to {topics.topics.dead_letters.name}" in result.stderr
    letters = dead_letters(topics)
    assert sorted(str(letter["raw"]).encode() for letter in letters) == sorted(bad)
    assert all(letter["topic"] == topics.topics.trades.name and letter["offset"] >= 0 for letter in letters)
    (refused,) = [letter for letter in letters if letter["raw"] == encode(row).decode()]
    assert refused["reason"] == "price is not above 0"
    assert_once(held(topics), ids)
    assert committed(topics) == 35


def test_what_a_validator_refuses_is_a_dead_letter(topics: Settings, command: Command) -> None:
    """Somebody has made MongoDB stricter than the settings do."""
    ids = produce(topics, 3)
    process = command.start("consume", "mongo")
    wait_for(lambda: held(topics) == ids, "the first documents")
    with Mongo(topics) as mongo:
        mongo.set_validator("trades", {"$jsonSchema": {"properties": {"price": {"maximum": 50}}}})
    produce(topics, 1, first=3)
    wait_for(lambda: dead_letters(topics), "the dead letter")
    process.terminate()
    assert process.wait(HANG) == 0
    [letter] = dead_letters(topics)
    assert letter["reason"].startswith("MongoDB does not take it")
    assert held(topics) == ids


def test_kill_9_loses_and_duplicates_nothing(topics: Settings, command: Command) -> None:
    command.environment |= {"STOCKCTL_KAFKA__SESSION_TIMEOUT": "6s", "STOCKCTL_MONGO__MAX_RECORDS": "50"}
    ids = produce(topics, 3000)
    process = command.start("consume", "mongo", real=True)
    wait_for(lambda: held(topics), "first documents")
    process.kill()
    process.wait()
    assert len(held(topics)) < 3000
    # The embedded broker waits for its dead members without limit.
    forget_members(topics, topics.mongo.group)
    command.run("consume", "mongo", "--once")
    assert_once(held(topics), ids)
    assert sum(bar["trades"] for bar in everything(topics)["bars_1m"]) == 3000


def test_the_signal_to_stop_finishes_the_open_batch(topics: Settings) -> None:
    settings = topics.model_copy(update={"mongo": topics.mongo.model_copy(update={"max_age": 3600.0})})
    ids, service = produce(topics, 100), Service()
    writing = MongoSink(settings, service.stop, refresh_trades)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(consume, writing, service, report_every=60)
        wait_for(lambda: writing._batch.records == 100 or running.done(), "the records in the open batch")
        assert held(topics) == set()
        service.stop.set()
        running.result()
    assert_once(held(topics), ids)
    assert committed(topics) == 100


def test_a_refresh_that_takes_too_long_is_left_between_two_companies(topics: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start reads the records again, and commits them once bars and companies are right."""
    monkeypatch.setattr(consumer_loop, "DRAIN_WITHIN", 0.0)
    ids, service = produce(topics, 100), Service()
    begun, updated = threading.Event(), []

    def also(_: Mongo, __: Settings, touched: Touched, check: Callable[[], None]) -> None:
        begun.set()
        for symbol in sorted(touched):
            updated.append(symbol)
            wait_for(lambda: writing._writer._closed, "the end of the time to leave")
            check()

    writing = MongoSink(topics, service.stop, also)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(consume, writing, service, report_every=60)
        wait_for(lambda: begun.is_set() or running.done(), "the refresh")
        service.stop.set()
        running.result()
    assert len(updated) == 1
    assert committed(topics) == 0
    run(topics)
    assert_once(held(topics), ids)
    assert committed(topics) == 100
    assert sum(bar["trades"] for bar in everything(topics)["bars_1m"]) == 100


def test_one_try_that_fails_is_no_trouble_yet_and_two_are(mongo_settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """A probe at that moment finds the writer well."""
    caplog.set_level(logging.INFO, "stockctl.mongo")
    seen: list[str | None] = []

    def also(*_: object) -> None:
        seen.append(writing.trouble)
        if len(seen) < 3:
            raise UnreachableError("MongoDB is away")

    batch = Batch()
    batch.ends[Partition("trades", 0)] = 1
    with Mongo(mongo_settings) as mongo:
        writing = BatchWriter(mongo, mongo_settings, threading.Event(), also)
        writing.finishing = True
        assert writing.write(batch).ends
    assert seen == [None, None, "MongoDB is away"]
    assert writing.trouble is None
    assert "the write succeeded after 3 attempts" in caplog.messages


def test_an_outage_pauses_and_then_goes_on(topics: Settings, command: Command, tmp_path: Path) -> None:
    server = MongoServer(tmp_path / "mongo")
    server.start()
    command.environment |= {"STOCKCTL_MONGO__URL": server.url, "STOCKCTL_MONGO__MAX_RECORDS": "50"}
    here = load_settings(environ=command.environment)
    process = command.start("consume", "mongo")
    log = command.folder / "consume.log"
    try:
        ids = produce(topics, 100)
        wait_for(lambda: committed(topics) == 100, "the first batch")
        server.stop()
        ids |= produce(topics, 500, first=100)
        wait_for(lambda: "waiting: " in log.read_text(), "word of the outage")
        ids |= produce(topics, 100, first=600)
        assert process.poll() is None
        server.start()
        wait_for(lambda: committed(topics) == 700, "everything")
        assert_once(held(here), ids)
        # Away again: a signal is obeyed at once, and what was read is read again later.
        server.stop()
        produce(topics, 100, first=700)
        wait_for(lambda: log.read_text().count("waiting: ") == 2, "word of the second outage")
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG) == 0
        assert committed(topics) == 700
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        server.stop()


def test_a_start_without_mongodb_says_what_it_waits_for(topics: Settings, command: Command) -> None:
    command.environment |= {
        "STOCKCTL_MONGO__URL": f"mongodb://127.0.0.1:{free_port()}",
        "STOCKCTL_MONGO__CONNECT_WAIT": "2500ms",
    }
    assert "waiting up to 2.5s for MongoDB at mongodb://" in command.run("consume", "mongo", "--once", check=5).stderr


def test_of_two_sources_one_begins_an_empty_mongodb_and_the_other_is_refused(topics: Settings, command: Command) -> None:
    both = (produce(topics, 10, source="sim"), produce(topics, 10, first=10, source="replay"))
    command.run("consume", "mongo", "--once")
    assert sorted(held(topics)) in [sorted(ids) for ids in both]
    assert len(messages(topics, topics.topics.dead_letters.name)) == 10


def test_another_source_is_refused_unless_named(topics: Settings, command: Command) -> None:
    ids = produce(topics, 10)
    command.run("consume", "mongo", "--once")
    produce(topics, 10, first=10, source="finnhub")
    assert "10 records to" in command.run("consume", "mongo", "--once").stderr
    assert_once(held(topics), ids)
    [reason] = json.loads(command.run("dlq", "list", "--by-reason", "-o", "json").stdout)
    assert "mongo.extra_sources" in reason["reason"]
    assert (reason["rejected_by"], reason["letters"]) == ("consume mongo", 10)
    command.environment["STOCKCTL_MONGO__EXTRA_SOURCES"] = "finnhub"
    produce(topics, 10, first=20, source="finnhub")
    command.run("consume", "mongo", "--once")
    assert len(held(topics)) == 20


def test_what_the_connector_has_stored_began_it(topics: Settings, command: Command) -> None:
    """A refused source leaves no mark."""
    with Mongo(topics) as mongo:
        schema.apply(mongo, topics.mongo)
        row = Trade("AAPL-1", "AAPL", 100.0, 2.0, NOW, NOW, "1", "vhl", "sim")
        assert mongo.upsert("trades", documents_of([row])) == []
        produce(topics, 10, source="finnhub")
        assert "10 records to" in command.run("consume", "mongo", "--once").stderr
        assert {document["_id"] for document in mongo.find("trades", {}, [])} == {"AAPL-1"}
        assert mongo.get("meta", "source") == {"_id": "source", "source": "sim"}


def test_trades_of_somebody_else_end_it(topics: Settings, command: Command) -> None:
    with Mongo(topics) as mongo:
        assert mongo.upsert("trades", [{"_id": 1, "item": "a chair"}]) == []
        produce(topics, 10)
        assert "set mongo.database" in command.run("consume", "mongo", "--once", check=3).stderr
        assert mongo.count("trades") == 1


def test_a_bar_outlives_its_trades(topics: Settings) -> None:
    """What is left of a minute whose trades expire never replaces the bar of all; trades that come late still add to it."""
    minute = NOW // 60_000 * 60_000 - 86_400_000
    rows = [Trade(f"AAPL-{row}", "AAPL", 100.0 + row, 2.0, minute + row, NOW, "1", "vhl", "sim") for row in range(4)]
    settings = topics.model_copy(update={"mongo": topics.mongo.model_copy(update={"retention": 3600.0})})
    with Mongo(topics) as mongo, MongoClient[dict[str, object]](str(topics.mongo.url)) as client:
        schema.apply(mongo, topics.mongo)

        def bar_of(*held: int) -> tuple[int, float]:
            client[topics.mongo.database]["trades"].delete_many({})
            assert mongo.upsert("trades", documents_of(rows[row] for row in held)) == []
            refresh(mongo, settings, {"AAPL": {minute}})
            (bar,) = mongo.find("bars_1m", {})
            return bar["trades"], bar["close"]

        assert [bar_of(0, 1), bar_of(0, 1, 2, 3), bar_of(2), bar_of(1, 2, 3)] == [
            (2, 101.0),
            (4, 103.0),
            (4, 103.0),
            (4, 103.0),
        ]


def test_a_minute_half_of_which_has_expired_keeps_its_whole_bar(
    mongo_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first trades of a minute go a minute before its last ones."""
    minute = NOW // 60_000 * 60_000
    rows = [Trade(f"AAPL-{at}", "AAPL", 100.0 + at, 2.0, minute + at, NOW, "1", "vhl", "sim") for at in (10_000, 50_000)]
    with Mongo(mongo_settings) as mongo, MongoClient[dict[str, object]](str(mongo_settings.mongo.url)) as client:
        schema.apply(mongo, mongo_settings.mongo)
        assert mongo.upsert("trades", documents_of(rows)) == []
        refresh(mongo, mongo_settings, {"AAPL": {minute}})
        (whole,) = mongo.find("bars_1m", {})
        assert whole["trades"] == 2
        later = minute + 30_000 + round(mongo_settings.mongo.retention * 1000)
        monkeypatch.setattr(bars, "now_ms", lambda: later)
        client[mongo_settings.mongo.database]["trades"].delete_one({"_id": rows[0].id})
        refresh(mongo, mongo_settings, {"AAPL": {minute}})
        assert list(mongo.find("bars_1m", {})) == [whole]


@pytest.mark.parametrize("symbol", ["$SPX", "$$ROOT", "a.b"])
def test_a_symbol_is_text_whatever_it_looks_like(topics: Settings, symbol: str) -> None:
    with Mongo(topics) as mongo:
        schema.apply(mongo, topics.mongo)
        row = Trade("x", symbol, 100.0, 2.0, NOW, NOW, "1", "vhl", "sim")
        assert mongo.upsert("trades", documents_of([row])) == []
        refresh(mongo, topics, {symbol: {NOW // 60_000 * 60_000}})
        assert [bar["_id"] for bar in mongo.find("bars_1m", {})] == [f"{symbol}-{NOW // 60_000 * 60_000}"]
        assert [one["last"]["price"] for one in mongo.find("companies", {"_id": symbol})] == [100.0]


@pytest.mark.parametrize("at", [pytest.param(0, id="first"), pytest.param(NOW + 86_000_000, id="last")])
@pytest.mark.parametrize("symbol", ["AAPL", "BINANCE:BTCUSDT"])
def test_every_time_that_the_lake_takes_is_taken(topics: Settings, symbol: str, at: int) -> None:
    with Mongo(topics) as mongo:
        schema.apply(mongo, topics.mongo)
        [event] = event_documents([encode(FeedEvent("e", "covered", at, at, symbol, "", "c", at, "sim"))])
        assert isinstance(event, dict)
        assert mongo.upsert("coverage", [event]) == []
        trades = documents_of([Trade("x", symbol, 100.0, 2.0, at, at, "1", "vhl", "sim")])
        assert mongo.upsert("trades", trades) == []
        refresh(mongo, topics, {symbol: {at // 60_000 * 60_000}})
        assert [one["last"]["price"] for one in mongo.find("companies", {"_id": symbol})] == [100.0]


@pytest.mark.parametrize("at", [-62_135_596_800_000, -1, MAX_MS + 1, 253_402_300_799_999])
def test_a_time_outside_the_limits_is_no_trade(at: int) -> None:
    """The dates around an accepted time can be computed; those around the first and last possible ones cannot."""
    row = Trade("x", "AAPL", 100.0, 2.0, at, NOW, "1", "vhl", "sim")
    event = FeedEvent("e", "covered", NOW, at, "AAPL", "", "c", NOW, "sim")
    rows = [encode(row), encode(msgspec.structs.replace(row, ts_event=NOW, ts_recv=at))]
    for document in (*trade_documents(rows), *event_documents([encode(event)])):
        assert isinstance(document, BadRecord)


def test_it_says_whether_it_is_well(topics: Settings, command: Command) -> None:
    port = free_port()
    process = command.start("consume", "mongo", "--health-port", str(port))
    try:
        produce(topics, 10)
        wait_for(lambda: committed(topics) == 10, "the commit")
        asked = subprocess.run(["curl", "-fsS", f"http://127.0.0.1:{port}/metrics"], capture_output=True, text=True, check=True)
        assert 'stockctl_mongo_documents_total{collection="trades"} 10.0' in asked.stdout
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG) == 0


def test_a_replay_of_days_is_covered_in_both_engines(topics: Settings, command: Command) -> None:
    """Four days around the clock without a break: each whole date is covered to its edges, and both engines say so."""
    now = now_ms() // 600_000 * 600_000
    times = range(now - 4 * 86_400_000, now, 600_000)
    frames = ({"type": "trade", "data": [{"s": "BINANCE:BTCUSDT", "p": 100.0, "v": 1.0, "t": t, "c": []}]} for t in times)
    (command.folder / "frames.jsonl").write_text("".join(f"{json.dumps(frame)}\n" for frame in frames))
    command.run("produce", "--replay", "frames.jsonl")
    command.run("consume", "s3", "--once")
    command.run("consume", "mongo", "--once")
    days = [trade_date(ms) for ms in times]
    for day in sorted(set(days))[1:-1]:
        asked = ("BINANCE:BTCUSDT", "--date", day.isoformat(), "-o", "json")
        answers = [json.loads(command.run("metrics", "rate", *asked, "--engine", name).stdout) for name in ("lake", "mongo")]
        assert answers[0] == answers[1]
        (row,) = answers[0]
        count = days.count(day)
        assert (row["trades"], row["covered_seconds"], row["coverage"]) == (count, count * 600.0, 100.0)
        assert json.loads(command.run("lake", "gaps", *asked).stdout) == []
