"""Rate limits such as "60 requests in any minute and 30 in any second", without ever getting HTTP 429.

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

_LOOK = 0.2  # seconds between checks of ``stop``


class StoppedError(StockctlError):
    """``stop`` was set during the wait."""


class Limit(NamedTuple):
    """At most ``most`` requests in any ``seconds``."""

    most: int
    seconds: float


class RateLimit:
    """Several limits at once, across threads."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = limits
        self._running = 0
        self._answered: deque[float] = deque(maxlen=max(limit.most for limit in limits))
        self._paused_until = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def request(self, stop: threading.Event | None = None) -> Iterator[None]:
        """Wait until the limits allow a request. Send it, and receive its response, in the ``with`` block.

        StoppedError if ``stop`` is set during the wait.
        """
        with self._changed:
            while (seconds := self._delay()) != 0.0:
                # An event cannot wake a thread that waits for a condition: so the loop checks it.
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
        """Allow no request for ``seconds``, after the server has refused one."""
        with self._changed:
            self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def _delay(self) -> float | None:
        """Seconds until a request is allowed; None if that depends on a pending response."""
        now = time.monotonic()
        longest = max(0.0, self._paused_until - now)
        for most, seconds in self._limits:
            free = most - self._running
            if free <= 0:
                return None
            if len(self._answered) >= free:
                longest = max(longest, self._answered[-free] + seconds - now)
        return longest
