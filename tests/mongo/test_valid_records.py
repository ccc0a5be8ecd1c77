"""One definition of a valid record: both writers and every reader have the same rows of the same records, and the rest are
dead letters. In the environment, ``RECORDS`` and ``FRAMES`` say how many records, and lines of a capture, are sent, and
``SEED`` which.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet
import pytest

from stockctl.clients.kafka import Admin, Producer
from stockctl.clients.mongo import Mongo
from stockctl.exchange.calendar import now_ms
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.signals import signals_between
from stockctl.local.demo import lake_totals
from stockctl.mongo.documents import ms_of
from stockctl.record_validation import VALIDATORS, InvalidRecordError
from stockctl.settings import Settings, env_name, load_settings
from stockctl.stream.dead_letters.reader import read
from tests import damaged
from tests.command import HANG, Command, clean_environment
from tests.servers import Kafka

FRAMES = int(os.environ.get("FRAMES", "2000"))
COUNT = int(os.environ.get("RECORDS", "4000"))
SEED = int(os.environ.get("SEED", "1"))
EVENTS = COUNT // 4
LONGEST = 900_000
"""Most bytes of a record: Kafka takes no message above a million."""
WITHIN = HANG + (COUNT + FRAMES) / 500
"""Seconds in which each command ends, or hangs."""
Rows = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def broker(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded broker keeps everything in memory: what is too much for it goes to Apache Kafka."""
    if COUNT + FRAMES < 100_000:
        yield broker
        return
    server = Kafka(tmp_path_factory.mktemp("kafka"))
    server.start()
    yield server.servers
    server.kill()


