"""The dashboard: a snapshot of a large day, the first paint, the time of a frame, and memory while 50 browsers follow it.

    python benchmarks/dashboard.py --trades 1000000 --rate 1000 --clients 50 --minutes 60

Needs Chromium. First `stockctl dashboard` on a lake with one symbol's session of `--trades` trades, in 5-minute batches, as
written and after `lake compact`: seconds of a request on loopback, and the peak memory of the dashboard.

Then `stockctl consume s3` and `stockctl dashboard` on an embedded broker, or on that of `--bootstrap HOST:PORT`; with
`--mongo mongodb://…` also `stockctl consume mongo`, otherwise the dashboard reads the lake and Kafka. A feed puts 390 minutes
of one symbol into Kafka, fewer if the trade date began later, and then `--rate` trades per second over 50 symbols. A headless
Chromium looks at that symbol in bars of one minute: its first contentful paint, and how long `--frames` frames take from the
new data to the drawn figure, before the clients join and in the end.
`--clients` more streams on ten symbols join. Each minute: resident memory of the dashboard, and the browser's heap and
nodes after garbage is collected.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

from metrics import OPEN, SESSION_MS, fill
from produce import broker

from stockctl.clients.kafka import Producer
from stockctl.exchange.calendar import day_bounds, from_ms, now_ms, trade_date
from stockctl.exchange.trade_conditions import updates_of
from stockctl.feed.coverage import split_interval
from stockctl.records import FeedEvent, Trade, encode
from stockctl.settings import Settings, env_name, load_settings
from stockctl.sim.market import Market, Row
from tests.conftest import free_port, listening, wait_for
from tests.dashboard.browser import Tab, chromium

SYMBOLS = ["BINANCE:BTCUSDT", *(f"SYM{number:02d}" for number in range(49))]
CANDLES = 390
FRAMES = 2_000
WATCHED = 10
"""Symbols that the clients look at."""
DRAWN = "document.querySelector('#chart .main-svg') !== null"
MINUTE_MS = 60_000
COVERED_EVERY_MS = 10_000
PROGRAM = str(Path(sys.executable).parent / "stockctl")


def environment(names: dict[str, str]) -> dict[str, str]:
    """Of the commands: this process's, with these settings alone."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("STOCKCTL_")}
    return kept | {env_name(name): value for name, value in names.items()}


