"""Dead letters listed, shown and replayed: of every reader that rejects records, each sent at most once."""

from __future__ import annotations

import csv
import json
from typing import Any

import msgspec
import pytest

from stockctl.clients.kafka import Admin, Consumer, Event, Producer, TransactionalProducer
from stockctl.errors import StockctlError
from stockctl.exchange.calendar import now_ms
from stockctl.feed.redecode import redecode
from stockctl.records import Trade, encode
from stockctl.settings import Settings
from stockctl.stream.dead_letters import replay as replaying
from stockctl.stream.dead_letters.reader import Summary, counts, letters_of, read, summaries
from stockctl.stream.dead_letters.record import as_message, dead_letter
from stockctl.stream.dead_letters.replay import Replay, ReplayResult
from stockctl.stream.topics import apply
from tests.command import HANG, Command
from tests.lakes import TOO_DEEP, signal

ROW = '{"s":"AAPL","p":164.06,"t":1680286538064,"v":4}'
TRADE = '{"id":"AAPL-1-k3f9a2-7","symbol":"AAPL","price":164.06,"volume":4.0,"ts_event":1,"ts_recv":2,"conditions":"","updates":"vhl","source":"sim"}'  # noqa: E501
EVENT = '{"id":"e1","kind":"covered","span_start":1,"span_end":2,"symbols":"AAPL","reason":"","connection":"k3f9a2","ts_recv":2,"source":"sim"}'  # noqa: E501
DEEP = b'{"n":' + TOO_DEEP + b"}"
TRACE = (
    "a.DataException: wrapped\n\tat x.y(Z.java:1)\nCaused by: com.fasterxml.jackson.core.JsonParseException: Unrecognized token"
)


@pytest.fixture
def made(settings: Settings) -> Settings:
    """Settings of one test, with its topics created."""
    apply(Admin(settings), settings.topics)
    return settings


class Letters:
    """Puts dead letters into the topic."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.producer = settings, Producer(settings)
        self.now = now_ms() - 3_600_000  # not older, because retention would delete them

    def put(self, value: bytes, key: bytes, headers: Any = None) -> None:
        self.producer.produce(
            self.settings.topics.dead_letters.name, value=value, key=key, timestamp=self.now, headers=headers or []
        )
        assert self.producer.flush(HANG) == 0
        self.now += 1000

    def feed(self, number: int = 1, raw: str = ROW, reason: str = "no price") -> str:
        """What ``produce`` refuses."""
        letter = dead_letter(reason, raw, ts_recv=self.now, source="sim", origin="k3f9a2", id=f"k3f9a2-{number:08d}")
        self.put(*as_message(letter))
        return letter.id

    def kafka(self, offset: int = 17, raw: str = "{}", *, origin: str = "", topic: str = "", reason: str = "no trade") -> str:
        """What a reader of the topic of trades refuses; the lake's writer where ``origin`` names no other."""
        topic = topic or self.settings.topics.trades.name
        letter = dead_letter(reason, raw, ts_recv=self.now, source="", topic=topic, partition=2, offset=offset, origin=origin)
        self.put(*as_message(letter))
        return letter.id

    def connect(self, offset: int = 17, raw: bytes = b"{no") -> str:
        """What Kafka Connect refuses: the record as it was, and headers."""
        topic = self.settings.topics.trades.name
        output = {
            "topic": topic,
            "partition": "2",
            "offset": str(offset),
            "connector.name": "sink",
            "exception.stacktrace": TRACE,
        }
        self.put(raw, b"AAPL", [(f"__connect.errors.{name}", value.encode()) for name, value in output.items()])
        return f"{topic}-2-{offset}"


@pytest.fixture
def letters(made: Settings) -> Letters:
    return Letters(made)


def held(settings: Settings, topic: str) -> list[tuple[bytes, bytes]]:
    """Key and value of all committed messages of ``topic``."""
    admin = Admin(settings)
    consumer = Consumer(settings, "reader", **{"enable.partition.eof": True})
    found, left = [], {one.number: edges.start for one, edges in admin.offsets(admin.partitions(topic)).items()}
    consumer.assign({one: left[one.number] for one in admin.partitions(topic)})
    try:
        while left:
            for message in consumer.consume(100, 0.1):
                if message.error() is None:
                    found.append((message.key(), message.value()))
                elif consumer.event(message, "read") is Event.end:
                    left.pop(message.partition(), None)
    finally:
        consumer.close()
    return found


