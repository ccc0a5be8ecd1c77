"""``produce --replay``: captured frames, one JSON a line, go the same way as live data and carry the source ``replay``.

A replay has no feed that could fail, so it tells its own coverage: the time its trades span, cut where the file has none for
long.
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
from stockctl.feed.kafka_sink import KafkaSink, Stretch
from stockctl.intervals import Interval
from stockctl.records import Trade, connection_token
from stockctl.settings import Settings
from stockctl.units import counted, format_duration

log = logging.getLogger("stockctl.produce")

SOURCE = "replay"
QUIET = 15 * 60_000
"""A capture without any trade for this many ms has a gap there."""
_ENDS: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, StockctlError)
"""What ends a replay too early: a file that is absent, no gzip or cut short; a Kafka that refuses; a full disk."""
_HINT = "name a file of captured frames, one JSON a line, or - for stdin"
_GZIP, _UTF_16 = b"\x1f\x8b", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How such files begin, whatever their names are."""
_LOOK_UP = 0.2
"""Seconds after which a wait, for more of stdin or for Kafka, looks whether it is to stop."""
_DRAIN_WITHIN = 30.0
"""Seconds to wait for Kafka to take the coverage; what it has not taken by then waits on disk."""
_LEAVE_WITHIN = 8.0
"""Seconds of such waits that are left once it is to stop."""
_TIME = re.compile(rb'"t":\s*(\d{1,15})')


class Replayed(NamedTuple):
    """What a replay delivered: lines of the file, the trades and dead letters in them, and the seconds it took."""

    lines: int
    trades: int
    dead_letters: int
    seconds: float


class Replay:
    """One replay of the capture ``path`` (gzip too; ``-`` is stdin).

    ``speed`` 1 keeps the pace of the trades' times, 2 doubles it; None is as fast as Kafka takes them. ``retime`` shifts all
    times so that the first trade is now. When the buffer is full the replay waits.
    """

    def __init__(
        self, settings: Settings, path: str, stop: threading.Event, *, speed: float | None = None, retime: bool = False
    ) -> None:
        self._settings = settings
        self._path = path
        self._stop = stop
        self._speed = speed
        self.publisher = KafkaSink(settings, patient=lambda: not (stop.is_set() or self.publisher.undelivered))
        self._token = connection_token()
        self.normaliser = Decoder(
            SOURCE,
            drop_repeated_frames=settings.finnhub.drop_repeated_frames,
            first_at=now_ms() if retime else None,
        )
        self.normaliser.start(self._token)
        self._covered = Covered()
        self._lines = 0

    def run(self, deadline: float | None = None, tick: Callable[[], None] = lambda: None) -> Replayed:
        """Deliver the file, or what of it comes before ``deadline`` (``time.monotonic()``); ``tick`` is called for each line.

        UsageError for a file that cannot be opened; StockctlError with the counts when something could not be delivered, or the
        signal to stop came first.
        """
        with _opened(self._path, self._stop) as lines:
            return self._deliver(lines, deadline, tick)

    def _deliver(self, lines: Iterable[bytes], deadline: float | None, tick: Callable[[], None]) -> Replayed:
        # Before the first line: a repeat for want of a place for the coverage would double every trade.
        spool = EventOutbox(self._settings, self.publisher)
        try:
            # What an earlier run left must not wait for the end of this one.
            self._drain(spool)
            return self._run(spool, lines, deadline, tick)
        finally:
            spool.close()

    def _run(self, spool: EventOutbox, lines: Iterable[bytes], deadline: float | None, tick: Callable[[], None]) -> Replayed:
        started = time.monotonic()
        stretch = self.publisher.stretch(now_ms())
        pace = _Pace(self._speed, self._stop, deadline)
        broken: Exception | None = None
        try:
            for line in lines:
                pace.wait_for(line)
                if pace.over or self._stop.is_set() or self.publisher.undelivered:
                    break
                self._lines += 1
                self._take(line, stretch)
                tick()
        except _ENDS as error:
            broken = error
        while stretch.outstanding and not (self._stop.is_set() or self.publisher.undelivered):
            self.publisher.poll(0.1)
        self.publisher.flush(_LEAVE_WITHIN)
        reason = broken or self.publisher.trouble or ("stopped by a signal" if self._stop.is_set() else None)
        if reason is None:
            try:
                self._tell_coverage(spool)
            except _ENDS as error:
                reason = error
        if reason is not None:
            raise StockctlError(
                f"the replay of {self._path} ended at line {self._lines}: {_words(reason)}; "
                f"{counted(stretch.acknowledged, 'message was', 'messages were')} delivered, {stretch.lost} were not",
                hint="replaying it again sends what was delivered as new data once more" if stretch.acknowledged else None,
            )
        return Replayed(self._lines, self.publisher.trades, self.publisher.dead_letters, time.monotonic() - started)

    def _take(self, line: bytes, stretch: Stretch) -> None:
        text = line.strip()
        if text:
            now = now_ms()
            frame = self.normaliser.frame(text, now, f"{self._path}:{self._lines}")
            self._covered.add(frame.trades)
            self.publisher.publish(frame, now, stretch)

    def _tell_coverage(self, spool: EventOutbox) -> None:
        pieces = [(piece, symbols) for span, symbols in self._covered.spans() for piece in split_interval(span)]
        for number, (span, symbols) in enumerate(pieces):
            spool.write(
                feed_event(
                    "covered",
                    span,
                    sorted(symbols),
                    SOURCE,
                    connection=self._token,
                    number=number,
                    ts_recv=now_ms(),
                    source=SOURCE,
                )
            )
        if self._drain(spool):
            log.warning("%d feed events of the replay wait on disk: the next produce sends them", spool.waiting)

    def _drain(self, spool: EventOutbox) -> int:
        """Wait until the events are acknowledged, after a signal no longer than there is; how many still wait."""
        deadline = time.monotonic() + _DRAIN_WITHIN
        while (left := spool.drain(_LOOK_UP)) and time.monotonic() < deadline:
            if self._stop.is_set():
                return spool.drain(_LEAVE_WITHIN)
        return left


