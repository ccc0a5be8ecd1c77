"""Prometheus metrics of the producer: open sessions, and session time without coverage."""

from __future__ import annotations

import threading

import pytest

from stockctl.exchange.time_parsing import parse_moment
from stockctl.feed import stats as module
from stockctl.feed.coverage import feed_event
from stockctl.feed.decoder import Decoder
from stockctl.feed.kafka_sink import KafkaSink
from stockctl.feed.stats import Stats
from stockctl.feed.websocket_session import FeedSession
from stockctl.settings import load_settings
from tests.command import clean_environment

FRIDAY = "2026-11-20"


class Producer:
    """The metrics of a producer that started ``at`` this time in New York."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: str, symbols: str, **flags: str) -> None:
        self._monkeypatch, self._symbols = monkeypatch, symbols.split(",")
        self.now(at)
        settings = load_settings(environ=clean_environment(), flags={"symbols": symbols} | flags, stack=False)
        decoder = Decoder("sim")
        session = FeedSession(settings, self._symbols, decoder, threading.Event())
        self.stats = Stats(settings, decoder, KafkaSink(settings), session)

    def now(self, at: str) -> None:
        """Let it be ``at`` this time."""
        self._monkeypatch.setattr(module, "now_ms", lambda: parse_moment(at))

    def covered(self, since: str, until: str) -> None:
        """What is received from ``since`` to ``until`` has been acknowledged."""
        span = parse_moment(since), parse_moment(until)
        event = feed_event("covered", span, self._symbols, "", connection="k3f9a2", number=1, ts_recv=0, source="sim")
        self.stats.covered(event)

    def value(self, name: str, **labels: str) -> float:
        """The sample ``name``."""
        samples = [sample for family in self.stats.collect() for sample in family.samples]
        (found,) = (sample.value for sample in samples if (sample.name, sample.labels) == (name, labels))
        return float(found)

    @property
    def gaps(self) -> tuple[float, float]:
        """Number of gaps, and their seconds together."""
        return self.value("stockctl_feed_gaps_total"), self.value("stockctl_feed_uncovered_seconds_total")

    @property
    def open(self) -> set[str]:
        """Sessions that are open."""
        return {name for name in ("pre", "regular", "post") if self.value("stockctl_feed_session_open", session=name)}


def test_time_that_is_covered_without_a_break_makes_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, f"{FRIDAY} 10:00", "AAPL")
    assert producer.value("stockctl_feed_covered_timestamp_seconds") == parse_moment(f"{FRIDAY} 10:00") / 1000
    producer.covered(f"{FRIDAY} 10:00", f"{FRIDAY} 10:05")
    producer.covered(f"{FRIDAY} 10:05", f"{FRIDAY} 10:10")
    producer.covered(f"{FRIDAY} 10:03", f"{FRIDAY} 10:05")
    assert producer.gaps == (0, 0)
    assert producer.value("stockctl_feed_covered_timestamp_seconds") == parse_moment(f"{FRIDAY} 10:10") / 1000


def test_session_time_that_nothing_covered_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, f"{FRIDAY} 10:00", "AAPL,MSFT")
    producer.covered(f"{FRIDAY} 10:00:05", f"{FRIDAY} 10:05")
    assert producer.gaps == (1, 5), "connecting took a moment"
    producer.covered(f"{FRIDAY} 10:07", f"{FRIDAY} 19:00")
    assert producer.gaps == (2, 125)
    producer.covered("2026-11-23 04:30", "2026-11-23 05:00")
    assert producer.gaps == (4, 125 + 3600 + 1800), "until the exchange closed, and since it opened again"


def test_there_is_no_gap_while_the_exchange_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, f"{FRIDAY} 20:30", "AAPL")
    producer.covered("2026-11-22 12:00", "2026-11-22 13:00")
    assert producer.gaps == (0, 0)
    one_never_sleeps = Producer(monkeypatch, f"{FRIDAY} 20:30", "AAPL,BINANCE:BTCUSDT")
    one_never_sleeps.covered(f"{FRIDAY} 20:31", "2026-11-22 13:00")
    assert one_never_sleeps.gaps == (1, 60)


def test_the_open_session_is_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, f"{FRIDAY} 03:00", "AAPL")
    for at, session in ((f"{FRIDAY} 03:00", set()), (f"{FRIDAY} 04:00", {"pre"}), (f"{FRIDAY} 12:00", {"regular"})):
        producer.now(at)
        assert producer.open == session
    producer.now("2026-11-27 13:00")
    assert producer.open == {"post"}, "a half day"
    producer.now("2026-11-26 12:00")
    assert producer.open == set(), "a holiday"
    assert Producer(monkeypatch, "2026-11-26 12:00", "AAPL,BINANCE:BTCUSDT").open == {"regular"}


def test_the_simulators_exchange_never_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, "2026-11-22 03:00", "AAPL", **{"finnhub.url": "ws://127.0.0.1:1"})
    producer.covered("2026-11-22 03:00:05", "2026-11-22 03:05")
    assert producer.gaps == (1, 5)
    assert producer.open == {"regular"}


def test_currencies_have_their_own_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(monkeypatch, f"{FRIDAY} 16:59", "OANDA:EUR_USD")
    producer.covered("2026-11-22 17:00:05", "2026-11-22 17:05")
    assert producer.gaps == (2, 60 + 5)
    for at, session in (("2026-11-22 16:59", set()), ("2026-11-22 17:00", {"regular"}), (f"{FRIDAY} 17:00", {"post"})):
        producer.now(at)
        assert producer.open == session
