"""Where a running simulator's rows come from: the seeded market laid over the clock, or captured frames."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from stockctl.exchange.calendar import ALWAYS_OPEN, EXCHANGE, is_open, session_at
from stockctl.sim import wire
from stockctl.sim.market import Market, activity_at
from stockctl.sim.server import FeedServer

logger = logging.getLogger("stockctl.sim")

_TICK = 0.1  # seconds between looks at what has become due
_SLICE_MS = 1000  # the market is laid out second by second
_LATE_MS = 2000  # further behind the clock than this, the market skips to now


class Live:
    """The market at now: the server's rate of rows on average, for as long as rows are wanted.

    ``real_hours``: stocks trade only when the exchange does, in the day's shape, and the rate is the regular session's.
    """

    def __init__(self, server: FeedServer, *, seed: int, real_hours: bool) -> None:
        self._server = server
        self._market = Market((), seed=seed, calendar=EXCHANGE if real_hours else ALWAYS_OPEN)
        self._real_hours = real_hours
        self._owed = 0.0  # part of a row that the slices before left over

    async def run(self) -> None:
        """Trade; wait without work while no rows are wanted."""
        until = _now_ms()
        while True:
            if not self._server.wanted.is_set():
                await self._server.wanted.wait()
                await asyncio.sleep(_TICK)  # a client subscribes to all its symbols in one go: let it finish
                until = _now_ms()
            since = until
            if abs(late := _now_ms() - until) > _LATE_MS:
                logger.warning("the market is %.1f s behind the clock and goes on from now", late / 1000)
                since = until + late
            until = (since // _SLICE_MS + 1) * _SLICE_MS
            await self._play(since, until)

    async def _play(self, since: int, until: int) -> None:
        """Lay out ``[since, until)`` and send each row when its time has come."""
        rows = self._market.rows(since, until, self._due(since, until))
        # From here on the monotonic clock counts, so that a clock set back does not stop the market.
        offset = max(since, _now_ms()) - time.monotonic() * 1000
        sent = 0
        while True:
            now = time.monotonic() * 1000 + offset
            first = sent
            while sent < len(rows) and rows[sent].t <= now:
                sent += 1
            self._server.deliver(rows[first:sent])
            self._server.flush()
            if now >= until:
                return
            await asyncio.sleep(min(_TICK, (until - now) / 1000))

    def _due(self, since: int, until: int) -> int:
        """How many rows the slice has; also tells the market which symbols trade in it."""
        symbols, level = self._server.subscribed, 1.0
        if self._real_hours:
            symbols, level = in_real_hours(symbols, since)
        if symbols != self._market.symbols:
            self._market.set_symbols(symbols)
        self._owed += self._server.rate * level * self._market.next_heat() * (until - since) / 1000
        count = int(self._owed)
        self._owed -= count
        return count


def in_real_hours(symbols: tuple[str, ...], ms: int) -> tuple[tuple[str, ...], float]:
    """Those of ``symbols`` that trade at ``ms``, and how much of the full rate they make."""
    awake = tuple(symbol for symbol in symbols if is_open(EXCHANGE.hours(symbol), ms))
    if session_at(ms) is not None:
        return awake, activity_at(ms)
    return awake, len(awake) / max(1, len(symbols))


async def replay(server: FeedServer, lines: Iterable[str]) -> None:
    """Send each of ``lines`` as it is, at the server's rate, while rows are wanted; then nothing but pings."""
    due = time.monotonic()
    for line in lines:
        if not server.wanted.is_set():
            await server.wanted.wait()
            due = time.monotonic()
        server.publish(line)
        due += wire.rows_in(line) / server.rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
