"""``produce --replay``: publishes captured frames, one JSON text per line, like live data, with the source ``replay``.

A replay has no feed that could fail. Its coverage is the time span of its trades, with a gap wherever the file has no trade for
``QUIET`` ms.
"""

from __future__ import annotations

import codecs
import errno
import gzip
import logging
import os
import re
import select
import sys
import threading
import time
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import NamedTuple

from stockctl.errors import StockctlError, UsageError, unreadable
from stockctl.exchange.calendar import now_ms
from stockctl.feed.coverage import feed_event, split_interval
from stockctl.feed.decoder import Decoder
from stockctl.feed.event_outbox import EventOutbox
from stockctl.feed.kafka_sink import DeliveryWindow, KafkaSink
from stockctl.intervals import Interval
from stockctl.records import Trade, connection_token
from stockctl.settings import Settings
from stockctl.units import counted, format_duration

log = logging.getLogger("stockctl.produce")

SOURCE = "replay"
QUIET = 15 * 60_000
"""A capture without a trade for this many ms has a gap."""
_FAILURES: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, StockctlError)
"""What can end a replay early: a missing, damaged or truncated file, an error of Kafka, a full disk."""
_HINT = "name a file of captured frames, one JSON text per line, or - for stdin"
_GZIP, _UTF_16 = b"\x1f\x8b", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""First bytes of such files."""
_POLL_INTERVAL = 0.2
"""Seconds between two checks of the stop signal while waiting for stdin or for Kafka."""
_DRAIN_TIMEOUT = 30.0
"""Seconds to wait until Kafka has acknowledged the coverage events. Unsent events stay on disk."""
_SHUTDOWN_TIMEOUT = 8.0
"""Seconds that such a wait may still take after the stop signal."""
_TIME = re.compile(rb'"t":\s*(\d{1,15})')


class ReplayResult(NamedTuple):
    """Lines read from the file, trades and dead letters delivered, and seconds taken."""

    lines: int
    trades: int
    dead_letters: int
    seconds: float


class Replay:
    """One replay of the capture ``path`` (gzip too; ``-`` is stdin).

    ``speed`` 1 keeps the pace of the trades' times, 2 doubles it; None is as fast as possible. ``retime`` shifts all times so
    that the first trade is now. If the buffer is full, the replay waits.
    """

    def __init__(
        self, settings: Settings, path: str, stop: threading.Event, *, speed: float | None = None, retime: bool = False
    ) -> None:
        self._settings = settings
        self._path = path
        self._stop = stop
        self._speed = speed
        self.sink = KafkaSink(settings, wait_when_full=lambda: not (stop.is_set() or self.sink.undelivered))
        self._token = connection_token()
        self.decoder = Decoder(
            SOURCE,
            drop_repeated_frames=settings.finnhub.drop_repeated_frames,
            first_at=now_ms() if retime else None,
        )
        self.decoder.start(self._token)
        self._covered = CoveredIntervals()
        self._lines = 0

    def run(self, deadline: float | None = None, tick: Callable[[], None] = lambda: None) -> ReplayResult:
        """Publish the file, until ``deadline`` (``time.monotonic()``) if set. Calls ``tick`` after each line.

        UsageError if the file cannot be opened. StockctlError, with counts, if a delivery failed or the stop signal came first.
        """
        with _opened(self._path, self._stop) as lines:
            return self._deliver(lines, deadline, tick)

    def _deliver(self, lines: Iterable[bytes], deadline: float | None, tick: Callable[[], None]) -> ReplayResult:
        # Before the first line: if the outbox failed at the end, a repeat would duplicate every trade.
        outbox = EventOutbox(self._settings, self.sink)
        try:
            # Send the events of an earlier run first, not after this replay.
            self._drain(outbox)
            return self._run(outbox, lines, deadline, tick)
        finally:
            outbox.close()

    def _run(
        self, outbox: EventOutbox, lines: Iterable[bytes], deadline: float | None, tick: Callable[[], None]
    ) -> ReplayResult:
        started = time.monotonic()
        window = self.sink.window(now_ms())
        pacer = _Pacer(self._speed, self._stop, deadline)
        failure: Exception | None = None
        try:
            for line in lines:
                pacer.wait_for(line)
                if pacer.over or self._stop.is_set() or self.sink.undelivered:
                    break
                self._lines += 1
                self._publish(line, window)
                tick()
        except _FAILURES as error:
            failure = error
        while window.outstanding and not (self._stop.is_set() or self.sink.undelivered):
            self.sink.poll(0.1)
        self.sink.flush(_SHUTDOWN_TIMEOUT)
        reason = failure or self.sink.trouble or ("stopped by a signal" if self._stop.is_set() else None)
        if reason is None:
            try:
                self._write_coverage(outbox)
            except _FAILURES as error:
                reason = error
        if reason is not None:
            raise StockctlError(
                f"the replay of {self._path} ended at line {self._lines}: {_describe(reason)}; "
                f"{counted(window.acknowledged, 'message was', 'messages were')} delivered, {window.lost} were not",
                hint="a second replay sends the delivered messages again, as new data" if window.acknowledged else None,
            )
        return ReplayResult(self._lines, self.sink.trades, self.sink.dead_letters, time.monotonic() - started)

    def _publish(self, line: bytes, window: DeliveryWindow) -> None:
        text = line.strip()
        if text:
            now = now_ms()
            frame = self.decoder.frame(text, now, f"{self._path}:{self._lines}")
            self._covered.add(frame.trades)
            self.sink.publish(frame, now, window)

    def _write_coverage(self, outbox: EventOutbox) -> None:
        pieces = [(piece, symbols) for interval, symbols in self._covered.merged() for piece in split_interval(interval)]
        for number, (interval, symbols) in enumerate(pieces):
            outbox.write(
                feed_event(
                    "covered",
                    interval,
                    sorted(symbols),
                    SOURCE,
                    connection=self._token,
                    number=number,
                    ts_recv=now_ms(),
                    source=SOURCE,
                )
            )
        if self._drain(outbox):
            log.warning("%d feed events of the replay stay on disk: the next produce sends them", outbox.waiting)

    def _drain(self, outbox: EventOutbox) -> int:
        """Wait until the events are acknowledged; after the stop signal only briefly. Returns how many still wait."""
        deadline = time.monotonic() + _DRAIN_TIMEOUT
        while (left := outbox.drain(_POLL_INTERVAL)) and time.monotonic() < deadline:
            if self._stop.is_set():
                return outbox.drain(_SHUTDOWN_TIMEOUT)
        return left


def _describe(reason: object) -> str:
    """Why a replay ended, as text."""
    if isinstance(reason, gzip.BadGzipFile):
        return "the file is not gzip, or damaged"
    return (isinstance(reason, OSError) and reason.strerror) or str(reason)


class CoveredIntervals:
    """The time intervals that a replay's trades cover, with the symbols of each. Trades may come in any order."""

    def __init__(self) -> None:
        self._intervals: list[tuple[int, int, set[str]]] = []
        """Sorted, and more than ``QUIET`` apart."""

    def add(self, trades: list[Trade]) -> None:
        """Add the time of these trades."""
        for cluster in _clusters(trades):
            self._join(cluster[0].ts_event, cluster[-1].ts_event + 1, cluster)

    def _join(self, first: int, last: int, trades: list[Trade]) -> None:
        since, until = itemgetter(0), itemgetter(1)
        low = bisect_left(self._intervals, first - QUIET, key=until)
        high = bisect_right(self._intervals, last + QUIET, key=since)
        near = self._intervals[low:high]
        symbols = near[0][2] if near else set()
        symbols.update([trade.symbol for trade in trades])
        for other in near[1:]:
            symbols |= other[2]
        self._intervals[low:high] = [(min([first, *map(since, near)]), max([last, *map(until, near)]), symbols)]

    def merged(self) -> list[tuple[Interval, set[str]]]:
        """The covered intervals in order, each with its symbols."""
        return [((since, until), symbols) for since, until, symbols in self._intervals]


