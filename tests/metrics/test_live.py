"""Live metrics from Kafka, in bounded memory."""

from __future__ import annotations

import math
import statistics
import threading
import time

import pytest

from stockctl.clients.kafka import Admin, Producer
from stockctl.errors import StockctlError, UnreachableError
from stockctl.metrics.live import RATE_SECONDS, LiveMetrics, MetricsAccumulator, _deviation, follow
from stockctl.records import Trade, encode
from stockctl.settings import Settings
from tests.command import HANG
from tests.lakes import TOO_DEEP, trade

NOW = 1_790_000_000_000


def send(settings: Settings, rows: list[Trade], *others: bytes) -> None:
    """Produce records, and values that are no records, to the topic of trades."""
    topic = settings.topics.trades.name
    producer = Producer(settings)
    for row in rows:
        producer.produce(topic, encode(row), row.symbol, timestamp=row.ts_recv)
    for value in others:
        producer.produce(topic, value, "x")
    assert producer.flush(HANG) == 0


@pytest.fixture
def topic(settings: Settings) -> Settings:
    """Settings whose topic of trades exists, with 3 partitions."""
    Admin(settings).create_topic(settings.topics.trades.name, 3, 1, {})
    return settings


def test_memory_is_bounded() -> None:
    """A hundred thousand trades over hours leave a hundred prices and a minute of seconds."""
    accumulator = MetricsAccumulator()
    for number in range(100_000):
        accumulator.add(trade("AAPL", NOW + number * 100, 100.0 + number % 7), "standard")
    assert accumulator.trades == 100_000
    assert len(accumulator._newest) == 100
    assert len(accumulator._seconds) <= RATE_SECONDS + 1


def test_the_rate_is_that_of_the_last_minute() -> None:
    """Older trades do not count. In the first minute, the rate is per second watched."""
    accumulator = MetricsAccumulator()
    for number in range(300):
        accumulator.add(trade("AAPL", NOW + number * 1000, 100.0), "standard")
    assert accumulator.metrics("AAPL", NOW + 300_000, NOW).rate == pytest.approx(1.0, rel=0.02)
    assert accumulator.metrics("AAPL", NOW + 330_000, NOW).rate == pytest.approx(0.5, rel=0.05)
    assert accumulator.metrics("AAPL", NOW + 900_000, NOW).rate == 0.0
    fresh = MetricsAccumulator()
    for number in range(10):
        fresh.add(trade("AAPL", NOW + number * 1000, 100.0), "standard")
    assert fresh.metrics("AAPL", NOW + 10_000, NOW).rate == pytest.approx(1.0, rel=0.02)


def test_metrics_of_prices_too_large_to_compute_with_are_null() -> None:
    accumulator = MetricsAccumulator()
    for number in range(4):
        accumulator.add(trade("AAPL", NOW + number, 1.5e308 - 1e308 * (number % 2), volume=1e308), "standard")
    metrics = accumulator.metrics("AAPL", NOW + 1000, NOW)
    assert (metrics.vwap, metrics.volume, metrics.last, metrics.trades) == (None, None, 0.5e308, 4)
    assert metrics.volatility is None or math.isfinite(metrics.volatility)
    assert _deviation([-1.7e308, 1.7e308, -1.7e308, 1.7e308]) is None


def test_late_trades_are_ordered_by_time() -> None:
    """The last price is that of the newest trade, not of the last message."""
    accumulator = MetricsAccumulator(window=2)
    for ms, price in ((1000, 1.0), (3000, 3.0), (2000, 2.0), (0, 9.0)):
        accumulator.add(trade("AAPL", NOW + ms, price), "standard")
    metrics = accumulator.metrics("AAPL", NOW + 4000, NOW)
    assert (metrics.last, metrics.volatility, metrics.age) == (3.0, statistics.stdev([2.0, 3.0]), 1.0)


def test_without_symbols_every_symbol_with_trades_has_metrics() -> None:
    """With symbols, only these have metrics, even before their first trade."""
    every, some = LiveMetrics([], "standard"), LiveMetrics(["NVDA", "AAPL"], "standard")
    for symbol in ("MSFT", "AAPL"):
        for live in (every, some):
            live.add(encode(trade(symbol, NOW, 1.0)))
    assert [metrics.symbol for metrics in every.metrics(NOW)] == ["AAPL", "MSFT"]
    assert [(metrics.symbol, metrics.trades) for metrics in some.metrics(NOW)] == [("NVDA", 0), ("AAPL", 1)]


def test_messages_that_are_no_trades_are_counted() -> None:
    """Invalid JSON, invalid UTF-8, or nested deeper than the decoder allows."""
    live = LiveMetrics([], "standard")
    whole = encode(trade("AAPL", NOW, 1.0))
    for value in (b"no trade", whole.replace(b"AAPL", b"\xff"), whole[:-1] + b',"n":' + TOO_DEEP + b"}"):
        live.add(value)
    assert live.unreadable == 3
    assert live.metrics(NOW) == []


def test_follow_reads_the_topic_from_the_look_back_on(topic: Settings) -> None:
    """Trades received before it are not counted, newer ones are; messages that are no trades are counted separately."""
    now = int(time.time() * 1000)
    send(topic, [trade("AAPL", now - 900_000, 1.0, ts_recv=now - 900_000)])
    send(topic, [trade("AAPL", now - 10_000, 2.0), trade("MSFT", now - 10_000, 3.0)], b"no trade", b'{"symbol":1}')
    stop = threading.Event()
    sent, deadline = False, time.monotonic() + HANG
    for snapshot in follow(topic, ["AAPL", "MSFT"], refresh=0.2, look_back=60, stop=stop):
        trades = {metrics.symbol: metrics.trades for metrics in snapshot.metrics}
        if trades == {"AAPL": 1, "MSFT": 1} and not sent:
            send(topic, [trade("AAPL", now, 4.0, ts_recv=int(time.time() * 1000))])
            sent = True
        if trades == {"AAPL": 2, "MSFT": 1} or time.monotonic() > deadline:
            stop.set()
    assert trades == {"AAPL": 2, "MSFT": 1}
    assert (snapshot.unreadable, snapshot.sources) == (2, frozenset({"finnhub"}))
    assert snapshot.since == now - 10_000 + 50


def test_follow_ends_after_seconds_with_a_last_snapshot(topic: Settings) -> None:
    """There is one snapshot even if the time is shorter than one refresh."""
    started = time.monotonic()
    snapshots = list(follow(topic, ["AAPL"], seconds=0.5, refresh=3600))
    assert time.monotonic() - started >= 0.5
    assert [metrics.trades for metrics in snapshots[-1].metrics] == [0]
    assert len(snapshots) == 1


def test_a_missing_topic_is_named(settings: Settings) -> None:
    """The hint names the command that creates it."""
    with pytest.raises(StockctlError, match=settings.topics.trades.name) as caught:
        next(follow(settings, ["AAPL"], seconds=1))
    assert "topics apply" in (caught.value.hint or "")


def test_an_unreachable_broker_is_an_error_after_a_bounded_wait(settings: Settings) -> None:
    """Nothing listens at the address."""
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1", "connect_wait": 0.5})
    with pytest.raises(UnreachableError):
        next(follow(settings.model_copy(update={"kafka": kafka}), ["AAPL"], seconds=1))
