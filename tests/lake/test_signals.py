"""The table of signals: written exactly once, read in the order of the decisions, and new in a lake that had none."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import stockctl
from stockctl.clients.kafka import Admin, Partition, Producer, TransactionalProducer
from stockctl.clients.object_store import open_store
from stockctl.exchange.calendar import now_ms
from stockctl.lake.format.claims import newest_claim, newest_start
from stockctl.lake.maintenance.prune import prunable, prune
from stockctl.lake.maintenance.verify import verify
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.records import SignalRecord, encode
from stockctl.settings import Settings, load_settings
from stockctl.stream.topics import apply
from stockctl.symbols import UnknownSymbolError
from tests.command import HANG, Command, clean_environment
from tests.counting import assert_once
from tests.lakes import at, lay, signal, trade
from tests.topics import messages

NOON = at("2026-11-23 12:00")


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """The test's own topics, made."""
    apply(Admin(settings), settings.topics)
    return settings


@pytest.fixture
def lake_settings(tmp_path: Path) -> Settings:
    """A fresh lake in a folder."""
    return load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "lake").as_uri()})


def decided(count: int, first: int = 0, **other: Any) -> list[SignalRecord]:
    """Numbered signals of now, of the simulator."""
    now = now_ms() - 1000
    ids = (f"{number:032x}" for number in range(first, first + count))
    return [signal(("AAPL", "MSFT")[int(id, 16) % 2], now, id=id, source="sim", **other) for id in ids]


def send(settings: Settings, records: list[SignalRecord]) -> None:
    """Publish ``records``, two in each transaction."""
    producer = TransactionalProducer(settings, f"{settings.topics.signals.name}-{records[0].id}")
    for first in range(0, len(records), 2):
        with producer.transaction():
            for record in records[first : first + 2]:
                producer.produce(
                    settings.topics.signals.name, value=encode(record), key=record.symbol, timestamp=record.ts_recv
                )


