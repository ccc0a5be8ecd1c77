"""Live metrics: the lake's definitions, computed trade by trade in bounded memory.

Only the trade rate differs: it covers the last minute, per second of watching, because coverage is reported afterwards.
"""

from __future__ import annotations

import math
import statistics
import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import msgspec

from stockctl.clients.kafka import Admin, Consumer, UnknownTopicError
from stockctl.errors import StockctlError
from stockctl.exchange.calendar import now_ms
from stockctl.exchange.venues import has_venue
from stockctl.metrics.coverage_report import event_symbols
from stockctl.metrics.trade_policies import Policy, counts
from stockctl.record_validation import FEED_EVENTS, TRADES, InvalidRecordError, Kind, Validator
from stockctl.records import Trade
from stockctl.settings import Settings
from stockctl.settings.kafka_names import WATCH_GROUP
from stockctl.stream.topic_reader import messages
from stockctl.symbols import SymbolLookup, resolve_symbols
from stockctl.units import format_duration

RATE_SECONDS = 60
LOOK_BACK = 300.0
"""Seconds before the start from which trades are read, so that the first values are meaningful."""

_CHUNK = 5_000
"""Messages consumed at once: few enough that a full chunk does not delay a refresh."""


class SymbolMetrics(NamedTuple):
    """One symbol's metrics at one time; None if they cannot be computed. ``rate`` is per second, ``age`` in seconds."""

    symbol: str
    last: float | None
    vwap: float | None
    volatility: float | None
    rate: float | None
    volume: float | None
    trades: int
    left_out: int
    age: float | None


