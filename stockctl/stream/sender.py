"""Sends dead letters, and knows that they have arrived: what they are about may be committed then, and not before."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from stockctl.clients.kafka import Producer
from stockctl.errors import StockctlError
from stockctl.records import DeadLetter
from stockctl.settings import Settings
from stockctl.stream.dead_letters import as_message

_WAIT = 30.0
"""Seconds to wait for the deliveries of one call before it fails; the caller tries the whole again."""


class DeadLetterSender:
    """A producer of dead letters, made when the first one is due. Usable from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    def send(self, letters: Iterable[DeadLetter]) -> None:
        """Send ``letters``, and wait until all are delivered. StockctlError if one is not.

        A repeat sends them again: a dead letter's id is its place in the topic, so that readers can tell.
        """
        failures: list[object] = []

        def delivered(error: object, _message: object) -> None:
            if error is not None:
                failures.append(error)

        topic = self._settings.topics.dead_letters.name
        with self._lock:
            producer = self._producer = self._producer or Producer(self._settings)
            for letter in letters:
                value, key = as_message(letter)
                producer.produce(topic, value=value, key=key, timestamp=letter.ts_recv, on_delivery=delivered)
            left = producer.flush(_WAIT)
            if left:
                producer.purge()
                producer.flush(1)
        if left or failures:
            why = failures[0] if failures else f"no answer within {_WAIT:.0f} s"
            raise StockctlError(
                f"{max(left, len(failures))} dead letters were not delivered to {topic}: {why}",
                hint="`stockctl topics apply` makes the topic",
            )
