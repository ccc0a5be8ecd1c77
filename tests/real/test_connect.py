"""The MongoDB connector in Apache Kafka Connect, logged in by SCRAM: its documents, and its bad days."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from bson import Int64
from pymongo import MongoClient

from stockctl.clients.kafka import Admin, Message, Producer
from stockctl.clients.mongo import Document
from stockctl.mongo.documents import BadRecord, event_documents, signal_documents, trade_documents
from stockctl.mongo.schema import EXPIRY
from stockctl.records import MAX_MS, FeedEvent, SignalRecord, Trade, encode
from stockctl.settings import Settings, env_name, load_settings
from stockctl.stream.dead_letters.reader import read
from tests import lakes
from tests.command import HANG, Command, clean_environment
from tests.conftest import MongoServer, own_names, wait_for
from tests.damaged import events as damaged_events
from tests.damaged import records
from tests.damaged import signals as damaged_signals
from tests.servers import ConnectServer, Kafka

NOW = int(time.time() * 1000)
INTERNAL = {"config_topic": "stock-configs", "offset_topic": "stock-offsets", "status_topic": "stock-status"}
PASSWORD = Kafka.PASSWORDS["stockctl"]


class Rig(NamedTuple):
    """The servers that all tests of this module share."""

    kafka: Kafka
    mongo: MongoServer
    worker: ConnectServer


def login(kafka: Kafka) -> dict[str, str]:
    """Dotted settings that log in to Kafka."""
    return {
        "kafka.bootstrap_servers": kafka.sasl_servers,
        "kafka.security_protocol": "SASL_PLAINTEXT",
        "kafka.username": "stockctl",
        "kafka.password": PASSWORD,
    }


def command_of(folder: Path, flags: dict[str, str]) -> Command:
    return Command(folder, **{env_name(name): value for name, value in flags.items()})


@pytest.fixture(scope="module")
def rig(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A worker whose own topics were made before it started, as the command makes them."""
    folder = tmp_path_factory.mktemp("connect")
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    worker = ConnectServer(
        folder / "worker",
        kafka.sasl_servers,
        INTERNAL,
        {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.jaas.config": f'{module} required username="stockctl" password="{PASSWORD}";',
        },
    )
    flags = login(kafka) | {"connect.url": worker.url} | {f"connect.{name}": topic for name, topic in INTERNAL.items()}
    command_of(folder, flags).run("connect", "apply", "--topics-only")
    mongo = MongoServer(folder / "mongo")
    mongo.start()
    worker.start()
    yield Rig(kafka, mongo, worker)
    worker.kill()
    mongo.stop()


