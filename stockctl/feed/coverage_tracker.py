"""Which received time is covered: only what Kafka has acknowledged, up to the last frame received.

Received time is cut into stretches of about a second. A stretch is covered once all its messages are acknowledged; one that
lost a message never is, so that it shows as a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from stockctl.exchange.calendar import now_ms
from stockctl.feed.coverage import feed_event, split_interval
from stockctl.feed.kafka_sink import Stretch
from stockctl.intervals import Interval
from stockctl.records import FeedEvent

STRETCH = 1_000
"""Length of a stretch in ms."""
LONG_STRETCH = 60_000
"""Its length while many stretches wait for Kafka, so that a long outage costs little memory."""
_MANY = 600


class _Subscription:
    """One connection with the symbols it covers."""

    def __init__(self, event: FeedEvent) -> None:
        self.connection = event.connection
        self.source = event.source
        self.symbols = event.symbols.split(",")


class CoverageTracker:
    """Makes the ``covered`` events of one connection after another.

    ``new_stretch`` makes a stretch that starts at the given time. Times are ms UTC and never go backwards on a connection.
    """

    def __init__(self, new_stretch: Callable[[int], Stretch]) -> None:
        self._new_stretch = new_stretch
        self._subscription: _Subscription | None = None
        self._last = 0
        self._closed: deque[tuple[Stretch, int, _Subscription]] = deque()
        self._lost = 0
        self._made = 0

    def subscribed(self, event: FeedEvent) -> None:
        """A connection has subscribed: what it receives from now on counts."""
        self._subscription = _Subscription(event)
        self._last = event.span_start
        self.current = self._new_stretch(event.span_start)

    def refused(self, event: FeedEvent) -> None:
        """These symbols are not covered."""
        if self._subscription is not None:
            refused = event.symbols.split(",")
            self._subscription.symbols = [symbol for symbol in self._subscription.symbols if symbol not in refused]

    def received(self, at: int) -> Stretch:
        """A frame was received ``at`` this time: the stretch that its messages belong to."""
        length = STRETCH if len(self._closed) < _MANY else LONG_STRETCH
        # A new stretch starts only with a new millisecond, so that frames of one are not split over two.
        if self._subscription is not None and at - self.current.since >= length and at > self._last:
            self._close(at, self._subscription)
            self.current = self._new_stretch(at)
        self._last = at
        return self.current

    def disconnected(self) -> None:
        """The connection has ended: it covers up to the last frame it brought."""
        if self._subscription is not None:
            if self.current.sent or self._last > self.current.since:
                self._close(self._last + 1, self._subscription)
            self._subscription = None

    def covered(self) -> Iterator[FeedEvent]:
        """What has become covered since the last call, as events: each run of stretches without a loss between them, cut."""
        run: tuple[int, int, _Subscription] | None = None
        while self._closed and not self._closed[0][0].outstanding:
            stretch, until, subscription = self._closed.popleft()
            if run is not None and (stretch.lost or run[1:] != (stretch.since, subscription)):
                yield from self._events(*run)
                run = None
            self._lost += stretch.lost
            if not stretch.lost:
                run = (run[0] if run else stretch.since, until, subscription)
        if run is not None:
            yield from self._events(*run)

    def _close(self, until: int, subscription: _Subscription) -> None:
        stretch = self.current
        if stretch.lost and stretch.lost == stretch.sent and self._closed and self._closed[-1][0].lost:
            # Nothing fits into the buffer any more: that is one gap, however long it gets.
            previous = self._closed[-1][0]
            previous.sent += stretch.sent
            previous.lost += stretch.lost
            self._closed[-1] = (previous, until, subscription)
            return
        self._closed.append((stretch, until, subscription))

    def _events(self, since: int, until: int, subscription: _Subscription) -> Iterator[FeedEvent]:
        return (self._event(piece, subscription) for piece in split_interval((since, until)))

    def _event(self, span: Interval, subscription: _Subscription) -> FeedEvent:
        reason = f"messages lost: {self._lost}" if self._lost else ""
        self._lost = 0
        self._made += 1
        return feed_event(
            "covered",
            span,
            subscription.symbols,
            reason,
            connection=subscription.connection,
            number=self._made,
            ts_recv=now_ms(),
            source=subscription.source,
        )
