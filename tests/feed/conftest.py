"""Fixtures of the feed's tests: new topics for each test, and readers of their records."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from stockctl.clients.kafka import Admin, Consumer
from stockctl.records import Trade
from stockctl.settings import Settings
from stockctl.stream.topics import apply


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """Settings with new topics, already created."""
    apply(Admin(settings), settings.topics)
    return settings


class StoredMessage(NamedTuple):
    """One message: its value decoded, its key, its timestamp in ms."""

    value: dict[str, Any]
    key: bytes
    timestamp: int
    partition: int


def messages_in(settings: Settings, topic: str) -> list[StoredMessage]:
    """All messages in ``topic``."""
    admin = Admin(settings)
    offsets = {partition: held for partition, held in admin.offsets(admin.partitions(topic)).items() if held.end > held.start}
    consumer = Consumer(settings, "reader")
    found: list[StoredMessage] = []
    try:
        consumer.assign({partition: edges.start for partition, edges in offsets.items()})
        while len(found) < sum(edges.end - edges.start for edges in offsets.values()):
            for message in consumer.consume(10_000, 1.0):
                found.append(
                    StoredMessage(json.loads(message.value()), message.key(), message.timestamp()[1], message.partition())
                )
    finally:
        consumer.close()
    return found


def trades(settings: Settings) -> list[dict[str, Any]]:
    """The trades in Kafka, in the order of their ids' row numbers."""
    found = [message.value for message in messages_in(settings, settings.topics.trades.name)]
    return sorted(found, key=lambda trade: trade["id"][-15:])


def events(settings: Settings) -> list[dict[str, Any]]:
    """The feed events in Kafka, in order."""
    return [message.value for message in messages_in(settings, settings.topics.feed_events.name)]


def dead_letters(settings: Settings) -> list[dict[str, Any]]:
    """The dead letters in Kafka."""
    return [message.value for message in messages_in(settings, settings.topics.dead_letters.name)]


def fields(trade: Trade) -> tuple[str, float, float, int]:
    """The fields of a trade that come from its row."""
    return trade.symbol, trade.price, trade.volume, trade.ts_event
