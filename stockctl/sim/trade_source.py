"""Sources of a running simulator's rows: the seeded market in real time, or captured frames."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from stockctl.exchange.calendar import ALWAYS_OPEN, EXCHANGE, is_open, session_at
from stockctl.sim import wire_format
from stockctl.sim.market import Market, activity_at
from stockctl.sim.server import FeedServer

logger = logging.getLogger("stockctl.sim")

_TICK = 0.1  # seconds between two checks for due rows
_SLICE_MS = 1000  # rows are generated second by second
_LATE_MS = 2000  # further behind the clock than this, skip to now


class LiveSource:
    """Rows of the market in real time, at the server's rate on average, while rows are wanted.

    ``real_hours``: stocks trade only when the exchange does, in the day's shape, and the rate is the regular session's.
    """

    def __init__(self, server: FeedServer, *, seed: int, real_hours: bool) -> None:
        self._server = server
        self._market = Market((), seed=seed, calendar=EXCHANGE if real_hours else ALWAYS_OPEN)
        self._real_hours = real_hours
        self._owed = 0.0  # fraction of a row left over from earlier slices

    async def run(self) -> None:
        """Send rows; wait while no rows are wanted."""
        until = _now_ms()
        while True:
            if not self._server.wanted.is_set():
                await self._server.wanted.wait()
                await asyncio.sleep(_TICK)  # let a client finish subscribing to all its symbols
                until = _now_ms()
            since = until
            if abs(late := _now_ms() - until) > _LATE_MS:
                logger.warning("the market is %.1f s behind the clock: it skips to now", late / 1000)
                since = until + late
            until = (since // _SLICE_MS + 1) * _SLICE_MS
            await self._play(since, until)

    async def _play(self, since: int, until: int) -> None:
        """Generate the rows of ``[since, until)``, and send each when it is due."""
        rows = self._market.rows(since, until, self._due(since, until))
        # Use the monotonic clock from here on: a wall clock set back must not stop the market.
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
        """Number of rows in the slice. Also sets the symbols that trade in it."""
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
    """The ones of ``symbols`` that trade at ``ms``, and their share of the full rate."""
    awake = tuple(symbol for symbol in symbols if is_open(EXCHANGE.hours(symbol), ms))
    if session_at(ms) is not None:
        return awake, activity_at(ms)
    return awake, len(awake) / max(1, len(symbols))


async def replay(server: FeedServer, lines: Iterable[str]) -> None:
    """Send each of ``lines`` unchanged, at the server's rate, while rows are wanted. Then send only pings."""
    due = time.monotonic()
    for line in lines:
        if not server.wanted.is_set():
            await server.wanted.wait()
            due = time.monotonic()
        server.publish(line)
        due += wire_format.rows_in(line) / server.rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
