"""``stockctl consume s3`` as a process: each record once, whatever was there before and whenever it dies."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from stockctl.clients.kafka import Admin, Consumer, Partition, Producer
from stockctl.clients.object_store import Store, open_store
from stockctl.errors import UnreachableError
from stockctl.lake.format import claims
from stockctl.lake.format.claims import Claim, Start, newest_claim, newest_start
from stockctl.lake.format.keys import parse_object
from stockctl.lake.writer.batch import decompress
from stockctl.lake.writer.batch_committer import CommittedBatch, Committer, Superseded
from stockctl.lake.writer.dead_letter_sender import DeadLetters
from stockctl.lake.writer.sink import S3Sink
from stockctl.local.broker import Rebalances, forget_members
from stockctl.records import Trade, encode
from stockctl.service import Service
from stockctl.settings import Settings, load_settings
from stockctl.stream.consumer_loop import consume
from tests.command import HANG, Command, clean_environment
from tests.conftest import free_port, listening, wait_for
from tests.counting import assert_once
from tests.topics import messages

SYMBOLS = ["AAPL", "MSFT", "NVDA", "BINANCE:BTCUSDT", "../x"]


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """The test's own topics, made."""
    admin = Admin(settings)
    for topic in (settings.topics.trades, settings.topics.feed_events, settings.topics.signals, settings.topics.dead_letters):
        admin.create_topic(topic.name, topic.partitions, 1, {})
    return settings


def produce(settings: Settings, count: int, *, first: int = 0, source: str = "sim", bad: tuple[bytes, ...] = ()) -> list[str]:
    """Send numbered trades, and records that are none; the trades' ids."""
    producer = Producer(settings)
    now = int(time.time() * 1000)
    ids = []
    for row in range(first, first + count):
        symbol = SYMBOLS[row % len(SYMBOLS)]
        trade = Trade(f"{symbol}-{now}-test01-{row:08d}", symbol, 100.0 + row, 1.0, now, now, "1", "vhl", source)
        ids.append(trade.id)
        producer.produce(settings.topics.trades.name, value=encode(trade), key=symbol.encode(), timestamp=now)
    for value in bad:
        producer.produce(settings.topics.trades.name, value=value, key=b"bad", timestamp=now)
    assert producer.flush(HANG) == 0
    return ids


def held(store: Store) -> list[str]:
    """Ids of all rows in the lake's objects of trades, claimed or not, sorted."""
    found = []
    for item in store.objects("trades"):
        found += [json.loads(line)["id"] for line in decompress(store.get(item.key), item.key).splitlines()]
    return sorted(found)


def wait_for_batches(settings: Settings, count: int, *logs: Path) -> None:
    """Wait until writers have reported so many batches in ``logs``.

    The embedded broker may never end a rebalance of two that join within a few seconds: it is ended as by a stack's supervisor.
    """
    end_rebalance = Rebalances(settings, settings.lake.group)

    def stored() -> bool:
        end_rebalance()
        return sum(log.read_text().count(" rows in ") for log in logs) >= count

    wait_for(stored, f"{count} batches")


def newest(settings: Settings, number: int) -> tuple[Start, Claim]:
    """Start and newest claim of a partition of trades."""
    store = open_store(settings)
    start = newest_start(store, "trades", number)
    assert start is not None
    claim = newest_claim(store, start)
    assert claim is not None
    return start, claim


def busiest(settings: Settings) -> int:
    """The partition of trades with most records."""
    admin = Admin(settings)
    offsets = admin.offsets(admin.partitions(settings.topics.trades.name))
    return max(offsets, key=lambda partition: offsets[partition].end).number


def commit(settings: Settings, number: int, offset: int, metadata: str = "") -> None:
    """Set the group's committed offset by hand."""
    consumer = Consumer(settings, settings.lake.group)
    consumer.commit(Partition(settings.topics.trades.name, number), offset, metadata)
    consumer.close()