def replay(settings: Settings, **asked: Any) -> list[ReplayResult]:
    return list(Replay(settings, redecode, **asked).run())


def test_letters_of_every_producer_are_listed_the_newest_first(letters: Letters, made: Settings) -> None:
    ids = [letters.feed(), letters.kafka(16), letters.kafka(18, origin="consume mongo"), letters.connect(19)]
    rows = summaries(made)
    assert [row.id for row in rows] == ids[::-1]
    assert [row.rejected_by for row in rows] == ["connect sink", "consume mongo", "consume s3", "produce"]
    name = made.topics.trades.name
    assert [row.found_at for row in rows] == [f"{name}/2@19", f"{name}/2@18", f"{name}/2@16", "k3f9a2"]
    assert rows[0].reason == "invalid JSON: Unrecognized token"
    assert all((row.times, row.replayed) == (1, None) for row in rows)


def test_a_duplicate_letter_is_listed_once(letters: Letters, made: Settings) -> None:
    """A reader that was killed before its commit meets the same record again."""
    letters.kafka()
    letters.kafka()
    [row] = summaries(made)
    assert row.times == 2
    assert row.at == letters.now - 1000, "the newest one's time"


def test_reasons_that_differ_only_in_numbers_are_counted_together(letters: Letters, made: Settings) -> None:
    for number in (1, 22):
        letters.feed(number, reason=f"t: {number} is more than a day after the receipt")
    letters.feed(3, reason="no price")
    first, second = counts(summaries(made))
    assert (first.reason, first.letters, first.last - first.first) == ("t: # is more than a day after the receipt", 2, 1000)
    assert (second.reason, second.letters) == ("no price", 1)


def test_the_list_is_filtered_by_reason_topic_and_time(letters: Letters, made: Settings) -> None:
    letters.feed(reason="No Price")
    since = letters.now
    kafka = letters.kafka(raw="x")
    assert [row.reason for row in summaries(made, reason="price")] == ["No Price"]
    assert [row.id for row in summaries(made, topic=made.topics.trades.name)] == [kafka]
    assert [row.id for row in summaries(made, since=since)] == [kafka]


def test_an_unknown_message_is_a_letter_too(letters: Letters, made: Settings) -> None:
    letters.put(b"\xff", b"")
    [item] = read(made)
    assert (item.rejected_by, item.letter.raw) == ("unknown", "\\xff")
    [outcome] = replay(made)
    assert outcome.action == "rejected"
    letters.put(DEEP, b"")
    assert [item.letter.raw for item in read(made) if item.rejected_by == "unknown"] == ["\\xff", DEEP.decode()]


def test_a_corrected_row_of_the_feed_becomes_a_trade_once(letters: Letters, made: Settings) -> None:
    id = letters.feed(7, raw='{"s":"AAPL"}')
    assert [one.action for one in replay(made, ids=[id])] == ["rejected"]
    assert [one.action for one in replay(made, ids=[id], corrected=ROW)] == ["sent"]
    assert [one.action for one in replay(made, ids=[id], corrected=ROW)] == ["already sent"]
    assert [one.action for one in replay(made)] == ["already sent"]
    [(key, value)] = held(made, made.topics.trades.name)
    trade = msgspec.json.decode(value, type=Trade)
    assert (key, trade.id) == (b"AAPL", "AAPL-1680286538064-k3f9a2-00000007")
    [row] = summaries(made)
    assert row.replayed is not None


def test_all_valid_letters_are_sent_and_the_others_are_rejected(letters: Letters, made: Settings) -> None:
    good = [letters.feed(number) for number in range(1, 4)] + [letters.kafka(17, TRADE)]
    event = letters.kafka(3, EVENT, topic=made.topics.feed_events.name)
    decided = signal("AAPL", 1, source="sim")
    began = signal("", 1, kind="run", strategy="sma-cross", side="", target=0.0, source="sim")
    signals = [
        letters.kafka(offset, encode(record).decode(), topic=made.topics.signals.name)
        for offset, record in enumerate((began, decided))
    ]
    bad = [letters.feed(9, raw="{}"), letters.connect(20)]
    outcomes = {one.id: one.action for one in replay(made)}
    assert outcomes == dict.fromkeys([*good, event, *signals], "sent") | dict.fromkeys(bad, "rejected")
    assert len(held(made, made.topics.trades.name)) == 4
    assert [key for key, _ in held(made, made.topics.feed_events.name)] == [b"sim"]
    assert held(made, made.topics.signals.name) == [(b"sma-cross", encode(began)), (b"AAPL", encode(decided))]
    assert {one.action for one in replay(made)} == {"already sent", "rejected"}
    assert len(held(made, made.topics.trades.name)) == 4


