"""Feed events on their way to Kafka: on disk first, sent in order, taken off the disk once acknowledged.

Each running ``produce`` has a file of its own, locked while it lives; what a dead one has left behind, the next one sends. An
event may be sent twice that way: its id tells.
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
from stockctl.feed.kafka_sink import KafkaSink, Stretch
from stockctl.records import UNREADABLE, FeedEvent, decode, encode
from stockctl.settings import Settings

log = logging.getLogger("stockctl.produce")

_BATCH = 100
"""Events in flight at a time: the next ones wait until all of these are acknowledged, so that order is kept."""
_LINK = "{} is a link that leads nowhere: delete it, or bring back what it leads to"


class EventOutbox:
    """The waiting feed events of this process, and those that earlier ones of the same profile and topic left behind."""

    def __init__(self, settings: Settings, publisher: KafkaSink) -> None:
        self._topic = settings.topics.feed_events.name
        self._publisher = publisher
        folder = settings.state_dir / "feed-events" / re.sub(r"[^\w.-]", "_", settings.profile) / self._topic
        try:
            self._files = _take_files(folder)
        except OSError as error:
            raise _unusable(folder, error) from error
        self._own = self._files[-1]
        self.waiting = sum(sum(1 for _ in file) for file in self._files)
        """Events not acknowledged yet."""
        if self.waiting:
            log.info("%d feed events of an earlier run wait in %s: sending them first", self.waiting, folder)
        self._position = 0
        self._batch: tuple[Stretch, int, int] | None = None

    def write(self, event: FeedEvent) -> None:
        """Put ``event`` on the disk, and send it as soon as those before it are acknowledged."""
        try:
            self._own.seek(0, os.SEEK_END)
            self._own.write(encode(event) + b"\n")
            self._own.flush()
            os.fsync(self._own.fileno())
        except OSError as error:
            raise _unusable(Path(self._own.name).parent, error) from error
        self.waiting += 1
        self.pump()

    def pump(self) -> None:
        """Take in what Kafka has acknowledged, and send the next events."""
        if self._batch is not None:
            stretch, lines, size = self._batch
            if stretch.outstanding:
                return
            self._batch = None
            if not stretch.lost:
                self.waiting -= lines
                self._position += size
        self._send()

    def drain(self, seconds: float) -> int:
        """Wait up to ``seconds`` until all events are acknowledged; how many still wait, and stay on the disk."""
        deadline = time.monotonic() + seconds
        while True:
            self.pump()
            if not self.waiting or time.monotonic() > deadline:
                return self.waiting
            self._publisher.poll(0.05)

    def close(self) -> None:
        """Let go of the files; those that hold nothing are removed."""
        for file in self._files:
            if os.fstat(file.fileno()).st_size == 0:
                Path(file.name).unlink(missing_ok=True)
            # Closing tries once more to write what the disk did not take: ``write`` has told of that.
            with suppress(OSError):
                file.close()

    def _send(self) -> None:
        file = self._files[0]
        file.seek(self._position)
        lines = list(islice(file, _BATCH))
        if not lines:
            self._finish(file)
            return
        stretch = Stretch(0, self._publisher.note_failure)
        read = size = 0
        for line in lines:
            if not self._send_line(line, stretch):
                break
            read += 1
            size += len(line)
        self._batch = (stretch, read, size)

    def _send_line(self, line: bytes, stretch: Stretch) -> bool:
        """Send one event; False when the buffer is full."""
        event = _decoded(line)
        if event is None:
            log.warning("a feed event in %s was cut short by a crash, and is left out: %r", self._files[0].name, line[:200])
            return True
        # All events of a source have one key, so that they keep their order whatever the number of partitions.
        taken = self._publisher.producer.send(self._topic, [(encode(event), event.source)], event.ts_recv, stretch.on_delivery)
        stretch.sent += taken
        return taken == 1

    def _finish(self, file: BinaryIO) -> None:
        """All events of ``file`` are acknowledged: start ours anew, remove one that was left behind."""
        if file is self._own:
            if self._position:
                file.truncate(0)
        else:
            Path(file.name).unlink(missing_ok=True)
            file.close()
            self._files.pop(0)
        self._position = 0


def _decoded(line: bytes) -> FeedEvent | None:
    """The event in ``line``; None if it is none: a power cut may leave anything."""
    try:
        return decode(line, FeedEvent)
    except UNREADABLE:
        return None


def _unusable(folder: Path, error: OSError) -> StockctlError:
    path = Path(error.filename or folder)
    link = next(filter(_leads_nowhere, (path, *path.parents)), None)
    hint = _LINK.format(link) if link else "make it writable, or set state_dir"
    return StockctlError(f"cannot keep feed events in {path}: {error.strerror}", hint=hint)


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _open(path: Path) -> BinaryIO | None:
    """A file that may have been left behind; None if it cannot be opened, which keeps no feed from running."""
    try:
        return path.open("r+b")
    except OSError as error:
        hint = _LINK.format("it") if _leads_nowhere(path) else "delete it, or make it a file that can be read and written"
        log.warning("cannot open %s, where feed events of an earlier run may wait: %s; %s", path, error.strerror or error, hint)
        return None


def _take_files(folder: Path) -> list[BinaryIO]:
    """The files of processes that are no more, the oldest first, and a new one of ours at the end; all locked by us."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    # One process at a time, so that a new file is not taken for one left behind before its owner has locked it.
    with (folder / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for path in sorted(folder.glob("*.jsonl")):
            file = _open(path)
            if file is None:
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
            else:
                taken.append(file)
        own = (folder / f"{time.time_ns()}-{os.getpid()}.jsonl").open("x+b")
        fcntl.flock(own, fcntl.LOCK_EX)
    return [*taken, own]
