"""Sends rejected records to the dead letter queue, before their batch is committed."""

from __future__ import annotations

from collections.abc import Sequence

from stockctl.exchange.calendar import now_ms
from stockctl.lake.format.claims import Rejected
from stockctl.settings import Settings
from stockctl.stream.dead_letters.producer import DeadLetterProducer
from stockctl.stream.dead_letters.record import dead_letter


class DeadLetters:
    """The lake writer's dead letters. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._producer = DeadLetterProducer(settings)

    def send_rejected(self, topic: str, partition: int, rejected: Sequence[tuple[Rejected, bytes]]) -> None:
        """Send records of ``topic``/``partition``, and wait until all are delivered. StockctlError if one is not."""
        now = now_ms()
        self._producer.send(
            dead_letter(item.reason, raw, ts_recv=now, source="", topic=topic, partition=partition, offset=item.offset)
            for item, raw in rejected
        )
