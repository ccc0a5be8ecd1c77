"""Writing to Kafka: each delivery is tracked, a full buffer drops the newest rows, missing topics are named."""

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
from tests.feed.conftest import messages_in

NOW = 1_795_444_200_123


def frame(*rows: dict[str, Any], start: int = 0) -> Frame:
    decoder = Decoder("sim")
    decoder.start("k3f9a2")
    decoder.rows = start
    return decoder.frame(json.dumps({"data": rows, "type": "trade"}), NOW)


def row(**changed: Any) -> dict[str, Any]:
    return {"p": 164.06, "s": "AAPL", "t": 1_680_286_538_064, "v": 4} | changed


def test_trades_and_dead_letters_reach_their_topics(topics: Settings) -> None:
    sink = KafkaSink(topics)
    window = sink.window(NOW)
    sink.publish(frame(row(), row(s="BINANCE:BTCUSDT"), row(p=-1)), NOW, window)
    assert sink.flush(HANG) == 0
    assert (window.sent, window.acknowledged, window.lost, window.outstanding) == (3, 3, 0, 0)
    assert (sink.trades, sink.dead_letters) == (2, 1)
    found = sorted(messages_in(topics, topics.topics.trades.name), key=lambda message: message.key)
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
    (letter,) = messages_in(topics, topics.topics.dead_letters.name)
    assert letter.key == b"k3f9a2-00000002"
    assert json.loads(letter.value["raw"])["p"] == -1


def test_rows_of_a_symbol_share_a_partition(topics: Settings) -> None:
    sink = KafkaSink(topics)
    window = sink.window(NOW)
    for symbol in ("AAPL", "MSFT", "NVDA", "TSLA", "AMZN"):
        sink.publish(frame(*[row(s=symbol)] * 10), NOW, window)
    sink.flush(HANG)
    found = messages_in(topics, topics.topics.trades.name)
    assert len(found) == 50
    assert len({(message.key, message.partition) for message in found}) == 5


def away(folder: Path, **flags: object) -> Settings:
    names = own_names(f"127.0.0.1:{free_port()}", folder)
    return load_settings(
        environ=clean_environment(), flags=names | {name.replace("__", "."): value for name, value in flags.items()}
    )


def test_a_full_buffer_drops_the_newest_rows_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = KafkaSink(away(tmp_path, kafka__buffer="100KB"), delivery_timeout=0)
    window = sink.window(NOW)
    for _ in range(200):
        sink.publish(frame(*[row()] * 10), NOW, window)
    assert sink.dropped > 0
    assert sink.trades + sink.dropped == window.sent == 2_000
    assert window.lost == sink.dropped
    assert len(sink.producer) == sink.trades
    assert caplog.text.count("is full: dropping the newest rows") == 1
    assert sink.seconds_unacknowledged > 0
    assert sink.flush(0.1) == sink.trades
    assert window.outstanding == 0
    assert sink.undelivered == sink.trades


def test_a_sink_that_may_wait_waits_for_room(topics: Settings, broker: str, tmp_path: Path) -> None:
    small = load_settings(environ=clean_environment(), flags=own_names(broker, tmp_path) | {"kafka.buffer": "20KB"})
    sink = KafkaSink(small, wait_when_full=lambda: True)
    window = sink.window(NOW)
    for start in range(0, 2_000, 10):
        sink.publish(frame(*[row()] * 10, start=start), NOW, window)
    assert sink.flush(HANG) == 0
    assert sink.dropped == 0
    assert len({message.value["id"] for message in messages_in(topics, topics.topics.trades.name)}) == 2_000


def test_a_message_that_kafka_does_not_accept_in_time_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = KafkaSink(away(tmp_path), delivery_timeout=0.3)
    window = sink.window(NOW)
    sink.publish(frame(row(), row()), NOW, window)

    def lost() -> bool:
        sink.poll(0.1)
        return window.lost == 2

    wait_for(lost, "the deliveries to time out")
    assert sink.undelivered == 2
    with caplog.at_level(logging.ERROR, "stockctl"):
        assert "cannot deliver a message" in str(sink.trouble)


def test_missing_topics_are_named_with_what_makes_them(topics: Settings, broker: str, tmp_path: Path) -> None:
    check_topics(topics, Admin(topics))
    other = load_settings(environ=clean_environment(), flags=own_names(broker, tmp_path) | {"topics.trades.name": "nowhere"})
    with pytest.raises(UnknownTopicError, match=r"has no topic nowhere$") as raised:
        check_topics(other, Admin(other))
    assert raised.value.exit_code == 1
    assert "stockctl topics apply" in (raised.value.hint or "")
