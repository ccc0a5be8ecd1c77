"""Time that passes only where somebody waits, at once and to the second: for tests that count seconds without taking any."""

from __future__ import annotations

import threading

from stockctl.clients.rate_limit import RateLimit


class Clock(threading.Event):
    """An event whose waits end at once, and let that much time pass; it also stands for the module ``time``."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is set, after ``timeout`` seconds unless it was."""
        if not self.is_set() and timeout is not None:
            self.waits.append(timeout)
            self.now += timeout
        return self.is_set()

    def limit(self) -> type[RateLimit]:
        """Limits kept by this clock, which must also stand for ``time`` in ``stockctl.clients.rate_limit``."""
        clock = self

        class Limited(RateLimit):
            def _delay(self) -> float | None:
                delay = super()._delay()
                if delay and not self._running:
                    clock.now += delay
                    return 0.0
                return None if delay else delay  # requests take no time: their answers come before anything else

        return Limited