@contextmanager
def running(command: list[str], own: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A command of `stockctl` that goes on."""
    process = subprocess.Popen([PROGRAM, *command], env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def memory(pid: int, name: str) -> float:
    """MB of a process: `VmRSS` now, `VmHWM` at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1024


def get(port: int, path: str, **query: str) -> tuple[float, bytes]:
    """Seconds that a request took, and its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    began = time.perf_counter()
    connection.request("GET", f"{path}?{urlencode(query)}")
    response = connection.getresponse()
    answer = response.read()
    seconds = time.perf_counter() - began
    connection.close()
    assert response.status == 200, answer
    return seconds, answer


# A large day


def first_and_rest(seconds: list[float]) -> str:
    """The first request, and the median of those after it."""
    return f"{seconds[0]:.2f} s, then {statistics.median(seconds[1:]) * 1000:.1f} ms"


def large_day(trades: int) -> None:
    """Print the seconds of a snapshot of one symbol's session."""
    with tempfile.TemporaryDirectory() as folder:
        names = {"lake.url": (Path(folder) / "lake").as_uri(), "state_dir": folder, "symbols": "AAPL"}
        own = environment(names)
        fill(load_settings(environ={}, flags=names), trades)
        for kind in ("raw", "compacted"):
            if kind == "compacted":
                subprocess.run([PROGRAM, "lake", "compact"], env=own, check=True, capture_output=True)
            port = free_port()
            with running(["dashboard", "--port", str(port)], own) as process:
                wait_for(partial(listening, port), "the dashboard")
                newest = [get(port, "/api/snapshot", symbol="AAPL")[0] for _ in range(21)]
                date = [get(port, "/api/snapshot", symbol="AAPL", date="2026-11-20")[0] for _ in range(21)]
                moments = [from_ms(OPEN + SESSION_MS * part // 4).isoformat() for part in range(1, 5)]
                slider = [get(port, "/api/snapshot", symbol="AAPL", as_of=moment)[0] for moment in moments]
                peak = memory(process.pid, "VmHWM")
            print(
                f"{trades:,} trades, {kind}: the newest session {first_and_rest(newest)}; a date {first_and_rest(date)}; "
                f"as of another moment {statistics.median(slider):.2f} s; peak memory {peak:.0f} MB",
                flush=True,
            )


# A live day


class Feed:
    """Trades of a simulated market, put into Kafka as `produce` does."""

    def __init__(self, settings: Settings) -> None:
        self._topics = settings.topics
        self._producer = Producer(settings)
        self._numbers = count(1)
        self.sent = 0

    def past(self, since: int, until: int) -> None:
        """Put a past of the first symbol: one trade per second, and its coverage."""
        market = Market(SYMBOLS[:1])
        for minute in range(since, until, MINUTE_MS):
            self._put(market.rows(minute, minute + MINUTE_MS, 60))
        self._cover(since, until, SYMBOLS[:1])
        assert self._producer.flush(60) == 0

    def follow(self, rate: int, stop: threading.Event) -> None:
        """Put `rate` trades per second until `stop`."""
        market = Market(SYMBOLS)
        began = last = now_ms()
        begun_with = self.sent
        covered = began
        while not stop.wait(0.05):
            now = now_ms()
            if now >= covered + COVERED_EVERY_MS:
                self._cover(covered, now, SYMBOLS)
                covered = now
            self._put(market.rows(last, now, (now - began) * rate // 1000 - (self.sent - begun_with)))
            last = now
            self._producer.poll(0)
        self._producer.flush(60)

    def _cover(self, since: int, until: int, symbols: list[str]) -> None:
        for start, end in split_interval((since, until)):
            name = f"bench1-covered-{next(self._numbers):06d}"
            event = FeedEvent(name, "covered", start, end, ",".join(symbols), "", "bench1", end, "sim")
            self._produce(self._topics.feed_events.name, encode(event), "")

    def _put(self, rows: list[Row]) -> None:
        self.sent += len(rows)
        for row in rows:
            codes = ",".join(row.c or ())
            name = f"{row.s}-{row.t}-bench1-{next(self._numbers):08d}"
            trade = Trade(name, row.s, row.p, row.v, row.t, row.t + 20, codes, updates_of(codes), "sim")
            self._produce(self._topics.trades.name, encode(trade), row.s)

    def _produce(self, topic: str, value: bytes, key: str) -> None:
        while True:
            try:
                return self._producer.produce(topic, value=value, key=key, timestamp=now_ms())
            except BufferError:
                self._producer.poll(0.05)


class Client(threading.Thread):
    """A browser's part without the browser: a snapshot, then its frames, again after each `resync`."""

    def __init__(self, port: int, symbol: str, events: Counter[str], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._port, self._view, self._events, self._stop_event = port, {"symbol": symbol}, events, stop

    def run(self) -> None:
        """Follow, from a snapshot again whenever the stream ends."""
        while not self._stop_event.is_set():
            with suppress(AssertionError, OSError, http.client.HTTPException):
                self._follow()
            self._events["connections"] += 1

    def _follow(self) -> None:
        snapshot = json.loads(get(self._port, "/api/snapshot", **self._view)[1])
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("GET", f"/api/events?{urlencode(self._view | {'after': snapshot['id']})}")
        for line in connection.getresponse():
            if self._stop_event.is_set():
                break
            if line.startswith(b"event: "):
                kind = line[7:].strip().decode()
                self._events[kind] += 1
                if kind == "resync":
                    break
        connection.close()


def first_paint(tab: Tab) -> float:
    """Milliseconds from the navigation to the first contentful paint."""
    expression = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    return float(tab.wait(expression, "the first paint"))


def measure_frames(tab: Tab, frames: int, name: str) -> None:
    """Print the milliseconds of the next `frames` drawn frames."""
    candles = tab.js("document.getElementById('chart').data.find((one) => one.uid === 'price').x.length")
    tab.js(
        """() => { window.times = []; const chart = document.getElementById("chart");
        window.watcher = new MutationObserver(() => window.times.push(Number(chart.dataset.frameMs)));
        window.watcher.observe(chart, { attributeFilter: ["data-frame-ms"] }); }"""
    )
    while len(times := tab.js("window.times")) < frames:
        tab.page.wait_for_timeout(1000)
    tab.js("window.watcher.disconnect()")
    times = sorted(times)
    print(
        f"{name}: {len(times):,} frames of {candles} candles, median {statistics.median(times):.0f} ms, "
        f"of 100 the slowest {times[len(times) * 99 // 100]:.0f} ms",
        flush=True,
    )


def follow(port: int, pid: int, arguments: argparse.Namespace, feed: Feed) -> None:
    """Print what the page takes, alone and beside `--clients` others."""
    events: Counter[str] = Counter()
    stop = threading.Event()
    with chromium() as browser:
        paints = []
        for _ in range(5):
            tab = Tab(browser, f"http://127.0.0.1:{port}")
            tab.open(f"/?symbol={SYMBOLS[0]}&session=all")
            tab.wait(
                "document.getElementById('live').dataset.state === 'live' && document.querySelector('#chart .main-svg')", "it"
            )
            paints.append(first_paint(tab))
            tab.context.close()
        print(f"first contentful paint: {statistics.median(paints):.0f} ms (median of {len(paints)})", flush=True)
        tab = Tab(browser, f"http://127.0.0.1:{port}")
        tab.open(f"/?symbol={SYMBOLS[0]}&session=all")
        tab.wait(DRAWN, "the figure")
        measure_frames(tab, arguments.frames, "alone")
        for number in range(arguments.clients):
            Client(port, SYMBOLS[number % WATCHED], events, stop).start()
        began, sent = time.monotonic(), feed.sent
        for minute in range(arguments.minutes + 1):
            while time.monotonic() < began + 60 * minute:
                tab.page.wait_for_timeout(1000)
            heap = tab.heap()
            print(
                f"minute {minute:3d}: dashboard {memory(pid, 'VmRSS'):.0f} MB; heap {heap['heap'] / 1e6:.1f} MB, "
                f"{heap['nodes']:,} nodes, {heap['listeners']} listeners; {feed.sent - sent:,} trades fed, "
                f"frames: {events['view']:,} to the clients, {tab.frames.count('view'):,} to the browser; "
                f"{events['resync']} resyncs, {events['connections']} connections ended",
                flush=True,
            )
        measure_frames(tab, arguments.frames, f"beside {arguments.clients} clients")
        stop.set()
        print(f"complaints of the browser: {tab.complaints or 'none'}")


def live_day(arguments: argparse.Namespace) -> None:
    """A pipeline, a feed, and those who look at it."""
    stop = threading.Event()
    mark = f"bench-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bootstrap = arguments.bootstrap or stack.enter_context(broker(Path(folder)))
        wait_for(lambda: listening(int(bootstrap.rpartition(":")[2])), "the broker")
        names = {
            "kafka.bootstrap_servers": bootstrap,
            "lake.url": (Path(folder) / "lake").as_uri(),
            "lake.group": mark,
            "lake.max_age": "10s",
            "state_dir": folder,
            "symbols": ",".join(SYMBOLS),
            "dashboard.requests_per_second": "1000",
        }
        names |= {f"topics.{name}.name": f"{mark}-{name}" for name in ("trades", "feed_events", "signals", "dead_letters")}
        if arguments.mongo is not None:
            names |= {"mongo.url": arguments.mongo, "mongo.database": mark, "mongo.group": f"{mark}-mongo"}
        settings, own = load_settings(environ={}, flags=names), environment(names)
        subprocess.run([PROGRAM, "topics", "apply"], env=own, check=True, capture_output=True)
        for store in ("s3", *(["mongo"] if arguments.mongo else [])):
            stack.enter_context(running(["consume", store], own))
        port = free_port()
        page = stack.enter_context(running(["dashboard", "--port", str(port)], own))
        wait_for(lambda: listening(port), "the dashboard")
        feed = Feed(settings)
        now = now_ms()
        since = max(now - CANDLES * MINUTE_MS, day_bounds(trade_date(now))[0])
        feed.past(since // MINUTE_MS * MINUTE_MS, now // MINUTE_MS * MINUTE_MS)
        wait_for(lambda: in_snapshot(port) >= feed.sent, "the past in the view", 600)
        thread = threading.Thread(target=feed.follow, args=(arguments.rate, stop))
        thread.start()
        try:
            follow(port, page.pid, arguments, feed)
        finally:
            stop.set()
            thread.join()


def in_snapshot(port: int) -> int:
    """Trades in the view of the first symbol."""
    numbers = json.loads(get(port, "/api/snapshot", symbol=SYMBOLS[0], session="all")[1])["numbers"]
    return int(numbers.get("trades") or 0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="address of Kafka; default: an embedded broker is started")
    parser.add_argument("--mongo", help="address of MongoDB; default: the dashboard reads the lake and Kafka")
    parser.add_argument("--trades", type=int, default=1_000_000, help="of the large day; 0 leaves it out")
    parser.add_argument("--rate", type=int, default=1_000, help="trades per second of the live day")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--minutes", type=int, default=60)
    arguments = parser.parse_args()
    if arguments.trades:
        large_day(arguments.trades)
    live_day(arguments)


if __name__ == "__main__":
    main()
