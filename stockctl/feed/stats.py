"""Statistics of ``produce``: one log line every ``log.every``, a summary at the end, and Prometheus metrics."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from statistics import median
from typing import Self

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from stockctl.exchange.calendar import SESSION_NAMES, calendar_of, is_open, now_ms, session_at
from stockctl.feed.coverage import session_time
from stockctl.feed.decoder import Decoder
from stockctl.feed.event_outbox import EventOutbox
from stockctl.feed.kafka_sink import KafkaSink
from stockctl.feed.websocket_session import FeedSession, ReceivedFrame
from stockctl.intervals import length, merge
from stockctl.records import FeedEvent
from stockctl.settings import Settings
from stockctl.units import counted, format_duration

log = logging.getLogger("stockctl.produce")


class Stats:
    """Reads the state of the pipeline. A context manager that registers its metrics. A replay has no session and no outbox."""

    def __init__(
        self,
        settings: Settings,
        decoder: Decoder,
        sink: KafkaSink,
        session: FeedSession | None = None,
        outbox: EventOutbox | None = None,
    ) -> None:
        self._every = settings.log.every
        self._session = session
        self._decoder = decoder
        self._sink = sink
        self._outbox = outbox
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

    def __exit__(self, *_: object) -> None:
        REGISTRY.unregister(self)

    def received(self, item: ReceivedFrame) -> None:
        """Record the lag of a frame's newest trade: time of receipt minus time of the trade, in ms."""
        if item.frame.trades:
            self._lags.append(item.ts_recv - max(trade.ts_event for trade in item.frame.trades))

    def covered(self, event: FeedEvent) -> None:
        """Record a ``covered`` event, and the uncovered session time between it and the one before."""
        span = self._covered_until, event.span_start
        symbols = self._calendar.one_of_each(event.symbols.split(",")).values()
        gaps = merge(gap for symbol in symbols for gap in session_time(symbol, *span, calendar=self._calendar))
        self._gaps += len(gaps)
        self._uncovered += length(gaps)
        self._covered_until = max(self._covered_until, event.span_end)

    def log_when_due(self) -> None:
        """Log one line if ``log.every`` has passed since the last one."""
        now = time.monotonic()
        elapsed = now - self._logged
        if elapsed < self._every:
            return
        trades = self._sink.trades - self._trades_logged
        self._logged, self._trades_logged = now, self._sink.trades
        lag = f"{median(self._lags) / 1000:.2f} s" if self._lags else "-"
        self._lags.clear()
        log.info(
            "%.1f trades/s, feed lag %s, %d buffered, %s",
            trades / elapsed,
            lag,
            len(self._sink.producer),
            self._counts(),
        )

    def summary(self) -> str:
        """One line for the user at the end."""
        elapsed = time.monotonic() - self._started
        return f"produced {counted(self._sink.trades, 'trade')} in {format_duration(elapsed)}: {self._counts()}"

    def _counts(self) -> str:
        counts = {
            "reconnects": self._reconnects,
            "dead letters": self._sink.dead_letters,
            "repeated frames": self._decoder.repeated_frames,
            "rows dropped on a full buffer": self._sink.dropped,
            "messages undelivered": self._sink.undelivered,
            "feed events waiting": self._waiting,
        }
        always = ("reconnects", "dead letters")
        return ", ".join(f"{name} {count}" for name, count in counts.items() if count or name in always)

    @property
    def _reconnects(self) -> int:
        return max(self._session.connections - 1, 0) if self._session else 0

    @property
    def _waiting(self) -> int:
        return self._outbox.waiting if self._outbox else 0

    def collect(self) -> Iterator[Metric]:
        """The metrics, called by prometheus_client."""
        sink = self._sink
        for name, help_text, count in (
            ("stockctl_trades", "trades buffered for Kafka", sink.trades),
            ("stockctl_dead_letters", "rows that are not valid trades", sink.dead_letters),
            ("stockctl_feed_reconnects", "connections to the feed after the first", self._reconnects),
            ("stockctl_feed_repeated_frames", "trade frames received again", self._decoder.repeated_frames),
            ("stockctl_feed_gaps", "gaps in the coverage of session time", self._gaps),
            ("stockctl_feed_uncovered_seconds", "session time without coverage", self._uncovered / 1000),
            ("stockctl_producer_dropped", "messages dropped because the buffer was full", sink.dropped),
            ("stockctl_producer_undelivered", "messages that could not be delivered", sink.undelivered),
        ):
            yield CounterMetricFamily(name, help_text, count)
        for name, help_text, value in (
            (
                "stockctl_feed_connected",
                "1 while connected to the feed",
                int(self._session is not None and self._session.connected),
            ),
            ("stockctl_producer_buffered", "messages not acknowledged yet", len(sink.producer)),
            ("stockctl_feed_events_waiting", "feed events not acknowledged yet", self._waiting),
        ):
            yield GaugeMetricFamily(name, help_text, value)
        if self._session is not None:
            yield GaugeMetricFamily(
                "stockctl_feed_covered_timestamp_seconds",
                "end of the covered time; time of the start until then",
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
            "1 during that session; regular also while another market of the symbols is open",
            labels=["session"],
        )
        for name in SESSION_NAMES:
            opened = (now is not None and now.name == name) or (name == "regular" and others)
            family.add_metric([name], int(opened))
        return family
