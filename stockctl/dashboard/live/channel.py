"""Frames for all browsers that look at the same: encoded once, kept for a while, and numbered.

A frame's id is ``NONCE:SEQUENCE``. A browser that has seen a frame gets all later ones, or ``resync`` where they are not kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

KEPT_SECONDS = 60.0
MOST_WAITING = 200
"""Frames that wait for a slow browser before it must start again."""


class Frame(NamedTuple):
    """An event of the stream, encoded."""

    sequence: int
    at: float
    data: bytes


class Subscriber:
    """One browser's stream of events. Frames are put by any thread and taken in the server's loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self.is_slow = False
        """Whether frames were dropped: the browser must start again."""

    def put(self, data: bytes) -> None:
        """Add a frame, from any thread."""
        self._loop.call_soon_threadsafe(self._put, data)

    def _put(self, data: bytes) -> None:
        if self._queue.full():
            self.is_slow = True
        else:
            self._queue.put_nowait(data)

    async def next(self, within: float) -> bytes | None:
        """The next frame; None if none came within so many seconds."""
        try:
            return await asyncio.wait_for(self._queue.get(), within)
        except TimeoutError:
            return None


class Channel:
    """The frames of one subject, newest last. The caller holds the lock of all channels."""

    def __init__(self, begun_at: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``begun_at`` is the sequence of the newest frame of any channel."""
        self._clock = clock
        self._frames: deque[Frame] = deque()
        self._dropped_until = begun_at
        """Sequence of the newest frame that is no longer kept."""
        self.subscribers: set[Subscriber] = set()

    def publish(self, sequence: int, data: bytes) -> None:
        """Send a frame to all subscribers, and keep it."""
        now = self._clock()
        self._frames.append(Frame(sequence, now, data))
        while self._frames[0].at < now - KEPT_SECONDS:
            self._dropped_until = self._frames.popleft().sequence
        for subscriber in self.subscribers:
            subscriber.put(data)

    def since(self, sequence: int) -> list[bytes] | None:
        """The frames after ``sequence``; None if some of them are no longer kept."""
        if sequence < self._dropped_until:
            return None
        return [frame.data for frame in self._frames if frame.sequence > sequence]


def encode(event: str, nonce: str, sequence: int, payload: bytes) -> bytes:
    """A frame as a server-sent event."""
    return b"event: %b\nid: %b:%d\ndata: %b\n\n" % (event.encode(), nonce.encode(), sequence, payload)
