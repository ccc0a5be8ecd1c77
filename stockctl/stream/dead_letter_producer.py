"""Sends dead letters, and knows that they have arrived: what they are about may be committed then, and not before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from itertools import islice

from stockctl.clients.kafka import Producer
from stockctl.errors import StockctlError
from stockctl.records import DeadLetter
from stockctl.settings import Settings
from stockctl.stream.dead_letters import as_message
from stockctl.units import counted

_WAIT = 30.0
"""Seconds to wait for room in the buffer, or for the last deliveries, before a call fails; the caller tries the whole again."""

_CHUNK = 1000
"""Letters made and delivered at a time: a million at once would take more memory than the records that they are about."""


class DeadLetterProducer:
    """A producer of dead letters, made when the first one is due. Usable from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    def send(self, letters: Iterable[DeadLetter]) -> None:
        """Send ``letters``, and wait until all are delivered. StockctlError if one is not.

        A repeat sends them again: a dead letter's id is its place in the topic, so that readers can tell.
        """
        arrived = asked = 0
        failures = list[object]()

        def delivered(error: object, _message: object) -> None:
            nonlocal arrived
            if error is None:
                arrived += 1
            else:
                failures.append(error)

        topic = self._settings.topics.dead_letters.name
        with self._lock:
            left = iter(letters)
            producer = self._producer = self._producer or Producer(self._settings)
            answered = True
            while answered and not failures and (chunk := list(islice(left, _CHUNK))):
                asked += len(chunk)
                answered = all(_put(producer, topic, letter, delivered) for letter in chunk) and not producer.flush(_WAIT)
            why = failures[0] if failures else f"no answer within {_WAIT:.0f} s"
            if not answered:
                producer.purge()
                producer.flush(1)
            asked += sum(1 for _ in left)
        if arrived < asked:
            raise StockctlError(
                f"{counted(asked - arrived, 'dead letter was', 'dead letters were')} not delivered to {topic}: {why}",
                hint="`stockctl topics apply` makes the topic",
            )


def _put(producer: Producer, topic: str, letter: DeadLetter, delivered: Callable[[object, object], None]) -> bool:
    """Whether the producer's buffer took ``letter``; while it is full, that is waited for."""
    deadline = time.monotonic() + _WAIT
    while not producer.send(topic, [as_message(letter)], letter.ts_recv, delivered):
        if time.monotonic() > deadline:
            return False
        producer.poll(0.1)
    return True
