"""Trades and feed events from Kafka, where there is no MongoDB: what the lake does not have yet, and then as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from stockctl.clients.kafka import Admin, Consumer, Message, UnknownTopicError
from stockctl.errors import StockctlError
from stockctl.exchange.calendar import now_ms
from stockctl.record_validation import FEED_EVENTS, TRADES, InvalidRecordError
from stockctl.records import FeedEvent, Trade
from stockctl.settings import LakeSettings, Settings
from stockctl.settings.kafka_names import WATCH_GROUP

_CHUNK = 1_000
_POLL = 0.25


def look_back_ms(lake: LakeSettings) -> int:
    """How long the lake may not have a record that Kafka has, in ms: two batches, and the time to write them."""
    return round(1000 * (2 * lake.max_age + 60))


def followed_records(settings: Settings, stop: threading.Event) -> Iterator[Trade | FeedEvent | None]:
    """The valid records of both topics since ``look_back_ms``, without a consumer group; None each time that none comes.

    UnreachableError if no broker answers, UnknownTopicError without the topic of trades, and errors of the brokers.
    """
    admin = Admin(settings)
    admin.wait()
    trades, events = settings.topics.trades.name, settings.topics.feed_events.name
    if not (partitions := admin.partitions(trades)):
        raise UnknownTopicError(f"there is no topic {trades}", hint="`stockctl topics apply` creates the topics")
    partitions = [*partitions, *admin.partitions(events)]
    with Consumer(settings, WATCH_GROUP, **{"auto.offset.reset": "earliest"}) as consumer:
        consumer.assign(consumer.offsets_since(partitions, now_ms() - look_back_ms(settings.lake)))
        yield None
        while not stop.is_set():
            messages = consumer.consume(_CHUNK, _POLL)
            for message in messages:
                if message.error() is not None:
                    event = consumer.event(message, f"read {message.topic()}")
                    if isinstance(event, StockctlError):
                        raise event
                elif (record := _record(message, trades)) is not None:
                    yield record
            if not messages:
                yield None


def _record(message: Message, trades: str) -> Trade | FeedEvent | None:
    """The record; None for an invalid one, which the writers send to the dead letters."""
    try:
        return TRADES.record(message.value()) if message.topic() == trades else FEED_EVENTS.record(message.value())
    except InvalidRecordError:
        return None
