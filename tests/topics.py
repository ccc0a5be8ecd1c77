"""What lies in a topic."""

from __future__ import annotations

from typing import Any

from stockctl.clients.kafka import Admin, Consumer, Event
from stockctl.settings import Settings


def messages(settings: Settings, topic: str) -> list[Any]:
    """Every committed message that ``topic`` holds now."""
    ends = Admin(settings).offsets(Admin(settings).partitions(topic))
    consumer = Consumer(settings, "reader", **{"enable.partition.eof": True})
    found, left = [], {partition.number for partition in ends}
    consumer.assign({partition: edges.start for partition, edges in ends.items()})
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
