"""Reads a topic to its current end, without a consumer group."""

from __future__ import annotations

from collections.abc import Iterator

from stockctl.clients.kafka import Admin, Consumer, Event, Message, Offsets, Partition, UnknownTopicError
from stockctl.errors import StockctlError
from stockctl.settings import Settings


def messages(admin: Admin, settings: Settings, topic: str, reader: str, since: int | None = None) -> Iterator[Message]:
    """Every committed message of ``topic`` up to its current end, from ``since`` on (ms UTC, by their timestamps).

    ``reader`` is the client's name for the broker. UnknownTopicError if the topic does not exist.
    """
    if not (partitions := admin.partitions(topic)):
        raise UnknownTopicError(f"there is no topic {topic}", hint="`stockctl topics apply` creates the topics")
    return _until(admin.offsets(partitions), settings, topic, reader, since)


def _until(
    offsets: dict[Partition, Offsets], settings: Settings, topic: str, reader: str, since: int | None
) -> Iterator[Message]:
    with Consumer(settings, reader, **{"enable.partition.eof": True, "auto.offset.reset": "earliest"}) as consumer:
        starts = {partition: edges.start for partition, edges in offsets.items()}
        if since is not None:
            starts = consumer.offsets_since(list(offsets), since)
        # Wait for the end-of-partition event: the last offset may be a transaction marker instead of a message.
        unread = {one.number for one, start in starts.items() if start < offsets[one].end}
        if unread:
            consumer.assign({one: start for one, start in starts.items() if one.number in unread})
        while unread:
            for message in consumer.consume(1000, 0.1):
                if message.error() is None:
                    yield message
                    continue
                event = consumer.event(message, f"read {topic}")
                if isinstance(event, StockctlError):
                    raise event
                if event is Event.end:
                    unread.discard(message.partition())
