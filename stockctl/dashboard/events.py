"""The stream of events of one browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

from stockctl.dashboard.live.channel import Subscriber
from stockctl.dashboard.live.hub import Hub
from stockctl.dashboard.view.views import View

HEARTBEAT_SECONDS = 15.0
_RETRY = b"retry: 1000\n\n"


async def events(hub: Hub, view: View | None, after: str | None) -> AsyncIterator[bytes]:
    """Frames as server-sent events, until the browser leaves, falls behind, or the server stops."""
    subscriber, first = hub.subscribe(view, after)
    try:
        yield _RETRY + b"".join(first)
        async for frame in _frames(subscriber, hub):
            yield frame
    finally:
        hub.unsubscribe(subscriber)


async def _frames(subscriber: Subscriber, hub: Hub) -> AsyncIterator[bytes]:
    while not hub.is_closing:
        frame = await subscriber.next(HEARTBEAT_SECONDS)
        if subscriber.is_slow:
            yield hub.resync("this browser was too slow")
            return
        if frame is not None:
            yield frame
        elif not hub.is_closing:
            yield b": heartbeat\n\n"
