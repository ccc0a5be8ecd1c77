"""What lies in a topic."""

from __future__ import annotations

from typing import Any

from stockctl.clients.kafka import Admin, Consumer, Event
from stockctl.settings import Settings


def messages(settings: Settings, topic: str, *, newest: int | None = None) -> list[Any]:
    """Every committed message that ``topic`` holds now, or the ``newest`` ones of each partition."""
    ends = Admin(settings).offsets(Admin(settings).partitions(topic))
    consumer = Consumer(settings, "reader", **{"enable.partition.eof": True})
    found, left = [], {partition.number for partition in ends}
    starts = {at: edges.start if newest is None else max(edges.start, edges.end - newest) for at, edges in ends.items()}
    consumer.assign(starts)
    try:
        while left:
            for message in consumer.consume(1000, 0.1):
                if message.error() is None:
                    found.append(message)
                elif consumer.event(message, "read") is Event.end:
                    left.discard(message.partition())
    finally:
        consumer.close()
    return found
