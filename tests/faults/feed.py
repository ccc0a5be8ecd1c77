"""A feed under fire: rows that are numbered by their volume, and what the lake and its coverage must say of each."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import msgspec

from stockctl.errors import StockctlError
from stockctl.feed.coverage import Coverage, coverage
from stockctl.lake.writer.batch import decompress
from stockctl.sim import Row, Simulator
from tests.command import HANG, Process
from tests.conftest import wait_for
from tests.faults.rig import Rig
from tests.feed.conftest import events
from tests.topics import messages

SYMBOL = "BINANCE:BTCUSDT"
"""It trades around the clock, so that all its time is session time."""
WINDOW_MS = 1000
"""Milliseconds by which a gap may begin earlier than what was lost: the granularity of a producer's coverage."""
HOUR = 3_600_000


def lateness(missing: list[int], lags: dict[int, int]) -> list[int]:
    """By how many milliseconds each missing row may have come after it was sent.

    A row lies in the time when it was received, on a busy machine late: as late as the rows beside it that arrived, ``lags``.
    """
    found = sorted(n for n, lag in lags.items() if lag < HOUR / 2)  # one later than that met a clock that jumps
    places = (bisect(found, n) for n in missing)
    return [WINDOW_MS + max(lags[n] for n in found[max(0, place - 1) : place + 1]) for place in places]


class Feed:
    """A simulated feed that sends numbered rows all the time, and the producers of a rig that listen to it.

    The n-th row's volume is n. Sent to nobody, or into a connection that swallows it, a row is known as well. Producers take a
    connection for lost that is silent for ``silence``: short, a busy machine makes such gaps too.
    """

    def __init__(self, rig: Rig, *, rows: int = 10, every: float = 0.02, silence: str = "5m") -> None:
        self.rig, self._rows, self._every = rig, rows, every
        self.sent: dict[int, int] = {}
        """When each row was sent, in ms UTC."""
        self.times: Counter[int] = Counter()
        """How often each row was sent."""
        self.sim = Simulator(rate=0, ping_interval=0.5)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._flow = threading.Thread(target=self._send_on)
        self._producers: list[Process] = []
        rig.command.environment |= {
            "STOCKCTL_SYMBOLS": SYMBOL,
            "STOCKCTL_FINNHUB__SILENCE_TIMEOUT": silence,
            "STOCKCTL_FINNHUB__BACKOFF_MAX": "1s",
        }

    def __enter__(self) -> Self:
        self.sim.start()
        self.rig.command.environment["STOCKCTL_FINNHUB__URL"] = self.sim.url
        self._flow.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._flow.join()
        for process in self._producers:
            process.kill()
            process.wait()
        self.sim.stop()

    def _send_on(self) -> None:
        while not self._stop.wait(self._every):
            self.send(self._rows)

    def send(self, count: int, *, times: int = 1) -> None:
        """Send the next rows, newest first; as one frame that is repeated so that it comes ``times`` times."""
        with self._lock:
            now = int(time.time() * 1000)
            numbers = list(itertools.islice(self._numbers, count))
            self.sent |= dict.fromkeys(numbers, now)
            self.times.update(dict.fromkeys(numbers, times))
            if times > 1:
                self.sim.repeat_next(times)
            rows = [Row(None, 100 + n % 100 / 100, SYMBOL, now - 1000 * (n % 3), n) for n in numbers]
            with contextlib.suppress(StockctlError):  # nobody is connected
                self.sim.send_rows(rows[::-1])

    def when_connected(self, fault: Callable[[], object]) -> None:
        """Call ``fault``, which needs an open connection: on a busy machine a short silence may just have ended it."""

        def connected() -> bool:
            try:
                fault()
            except StockctlError:
                return False
            return True

        wait_for(connected, "a producer to be connected")

    # Producers

    def producer(self) -> Process:
        """Start ``stockctl produce``; returns when it is subscribed."""
        connections = self.sim.counters.connections
        process = self.rig.command.start("produce", log=self.log)
        self._producers.append(process)
        self.sim.wait_for(lambda counters: counters.connections > connections and SYMBOL in counters.subscribed, timeout=HANG)
        return process

    @property
    def log(self) -> Path:
        """What the producers say."""
        return self.rig.command.folder / "produce.log"

    def says(self, words: str) -> None:
        """Wait until a producer has said ``words``."""
        wait_for(lambda: words in self.log.read_text(), f"a producer to say “{words}”")

    def flows(self, rows: int = 200) -> None:
        """Wait until so many more rows are in Kafka."""
        admin, topic = self.rig.admin, self.rig.topic

        def end() -> int:
            return sum(edges.end for edges in admin.offsets(admin.partitions(topic)).values())

        goal = end() + rows
        wait_for(lambda: end() >= goal, f"{rows} more rows in Kafka")

    def covers(self, reason: str = "") -> None:
        """Wait until a producer reports coverage again; or until one has reported a gap with ``reason``."""

        def reports() -> int:
            return sum(event["kind"] == "covered" and reason in event["reason"] for event in events(self.rig.settings))

        before = 0 if reason else reports()
        wait_for(lambda: reports() > before, "a producer to report coverage")

    def _all_received(self) -> bool:
        """Whether a row sent now would be in Kafka, and so all that was sent before it."""
        last = max(self.sent)
        self.send(1)
        newest = messages(self.rig.settings, self.rig.topic, newest=1)
        return any(msgspec.json.decode(message.value())["volume"] > last for message in newest)

    # The lake

    def check(self, *reasons: str) -> Coverage:
        """Stop the flow; what the lake holds is what was sent, once, and what it lacks is in a gap. The coverage.

        ``reasons`` must stand in the order of the gaps that the faults made.
        """
        self._stop.set()
        self._flow.join()
        wait_for(self._all_received, "the producer to receive what was sent")
        for process in self._producers:
            if process.poll() is None:
                process.terminate()
                assert process.wait(HANG) == 0, self.log.read_text()
        self.rig.finish()
        trades = self._lines("trades")
        found = Counter(int(trade["volume"]) for trade in trades)
        ids = [trade["id"] for trade in trades]
        assert len(ids) == len(set(ids)), "rows lost or duplicated: an id occurs twice"
        too_many = {n: times for n, times in found.items() if times > self.times[n]}
        assert not too_many, f"rows lost or duplicated: not sent so often: {too_many}"
        events = self._lines("feed_events")
        missing = [n for n in self.sent if found[n] < self.times[n]]
        whole = coverage(events, [SYMBOL], min(self.sent.values()), max(self.sent.values()))[SYMBOL]
        lags = {int(trade["volume"]): trade["ts_recv"] - self.sent[int(trade["volume"])] for trade in trades}
        silent = [
            n
            for n, late in zip(missing, lateness(missing, lags), strict=True)
            if not any(gap.since < self.sent[n] + late and self.sent[n] < gap.until for gap in whole.gaps)
        ]
        assert not silent, f"rows lost or duplicated: lost, and no gap covers it: {silent[:5]} of {len(silent)}\n{whole.gaps}"
        values = iter(gap.reason for gap in whole.gaps)
        assert all(any(reason in other for other in values) for reason in reasons), (reasons, whole.gaps)
        self.rig.command.run("lake", "verify", "--deep")
        self.rig.count.records += len(ids)
        return whole

    def _lines(self, table: str) -> list[dict[str, Any]]:
        store = self.rig.store
        keys = [item.key for item in store.objects(table)]
        return [msgspec.json.decode(line) for key in keys for line in decompress(store.get(key), key).splitlines()]