def dead_letters(settings: Settings) -> list[dict[str, object]]:
    """Dead letters in the topic now."""
    return [json.loads(message.value()) for message in messages(settings, settings.topics.dead_letters.name)]


def test_every_record_is_in_the_lake_once_and_what_is_none_in_the_dead_letters(topics: Settings, command: Command) -> None:
    """Trades land in their ticker's folder; foreign messages are dead letters with their place; a second run adds nothing."""
    ids = produce(topics, 1000, bad=(b"garbage", b'{"symbol":"A"}', b'{"a":\n1}'))
    result = command.run("consume", "s3", "--once")
    assert "wrote 1,000 rows" in result.stderr
    assert "reason: end" in result.stderr
    store = open_store(topics)
    assert_once(held(store), ids)
    assert {name.part for item in store.objects("trades") if (name := parse_object(item.key))} == {
        "ticker=AAPL",
        "ticker=MSFT",
        "ticker=NVDA",
        "ticker=BINANCE_BTCUSDT",
        "ticker=.._X_",
    }
    letters = dead_letters(topics)
    assert {letter["raw"] for letter in letters} == {"garbage", '{"symbol":"A"}', '{"a":\n1}'}
    assert {letter["topic"] for letter in letters} == {topics.topics.trades.name}
    assert all(isinstance(letter["offset"], int) and letter["offset"] >= 0 and letter["reason"] for letter in letters)
    assert "wrote 0 rows" in command.run("consume", "s3", "--once").stderr
    assert "is verified" in command.run("lake", "verify", "--deep").stderr
    assert_once(held(store), ids)


def test_once_ends_on_a_topic_that_goes_on_growing(topics: Settings, command: Command) -> None:
    """It stores what the topic held when it began, and leaves the rest to the next run."""
    ids = produce(topics, 1000)
    stop, later = threading.Event(), list[str]()

    def go_on() -> None:
        producer = Producer(topics)
        while not stop.wait(0.002):
            for symbol in SYMBOLS:
                now = int(time.time() * 1000)
                later.append(f"{symbol}-{now}-later1-{len(later):08d}")
                trade = Trade(later[-1], symbol, 100.0, 1.0, now, now, "1", "vhl", "sim")
                producer.produce(topics.topics.trades.name, value=encode(trade), key=symbol.encode(), timestamp=now)
        assert producer.flush(HANG) == 0

    with ThreadPoolExecutor(1) as pool:
        producing = pool.submit(go_on)
        wait_for(lambda: later, "the first later trades")
        try:
            result = command.run("consume", "s3", "--once")
        finally:
            stop.set()
        producing.result()
    assert result.stderr.count("reason: end") <= topics.topics.trades.partitions
    stored = held(open_store(topics))
    assert set(ids) <= set(stored)
    assert len(stored) < len(ids) + len(later)
    command.run("consume", "s3", "--once")
    assert_once(held(open_store(topics)), ids + later)


