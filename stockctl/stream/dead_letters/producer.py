"""Sends dead letters and waits for their delivery: the offsets of their records may be committed only after that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from itertools import islice

from stockctl.clients.kafka import Producer
from stockctl.errors import StockctlError
from stockctl.settings import Settings
from stockctl.stream.dead_letters.record import DeadLetter, as_message
from stockctl.units import counted

_WAIT = 30.0
"""Seconds to wait for space in the buffer, or for the last deliveries, before a call fails; the caller repeats the call."""

_CHUNK = 1000
"""Letters made and delivered at once: a million of them would take more memory than their records."""


class DeadLetterProducer:
    """A producer of dead letters; it connects when the first one is sent. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    def send(self, letters: Iterable[DeadLetter]) -> None:
        """Send ``letters``, and wait until all are delivered. StockctlError if one is not.

        A repeated call sends them again. Readers recognise duplicates by the id, which is the offset of the record.
        """
        delivered = total = 0
        errors = list[object]()

        def on_delivery(error: object, _message: object) -> None:
            nonlocal delivered
            if error is None:
                delivered += 1
            else:
                errors.append(error)

        topic = self._settings.topics.dead_letters.name
        with self._lock:
            remaining = iter(letters)
            producer = self._producer = self._producer or Producer(self._settings)
            flushed = True
            while flushed and not errors and (chunk := list(islice(remaining, _CHUNK))):
                total += len(chunk)
                flushed = all(_put(producer, topic, letter, on_delivery) for letter in chunk) and not producer.flush(_WAIT)
            reason = errors[0] if errors else f"no answer within {_WAIT:.0f} s"
            if not flushed:
                producer.purge()
                producer.flush(1)
            total += sum(1 for _ in remaining)
        if delivered < total:
            raise StockctlError(
                f"{counted(total - delivered, 'dead letter was', 'dead letters were')} not delivered to {topic}: {reason}",
                hint="`stockctl topics apply` creates the topic",
            )


def _put(producer: Producer, topic: str, letter: DeadLetter, on_delivery: Callable[[object, object], None]) -> bool:
    """Put ``letter`` into the producer's buffer, and wait while the buffer is full; False after ``_WAIT`` seconds."""
    deadline = time.monotonic() + _WAIT
    while not producer.send(topic, [as_message(letter)], letter.ts_recv, on_delivery):
        if time.monotonic() > deadline:
            return False
        producer.poll(0.1)
    return True
