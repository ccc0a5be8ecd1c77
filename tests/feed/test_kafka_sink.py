"""The way into Kafka: every message's fate is known, a full buffer drops the newest, missing topics are named."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from stockctl.clients.kafka import Admin, UnknownTopicError
from stockctl.feed.decoder import Decoder, Frame
from stockctl.feed.kafka_sink import KafkaSink, check_topics
from stockctl.settings import Settings, load_settings
from tests.command import HANG, clean_environment
from tests.conftest import free_port, own_names, wait_for
from tests.feed.conftest import held

NOW = 1_795_444_200_123


def frame(*rows: dict[str, Any], start: int = 0) -> Frame:
    normaliser = Decoder("sim")
    normaliser.start("k3f9a2")
    normaliser.rows = start
    return normaliser.frame(json.dumps({"data": rows, "type": "trade"}), NOW)


def row(**changed: Any) -> dict[str, Any]:
    return {"p": 164.06, "s": "AAPL", "t": 1_680_286_538_064, "v": 4} | changed


def test_trades_and_dead_letters_reach_their_topics(topics: Settings) -> None:
    publisher = KafkaSink(topics)
    stretch = publisher.stretch(NOW)
    publisher.publish(frame(row(), row(s="BINANCE:BTCUSDT"), row(p=-1)), NOW, stretch)
    assert publisher.flush(HANG) == 0
    assert (stretch.sent, stretch.acknowledged, stretch.lost, stretch.outstanding) == (3, 3, 0, 0)
    assert (publisher.trades, publisher.dead_letters) == (2, 1)
    found = sorted(held(topics, topics.topics.trades.name), key=lambda message: message.key)
    assert [(message.key, message.timestamp) for message in found] == [(b"AAPL", NOW), (b"BINANCE:BTCUSDT", NOW)]
    assert found[0].value == {
        "id": "AAPL-1680286538064-k3f9a2-00000000",
        "symbol": "AAPL",
        "price": 164.06,
        "volume": 4.0,
        "ts_event": 1_680_286_538_064,
        "ts_recv": NOW,
        "conditions": "",
        "updates": "vhl",
        "source": "sim",
    }
    (letter,) = held(topics, topics.topics.dead_letters.name)
    assert letter.key == b"k3f9a2-00000002"
    assert json.loads(letter.value["raw"])["p"] == -1


def test_rows_of_a_symbol_share_a_partition(topics: Settings) -> None:
    publisher = KafkaSink(topics)
    stretch = publisher.stretch(NOW)
    for symbol in ("AAPL", "MSFT", "NVDA", "TSLA", "AMZN"):
        publisher.publish(frame(*[row(s=symbol)] * 10), NOW, stretch)
    publisher.flush(HANG)
    found = held(topics, topics.topics.trades.name)
    assert len(found) == 50
    assert len({(message.key, message.partition) for message in found}) == 5


def away(folder: Path, **flags: object) -> Settings:
    names = own_names(f"127.0.0.1:{free_port()}", folder)
    return load_settings(
        environ=clean_environment(), flags=names | {name.replace("__", "."): value for name, value in flags.items()}
    )


def test_a_full_buffer_drops_the_newest_rows_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    publisher = KafkaSink(away(tmp_path, kafka__buffer="100KB"), delivery_timeout=0)
    stretch = publisher.stretch(NOW)
    for _ in range(200):
        publisher.publish(frame(*[row()] * 10), NOW, stretch)
    assert publisher.dropped > 0
    assert publisher.trades + publisher.dropped == stretch.sent == 2_000
    assert stretch.lost == publisher.dropped
    assert len(publisher.producer) == publisher.trades
    assert caplog.text.count("is full: dropping the newest rows") == 1
    assert publisher.late > 0
    assert publisher.flush(0.1) == publisher.trades
    assert stretch.outstanding == 0
    assert publisher.undelivered == publisher.trades


def test_who_is_patient_waits_for_room(topics: Settings, broker: str, tmp_path: Path) -> None:
    small = load_settings(environ=clean_environment(), flags=own_names(broker, tmp_path) | {"kafka.buffer": "20KB"})
    publisher = KafkaSink(small, patient=lambda: True)
    stretch = publisher.stretch(NOW)
    for start in range(0, 2_000, 10):
        publisher.publish(frame(*[row()] * 10, start=start), NOW, stretch)
    assert publisher.flush(HANG) == 0
    assert publisher.dropped == 0
    assert len({message.value["id"] for message in held(topics, topics.topics.trades.name)}) == 2_000


def test_a_message_that_kafka_does_not_take_in_time_is_lost_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    publisher = KafkaSink(away(tmp_path), delivery_timeout=0.3)
    stretch = publisher.stretch(NOW)
    publisher.publish(frame(row(), row()), NOW, stretch)

    def lost() -> bool:
        publisher.poll(0.1)
        return stretch.lost == 2

    wait_for(lost, "the deliveries to time out")
    assert publisher.undelivered == 2
    with caplog.at_level(logging.ERROR, "stockctl"):
        assert "cannot deliver a message" in str(publisher.trouble)


def test_missing_topics_are_named_with_what_makes_them(topics: Settings, broker: str, tmp_path: Path) -> None:
    check_topics(topics, Admin(topics))
    other = load_settings(environ=clean_environment(), flags=own_names(broker, tmp_path) | {"topics.trades.name": "nowhere"})
    with pytest.raises(UnknownTopicError, match=r"has no topic nowhere$") as raised:
        check_topics(other, Admin(other))
    assert raised.value.exit_code == 1
    assert "stockctl topics apply" in (raised.value.hint or "")