def _clusters(trades: list[Trade]) -> Iterator[list[Trade]]:
    """The trades sorted by time, split where neighbours are more than ``QUIET`` apart."""
    ordered = sorted(trades, key=attrgetter("ts_event"))
    start = 0
    for i in range(1, len(ordered)):
        if ordered[i].ts_event > ordered[i - 1].ts_event + 1 + QUIET:
            yield ordered[start:i]
            start = i
    if ordered:
        yield ordered[start:]


class _Pacer:
    """Delays each line until it is due at ``speed``. ``over`` is true after the deadline."""

    def __init__(self, speed: float | None, stop: threading.Event, deadline: float | None) -> None:
        self._speed = speed
        self._stop = stop
        self._deadline = deadline
        self._origin: tuple[float, int] | None = None

    @property
    def over(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def wait_for(self, line: bytes) -> None:
        if self._speed is None or (match := _TIME.search(line)) is None:
            return
        at = int(match[1])
        if self._origin is None:
            self._origin = (time.monotonic(), at)
        due = self._origin[0] + (at - self._origin[1]) / 1000 / self._speed
        if self._deadline is not None:
            due = min(due, self._deadline)
        pause = due - time.monotonic()
        if pause > 60:
            log.info("the next frame is due in %s", format_duration(pause))
        if pause > 0:
            self._stop.wait(pause)


def check_capture(path: str) -> None:
    """UsageError if there is no file at ``path``. Does not open it: a pipe can be read only once."""
    try:
        if path != "-" and Path(path).stat() and Path(path).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise unreadable(path, error, _HINT) from error


@contextmanager
def _opened(path: str, stop: threading.Event) -> Iterator[Iterable[bytes]]:
    """The lines of the capture. Lines of stdin end when ``stop`` is set."""
    if path == "-":
        yield _stdin(stop)
    else:
        try:
            file = Path(path).open("rb")  # noqa: SIM115 - closed below
            head = file.peek(3)
        except OSError as error:
            raise unreadable(path, error, _HINT) from error
        with file:
            if head.startswith(_UTF_16):
                raise UsageError(f"cannot read {path}: it is UTF-16", hint="convert the file to UTF-8")
            if head.startswith(codecs.BOM_UTF8):
                file.read(len(codecs.BOM_UTF8))
            yield gzip.GzipFile(fileobj=file) if head.startswith(_GZIP) or path.endswith(".gz") else file


def _stdin(stop: threading.Event) -> Iterator[bytes]:
    # Iterating over sys.stdin would block until the next line, even after ``stop`` is set.
    descriptor, rest = sys.stdin.fileno(), b""
    while not stop.is_set():
        if not select.select([descriptor], [], [], _POLL_INTERVAL)[0]:
            continue
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest
