"""Keeping to limits such as "60 requests in any minute and 30 in any second", without ever being told 429.

Own code, because of when a request counts. The server counts it when it arrives: some time between its sending and its
answer. pyrate-limiter and aiolimiter count the sending, so a request that is long on its way and a later one that is quick
fall into one window of the server's, and it refuses the 61st. Here a request counts from its sending until one window after
its answer: then no window of the server's, however it is laid, can hold too many.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from stockctl.errors import StockctlError

_LOOK = 0.2  # seconds between looks at whether to stop


class StoppedError(StockctlError):
    """The work was asked to stop."""


class Limit(NamedTuple):
    """At most ``most`` requests in any ``seconds``."""

    most: int
    seconds: float


class RateLimit:
    """Several limits, kept together over all threads."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = limits
        self._running = 0
        self._answered: deque[float] = deque(maxlen=max(limit.most for limit in limits))
        self._paused_until = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def request(self, stop: threading.Event | None = None) -> Iterator[None]:
        """Wait until a request may be sent; it is to be sent, and its answer received, in the ``with``.

        StoppedError if ``stop`` is set meanwhile.
        """
        with self._changed:
            while (seconds := self._delay()) != 0.0:
                # An event cannot wake who waits for a condition: it is looked at now and then.
                self._changed.wait(_LOOK if seconds is None else min(seconds, _LOOK))
                if stop is not None and stop.is_set():
                    raise StoppedError("stopped while waiting for the limit")
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._answered.append(time.monotonic())
                self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Let no request be sent for ``seconds``: the server has refused one, whatever we have counted."""
        with self._changed:
            self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def _delay(self) -> float | None:
        """Seconds until a request may be sent; None if that depends on an answer that is still to come."""
        now = time.monotonic()
        longest = max(0.0, self._paused_until - now)
        for most, seconds in self._limits:
            free = most - self._running
            if free <= 0:
                return None
            if len(self._answered) >= free:
                longest = max(longest, self._answered[-free] + seconds - now)
        return longest