def test_a_record_that_two_readers_rejected_is_sent_once(letters: Letters, made: Settings) -> None:
    letters.kafka(17, "{no")
    id = letters.connect(17)
    assert len(letters_of(made, id)[0]) == 2
    assert [one.action for one in replay(made, ids=[id], corrected=TRADE)] == ["sent"]
    assert {one.action for one in replay(made)} == {"already sent"}
    assert len(held(made, made.topics.trades.name)) == 1


@pytest.mark.parametrize("corrected", [None, TRADE])
def test_a_record_that_only_mongodb_rejected_is_not_sent_because_the_lake_has_it(
    letters: Letters, made: Settings, corrected: str | None
) -> None:
    id = letters.kafka(17, TRADE.replace("164.06", "-1"), origin="consume mongo")
    [outcome] = replay(made, ids=[id], corrected=corrected)
    assert outcome.action == "rejected"
    assert "twice" in outcome.detail
    assert held(made, made.topics.trades.name) == []


def test_a_record_that_is_still_invalid_is_rejected(letters: Letters, made: Settings) -> None:
    letters.kafka(17, TRADE.replace("164.06", "0"))
    letters.kafka(18, TRADE, topic="other")
    letters.kafka(19, TRADE.replace('"sim"', '"polygon"'))
    price, topic, source = replay(made, refusal=lambda source: f"no {source} here" if source == "polygon" else None)
    assert (price.action, price.detail) == ("rejected", "it is still invalid: price is not above 0")
    assert (source.action, source.detail) == ("rejected", "no polygon here")
    assert (topic.action, topic.detail) == ("rejected", "it comes from other, which is not a topic of this profile")


def test_a_run_that_died_before_its_commit_sent_nothing(letters: Letters, made: Settings) -> None:
    """No consumer sees what it sent, and the next run aborts its transaction and sends everything."""
    letters.feed()
    dead = TransactionalProducer(made, f"stockctl-replay-{made.topics.dead_letters.name}")
    entered = dead.transaction()
    entered.__enter__()
    dead.produce(made.topics.trades.name, value=TRADE, key="AAPL")
    dead.flush(HANG)
    assert [one.action for one in replay(made)] == ["sent"]
    with pytest.raises(StockctlError, match="taken over"):
        entered.__exit__(None, None, None)
    [(_, value)] = held(made, made.topics.trades.name)
    assert msgspec.json.decode(value)["id"] == "AAPL-1680286538064-k3f9a2-00000001"