@dataclass
class MetricsAccumulator:
    """Accumulates one symbol's trades: the sums for VWAP, the last ``window`` prices, and trade counts by second of receipt.

    With ``quotes``, an update without volume counts as a price and as nothing else.
    """

    window: int = 100
    quotes: bool = False
    trades: int = 0
    updates: int = 0
    left_out: int = 0
    volume: float = 0.0
    _first_price: float = 0.0
    _value: float = 0.0
    _newest: list[tuple[int, int, str, float]] = field(default_factory=list)
    _seconds: deque[list[int]] = field(default_factory=deque)

    def add(self, trade: Trade, policy: Policy) -> None:
        """Add one trade. Trades may arrive in any order."""
        is_update = trade.volume <= 0
        if (is_update and not self.quotes) or not counts(policy, trade.conditions, trade.updates, update=is_update):
            self.left_out += 1
            return
        # The order is time, receipt, id. A late trade may still be among the newest.
        insort(self._newest, (trade.ts_event, trade.ts_recv, trade.id, trade.price))
        if len(self._newest) > self.window:
            del self._newest[0]
        if is_update:
            self.updates += 1
            return
        if not self.trades:
            self._first_price = trade.price
        self.trades += 1
        self.volume += trade.volume
        self._value += (trade.price - self._first_price) * trade.volume
        second = trade.ts_recv // 1000
        if self._seconds and self._seconds[-1][0] >= second:
            self._seconds[-1][1] += 1
        else:
            self._seconds.append([second, 1])
            while self._seconds[0][0] < second - RATE_SECONDS:
                self._seconds.popleft()

    def metrics(self, symbol: str, now: int, since: int) -> SymbolMetrics:
        """The metrics at ``now``, of trades received since ``since`` (ms UTC)."""
        if not self._newest:
            return SymbolMetrics(symbol, None, None, None, None, None, 0, self.left_out, None)
        prices = [price for *_, price in self._newest]
        first = max(now // 1000 - RATE_SECONDS, since // 1000)
        received = sum(count for second, count in self._seconds if second >= first)
        return SymbolMetrics(
            symbol=symbol,
            last=prices[-1],
            vwap=_finite(self._first_price + self._value / self.volume) if self.trades else None,
            volatility=_deviation(prices),
            rate=received / max(now / 1000 - first, 1) if self.trades else None,
            volume=_finite(self.volume) if self.trades else None,
            trades=self.trades,
            left_out=self.left_out,
            age=max(0.0, (now - self._newest[-1][0]) / 1000),
        )


def _finite(value: float) -> float | None:
    """``value``; None if prices and volumes were too large to compute it."""
    return value if math.isfinite(value) else None


def _deviation(prices: Sequence[float]) -> float | None:
    try:
        return statistics.stdev(prices) if len(prices) > 1 else None
    except OverflowError:
        return None


class Snapshot(NamedTuple):
    """Every symbol's metrics at ``now``, of trades received since ``since`` (ms UTC; None before the first trade).

    ``unreadable`` counts messages that are no trades. ``error`` is Kafka's error while no messages arrive.
    """

    now: int
    since: int | None
    metrics: list[SymbolMetrics]
    sources: frozenset[str]
    unreadable: int
    error: StockctlError | None


class LiveMetrics:
    """The metrics of several symbols from Kafka's messages. Without ``symbols``: of every symbol that has trades."""

    def __init__(self, symbols: Iterable[str], policy: Policy) -> None:
        self._accumulators = {symbol: MetricsAccumulator(quotes=has_venue(symbol)) for symbol in symbols}
        self._all_symbols = not self._accumulators
        self._policy = policy
        self.sources: set[str] = set()
        self.unreadable = 0
        self.first_ms: int | None = None
        """Receipt time of the earliest trade."""

    def add(self, value: bytes) -> None:
        """Add the trade in the value of one message."""
        try:
            trade = TRADES.record(value)
        except InvalidRecordError:
            self.unreadable += 1
            return
        if self.first_ms is None or trade.ts_recv < self.first_ms:
            self.first_ms = trade.ts_recv
        accumulator = self._accumulators.get(trade.symbol)
        if accumulator is None:
            if not self._all_symbols:
                return
            accumulator = self._accumulators[trade.symbol] = MetricsAccumulator(quotes=has_venue(trade.symbol))
        self.sources.add(trade.source)
        accumulator.add(trade, self._policy)

    def metrics(self, now: int) -> list[SymbolMetrics]:
        """The metrics of each symbol at ``now`` (ms UTC): in the given order, or by name if no symbols were given."""
        names = sorted(self._accumulators) if self._all_symbols else list(self._accumulators)
        return [self._accumulators[name].metrics(name, now, self.first_ms or now) for name in names]


def follow(
    settings: Settings,
    symbols: Sequence[str],
    *,
    seconds: float | None = None,
    refresh: float = 1.0,
    look_back: float = LOOK_BACK,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> Iterator[Snapshot]:
    """Read the topic of trades, starting ``look_back`` seconds ago, without a consumer group.

    Yields a snapshot every ``refresh`` seconds, and a last one after ``seconds`` or when ``stop`` is set. ``notify`` receives a
    line about a wait for Kafka. UnreachableError if no broker answers, UnknownTopicError if the topic does not exist.
    """
    stop = stop or threading.Event()
    admin = Admin(settings)
    admin.wait(say=notify)
    topic = settings.topics.trades.name
    partitions = admin.partitions(topic)
    if not partitions:
        raise UnknownTopicError(f"there is no topic {topic}", hint="`stockctl topics apply` creates the topics")
    live = LiveMetrics(symbols, settings.metrics.policy)
    # Records that retention deletes meanwhile do not matter here: continue at the earliest offset.
    with Consumer(settings, WATCH_GROUP, **{"auto.offset.reset": "earliest"}) as consumer:
        consumer.assign(consumer.offsets_since(partitions, now_ms() - round(look_back * 1000)))
        ends = time.monotonic() + (seconds if seconds is not None else float("inf"))
        due = time.monotonic() + refresh
        received, error = False, None
        while True:
            now = time.monotonic()
            messages = consumer.consume(_CHUNK, max(0.0, min(0.2, due - now, ends - now)))
            for message in messages:
                if message.error() is None:
                    live.add(message.value() or b"")
                    error = None
                elif isinstance(event := consumer.event(message, "read trades"), StockctlError):
                    error = event
            if messages:
                received = True
            over = stop.is_set() or time.monotonic() >= ends
            if over or time.monotonic() >= due:
                at = now_ms()
                yield Snapshot(
                    at,
                    live.first_ms,
                    live.metrics(at),
                    frozenset(live.sources),
                    live.unreadable,
                    error or (None if received else consumer.trouble),
                )
                received = False
                due = max(due + refresh, time.monotonic())
            if over:
                return


def watched_symbols(
    settings: Settings, written: Sequence[str], look_back: float, notify: Callable[[str], None] = lambda _: None
) -> list[str]:
    """The symbols that ``written`` means. UnknownSymbolError for one that neither the setting nor the topics contain.

    Reads Kafka only for symbols that are not in the setting; ``notify`` receives a line about a wait. UnknownTopicError if the
    topic of trades does not exist.
    """
    topics = _TopicSymbols(settings, max(look_back, LOOK_BACK), notify)
    return resolve_symbols(written, settings.symbols, topics, hint="a longer --look-back knows those of quieter feeds")


class _TopicSymbols(SymbolLookup):
    """The symbols of the newest trades and feed events in Kafka, read on first use."""

    def __init__(self, settings: Settings, look_back: float, notify: Callable[[str], None]) -> None:
        self.place = f"the last {format_duration(look_back)} of the topic {settings.topics.trades.name}"
        self._settings = settings
        self._since = now_ms() - round(look_back * 1000)
        self._admin = Admin(settings)
        self._notify = notify

    @cached_property
    def _named(self) -> set[str]:
        self._admin.wait(say=self._notify)
        topics = self._settings.topics
        symbols = {trade.symbol for trade in self._records(topics.trades.name, TRADES)}
        with suppress(UnknownTopicError):  # other producers send no feed events
            symbols |= event_symbols(map(msgspec.structs.asdict, self._records(topics.feed_events.name, FEED_EVENTS)))
        return symbols

    def _records(self, topic: str, validator: Validator[Kind]) -> Iterator[Kind]:
        for message in messages(self._admin, self._settings, topic, WATCH_GROUP, self._since):
            with suppress(InvalidRecordError):  # the live view counts them
                yield validator.record(message.value() or b"")

    def symbols(self) -> set[str]:
        """The symbols of the newest records."""
        return self._named

    all_symbols = symbols

    def has_symbol(self, symbol: str) -> bool:
        """Whether ``symbol`` is in the newest records."""
        return symbol in self._named