class Case:
    """One test's topics, database and connector, the command, and what it takes to look at them."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig = rig
        name = folder.name[:40]
        (folder / "mongo.properties").write_text(f"uri={rig.mongo.url}/?serverSelectionTimeoutMS=3000\n")
        flags = own_names(rig.kafka.sasl_servers, folder) | login(rig.kafka)
        flags |= {f"connect.{setting}": topic for setting, topic in INTERNAL.items()}
        flags |= {
            "topics.trades.partitions": "3",
            "kafka.session_timeout": "3s",
            "connect.url": rig.worker.url,
            "connect.connector": name,
            "connect.tasks": "2",
            "connect.mongo_uri": f"${{file:{folder / 'mongo.properties'}:uri}}",
            "mongo.url": rig.mongo.url,
            "mongo.database": name,
            "mongo.group": f"mongo-{name}",
            # Small batches, so that a kill meets the middle of a few thousand trades.
            "mongo.max_records": "200",
        }
        self.settings: Settings = load_settings(environ=clean_environment(), flags=flags)
        self.command = command_of(folder, flags)
        self.database: Any = MongoClient(rig.mongo.url, tz_aware=True)
        self._sent = 0

    def send(self, *values: bytes | str | None, topic: str = "") -> dict[tuple[str, int, int], bytes | None]:
        """Send values to the topic of trades; each value by its topic, partition and offset."""
        producer, sent = Producer(self.settings), {}

        def delivered(_error: object, message: Message) -> None:
            sent[message.topic(), message.partition(), message.offset()] = message.value()

        for value in values:
            producer.produce(
                topic or self.settings.topics.trades.name,
                value=value,
                key=str(hash(value)),
                timestamp=NOW,
                on_delivery=delivered,
            )
            producer.poll(0)
        assert producer.flush(30) == 0
        return sent

    def trades(self, count: int) -> list[bytes]:
        """Lines of so many trades that were not there yet."""
        numbers = range(self._sent, self._sent + count)
        self._sent += count
        return [
            encode(Trade(f"A-{number:08d}", "AAPL", 100 + number / 7, float(number % 5), NOW - number, NOW, "1,8", "v", "sim"))
            for number in numbers
        ]

    def held(self, collection: str = "trades", database: str = "") -> dict[str, dict[str, Any]]:
        """The documents of a collection by id, each value with its type."""
        found = self.database[database or self.settings.mongo.database][collection].find()
        return {document["_id"]: {name: (type(value), value) for name, value in document.items()} for document in found}

    def count(self, collection: str = "trades") -> int:
        return int(self.database[self.settings.mongo.database][collection].count_documents({}))

    def await_trades(self, seconds: float = 60) -> None:
        """Wait until every trade that was sent is in MongoDB; more than those never are."""
        wait_for(lambda: self.count() >= self._sent, f"{self._sent} trades in MongoDB", seconds)
        assert self.count() == self._sent

    def rows(self, *arguments: str, check: int = 0) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = json.loads(self.command.run(*arguments, "-o", "json", check=check).stdout)
        return result


@pytest.fixture
def case(rig: Rig, tmp_path: Path) -> Iterator[Case]:
    case = Case(rig, tmp_path)
    case.command.run("topics", "apply")
    case.command.run("mongo", "apply")
    case.command.run("connect", "apply", real=True)
    yield case
    case.command.run("connect", "delete", "--yes", check=None)
    case.database.close()


def until(case: Case, condition: Callable[[list[dict[str, Any]]], bool], what: str) -> None:
    """Wait until the rows of ``connect status`` fulfil ``condition``."""
    wait_for(
        lambda: condition(json.loads(case.command.run("connect", "status", "-o", "json", check=None).stdout or "[]")), what
    )


def test_its_documents_are_those_of_consume_mongo_in_every_type(case: Case) -> None:
    event = FeedEvent("e1", "covered", NOW - 10, NOW, "AAPL,MSFT", "", "k3f9a2", NOW, "sim")
    whole = case.trades(1)[0].replace(b"100.0", b"100").replace(b'"source"', b'"more":[1],"source"')
    case.send(*case.trades(200), whole)
    case.send(encode(event), topic=case.settings.topics.feed_events.name)
    places = (-1, 0, 2**31 - 1, 2**31, 2**53 - 1)
    signals = [lakes.signal("AAPL", NOW, strength=-2.5, offset=place, n=max(0, place), source="sim") for place in places]
    case.send(*map(encode, signals), topic=case.settings.topics.signals.name)
    case.await_trades()
    wait_for(lambda: case.held("coverage") and case.count("signals") == len(signals), "the feed event and the signals")

    case.command.environment["STOCKCTL_MONGO__DATABASE"] = other = f"{case.settings.mongo.database[:30]}-other"
    case.command.run("mongo", "apply")
    case.command.run("consume", "mongo", "--once")
    for collection in ("trades", "coverage", "signals"):
        assert case.held(collection) == case.held(collection, other)
    kinds = {name: kind.__name__ for name, (kind, _) in case.held()["A-00000003"].items()}
    dates = dict.fromkeys(("ts_event", "ts_recv"), "datetime")
    texts = dict.fromkeys(("_id", "symbol", "conditions", "updates", "source"), "str")
    assert kinds == dates | texts | dict.fromkeys(("price", "volume"), "float")
    assert not any(kind is Int64 for kind, _ in case.held()["A-00000000"].values()), "a whole price is a double too"


DAMAGED: dict[str, list[object]] = {
    "id": ["", None, "x" * 1025],
    "symbol": ["A,B", " A", "A\x00", 1],
    "price": [0, "1.5", True, None, 10**400],
    "volume": [-1, [1]],
    "ts_event": [1.5, -1, MAX_MS + 1],
    "ts_recv": [MAX_MS, "now", 10**30],
    "conditions": [1],
    "updates": ["v" * 17, {}],
    "source": ["\x85", "\U0001f600" * 65],
}
"""Values that a trade's columns cannot have."""