@pytest.fixture
def topics(names: dict[str, str]) -> Settings:
    """The test's own topics, made, and its settings: MongoDB keeps documents of any date."""
    # Several batches of either, whatever is sent.
    names |= {"mongo.retention": "36500d", "lake.max_records": str(max(COUNT, FRAMES) // 4), "symbols": "AAPL"}
    settings = load_settings(environ=clean_environment(), flags=names)
    admin = Admin(settings)
    for topic in (settings.topics.trades, settings.topics.feed_events, settings.topics.signals, settings.topics.dead_letters):
        admin.create_topic(topic.name, min(3, topic.partitions), 1, {"message.timestamp.type": "CreateTime"})
    return settings


def split(table: str, values: list[bytes]) -> tuple[list[bytes], Rows, list[bytes]]:
    """What to send of ``values``, no id twice, the rows of the valid ones of the one source by id, and the others."""
    sent: list[bytes] = []
    rows: Rows = {}
    others: list[bytes] = []
    for value in values:
        try:
            record = VALIDATORS[table].record(value)
        except InvalidRecordError:
            if len(value) > LONGEST:
                continue
            others.append(value)
        else:
            if record.id in rows:
                continue
            if record.source == "sim":
                rows[record.id] = msgspec.structs.asdict(record)
            else:
                others.append(value)
        sent.append(value)
    return sent, rows, others


def from_mongo(settings: Settings, collection: str) -> Rows:
    """The documents of a collection as rows."""

    def row(document: dict[str, Any]) -> dict[str, Any]:
        return {
            "id" if name == "_id" else name: ms_of(value) if name.startswith(("ts_", "span_")) else value
            for name, value in document.items()
        }

    with Mongo(settings) as mongo:
        return {document["_id"]: row(document) for document in mongo.find(collection, {})}


def from_lake(command: Command, *columns: str) -> Rows:
    """The rows of the lake's view of trades."""
    found = command.run_bytes("lake", "query", f"SELECT {', '.join(columns)} FROM trades", "-o", "parquet", timeout=WITHIN)  # noqa: S608  # our own names
    rows = pyarrow.parquet.read_table(BytesIO(found.stdout)).to_pylist()
    assert found.returncode == 0, found.stderr
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def test_both_writers_and_all_readers_have_the_same_rows(topics: Settings, names: dict[str, str], command: Command) -> None:
    command.environment |= {env_name(name): value for name, value in names.items()}
    trades, rows, bad_trades = split("trades", damaged.records(SEED, COUNT, now_ms()))
    events, event_rows, bad_events = split("feed_events", damaged.events(SEED, EVENTS, now_ms()))
    signals, signal_rows, bad_signals = split("signals", damaged.signals(SEED, EVENTS, now_ms()))
    assert min(len(signal_rows), len(bad_signals)) > EVENTS / 4
    assert len(rows) > COUNT / 4
    assert len(bad_trades) > COUNT / 4
    producer = Producer(topics)
    sent = {topics.topics.trades.name: trades, topics.topics.feed_events.name: events, topics.topics.signals.name: signals}
    for topic, values in sent.items():
        for number, value in enumerate(values):
            while not producer.send(topic, [(value, str(number).encode())], now_ms(), lambda *_: None):
                producer.poll(0.1)
    assert producer.flush(WITHIN) == 0

    command.run("consume", "s3", "--once", timeout=WITHIN)
    command.run("consume", "mongo", "--once", timeout=WITHIN)
    command.run("lake", "verify", "--deep", timeout=WITHIN)
    columns = next(iter(rows.values()))
    assert from_lake(command, *columns) == rows
    assert from_mongo(topics, "trades") == rows
    assert from_mongo(topics, "coverage") == event_rows
    assert from_mongo(topics, "signals") == signal_rows
    with LakeReader(topics) as lake:
        found_signals = signals_between(lake, kind=None).drop_columns("trade_date").to_pylist()
    assert {row["id"]: row for row in found_signals} == signal_rows
    select = f"SELECT {', '.join(columns)} FROM stockctl.trades"  # noqa: S608  # our own names
    found = command.run_bytes("spectrum", "query", "--local", "-", "-o", "parquet", text=select, timeout=WITHIN)
    assert {row["id"]: row for row in pyarrow.parquet.read_table(BytesIO(found.stdout)).to_pylist()} == rows, found.stderr
    command.run("lake", "compact", "--before", "2100-01-01", timeout=WITHIN)
    command.run("lake", "verify", "--deep", timeout=WITHIN)
    assert from_lake(command, *columns) == rows

    refused: Counter[tuple[str, str]] = Counter()
    for item in {(item.digest, item.rejected_by): item for item in read(topics)}.values():
        assert item.letter.reason
        refused[item.rejected_by, item.letter.topic] += 1
    assert refused == {
        (reader, topic): len(others)
        for reader in ("consume s3", "consume mongo")
        for topic, others in zip(sent, (bad_trades, bad_events, bad_signals), strict=True)
    }


def test_what_produce_takes_from_a_hostile_feed_everybody_takes(
    topics: Settings, names: dict[str, str], command: Command, tmp_path: Path
) -> None:
    """Each row of each frame is a trade for both writers, or a dead letter of ``produce``, and never one of theirs."""
    command.environment |= {env_name(name): value for name, value in names.items()}
    capture = tmp_path / "frames.jsonl"
    capture.write_bytes(b"\n".join(damaged.frames(SEED, FRAMES, now_ms())))
    stderr = command.run("produce", "--replay", str(capture), timeout=WITHIN).stderr
    counted = re.search(r"([\d,]+) lines, ([\d,]+) trades and ([\d,]+) dead letters", stderr)
    assert counted, stderr
    lines, trades, dead = (int(number.replace(",", "")) for number in counted.groups())
    assert lines == FRAMES
    assert trades > FRAMES / 4
    assert dead > FRAMES / 2
    command.run("consume", "s3", "--once", timeout=WITHIN)
    command.run("consume", "mongo", "--once", timeout=WITHIN)
    command.run("lake", "verify", "--deep", timeout=WITHIN)
    assert lake_totals(topics)["trades"][1] == trades
    with Mongo(topics) as mongo:
        assert mongo.count("trades") == trades
    assert Counter(item.rejected_by for item in read(topics)) == {"produce": dead}