def test_two_concurrent_replays_send_a_letter_once(letters: Letters, made: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another replay runs just before this one fences its producer: its marks count."""
    letters.feed()
    others: list[ReplayResult] = []

    def late(*given: Any) -> TransactionalProducer:
        with monkeypatch.context() as at_once:
            at_once.setattr(replaying, "TransactionalProducer", TransactionalProducer)
            others.extend(replay(made))
        return TransactionalProducer(*given)

    monkeypatch.setattr(replaying, "TransactionalProducer", late)
    assert [one.action for one in replay(made)] == ["already sent"]
    assert [one.action for one in others] == ["sent"]
    assert len(held(made, made.topics.trades.name)) == 1


def test_a_letter_that_comes_again_after_its_replay_is_not_sent_again(letters: Letters, made: Settings) -> None:
    """As when a reader reads its topic again; also after all earlier letters were deleted."""
    letters.kafka(17, TRADE)
    assert [one.action for one in replay(made)] == ["sent"]
    admin = Admin(made)
    admin.delete_records(
        {one: edges.end for one, edges in admin.offsets(admin.partitions(made.topics.dead_letters.name)).items()}
    )
    letters.kafka(17, TRADE)
    assert [one.action for one in replay(made)] == ["already sent"]
    letters.kafka(17, TRADE.replace("164.06", "164.07"))
    assert [one.action for one in replay(made)] == ["already sent", "sent"], (
        "another record at that offset of a recreated topic"
    )


def test_a_dry_run_sends_nothing(letters: Letters, made: Settings) -> None:
    letters.feed()
    assert [one.action for one in replay(made, dry_run=True)] == ["would send"]
    assert held(made, made.topics.trades.name) == []
    assert [one.action for one in replay(made)] == ["sent"]


def test_letters_of_several_transactions_are_all_sent(letters: Letters, made: Settings) -> None:
    for number in range(1203):
        value, key = as_message(dead_letter("x", ROW, ts_recv=letters.now, source="sim", id=f"k3f9a2-{number:08d}"))
        letters.producer.produce(made.topics.dead_letters.name, value=value, key=key)
    assert letters.producer.flush(HANG) == 0
    assert [one.action for one in replay(made)] == ["sent"] * 1203
    assert len({msgspec.json.decode(value)["id"] for _, value in held(made, made.topics.trades.name)}) == 1203


def test_the_command_lists_shows_corrects_and_replays(command: Command, letters: Letters) -> None:
    id = letters.feed(7, raw='{"s":"AAPL","p":0}')
    [row] = json.loads(command.run("dlq", "list", "-o", "json").stdout)
    assert (row["id"], row["rejected_by"], row["replayed"]) == (id, "produce", None)
    assert json.loads(command.run("dlq", "list", "--by-reason", "-o", "json").stdout)[0]["letters"] == 1
    assert "no dead letters" in command.run("dlq", "list", "--since", "-30m").stderr
    shown = command.run("dlq", "show", id, real=True).stdout
    assert '{"s":"AAPL","p":0}' in shown
    assert "no price" in shown

    failed = command.run("dlq", "replay", id, check=1)
    assert "--with" in failed.stderr
    assert "1 sent" in command.run("dlq", "replay", id, "--with", "-", text=ROW).stderr
    assert "1 already" in command.run("dlq", "replay", id, "--with", "-", text=ROW).stderr
    assert json.loads(command.run("dlq", "list", "-o", "json").stdout)[0]["replayed"]


def test_letters_of_two_readers_are_shown_as_one_document(command: Command, letters: Letters) -> None:
    """``consume s3`` and ``consume mongo`` may reject the same record: its letters have one id."""
    id = letters.kafka(17)
    assert letters.kafka(17, origin="consume mongo") == id
    both = ["consume mongo", "consume s3"]
    assert sorted(row["rejected_by"] for row in json.loads(command.run("dlq", "show", id, "-o", "json").stdout)) == both
    rows = csv.DictReader(command.run("dlq", "show", id, "-o", "csv").stdout.splitlines())
    assert sorted(row["rejected_by"] for row in rows) == both
    assert len(command.run("dlq", "show", id).stdout.split("\n\n")) == 2


def test_invalid_arguments_and_unknown_ids_are_errors(command: Command, letters: Letters) -> None:
    command.run("dlq", "replay", check=2)
    command.run("dlq", "replay", "a", "--all", check=2)
    command.run("dlq", "replay", "--all", "--with", "x.json", check=2)
    assert "there is no dead letter nobody" in command.run("dlq", "replay", "nobody", check=2).stderr
    assert "there is no dead letter nobody" in command.run("dlq", "show", "nobody", check=2).stderr
    command.run("dlq", "list", "--since", "long ago", check=2)


def test_without_the_topic_the_hint_is_topics_apply(command: Command) -> None:
    assert "topics apply" in command.run("dlq", "list", check=1).stderr


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("it is not UTF-8", "it is not UTF-8"),
        ("symbol holds the control character U+0007", "symbol holds the control character U+0007"),
        ("it is not RFC3339, by sha256", "it is not RFC3339, by sha256"),
        ("it is not JSON: trailing characters (byte 12)", "it is not JSON: trailing characters (byte #)"),
        ("ts_event is ahead: 2026-11-23 09:30:00 UTC", "ts_event is ahead: #-#-# #:#:# UTC"),
        ("at 2026-11-23T09:30:00", "at #-#-#T#:#:#"),
        ("price is -5.5e-3, not 1e308", "price is -#, not #"),
        ("found at trades-2/3@17", "found at trades-#/#@#"),
    ],
)
def test_counting_replaces_numbers_in_reasons(reason: str, kind: str) -> None:
    [count] = counts([Summary("1", 1, "produce", "frames.jsonl:1", reason, 1, None)])
    assert count.reason == kind