WRONG_SIGNALS: list[tuple[str, Any]] = [
    *(("target", 1.5), ("target", -1.5), ("n", -1), ("n", 2**53), ("n", 1.5), ("n", None)),
    *(("partition", -2), ("offset", 10**30), ("side", "\t"), ("details", "\0"), ("strategy", ""), ("symbol", "A,B")),
    *(("strength", "2.0"), ("ts_decided", -1)),
]
"""Columns of signals, each with a value that it cannot have."""


def _typed(value: object) -> tuple[type, object]:
    """``value`` with the type in which MongoDB's client returns it."""
    return Int64 if type(value) is int and value >= 2**31 else type(value), value


def damaged_once(line: bytes) -> Iterator[bytes | None]:
    """``line``, a trade, with one thing wrong, so that there is one reason to refuse it."""
    trade = json.loads(line)
    yield from (json.dumps(trade | {name: value}).encode() for name, values in DAMAGED.items() for value in values)
    yield from (json.dumps({other: trade[other] for other in trade if other != name}).encode() for name in ("id", "ts_recv"))
    yield from (line.replace(b"}", b',"pric\\u0065":2}'), line.replace(b"}", b',"x":' + b"[" * 64 + b"]" * 64 + b"}"))
    yield from (b"[" + line + b"]", b"null", b"", line[:-1], None)


def at_the_limits(line: bytes, kind: type) -> Iterator[bytes]:
    """``line``, a record of ``kind``, with each column at the limits of its type, and one beyond them."""
    record = json.loads(line)
    for field in msgspec.structs.fields(kind):
        type_ = msgspec.inspect.type_info(field.type)
        values: list[object] = []
        if isinstance(type_, msgspec.inspect.StrType):
            least, most = type_.min_length or 0, type_.max_length or 200_000
            # Each id is another.
            texts = (
                f"{field.name}{length}".ljust(length, "\U0001f600")[:length] for length in (least - 1, least, most, most + 1)
            )
            values = list(texts)
        elif isinstance(type_, msgspec.inspect.IntType):
            values = [limit + one for limit in (type_.ge, type_.le) if limit is not None for one in (-1, 0, 1)]
        for value in values:
            id = value if field.name == "id" else f"{field.name}-{len(str(value))}-{str(value)[:20]}"
            yield json.dumps(record | {"id": id, field.name: value}, ensure_ascii=False).encode()


