"""Rates: so many tokens for each client, which come back with time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

CLIENTS = 10_000
"""Clients that are remembered; beyond that, the one that asked longest ago is forgotten."""


class Rate:
    """At most ``burst`` at once and ``per_second`` over time, for each client by itself."""

    def __init__(self, *, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()  # the tokens left, and at what time

    def take(self, client: str) -> float:
        """Take a token of ``client``: 0, or else the seconds until there is one."""
        wait = self.wait(client)
        if not wait:
            left, at = self._clients[client]
            self._clients[client] = (left - 1, at)
        return wait

    def wait(self, client: str) -> float:
        """Seconds until ``client`` has a token, 0 if it has one."""
        now = self._clock()
        left, at = self._clients.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        self._clients[client] = (left, now)
        if len(self._clients) > CLIENTS:
            self._clients.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self._per_second
