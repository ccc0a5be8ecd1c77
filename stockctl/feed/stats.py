"""How ``produce`` is doing: one log line every ``log.every``, a summary at the end, and Prometheus metrics."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from statistics import median
from types import TracebackType
from typing import Self

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from stockctl.exchange.calendar import SESSION_NAMES, calendar_of, is_open, now_ms, session_at
from stockctl.feed.coverage import session_time
from stockctl.feed.decoder import Decoder
from stockctl.feed.event_outbox import EventOutbox
from stockctl.feed.kafka_sink import KafkaSink
from stockctl.feed.session import FeedSession, Received
from stockctl.intervals import length, merge
from stockctl.records import FeedEvent
from stockctl.settings import Settings
from stockctl.units import counted, format_duration

log = logging.getLogger("stockctl.produce")


class Stats:
    """Reads the parts of the pipeline, of which a replay has neither session nor spool; registers its metrics while entered."""

    def __init__(
        self,
        settings: Settings,
        normaliser: Decoder,
        publisher: KafkaSink,
        session: FeedSession | None = None,
        spool: EventOutbox | None = None,
    ) -> None:
        self._every = settings.log.every
        self._session = session
        self._normaliser = normaliser
        self._publisher = publisher
        self._spool = spool
        self._started = self._logged = time.monotonic()
        self._trades_logged = 0
        self._lags: deque[int] = deque(maxlen=10_000)
        self._calendar = calendar_of(settings.finnhub.source)
        self._hours = set(self._calendar.one_of_each(settings.symbols))
        self._covered_until = now_ms()
        self._gaps = self._uncovered = 0

    def __enter__(self) -> Self:
        REGISTRY.register(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        REGISTRY.unregister(self)

    def received(self, happening: Received) -> None:
        """Take note of how late the newest trade of a frame was: receipt less its own time, in ms."""
        if happening.frame.trades:
            self._lags.append(happening.ts_recv - max(trade.ts_event for trade in happening.frame.trades))

    def covered(self, event: FeedEvent) -> None:
        """Take note of a ``covered`` event, and of session time before it that nothing covered since the start."""
        span = self._covered_until, event.span_start
        some = self._calendar.one_of_each(event.symbols.split(",")).values()
        gaps = merge(gap for symbol in some for gap in session_time(symbol, *span, calendar=self._calendar))
        self._gaps += len(gaps)
        self._uncovered += length(gaps)
        self._covered_until = max(self._covered_until, event.span_end)

    def log_when_due(self) -> None:
        """Log the state if ``log.every`` has passed since the last time."""
        now = time.monotonic()
        passed = now - self._logged
        if passed < self._every:
            return
        trades = self._publisher.trades - self._trades_logged
        self._logged, self._trades_logged = now, self._publisher.trades
        lag = f"{median(self._lags) / 1000:.2f} s" if self._lags else "-"
        self._lags.clear()
        log.info(
            "%.1f trades/s, feed lag %s, %d buffered, %s",
            trades / passed,
            lag,
            len(self._publisher.producer),
            self._counts(),
        )

    def summary(self) -> str:
        """What was done, in words."""
        passed = time.monotonic() - self._started
        return f"produced {counted(self._publisher.trades, 'trade')} in {format_duration(passed)}: {self._counts()}"

    def _counts(self) -> str:
        counts = {
            "reconnects": self._reconnects,
            "dead letters": self._publisher.dead_letters,
            "repeated frames": self._normaliser.repeated_frames,
            "rows dropped on a full buffer": self._publisher.dropped,
            "messages undelivered": self._publisher.undelivered,
            "feed events waiting": self._waiting,
        }
        always = ("reconnects", "dead letters")
        return ", ".join(f"{name} {count}" for name, count in counts.items() if count or name in always)

    @property
    def _reconnects(self) -> int:
        return max(self._session.connections - 1, 0) if self._session else 0

    @property
    def _waiting(self) -> int:
        return self._spool.waiting if self._spool else 0

    def collect(self) -> Iterator[Metric]:
        """The metrics, as prometheus_client asks for them."""
        publisher = self._publisher
        for name, words, count in (
            ("stockctl_trades", "trades buffered for Kafka", publisher.trades),
            ("stockctl_dead_letters", "rows that were no valid trades", publisher.dead_letters),
            ("stockctl_feed_reconnects", "connections to the feed after the first", self._reconnects),
            ("stockctl_feed_repeated_frames", "frames that came again", self._normaliser.repeated_frames),
            ("stockctl_feed_gaps", "spans of session time that nothing covered", self._gaps),
            ("stockctl_feed_uncovered_seconds", "session time that nothing covered", self._uncovered / 1000),
            ("stockctl_producer_dropped", "messages dropped because the buffer was full", publisher.dropped),
            ("stockctl_producer_undelivered", "messages that Kafka did not take", publisher.undelivered),
        ):
            yield CounterMetricFamily(name, words, count)
        for name, words, value in (
            (
                "stockctl_feed_connected",
                "1 while connected to the feed",
                int(self._session is not None and self._session.connected),
            ),
            ("stockctl_producer_buffered", "messages not acknowledged yet", len(publisher.producer)),
            ("stockctl_feed_events_waiting", "feed events not acknowledged yet", self._waiting),
        ):
            yield GaugeMetricFamily(name, words, value)
        if self._session is not None:
            yield GaugeMetricFamily(
                "stockctl_feed_covered_timestamp_seconds",
                "end of the time that is covered; the start, while none is",
                self._covered_until / 1000,
            )
            yield self._sessions()
        if self._lags:
            yield GaugeMetricFamily("stockctl_feed_lag_seconds", "lag of the newest trade", self._lags[-1] / 1000)

    def _sessions(self) -> Metric:
        at = now_ms()
        now = session_at(at)
        others = any(hours != "exchange" and is_open(hours, at) for hours in self._hours)
        family = GaugeMetricFamily(
            "stockctl_feed_session_open",
            "1 in that session; regular also while another market of the symbols is open",
            labels=["session"],
        )
        for name in SESSION_NAMES:
            opened = (now is not None and now.name == name) or (name == "regular" and others)
            family.add_metric([name], int(opened))
        return family