def read(settings: Settings, *arguments: Any, **named: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = stockctl.read_signals(*arguments, settings=settings, **named).to_pylist()
    return rows


def test_each_signal_is_in_the_lake_once_and_what_is_none_in_the_dead_letters(topics: Settings, command: Command) -> None:
    records = decided(7)
    send(topics, records)
    bad = Producer(topics)
    bad.produce(topics.topics.signals.name, value=encode(records[0]).replace(b"1.0", b"1.5"), key=b"AAPL", timestamp=now_ms())
    assert bad.flush(HANG) == 0
    assert "wrote 7 rows" in command.run("consume", "s3", "--once").stderr
    assert_once((row["id"] for row in read(topics)), (record.id for record in records))
    (letter,) = (json.loads(message.value()) for message in messages(topics, topics.topics.dead_letters.name))
    assert (letter["topic"], letter["reason"]) == (topics.topics.signals.name, "target is above 1")
    send(topics, decided(3, first=7))
    command.run("consume", "s3", "--once")
    assert len(read(topics)) == 10
    assert verify(open_store(topics), deep=True).issues == []
    (row,) = (row for row in json.loads(command.run("lake", "list", "-o", "json").stdout))
    assert (row["table"], row["ticker"], row["rows"]) == ("signals", "", 10)


def test_a_lake_that_had_no_signals_goes_on(topics: Settings, command: Command) -> None:
    """One that a version without them wrote has no log of theirs, and its group has committed no offset of their topic."""
    row = trade("AAPL", now_ms(), 1.0, source="sim")
    producer = Producer(topics)
    producer.produce(topics.topics.trades.name, value=encode(row), key=b"AAPL", timestamp=row.ts_recv)
    assert producer.flush(HANG) == 0
    command.run("consume", "s3", "--once")
    folder = open_store(topics).folder
    assert folder is not None
    shutil.rmtree(folder / "_log" / "signals")
    assert verify(open_store(topics), deep=True).issues == []
    assert read(topics) == []
    committed = Admin(topics).committed(topics.lake.group, [Partition(topics.topics.signals.name, 0)])
    assert all(position.offset < 0 for position in committed.values())
    records = decided(4)
    send(topics, records)
    command.run("consume", "s3", "--once")
    assert_once((row["id"] for row in read(topics)), (record.id for record in records))
    assert stockctl.read_trades(settings=topics).num_rows == 1
    assert verify(open_store(topics), deep=True).issues == []
    store = open_store(topics)
    start = newest_start(store, "signals", 0)
    assert start is not None
    assert (start.generation, newest_claim(store, start) is not None) == (1, True)


def test_a_cluster_without_the_topic_is_an_error_that_says_what_creates_it(settings: Settings, command: Command) -> None:
    admin = Admin(settings)
    for topic in (settings.topics.trades, settings.topics.feed_events, settings.topics.dead_letters):
        admin.create_topic(topic.name, 1, 1, {})
    result = command.run("consume", "s3", "--once", check=1)
    assert f"there is no topic {settings.topics.signals.name}" in result.stderr
    assert "`stockctl topics apply` creates the topics" in result.stderr


def test_a_record_is_stored_under_the_date_of_its_event(lake_settings: Settings) -> None:
    """As its trade is; whatever time it was published."""
    late = signal("AAPL", "2026-11-23 19:59:59.999", ts_recv=at("2026-11-24 08:00"))
    began = signal("", "2026-11-24 09:00", side="", target=0.0, kind="run", details='{"params":{"fast":"5"}}')
    (claim,) = lay(lake_settings, [late, began], table="signals")
    assert [item.key.rpartition("/")[0] for item in claim.objects] == [
        "signals/trade_date=2026-11-23",
        "signals/trade_date=2026-11-24",
    ]
    with LakeReader(lake_settings) as lake:
        assert len(lake.find("signals", since=at("2026-11-24 00:00"))) == 1


def test_signals_are_read_in_the_order_of_their_decisions(lake_settings: Settings) -> None:
    """Those of one record by their number."""
    first = signal("AAPL", NOON + 5, ts_decided=NOON + 6, offset=2)
    second = signal("MSFT", NOON, ts_decided=NOON + 7, offset=7, partition=1)
    exits = signal("AAPL", NOON + 6, side="exit", target=0.0, ts_decided=NOON + 7, offset=8, partition=1, n=0)
    enters = signal("AAPL", NOON + 6, ts_decided=NOON + 7, offset=8, partition=1, n=1)
    lay(lake_settings, [enters, second, first, exits], table="signals")
    rows = read(lake_settings)
    assert [row["id"] for row in rows] == [record.id for record in (first, second, exits, enters)]
    assert rows[0]["trade_date"].isoformat() == "2026-11-23"
    assert [round(row["ts_event"].timestamp() * 1000) for row in rows] == [NOON + 5, NOON, NOON + 6, NOON + 6]
    names = [*SignalRecord.__struct_fields__, "trade_date"]
    assert list(rows[0]) == names


def test_signals_are_chosen_by_symbol_time_strategy_kind_and_receipt(lake_settings: Settings) -> None:
    lay(lake_settings, [trade(symbol, NOON, 1.0) for symbol in ("AAPL", "MSFT", "IBM")])
    rows = [
        signal("AAPL", NOON, id="a"),
        signal("MSFT", NOON + 1, id="b"),
        signal("AAPL", NOON + 2, id="c", strategy="sma-cross"),
        signal("AAPL", NOON + 3, id="late", ts_recv=NOON + 3_600_000),
        signal("AAPL", NOON + 4, id="beat", kind="heartbeat", side="", target=0.0),
        signal("", NOON + 5, id="run", kind="run", side="", target=0.0),
    ]
    lay(lake_settings, rows, table="signals")

    def ids(*arguments: Any, **named: Any) -> list[str]:
        return [row["id"] for row in read(lake_settings, *arguments, **named)]

    assert ids() == ["a", "b", "c", "late"]
    assert ids("aapl") == ["a", "c", "late"]
    assert ids("AAPL,MSFT", "2026-11-23 12:00:00.001", "2026-11-23 12:00:00.003") == ["b", "c"]
    assert ids(strategy="sma-cross") == ["c"]
    assert ids(as_of="2026-11-23 12:30") == ["a", "b", "c"]
    assert ids(kind="run") == ["run"]
    assert ids("AAPL", kind="heartbeat") == ["beat"]
    assert ids(kind=None) == ["a", "b", "c", "late", "beat", "run"]
    assert ids("IBM") == []
    with pytest.raises(UnknownSymbolError):
        ids("NOSUCH")


def test_two_runs_over_the_same_records_are_noted_and_no_damage(lake_settings: Settings) -> None:
    """The id of a signal does not name its run. Within a run each is there once."""
    again = [signal("AAPL", NOON, id="same", run=run) for run in ("run00", "run01")]
    lay(lake_settings, again, table="signals")
    report = verify(open_store(lake_settings), deep=True)
    ((kind, key, message),) = report.issues
    assert (kind, message) == ("repeated", "1 id occurs twice, within the object")
    assert key.startswith("signals/")
    assert report.damage == []
    assert [row["run"] for row in read(lake_settings)] == ["run00", "run01"]


def test_pruned_dates_lose_their_signals_and_the_others_stay(lake_settings: Settings) -> None:
    rows = [signal("AAPL", f"2026-11-{day} 10:00", id=str(day)) for day in (20, 23)]
    lay(lake_settings, rows, table="signals")
    store, floor = open_store(lake_settings), date(2026, 11, 23)
    dates = prunable(store, floor)
    assert [(item.table, item.trade_date, item.objects) for item in dates] == [("signals", date(2026, 11, 20), 1)]
    prune(store, floor, dates)
    assert [row["id"] for row in read(lake_settings)] == ["23"]
    report = verify(store, deep=True)
    assert (report.issues, report.pruned) == ([], 1)
