"""Makes the pictures of the dashboard in README and docs: ``python -m tests.dashboard.pictures`` (``make pictures``).

A local stack in a temporary folder, with the simulator on its fixed seed. While it is suspended, the hours of the session are
put into Kafka, with a gap, so that the page has a day to show. Needs Chromium.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

from stockctl.clients.kafka import Producer
from stockctl.errors import UnreachableError
from stockctl.exchange.calendar import EXCHANGE_ZONE, now_ms, session_at, to_ms
from stockctl.exchange.trade_conditions import updates_of
from stockctl.feed.coverage import split_interval
from stockctl.records import EventKind, FeedEvent, Trade, encode
from stockctl.sim.market import Market, Row
from tests.command import HANG
from tests.conftest import wait_for
from tests.dashboard.browser import Tab, chromium
from tests.local.stack import Stack

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
LARGEST = 300_000
"""Bytes of a picture."""
WIDTH, MARGIN = 1440, 14
"""Pixels: of a picture, and below the figure."""
WATCHED = """symbols => [...document.querySelectorAll("#watch .row")].filter(
    row => row.querySelector(".moved").textContent.includes("%") && row.querySelector("path").getAttribute("d")
).length === symbols"""
"""Whether as many symbols have a change and a line of prices."""
SYMBOLS = ("AAPL", "MSFT", "NVDA", "TSLA", "BINANCE:BTCUSDT")
ROWS_PER_MINUTE = 40
MINUTE_MS = 60_000
GAP = (70, 79)
"""Minutes of the session in which the feed was away."""
CONNECTION = "past00"


def clock() -> dict[str, str]:
    """The environment of a stack whose clock is within a regular session: at 14:30 of the next weekday unless it is so now."""
    session = session_at(now_ms())
    if session is not None and session.name == "regular":
        return {}
    day = datetime.now(EXCHANGE_ZONE) + timedelta(1)
    while day.isoweekday() > 5:
        day += timedelta(1)
    ahead = to_ms(day.replace(hour=14, minute=30)) * 1_000_000 - time.time_ns()
    return {"CLOCK_AHEAD_NS": str(ahead), "PYTHONPATH": str(ROOT / "tests" / "ahead")}


class Past:
    """The time of a session since its ``opening`` (ms UTC), as Kafka has it: simulated, with a gap."""

    def __init__(self, stack: Stack, opening: int) -> None:
        self._stack = stack
        self._opening = opening
        self._numbers = count(1)
        self._trades = 0
        self._until = opening

    def fill(self, until: int) -> None:
        """Put the time up to ``until`` into Kafka, and wait until it is in MongoDB."""
        settings = self._stack.settings()
        producer = Producer(settings)
        trades, events = list(self._trades_until(until)), list(self._events_until(until))
        for topic, records in ((settings.topics.feed_events, events), (settings.topics.trades, trades)):
            for record in records:
                key = record.symbol if isinstance(record, Trade) else ""
                producer.produce(topic.name, value=encode(record), key=key, timestamp=now_ms())
                producer.poll(0)
            assert producer.flush(HANG) == 0
        self._trades += len(trades)
        self._until = until
        wait_for(self._is_stored, f"{self._trades} trades in MongoDB", 4 * HANG)

    def _is_stored(self) -> bool:
        try:
            return self._stack.documents() >= self._trades
        except UnreachableError:
            return False  # the stand-in of MongoDB answers nobody while it takes thousands of documents

    def _trades_until(self, until: int) -> Iterator[Trade]:
        market = Market(SYMBOLS)
        rows: list[Row] = []
        for since in range(self._until, until, MINUTE_MS):
            rows += market.rows(since, min(since + MINUTE_MS, until), round(ROWS_PER_MINUTE * market.next_heat()))
        # Backwards, so that prices end where the market of the simulator begins.
        prices = {symbol: [row.p for row in rows if row.s == symbol] for symbol in SYMBOLS}
        for row in rows:
            price = prices[row.s].pop()
            if GAP[0] <= (row.t - self._opening) // MINUTE_MS < GAP[1]:
                continue
            codes = ",".join(row.c or ())
            name = f"{row.s}-{row.t}-{CONNECTION}-{next(self._numbers):08d}"
            yield Trade(name, row.s, price, row.v, row.t, row.t + 80, codes, updates_of(codes), "sim")

    def _events_until(self, until: int) -> Iterator[FeedEvent]:
        away, back = (self._opening + minute * MINUTE_MS for minute in GAP)
        for since, end in ((self._until, away), (max(self._until, back), until)):
            if since >= end:
                continue
            yield self._event("connected", since, since)
            yield self._event("subscribed", since, since)
            for part in split_interval((since, end)):
                yield self._event("covered", *part)
        yield self._event("disconnected", away, away, "the server closed the connection (1012)")

    def _event(self, kind: EventKind, since: int, end: int, reason: str = "") -> FeedEvent:
        name = f"{CONNECTION}-{kind}-{next(self._numbers):06d}"
        return FeedEvent(name, kind, since, end, ",".join(SYMBOLS), reason, CONNECTION, end + 50, "sim")


def take(address: str) -> None:
    """Write a picture of each theme."""
    IMAGES.mkdir(exist_ok=True)
    with chromium() as browser:
        for theme in ("light", "dark"):
            tab = Tab(browser, address, color_scheme=theme)
            tab.page.set_viewport_size({"width": WIDTH, "height": 1100})
            tab.open("/?symbol=AAPL")
            tab.wait("document.querySelector('#chart .main-svg') !== null", "the figure")
            tab.wait("document.getElementById('live').dataset.state === 'live'", "live updates")
            tab.wait(WATCHED, f"a change of each of {len(SYMBOLS)} symbols", len(SYMBOLS))
            tab.wait("document.querySelector('#parts [data-state]:not([data-state=ok])') === null", "a pipeline in order")
            tab.wait_frames(3)
            bottom = tab.js("document.getElementById('figure').getBoundingClientRect().bottom")
            file = IMAGES / f"dashboard-{theme}.png"
            tab.page.screenshot(path=file, full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": bottom + MARGIN})
            tab.close()
            size = file.stat().st_size
            assert size < LARGEST, f"{file} has {size:,} bytes"
            print(f"{file.relative_to(ROOT)}: {size:,} bytes")


def main() -> None:
    """Start the stack, fill it, take the pictures, and stop it."""
    with tempfile.TemporaryDirectory() as folder:
        ahead = clock()
        # The whole session is kept, however long ago it began.
        own = {"STOCKCTL_SYMBOLS": ",".join(SYMBOLS), "STOCKCTL_MONGO__RETENTION": "2d"}
        stack = Stack(Path(folder) / "stack", **own, **ahead)

        def now() -> int:
            return now_ms() + int(ahead.get("CLOCK_AHEAD_NS", 0)) // 1_000_000

        day = datetime.fromtimestamp(now() / 1000, EXCHANGE_ZONE)
        past = Past(stack, to_ms(day.replace(hour=9, minute=30, second=0, microsecond=0)))
        try:
            stack.run("local", "up")
            sim = int(stack.status()["sim"]["pid"])
            os.kill(sim, signal.SIGSTOP)
            past.fill(now())
            past.fill(now())
            os.kill(sim, signal.SIGCONT)
            stack.run("filings", "fetch", *SYMBOLS[:4])
            take(f"http://127.0.0.1:{stack.port('dashboard')}")
        finally:
            stack.run("local", "down", check=None)


if __name__ == "__main__":
    main()