def test_once_goes_on_when_its_partitions_come_back(
    topics: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a pause that was longer than the group waits: what it has lost it has not read to the end."""
    caplog.set_level(logging.INFO)
    ids = produce(topics, 1000)
    settings = topics.model_copy(update={"lake": topics.lake.model_copy(update={"max_records": 20})})
    lost, store = threading.Lock(), Committer.store

    def lose(uploads: Committer, *batch: Any) -> CommittedBatch | Superseded:
        with lost:
            if "gave up" not in caplog.text:
                forget_members(topics, topics.lake.group)
                wait_for(lambda: "gave up" in caplog.text, "the loss")
        return store(uploads, *batch)

    monkeypatch.setattr(Committer, "store", lose)
    service = Service()
    consume(S3Sink(settings, service.stop, once=True), service, report_every=60)
    assert_once(held(open_store(topics)), ids)


def test_one_try_that_fails_is_no_trouble_yet_and_two_are(settings: Settings) -> None:
    """A probe at that moment finds the writer well."""
    uploads = Committer(open_store(settings), settings, Admin(settings), DeadLetters(settings), writer="one", pause=0)
    seen: list[str | None] = []

    def put() -> None:
        seen.append(uploads.trouble)
        if len(seen) < 3:
            raise UnreachableError("the store is away")

    uploads._retry(put)
    uploads.close()
    assert seen == [None, None, "the store is away"]


def test_metrics_show_the_age_of_the_lake(topics: Settings, command: Command) -> None:
    port = free_port()

    def metrics() -> list[str]:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=HANG).text.splitlines()

    process = command.start("consume", "s3", "--max-age", "1s", "--health-port", str(port))
    try:
        wait_for(lambda: listening(port), "the health port")
        wait_for(lambda: 'stockctl_lake_rejected_total{table="feed_events"} 0.0' in metrics(), "the counters to begin at 0")
        produce(topics, 10, bad=(b"garbage",))
        wait_for(lambda: 'stockctl_lake_rejected_total{table="trades"} 1.0' in metrics(), "the batches")
        found = [line for line in metrics() if line.startswith("stockctl_lake_newest_timestamp_seconds{")]
    finally:
        process.terminate()
        assert process.wait(HANG) == 0
    _, claim = newest(topics, busiest(topics))
    assert claim.last is not None
    assert [line.split("{")[1].split("} ")[0] for line in found] == ['table="trades"']
    assert float(found[0].split()[-1]) == claim.last.timestamp / 1000


def test_batches_are_cut_by_records_and_say_so(topics: Settings, command: Command) -> None:
    """No batch exceeds --max-records, and each log line has the reason."""
    ids = produce(topics, 1000)
    result = command.run("consume", "s3", "--once", "--max-records", "100")
    assert "reason: records" in result.stderr
    rows = [int(line.split(" rows in ")[0].rsplit(" ", 1)[1]) for line in result.stderr.splitlines() if " rows in " in line]
    assert max(rows) == 100
    assert sum(rows) == 1000
    assert_once(held(open_store(topics)), ids)


def test_batches_are_cut_by_age_and_by_size(topics: Settings, command: Command) -> None:
    """A running writer brings a trickle into the lake after --max-age, and a rush at --max-bytes; SIGTERM brings the rest."""
    log = command.folder / "writer.log"
    process = command.start("consume", "s3", "--max-age", "1s", "--max-bytes", "20kB", log=log)
    try:
        ids = produce(topics, 10)
        wait_for(lambda: "reason: age" in log.read_text(), "a batch closed by its age")
        ids += produce(topics, 2000, first=10)
        wait_for(lambda: "reason: bytes" in log.read_text(), "a batch closed by its size")
        ids += produce(topics, 10, first=2010)
    finally:
        process.terminate()
        assert process.wait(HANG) == 0
    command.run("consume", "s3", "--once")
    assert_once(held(open_store(topics)), ids)
    command.run("lake", "verify", "--deep")


def test_killed_again_and_again_it_loses_and_duplicates_nothing(topics: Settings, command: Command) -> None:
    """Writers killed with -9 in the midst of their work, two at a time, leave each record once."""
    chance = random.Random(7)
    ids, unfinished = [], 0
    for turn in range(4):
        ids += produce(topics, 6000, first=turn * 6000)
        logs = [command.folder / f"{turn}-{number}.log" for number in (0, 1)]
        # Interpreters of their own: what one claims, another repeats, and neither may depend on its hash seed.
        writers = [command.start("consume", "s3", "--max-records", "50", log=log, real=True) for log in logs]
        wait_for_batches(topics, chance.randrange(1, 12), *logs)
        for process in writers:
            process.kill()
            process.wait()
        unfinished += len(held(open_store(topics))) < len(ids)
        # The embedded broker waits for its dead members without limit.
        forget_members(topics, topics.lake.group)
    assert unfinished, "each time they had come to the end before they were killed"
    command.run("consume", "s3", "--once")
    assert_once(held(open_store(topics)), ids)
    assert "is verified" in command.run("lake", "verify", "--deep").stderr


def test_an_unfinished_claim_is_finished_by_the_next_start(topics: Settings, command: Command) -> None:
    """What the claim's writer never put is put by the next start, from Kafka, the same lines; in another interpreter too."""
    ids = produce(topics, 500)
    command.run("consume", "s3", "--once", real=True)
    number = busiest(topics)
    store = open_store(topics)
    _, claim = newest(topics, number)
    store.delete([claim.objects[0].key])
    commit(topics, number, claim.start)
    assert len(held(store)) < len(ids)
    assert "repeating the newest claim" in command.run("consume", "s3", "--once", real=True).stderr
    assert_once(held(store), ids)
    command.run("lake", "verify", "--deep")


@pytest.mark.parametrize("where", ["back", "ahead", "at the end without its name"])
def test_a_committed_offset_moved_by_hand_changes_nothing(topics: Settings, command: Command, where: str) -> None:
    """The claim log decides where to go on, never the committed offset."""
    ids = produce(topics, 500)
    command.run("consume", "s3", "--once", "--max-records", "60")
    number = busiest(topics)
    _, claim = newest(topics, number)
    ids += produce(topics, 500, first=500)
    commit(topics, number, {"back": 0, "ahead": claim.end + 50, "at the end without its name": claim.end}[where])
    command.run("consume", "s3", "--once")
    assert_once(held(open_store(topics)), ids)
    command.run("lake", "verify", "--deep")


def test_lost_records_stop_the_writer_until_the_loss_is_accepted(topics: Settings, command: Command) -> None:
    """Records that retention deleted unread are an error with their number; accepted, the loss is recorded permanently."""
    produce(topics, 200)
    command.run("consume", "s3", "--once")
    number = busiest(topics)
    end = newest(topics, number)[1].end
    ids = produce(topics, 200, first=200)
    Admin(topics).delete_records({Partition(topics.topics.trades.name, number): end + 10})
    refused = command.run("consume", "s3", "--once", check=1)
    assert "10 records" in refused.stderr
    assert "--accept-loss" in refused.stderr
    command.run("consume", "s3", "--once", "--accept-loss")
    kept = set(held(open_store(topics)))
    assert len(set(ids) - kept) == 10
    verified = command.run("lake", "verify", "--deep", check=10)
    assert "lost" in verified.stdout
    assert f"offsets {end} to {end + 10}" in verified.stdout


def test_a_recreated_topic_continues_in_the_next_generation(topics: Settings, command: Command) -> None:
    """Offsets that begin again at 0 are another topic's: the old rows stay, the new ones come beside them."""
    ids = produce(topics, 300)
    command.run("consume", "s3", "--once")
    admin = Admin(topics)
    admin.delete_topic(topics.topics.trades.name)
    wait_for(lambda: admin.topic(topics.topics.trades.name) is None, "the topic to be gone")
    admin.create_topic(topics.topics.trades.name, topics.topics.trades.partitions, 1, {})
    ids += produce(topics, 200, first=300)
    result = command.run("consume", "s3", "--once")
    assert "generation g2" in result.stderr
    assert_once(held(open_store(topics)), ids)
    verified = command.run("lake", "verify", "--deep")
    assert "truncated" in verified.stdout


def test_another_cluster_is_refused(topics: Settings, command: Command) -> None:
    """Offsets of one cluster mean nothing in another."""
    produce(topics, 10)
    command.run("consume", "s3", "--once")
    for path in Path(command.folder / "lake").rglob("start.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"cluster_id": "elsewhere"}))
    refused = command.run("consume", "s3", "--once", check=1)
    assert "elsewhere" in refused.stderr
    assert "another lake.url" in refused.stderr


def test_of_two_sources_one_begins_an_empty_lake_and_the_other_is_refused(topics: Settings, command: Command) -> None:
    both = {"sim": produce(topics, 100, source="sim"), "replay": produce(topics, 100, first=100, source="replay")}
    assert "100 records to" in command.run("consume", "s3", "--once").stderr
    begun = claims.read_source(open_store(topics))
    assert_once(held(open_store(topics)), both[str(begun)])
    command.run("lake", "verify", "--deep")


def test_a_source_of_nobody_begins_no_lake(topics: Settings, command: Command) -> None:
    """It is taken where the settings name it, beside the one that the lake is of."""
    produce(topics, 10, source="test")
    ids = produce(topics, 10, first=10, source="sim")
    assert "10 records to" in command.run("consume", "s3", "--once").stderr
    assert claims.read_source(open_store(topics)) == "sim"
    assert_once(held(open_store(topics)), ids)


def test_simulated_trades_never_mix_with_real_ones(topics: Settings, command: Command) -> None:
    """A lake begun by one source refuses another into the dead letters, and takes it when the settings name it."""
    ids = produce(topics, 100, source="finnhub")
    command.run("consume", "s3", "--once")
    more = produce(topics, 100, first=100, source="sim")
    assert "100 records to" in command.run("consume", "s3", "--once").stderr
    assert_once(held(open_store(topics)), ids)
    [reason] = json.loads(command.run("dlq", "list", "--by-reason", "-o", "json").stdout)
    assert reason["reason"].startswith("source not allowed: sim, and the lake holds finnhub")
    for name, check in (("status", 10), ("doctor", 10)):
        rows = json.loads(command.run(name, "-o", "json", check=check).stdout)
        [row] = [row for row in rows if "dead letters" in row.values()]
        assert row["state"] == "fail"
        assert "dlq replay" in row["fix"]

    assert "100 rejected" in command.run("dlq", "replay", "--all").stderr
    command.environment["STOCKCTL_LAKE__EXTRA_SOURCES"] = "sim"
    assert "100 sent" in command.run("dlq", "replay", "--all").stderr
    command.run("consume", "s3", "--once")
    assert_once(held(open_store(topics)), ids + more)
    assert "100 already" in command.run("dlq", "replay", "--all").stderr
    rows = json.loads(command.run("status", "-o", "json", check=None).stdout)
    assert [row["state"] for row in rows if row["part"] == "dead letters"] == ["ok"]


def test_the_same_on_s3(topics: Settings, command: Command, s3_environment: dict[str, str], s3_bucket: str) -> None:
    """A bucket holds the same as a folder."""
    url = f"s3://{s3_bucket}/{command.folder.name}"
    command.environment |= s3_environment | {"STOCKCTL_LAKE__URL": url}
    ids = produce(topics, 1000)
    command.run("consume", "s3", "--once", "--max-records", "200")
    own = {key: value for key, value in command.environment.items() if key.startswith("STOCKCTL_")}
    assert_once(held(open_store(load_settings(environ=clean_environment(**own)))), ids)
    assert "is verified" in command.run("lake", "verify", "--deep").stderr
    listed = json.loads(command.run("lake", "list", "-o", "json").stdout)
    assert sum(row["rows"] for row in listed) == 1000


def test_a_wrong_key_is_refused(topics: Settings, command: Command, s3_environment: dict[str, str], s3_bucket: str) -> None:
    """A store that refuses ends the command with exit 4, and the secret is in no word of it."""
    command.environment |= s3_environment | {
        "STOCKCTL_LAKE__URL": f"s3://{s3_bucket}/x",
        "STOCKCTL_S3__SECRET_ACCESS_KEY": "wrong-secret",
    }
    produce(topics, 10)
    refused = command.run("consume", "s3", "--once", check=4)
    assert "wrong-secret" not in refused.stderr + refused.stdout
    assert "doctor" in refused.stderr


def test_missing_topics_and_brokers_are_reported(settings: Settings, command: Command) -> None:
    """No topic: exit 1 and the command that makes it. No broker: exit 5 after the wait, naming the address."""
    assert "stockctl topics apply" in command.run("consume", "s3", "--once", check=1).stderr
    command.environment |= {"STOCKCTL_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "STOCKCTL_KAFKA__CONNECT_WAIT": "1s"}
    assert "127.0.0.1:1" in command.run("consume", "s3", "--once", check=5).stderr
