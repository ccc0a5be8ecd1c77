"""Tracks which time is covered: only what Kafka has acknowledged, up to the last frame received.

Time is divided into windows of about a second. A window is covered once Kafka has acknowledged all its messages. A window that
lost a message is never covered and shows as a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from stockctl.exchange.calendar import now_ms
from stockctl.feed.coverage import feed_event, split_interval
from stockctl.feed.kafka_sink import DeliveryWindow
from stockctl.intervals import Interval
from stockctl.records import FeedEvent

WINDOW_MS = 1_000
"""Length of a window, in ms."""
LONG_WINDOW_MS = 60_000
"""Length of a window in ms while many of them wait for Kafka, so that a long outage uses little memory."""
_MANY_WINDOWS = 600


class _Subscription:
    """One connection with the symbols it covers."""

    def __init__(self, event: FeedEvent) -> None:
        self.connection = event.connection
        self.source = event.source
        self.symbols = event.symbols.split(",")


class CoverageTracker:
    """Creates the ``covered`` events of one connection after another.

    ``new_window`` returns a window that starts at the given time. Times are ms UTC and never go backwards on a connection.
    """

    def __init__(self, new_window: Callable[[int], DeliveryWindow]) -> None:
        self._new_window = new_window
        self._subscription: _Subscription | None = None
        self._last = 0
        self._closed: deque[tuple[DeliveryWindow, int, _Subscription]] = deque()
        self._lost = 0
        self._events_created = 0

    def subscribed(self, event: FeedEvent) -> None:
        """A connection has subscribed: its frames count from now on."""
        self._subscription = _Subscription(event)
        self._last = event.span_start
        self.current = self._new_window(event.span_start)

    def refused(self, event: FeedEvent) -> None:
        """The feed refused these symbols: they are not covered."""
        if self._subscription is not None:
            refused = event.symbols.split(",")
            self._subscription.symbols = [symbol for symbol in self._subscription.symbols if symbol not in refused]

    def received(self, at: int) -> DeliveryWindow:
        """A frame arrived ``at`` this time. Returns the window of its messages."""
        length = WINDOW_MS if len(self._closed) < _MANY_WINDOWS else LONG_WINDOW_MS
        # A window starts at a new millisecond, so that the frames of one millisecond share a window.
        if self._subscription is not None and at - self.current.since >= length and at > self._last:
            self._close(at, self._subscription)
            self.current = self._new_window(at)
        self._last = at
        return self.current

    def disconnected(self) -> None:
        """The connection has ended: it covers the time up to its last frame."""
        if self._subscription is not None:
            if self.current.sent or self._last > self.current.since:
                self._close(self._last + 1, self._subscription)
            self._subscription = None

    def covered(self) -> Iterator[FeedEvent]:
        """Events for the time that became covered since the last call, one for each run of windows without a loss."""
        run: tuple[int, int, _Subscription] | None = None
        while self._closed and not self._closed[0][0].outstanding:
            window, until, subscription = self._closed.popleft()
            if run is not None and (window.lost or run[1:] != (window.since, subscription)):
                yield from self._events(*run)
                run = None
            self._lost += window.lost
            if not window.lost:
                run = (run[0] if run else window.since, until, subscription)
        if run is not None:
            yield from self._events(*run)

    def _close(self, until: int, subscription: _Subscription) -> None:
        window = self.current
        if window.lost and window.lost == window.sent and self._closed and self._closed[-1][0].lost:
            # The buffer is full: consecutive lost windows become one, so that they use no memory.
            previous = self._closed[-1][0]
            previous.sent += window.sent
            previous.lost += window.lost
            self._closed[-1] = (previous, until, subscription)
            return
        self._closed.append((window, until, subscription))

    def _events(self, since: int, until: int, subscription: _Subscription) -> Iterator[FeedEvent]:
        return (self._event(piece, subscription) for piece in split_interval((since, until)))

    def _event(self, span: Interval, subscription: _Subscription) -> FeedEvent:
        reason = f"messages lost: {self._lost}" if self._lost else ""
        self._lost = 0
        self._events_created += 1
        return feed_event(
            "covered",
            span,
            subscription.symbols,
            reason,
            connection=subscription.connection,
            number=self._events_created,
            ts_recv=now_ms(),
            source=subscription.source,
        )