def _words(reason: object) -> str:
    """What ended a replay, in plain words."""
    if isinstance(reason, gzip.BadGzipFile):
        return "the file is no gzip, or damaged"
    return (isinstance(reason, OSError) and reason.strerror) or str(reason)


class Covered:
    """The spans that a replay's trades cover, with the symbols of each, in whatever order and lines the trades come."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int, set[str]]] = []
        """In order, and more than ``QUIET`` apart."""

    def add(self, trades: list[Trade]) -> None:
        """Cover the time of these trades too."""
        for some in _together(trades):
            self._join(some[0].ts_event, some[-1].ts_event + 1, some)

    def _join(self, first: int, last: int, trades: list[Trade]) -> None:
        since, until = itemgetter(0), itemgetter(1)
        low = bisect_left(self._spans, first - QUIET, key=until)
        high = bisect_right(self._spans, last + QUIET, key=since)
        near = self._spans[low:high]
        symbols = near[0][2] if near else set()
        symbols.update([trade.symbol for trade in trades])
        for other in near[1:]:
            symbols |= other[2]
        self._spans[low:high] = [(min([first, *map(since, near)]), max([last, *map(until, near)]), symbols)]

    def spans(self) -> list[tuple[Interval, set[str]]]:
        """What is covered, in order, each span with its symbols."""
        return [((since, until), symbols) for since, until, symbols in self._spans]


def _together(trades: list[Trade]) -> Iterator[list[Trade]]:
    """The trades in order of their time, cut where neighbours are more than ``QUIET`` apart."""
    ordered = sorted(trades, key=attrgetter("ts_event"))
    start = 0
    for place in range(1, len(ordered)):
        if ordered[place].ts_event > ordered[place - 1].ts_event + 1 + QUIET:
            yield ordered[start:place]
            start = place
    if ordered:
        yield ordered[start:]


class _Pace:
    """Lets each line through when its time has come at ``speed``; ``over`` after the deadline."""

    def __init__(self, speed: float | None, stop: threading.Event, deadline: float | None) -> None:
        self._speed = speed
        self._stop = stop
        self._deadline = deadline
        self._origin: tuple[float, int] | None = None

    @property
    def over(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def wait_for(self, line: bytes) -> None:
        if self._speed is None or (found := _TIME.search(line)) is None:
            return
        at = int(found[1])
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
    """UsageError where no file is at ``path``, before anything is waited for. It is not opened: a pipe has one reader."""
    try:
        if path != "-" and Path(path).stat() and Path(path).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise unreadable(path, error, _HINT) from error


@contextmanager
def _opened(path: str, stop: threading.Event) -> Iterator[Iterable[bytes]]:
    """The lines of the capture; of stdin until ``stop`` is set."""
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
                raise UsageError(f"cannot read {path}: it is in UTF-16", hint="frames are in UTF-8: convert the file")
            if head.startswith(codecs.BOM_UTF8):
                file.read(len(codecs.BOM_UTF8))
            yield gzip.GzipFile(fileobj=file) if head.startswith(_GZIP) or path.endswith(".gz") else file


def _stdin(stop: threading.Event) -> Iterator[bytes]:
    # Reading its lines would not end before the next one comes, whatever ``stop`` says.
    descriptor, rest = sys.stdin.fileno(), b""
    while not stop.is_set():
        if not select.select([descriptor], [], [], _LOOK_UP)[0]:
            continue
        read = os.read(descriptor, 1 << 16)
        if not read:
            break
        *lines, rest = (rest + read).split(b"\n")
        yield from lines
    if rest:
        yield rest