def test_it_takes_the_records_of_consume_mongo_and_refuses_all_others_with_their_reasons(case: Case) -> None:
    now = int(time.time() * 1000)
    topics = case.settings.topics
    trades, events, signals = topics.trades.name, topics.feed_events.name, topics.signals.name
    reasons_of_events = [encode(FeedEvent("e", "covered", 0, 0, "", words, "", 0, "sim")) for words in ("a\tb", "a\0b")]
    for collection in ("trades", "coverage", "signals"):
        # Damaged times are old ones too: their documents would expire as soon as they are there.
        case.database[case.settings.mongo.database][collection].drop_index(EXPIRY)
    trade, event = case.trades(1)[0], encode(FeedEvent("e", "covered", 0, 0, "", "", "", 0, "sim"))
    once = list(damaged_once(trade))
    sent = case.send(*records(1, 4000, now), *once, *at_the_limits(trade, Trade))
    sent |= case.send(*damaged_events(1, 400, now), *reasons_of_events, *at_the_limits(event, FeedEvent), topic=events)

    wrong = [encode(msgspec.structs.replace(lakes.signal("AAPL", now), **{name: value})) for name, value in WRONG_SIGNALS]
    once += wrong
    limits = at_the_limits(encode(lakes.signal("AAPL", now)), SignalRecord)
    sent |= case.send(*damaged_signals(1, 400, now), *wrong, *limits, topic=signals)

    makers = {trades: trade_documents, events: event_documents, signals: signal_documents}
    taken: dict[str, dict[str, Document]] = {topic: {} for topic in makers}
    refused: dict[tuple[str, int, int], str] = {}
    for place, value in sent.items():
        [document] = makers[place[0]]([value])
        if isinstance(document, BadRecord):
            refused[place] = document.reason
        else:
            taken[place[0]][document["_id"]] = document
    assert sum(map(len, taken.values())) + len(refused) == len(sent), "no id twice"

    admin = Admin(case.settings)
    letters = admin.partitions(case.settings.topics.dead_letters.name)

    def arrived() -> int:
        documents = sum(map(case.count, ("trades", "coverage", "signals")))
        return sum(held.end for held in admin.offsets(letters).values()) + documents

    wait_for(lambda: arrived() >= len(sent), "every record as a document or a dead letter", 120)
    for topic, collection in ((trades, "trades"), (events, "coverage"), (signals, "signals")):
        typed = {id: {name: _typed(value) for name, value in document.items()} for id, document in taken[topic].items()}
        stored = case.held(collection)
        assert stored == typed
        assert all(list(stored[id]) == list(typed[id]) for id in typed), "in the same order"

    reasons = {(one.letter.topic, one.letter.partition, one.letter.offset): one.letter.reason for one in read(case.settings)}
    assert reasons.keys() == refused.keys()
    assert not [
        (reasons[place], reason) for place, reason in refused.items() if sent[place] in once and reasons[place] != reason
    ]
    columns = {*Trade.__struct_fields__, *FeedEvent.__struct_fields__, *SignalRecord.__struct_fields__}
    begins = ("no value", "the record is not ", "not UTF-8: ", "nested more than 64 deep", *(f"{name} " for name in columns))
    assert not [reason for reason in reasons.values() if not reason.startswith(begins)]
    assert {row["state"] for row in case.rows("connect", "status")[:-1]} == {"RUNNING"}


def test_apply_changes_what_differs_and_nothing_else(case: Case) -> None:
    assert {row["action"] for row in case.rows("connect", "apply")} == {"unchanged"}
    assert case.rows("connect", "diff") == []
    case.command.environment["STOCKCTL_CONNECT__TASKS"] = "3"
    [difference] = case.rows("connect", "diff", check=10)
    assert (difference["field"], difference["wanted"], difference["actual"]) == ("tasks.max", "3", "2")
    assert case.rows("connect", "apply")[-1]["action"] == "changed"
    rows = case.rows("connect", "status")
    assert [row["part"] for row in rows] == ["connector", "task 0", "task 1", "task 2", "lag"]
    assert {row["state"] for row in rows[:-1]} == {"RUNNING"}
    shown = case.command.run("connect", "render").stdout
    assert PASSWORD not in shown
    assert "${file:" in shown
    assert "ok" in next(
        line for line in case.command.run("doctor", check=None).stdout.splitlines() if line.startswith("connect ")
    )

    case.command.run("connect", "restart", real=True)
    case.command.run("connect", "delete", "--yes", real=True)
    assert "absent" in case.command.run("connect", "diff", check=10, real=True).stdout
    case.command.run("connect", "status", check=1)


def test_bad_rows_are_dead_letters_that_can_be_corrected(case: Case) -> None:
    good, corrected = case.trades(2)
    bad: list[bytes | str] = [
        "{no",
        '{"a":1}',
        good.replace(b"A-", b"B-").replace(b'"price":100.0', b'"price":"abc"'),
        good.replace(b"A-", b"C-").replace(b'"price":100.0', b'"price":-1.0'),
        good.replace(b"A-", b"D-").replace(b'"symbol":"AAPL",', b""),
        b"\xff\xfe",
    ]
    case.send(*bad, good)
    wait_for(lambda: len(case.rows("dlq", "list")) == len(bad), "the dead letters")
    rows = case.rows("dlq", "list")
    assert {row["rejected_by"] for row in rows} == {f"connect {case.settings.connect.connector}"}
    assert all(row["found_at"].startswith(case.settings.topics.trades.name) for row in rows)
    reasons = " | ".join(row["reason"] for row in rows)
    for words in (
        "the record is not JSON: ",
        "id is missing",
        "price is not a number, but a text",
        "price is not above 0",
        "not UTF-8",
    ):
        assert words in reasons
    assert list(case.held()) == ["A-00000000"]
    assert {row["state"] for row in case.rows("connect", "status")[:-1]} == {"RUNNING"}

    id = next(row["id"] for row in rows if "not JSON" in row["reason"])
    for said in ("1 sent", "1 already"):
        assert said in case.command.run("dlq", "replay", id, "--with", "-", text=corrected.decode()).stderr
    case.await_trades()


def test_a_killed_worker_loses_and_doubles_nothing(case: Case) -> None:
    case.send(*case.trades(1))
    case.await_trades()
    case.send(*case.trades(5_000))
    wait_for(lambda: case.count() > 100, "the first batches")
    case.rig.worker.kill()
    assert case.count() < 5_001, "it was killed in the middle"
    case.send(*case.trades(500))
    assert case.command.run("connect", "status", check=5).stderr.count("try: ") == 1
    case.rig.worker.start()
    case.await_trades(180)
    assert case.rows("dlq", "list") == []


def test_an_outage_of_mongodb_fails_the_task_and_watch_restarts_it(case: Case) -> None:
    """As often as it takes; no good row becomes a dead letter meanwhile."""
    case.send(*case.trades(50))
    case.await_trades()
    case.command.environment |= {"STOCKCTL_CONNECT__WATCH_EVERY": "1s", "STOCKCTL_CONNECT__BACKOFF_MAX": "4s"}
    log = case.command.folder / "connect.log"
    case.rig.mongo.stop()
    try:
        case.send(*case.trades(50))
        until(case, lambda rows: any(row["state"] == "FAILED" for row in rows), "a failed task")
        failed = case.command.run("connect", "status", check=10, real=True)
        assert "MongoDB does not answer" in failed.stdout
        assert "restart --failed" in failed.stderr
        watching = case.command.start("connect", "watch", real=True)
        case.send(*case.trades(50))
        wait_for(
            lambda: log.read_text().count("restarted the failed tasks") >= 3 or watching.poll() is not None,
            "the third restart without success",
            120,
        )
        assert watching.poll() is None
    finally:
        case.rig.mongo.start()
    case.await_trades()
    until(case, lambda rows: all(row["state"] == "RUNNING" for row in rows[:-1]), "all tasks")
    wait_for(lambda: "is running again" in log.read_text(), "the watch to see it")
    watching.send_signal(signal.SIGTERM)
    assert watching.wait(HANG) == 0
    assert "failed: MongoDB does not answer" in log.read_text()
    assert case.rows("dlq", "list") == []


def test_a_worker_without_the_class_names_how_to_get_it(rig: Rig, tmp_path: Path) -> None:
    topics = {name: f"bare-{topic}" for name, topic in INTERNAL.items()}
    worker = ConnectServer(tmp_path / "worker", rig.kafka.servers, topics, plugin=False)
    flags = own_names(rig.kafka.servers, tmp_path) | {"connect.url": worker.url, "mongo.url": rig.mongo.url}
    command = command_of(tmp_path, flags | {f"connect.{name}": topic for name, topic in topics.items()})
    command.run("connect", "apply", "--topics-only")
    worker.start()
    try:
        result = command.run("connect", "apply", check=3)
    finally:
        worker.kill()
    assert "waiting up to" in result.stderr
    assert "mongo-kafka-connect" in result.stderr
    assert "plugin.path" in result.stderr
