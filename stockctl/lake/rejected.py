"""Sends records that are no rows to the dead letters, before their batch is committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from stockctl.clients.kafka import Producer
from stockctl.errors import StockctlError
from stockctl.lake.claims import Rejected
from stockctl.settings import Settings
from stockctl.stream.dead_letters import as_message, dead_letter

_WAIT = 30.0
"""Seconds to wait for the deliveries of one batch's dead letters before the whole send is tried again."""


class DeadLetters:
    """A producer of dead letters, made when the first one is due. Usable from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    def send_rejected(self, topic: str, partition: int, rejected: Sequence[tuple[Rejected, bytes]]) -> None:
        """Send these records of ``topic``/``partition``, and wait until all are delivered. StockctlError if one is not.

        A repeat sends them again: a dead letter's id is its place in the topic, so that readers can tell.
        """
        failures: list[object] = []

        def delivered(error: object, _message: object) -> None:
            if error is not None:
                failures.append(error)

        now = int(time.time() * 1000)
        with self._lock:
            producer = self._producer = self._producer or Producer(self._settings)
            for item, raw in rejected:
                letter = dead_letter(
                    item.reason, raw, ts_recv=now, source="", topic=topic, partition=partition, offset=item.offset
                )
                value, key = as_message(letter)
                producer.produce(
                    self._settings.topics.dead_letters.name, value=value, key=key, timestamp=now, on_delivery=delivered
                )
            left = producer.flush(_WAIT)
            if left:
                producer.purge()
                producer.flush(1)
        if left or failures:
            why = failures[0] if failures else f"no answer within {_WAIT:.0f} s"
            raise StockctlError(
                f"{max(left, len(failures))} dead letters of {topic}/{partition} were not delivered to "
                f"{self._settings.topics.dead_letters.name}: {why}",
                hint="`stockctl topics apply` makes the topic",
            )
