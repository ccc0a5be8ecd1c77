"""The outbox of feed events: written to disk first, sent to Kafka in order, deleted from disk once acknowledged.

Each running ``produce`` has its own file and locks it. The next ``produce`` sends the events of one that died, so Kafka may get
an event twice, with the same id.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from stockctl.errors import StockctlError
from stockctl.feed.kafka_sink import DeliveryWindow, KafkaSink
from stockctl.records import UNREADABLE, FeedEvent, decode, encode
from stockctl.settings import Settings

log = logging.getLogger("stockctl.produce")

_BATCH_SIZE = 100
"""Events in flight at a time. The next ones wait until all of these are acknowledged, which keeps the order."""
_BROKEN_LINK = "{} is a broken link: delete it, or restore its target"


class EventOutbox:
    """The unsent feed events of this process, and those left by earlier ones with the same profile and topic."""

    def __init__(self, settings: Settings, sink: KafkaSink) -> None:
        self._topic = settings.topics.feed_events.name
        self._sink = sink
        folder = settings.state_dir / "feed-events" / re.sub(r"[^\w.-]", "_", settings.profile) / self._topic
        try:
            self._files = _lock_files(folder)
        except OSError as error:
            raise _write_error(folder, error) from error
        self._own = self._files[-1]
        self.waiting = sum(sum(1 for _ in file) for file in self._files)
        """Events not acknowledged yet."""
        if self.waiting:
            log.info("sending %d feed events of an earlier run first, from %s", self.waiting, folder)
        self._position = 0
        self._batch: tuple[DeliveryWindow, int, int] | None = None

    def write(self, event: FeedEvent) -> None:
        """Write ``event`` to disk, and send it once the events before it are acknowledged. StockctlError if the disk fails."""
        try:
            self._own.seek(0, os.SEEK_END)
            self._own.write(encode(event) + b"\n")
            self._own.flush()
            os.fsync(self._own.fileno())
        except OSError as error:
            raise _write_error(Path(self._own.name).parent, error) from error
        self.waiting += 1
        self.pump()

    def pump(self) -> None:
        """Process acknowledgements from Kafka, and send the next events."""
        if self._batch is not None:
            window, lines, size = self._batch
            if window.outstanding:
                return
            self._batch = None
            if not window.lost:
                self.waiting -= lines
                self._position += size
        self._send()

    def drain(self, seconds: float) -> int:
        """Wait up to ``seconds`` until all events are acknowledged. Returns how many still wait; they stay on disk."""
        deadline = time.monotonic() + seconds
        while True:
            self.pump()
            if not self.waiting or time.monotonic() > deadline:
                return self.waiting
            self._sink.poll(0.05)

    def close(self) -> None:
        """Close the files, and delete empty ones."""
        for file in self._files:
            if os.fstat(file.fileno()).st_size == 0:
                Path(file.name).unlink(missing_ok=True)
            # Closing tries again to write what the disk refused; ``write`` has already raised for it.
            with suppress(OSError):
                file.close()

    def _send(self) -> None:
        file = self._files[0]
        file.seek(self._position)
        lines = list(islice(file, _BATCH_SIZE))
        if not lines:
            self._finish(file)
            return
        window = DeliveryWindow(0, self._sink.record_failure)
        sent = size = 0
        for line in lines:
            if not self._send_line(line, window):
                break
            sent += 1
            size += len(line)
        self._batch = (window, sent, size)

    def _send_line(self, line: bytes, window: DeliveryWindow) -> bool:
        """Send one event. False if the buffer is full."""
        event = _decoded(line)
        if event is None:
            log.warning("skipping an unreadable feed event in %s, truncated by a crash: %r", self._files[0].name, line[:200])
            return True
        # All events of a source have the same key, so they stay in order with any number of partitions.
        accepted = self._sink.producer.send(self._topic, [(encode(event), event.source)], event.ts_recv, window.on_delivery)
        window.sent += accepted
        return accepted == 1

    def _finish(self, file: BinaryIO) -> None:
        """All events of ``file`` are acknowledged: empty our own file, or delete an earlier one."""
        if file is self._own:
            if self._position:
                file.truncate(0)
        else:
            Path(file.name).unlink(missing_ok=True)
            file.close()
            self._files.pop(0)
        self._position = 0


def _decoded(line: bytes) -> FeedEvent | None:
    """The event in ``line``. None if the line is unreadable: a power failure may leave any bytes."""
    try:
        return decode(line, FeedEvent)
    except UNREADABLE:
        return None


def _write_error(folder: Path, error: OSError) -> StockctlError:
    path = Path(error.filename or folder)
    link = next(filter(_is_broken_link, (path, *path.parents)), None)
    hint = _BROKEN_LINK.format(link) if link else "make it writable, or set state_dir"
    return StockctlError(f"cannot write feed events to {path}: {error.strerror}", hint=hint)


def _is_broken_link(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _open(path: Path) -> BinaryIO | None:
    """Open the file of an earlier run. None, with a warning, if that fails: the feed must run anyway."""
    try:
        return path.open("r+b")
    except OSError as error:
        hint = _BROKEN_LINK.format("it") if _is_broken_link(path) else "delete it, or make it readable and writable"
        log.warning("cannot open %s, which may have feed events of an earlier run: %s; %s", path, error.strerror or error, hint)
        return None


def _lock_files(folder: Path) -> list[BinaryIO]:
    """Lock the files of processes that have ended, oldest first, and a new file of our own at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    locked = []
    # One process at a time: a new file must not look abandoned before its owner has locked it.
    with (folder / "lock").open("w") as folder_lock:
        fcntl.flock(folder_lock, fcntl.LOCK_EX)
        for path in sorted(folder.glob("*.jsonl")):
            file = _open(path)
            if file is None:
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
            else:
                locked.append(file)
        own = (folder / f"{time.time_ns()}-{os.getpid()}.jsonl").open("x+b")
        fcntl.flock(own, fcntl.LOCK_EX)
    return [*locked, own]
