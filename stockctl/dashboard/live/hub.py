"""All views that browsers look at: read once, kept up to date by one stream of the store's changes, and sent as frames."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from stockctl.clients.mongo import DocumentChange, Mongo
from stockctl.dashboard.counters import BEHIND, CLIENTS, FRAMES, RESYNCS, SNAPSHOT_SECONDS, VIEWS
from stockctl.dashboard.defects import HINT, log_defect
from stockctl.dashboard.live.channel import Channel, Subscriber, encode
from stockctl.dashboard.live.kafka_tail import look_back_ms
from stockctl.dashboard.live.overview import NewestSession, Overview
from stockctl.dashboard.live.pipeline import Pipeline
from stockctl.dashboard.view.day import read_bars
from stockctl.dashboard.view.live_view import LiveView
from stockctl.dashboard.view.snapshot import snapshot_of
from stockctl.dashboard.view.store import is_live, read_view
from stockctl.dashboard.view.views import View
from stockctl.errors import StockctlError, UsageError
from stockctl.exchange.calendar import now_ms
from stockctl.mongo.documents import trade_of
from stockctl.mongo.schema import COMPANIES, COVERAGE, FILINGS, SIGNALS, TRADES
from stockctl.records import FeedEvent, Trade
from stockctl.settings import Settings

log = logging.getLogger("stockctl.dashboard")

WATCHED = (TRADES, COVERAGE, COMPANIES, SIGNALS, FILINGS)
UNUSED_SECONDS = 60.0
"""A view that nobody looks at is dropped after this long."""
_MOST_PAST = 32
"""Views of the past whose snapshots are kept."""
_PAST_SECONDS = 30.0
_READINGS, _PAST_READINGS = 2, 1
"""Readings of live views, and of views of the past, at the same time: who looks back holds up nobody else."""


class Hub:
    """The views of all browsers. Threads may call everything; ``subscribe`` is called in the server's loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.is_closing = False
        self.nonce = secrets.token_hex(4)
        self._sequence = 0
        self._lock = threading.RLock()
        self._readings = threading.BoundedSemaphore(_READINGS)
        self._past_readings = threading.BoundedSemaphore(_PAST_READINGS)
        self._views: dict[View, LiveView] = {}
        self._past: OrderedDict[View, tuple[float, bytes]] = OrderedDict()
        self._common = Channel(0)
        """What every browser gets: overview, pipeline, and whether the store answers."""
        self.overview = Overview()
        self.pipeline = Pipeline(settings)
        self._recent: deque[Trade] = deque()
        """Trades of Kafka that the lake may not have yet, where there is no MongoDB."""
        self._newest = 0
        """Receipt of the newest trade that came, in ms UTC."""
        self._stale: dict[str, Any] | None = None
        self._source = "waiting for the store"

    # What browsers ask for

    def snapshot(self, view: View) -> bytes:
        """The view as JSON. Errors of the store, UnknownSymbolError; UsageError if too many views are looked at."""
        if not is_live(view):
            return self._past_snapshot(view)
        live_view = self._live_view(view)
        with self._lock:
            return snapshot_of(live_view.day, live_view.live, f"{self.nonce}:{self._sequence}", self._source)

    def bars(self, view: View) -> bytes:
        """The bars of the view as JSON, as a snapshot has them."""
        if not is_live(view):
            with self._past_readings:
                day = read_view(self._settings, view)
            return msgspec.json.encode({"bars": list(day.bars.values()), "notes": day.notes})
        live_view = self._live_view(view)
        with self._lock:
            return msgspec.json.encode({"bars": live_view.rows(), "notes": live_view.day.notes})

    def subscribe(self, view: View | None, after: str | None) -> tuple[Subscriber, list[bytes]]:
        """A stream of the frames after the id ``after``, and those that it begins with."""
        subscriber = Subscriber()
        with self._lock:
            sequence = self._sequence_of(after)
            live_view = None if view is None else self._views.get(view)
            channels = [self._common, *([] if live_view is None else [live_view.channel])]
            for channel in channels:
                channel.subscribers.add(subscriber)
            CLIENTS.set(self.clients)
            missed = [None if sequence is None else channel.since(sequence) for channel in channels]
            first = [frame for frames in missed for frame in frames or []]
            if None in missed or (live_view is None and view is not None and is_live(view)):
                first = [self.resync("the frames since then are no longer kept")]
            if self._stale is not None:
                first.append(self._encode("stale", self._stale))
        return subscriber, first

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """End the stream."""
        with self._lock:
            self._common.subscribers.discard(subscriber)
            CLIENTS.set(self.clients)
            for live_view in self._views.values():
                if subscriber in live_view.channel.subscribers:
                    live_view.channel.subscribers.discard(subscriber)
                    live_view.used_at = time.monotonic()

    def close(self) -> None:
        """End all streams."""
        with self._lock:
            self.is_closing = True
            for subscriber in self._common.subscribers:
                subscriber.put(b"")

    @property
    def clients(self) -> int:
        """Browsers that are connected."""
        return len(self._common.subscribers)

    @property
    def views(self) -> int:
        """Views that are kept up to date."""
        return len(self._views)

    def overview_answer(self) -> bytes:
        """All symbols at a glance, as JSON."""
        with self._lock:
            return msgspec.json.encode({"id": f"{self.nonce}:{self._sequence}", "rows": self.overview.rows()})

    # What the threads of ``live`` do

    def on_change(self, change: DocumentChange) -> None:
        """Take a change of the store."""
        with self._lock:
            if change.collection == TRADES:
                self._on_trade(trade_of(change.document), inserted=change.inserted)
            elif change.collection == COVERAGE:
                self._touch(change.document["symbols"].split(","))
            elif change.collection == COMPANIES:
                self.overview.on_company(change.document)
            else:
                self._touch([change.document["symbol"]])

    def on_record(self, record: Trade | FeedEvent) -> None:
        """Take a record of Kafka, where there is no MongoDB."""
        with self._lock:
            if isinstance(record, FeedEvent):
                self._touch(record.symbols.split(","))
                return
            self._recent.append(record)
            while self._recent[0].ts_recv < record.ts_recv - look_back_ms(self._settings.lake):
                self._recent.popleft()
            self._on_trade(record, inserted=True)

    def _on_trade(self, trade: Trade, *, inserted: bool) -> None:
        if trade.ts_recv > self._newest:
            self._newest = trade.ts_recv
            BEHIND.set((now_ms() - trade.ts_recv) / 1000)
        self.overview.on_trade(trade)
        for live_view in self._views_of(trade.symbol):
            if inserted:
                with self._ending(live_view):
                    live_view.add(trade)
            else:
                live_view.is_dirty = True

    def _touch(self, symbols: list[str]) -> None:
        for symbol in symbols:
            for live_view in self._views_of(symbol):
                live_view.is_dirty = True

    def _views_of(self, symbol: str) -> Iterator[LiveView]:
        # Views name symbols as people write them, in any case.
        return (each for view, each in self._views.items() if view.symbol.upper() == symbol.upper())

    def on_stale(self, reason: str, since: int) -> None:
        """The stream of changes was lost at ``since`` (ms UTC): browsers say so."""
        with self._lock:
            if self._stale is None:
                self._stale = {"since": since, "reason": reason}
                BEHIND.set(float("nan"))
                self._publish(self._common, "stale", self._stale)

    def on_fresh(self, source: str) -> None:
        """The stream of changes is open, again or for the first time: what was missed is read."""
        with self._lock:
            self._source = source
            for live_view in self._views.values():
                live_view.is_dirty, live_view.read_due = True, 0.0
            if self._stale is not None:
                self._stale = None
                self._publish(self._common, "fresh", {})

    def tick(self) -> None:
        """Send what changed since the last call, and drop views that nobody looks at."""
        now = time.monotonic()
        with self._lock:
            VIEWS.set(self.views)
            for view, live_view in list(self._views.items()):
                if live_view.channel.subscribers and live_view.failure is None:
                    live_view.used_at = now
                elif live_view.ready.is_set() and now - live_view.used_at > UNUSED_SECONDS:
                    del self._views[view]
                    continue
                with self._ending(live_view):
                    if (frame := live_view.frame()) is not None:
                        self._publish(live_view.channel, "view", frame)

    def set_session(self, found: NewestSession) -> None:
        """Take the newest session of a symbol."""
        with self._lock:
            self.overview.on_company(found.document)
            self.overview.set_line(found.document["_id"], found.document["session"]["trade_date"], found.line)

    def send_overview(self, mongo: Mongo | None) -> None:
        """Send the symbols that changed since the last call, with their sparklines where they are due."""
        with self._lock:
            due = self.overview.due(is_seen=self.clients > 0) if mongo is not None else []
        lines = [(symbol, day, self.overview.read_line(mongo, symbol, day)) for symbol, day in due if mongo is not None]
        with self._lock:
            for line in lines:
                self.overview.set_line(*line)
            if rows := self.overview.changed():
                self._publish(self._common, "overview", {"rows": rows})

    def send_pipeline(self) -> None:
        """Check the pipeline, and send what was found."""
        answer = self.pipeline.check()
        with self._lock:
            self._publish(self._common, "health", answer)

    def read_due(self) -> bool:
        """Read one view, or its late bars, if it is time; whether it did."""
        with self._lock:
            now = time.monotonic()
            due = min(
                (each for each in self._views.values() if each.wants_reading(now)), key=lambda each: each.read_due, default=None
            )
            late = next((each for each in self._views.values() if each.has_late_bars(now)), None)
            if due is not None:
                due.begin_reading()
        if due is not None:
            with self._ending(due):
                self._read_again(due)
        elif late is not None:
            with self._ending(late):
                self._read_late_bars(late)
        return due is not None or late is not None

    def _read_again(self, live_view: LiveView) -> None:
        try:
            with self._readings:
                day = read_view(self._settings, live_view.view)
        except StockctlError as error:
            log.warning("cannot read %s again: %s", live_view.view.symbol, error)
            day = None
        with self._lock:
            before = live_view.end_reading(day, self._recent)
            if day is None:
                return
            frame = live_view.difference(before)
            if frame is None:
                self._publish(live_view.channel, "resync", {"reason": "the view shows another session now"})
            else:
                self._publish(live_view.channel, "view", frame)

    def _read_late_bars(self, live_view: LiveView) -> None:
        began = time.monotonic()
        with self._lock:
            live = live_view.live
            if live is None:
                return
            intervals, exact_since = live.take_late()
        rows: dict[int, Any] = {}
        try:
            for since, until in intervals:
                rows |= read_bars(self._settings, live.day, since, until)
        except StockctlError as error:
            log.warning("cannot read bars of %s again: %s", live_view.view.symbol, error)
            live_view.is_dirty = True
        with self._lock:
            live_view.bars_due = time.monotonic() + max(1.0, (time.monotonic() - began) / 0.1)
            if live_view.live is live:
                live.replace(rows, exact_since)

    # Views

    def _live_view(self, view: View) -> LiveView:
        with self._lock:
            live_view = self._views.get(view)
            creator = live_view is None
            if live_view is None:
                self._make_room()
                live_view = self._views[view] = LiveView(view, Channel(self._sequence))
            if live_view.failure is None:
                live_view.used_at = time.monotonic()
        if creator:
            self._read_first(live_view)
        live_view.ready.wait()
        if live_view.failure is not None:
            raise live_view.failure
        return live_view

    def _make_room(self) -> None:
        """Drop the view that was not looked at for the longest time if there is no room for one more."""
        if len(self._views) < self._settings.dashboard.max_views:
            return
        unused = [each for each in self._views.values() if each.ready.is_set() and not each.channel.subscribers]
        if not unused:
            raise UsageError(
                f"{len(self._views)} views are looked at, and dashboard.max_views allows no more",
                hint="close a page, or raise dashboard.max_views",
            )
        del self._views[min(unused, key=lambda each: each.used_at).view]

    def _read_first(self, live_view: LiveView) -> None:
        try:
            with self._ending(live_view):
                with self._readings, SNAPSHOT_SECONDS.time():
                    day = read_view(self._settings, live_view.view)
                with self._lock:
                    live_view.end_reading(day, self._recent)
        except StockctlError as error:
            live_view.failure = error
        finally:
            if live_view.live is None:
                with self._lock:
                    del self._views[live_view.view]
            live_view.ready.set()

    @contextmanager
    def _ending(self, live_view: LiveView) -> Iterator[None]:
        """End ``live_view`` if it has a defect: its browsers get that as an answer, and all others go on.

        It is read once more after it was dropped, as if nobody looked at it.
        """
        try:
            yield
        except StockctlError:
            raise
        except Exception as error:  # noqa: BLE001  # a defect, which may be anything
            words = log_defect(f"the view of {live_view.view.symbol}", error)
            with self._lock:
                live_view.fail(StockctlError(f"the view of {live_view.view.symbol} failed: {words}", hint=HINT))
                self._publish(live_view.channel, "resync", {"reason": words})

    def _past_snapshot(self, view: View) -> bytes:
        with self._lock:
            at, known = self._past.get(view, (0.0, b""))
            if known and time.monotonic() - at < _PAST_SECONDS:
                return known
        with self._past_readings, SNAPSHOT_SECONDS.time():
            day = read_view(self._settings, view)
        answer = snapshot_of(day, None, f"{self.nonce}:{self._sequence}", None)
        with self._lock:
            self._past[view] = time.monotonic(), answer
            while len(self._past) > _MOST_PAST:
                self._past.popitem(last=False)
        return answer

    # Frames

    def _publish(self, channel: Channel, event: str, payload: dict[str, Any]) -> None:
        self._sequence += 1
        if event == "resync":
            RESYNCS.inc(len(channel.subscribers))
        else:
            FRAMES.labels(event).inc(len(channel.subscribers))
        channel.publish(self._sequence, self._encode(event, payload))

    def resync(self, reason: str) -> bytes:
        """The frame with which a browser starts again."""
        RESYNCS.inc()
        return self._encode("resync", {"reason": reason})

    def _encode(self, event: str, payload: dict[str, Any]) -> bytes:
        return encode(event, self.nonce, self._sequence, msgspec.json.encode(payload))

    def _sequence_of(self, id: str | None) -> int | None:
        nonce, _, sequence = (id or "").partition(":")
        return int(sequence) if nonce == self.nonce and sequence.isdigit() and len(sequence) < 19 else None
