"""Metrics of trades as they come: the lake's definitions, reckoned trade by trade in bounded memory.

The trade rate alone differs: it is that of the last minute, per second of watching, because coverage is told only afterwards.
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
from stockctl.metrics.coverage_report import heard_symbols
from stockctl.metrics.trade_filter import Policy, counts
from stockctl.record_validation import FEED_EVENTS, TRADES, InvalidRecordError, Kind, Validator
from stockctl.records import Trade
from stockctl.settings import Settings
from stockctl.settings.distinct_names import WATCH_GROUP
from stockctl.stream.topic_reader import messages
from stockctl.symbols import SymbolLookup, resolve_symbols
from stockctl.units import format_duration

RATE_SECONDS = 60
LOOK_BACK = 300.0
"""Seconds before the start from which trades are taken, so that the first figures mean something."""

_CHUNK = 5_000
"""Messages taken at a time: few enough that a full chunk delays no refresh."""


class Figures(NamedTuple):
    """One symbol's metrics at a moment, null where nothing tells them. ``rate`` per second, ``age`` in seconds."""

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
class Tally:
    """One symbol's counted trades in sums: what VWAP needs, the last ``window`` prices, and counts by second of receipt.

    With ``quotes`` an update without volume counts as a price, and as nothing else.
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
        """Take one trade, in whatever order they come."""
        is_update = trade.volume <= 0
        if (is_update and not self.quotes) or not counts(policy, trade.conditions, trade.updates, update=is_update):
            self.left_out += 1
            return
        # Trades are ordered by time, receipt and id; a late one may still belong among the newest.
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

    def figures(self, symbol: str, now: int, since: int) -> Figures:
        """The metrics at ``now``, of trades received from ``since`` on (ms UTC)."""
        if not self._newest:
            return Figures(symbol, None, None, None, None, None, 0, self.left_out, None)
        prices = [price for *_, price in self._newest]
        first = max(now // 1000 - RATE_SECONDS, since // 1000)
        received = sum(count for second, count in self._seconds if second >= first)
        return Figures(
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


def _finite(figure: float) -> float | None:
    """``figure``; None where prices and volumes were too large to compute it."""
    return figure if math.isfinite(figure) else None


def _deviation(prices: Sequence[float]) -> float | None:
    try:
        return statistics.stdev(prices) if len(prices) > 1 else None
    except OverflowError:
        return None


class Snapshot(NamedTuple):
    """Every symbol's figures at ``now``, of trades received from ``since`` on (ms UTC; None while there are none).

    ``unreadable`` counts messages that were no trades; ``trouble`` is what Kafka says when nothing comes from it.
    """

    now: int
    since: int | None
    figures: list[Figures]
    sources: frozenset[str]
    unreadable: int
    trouble: StockctlError | None


class Ticker:
    """The tallies of the symbols, fed with Kafka's messages; every symbol that comes when none is named."""

    def __init__(self, symbols: Iterable[str], policy: Policy) -> None:
        self._tallies = {symbol: Tally(quotes=has_venue(symbol)) for symbol in symbols}
        self._open = not self._tallies
        self._policy = policy
        self.sources: set[str] = set()
        self.unreadable = 0
        self.first_ms: int | None = None
        """Receipt of the earliest trade."""

    def take(self, value: bytes) -> None:
        """Take the value of one message."""
        try:
            trade = TRADES.record(value)
        except InvalidRecordError:
            self.unreadable += 1
            return
        if self.first_ms is None or trade.ts_recv < self.first_ms:
            self.first_ms = trade.ts_recv
        tally = self._tallies.get(trade.symbol)
        if tally is None:
            if not self._open:
                return
            tally = self._tallies[trade.symbol] = Tally(quotes=has_venue(trade.symbol))
        self.sources.add(trade.source)
        tally.add(trade, self._policy)

    def figures(self, now: int) -> list[Figures]:
        """The figures of each symbol; in the order asked for, else by name."""
        names = sorted(self._tallies) if self._open else list(self._tallies)
        return [self._tallies[name].figures(name, now, self.first_ms or now) for name in names]


def follow(
    settings: Settings,
    symbols: Sequence[str],
    *,
    seconds: float | None = None,
    refresh: float = 1.0,
    look_back: float = LOOK_BACK,
    stop: threading.Event | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Snapshot]:
    """Read the topic of trades from ``look_back`` seconds ago on, without a group; a snapshot every ``refresh`` seconds.

    Ends after ``seconds``, or when ``stop`` is set, with a last snapshot. ``say`` is told of a wait for Kafka.
    UnreachableError when no broker answers, UnknownTopicError when there is no such topic.
    """
    stop = stop or threading.Event()
    admin = Admin(settings)
    admin.wait(say=say)
    topic = settings.topics.trades.name
    partitions = admin.partitions(topic)
    if not partitions:
        raise UnknownTopicError(f"there is no topic {topic}", hint="`stockctl topics apply` makes the topics")
    ticker = Ticker(symbols, settings.metrics.policy)
    # What retention deletes while we look is no loss here: go on at the oldest that is there.
    consumer = Consumer(settings, WATCH_GROUP, **{"auto.offset.reset": "earliest"})
    try:
        consumer.assign(consumer.offsets_since(partitions, now_ms() - round(look_back * 1000)))
        ends = time.monotonic() + (seconds if seconds is not None else float("inf"))
        due = time.monotonic() + refresh
        heard, trouble = False, None
        while True:
            now = time.monotonic()
            messages = consumer.consume(_CHUNK, max(0.0, min(0.2, due - now, ends - now)))
            for message in messages:
                if message.error() is None:
                    ticker.take(message.value() or b"")
                    trouble = None
                elif isinstance(event := consumer.event(message, "read trades"), StockctlError):
                    trouble = event
            if messages:
                heard = True
            over = stop.is_set() or time.monotonic() >= ends
            if over or time.monotonic() >= due:
                at = now_ms()
                yield Snapshot(
                    at,
                    ticker.first_ms,
                    ticker.figures(at),
                    frozenset(ticker.sources),
                    ticker.unreadable,
                    trouble or (None if heard else consumer.trouble),
                )
                heard = False
                due = max(due + refresh, time.monotonic())
            if over:
                return
    finally:
        consumer.close()


def watched_symbols(
    settings: Settings, written: Sequence[str], look_back: float, say: Callable[[str], None] = lambda _: None
) -> list[str]:
    """The symbols that ``written`` means in Kafka's topics. UnknownSymbolError for one that neither the setting nor they know.

    Kafka is asked only for what the setting does not know; ``say`` gets a line when that has to wait. UnknownTopicError if
    there is no topic of trades.
    """
    feed = _Feed(settings, max(look_back, LOOK_BACK), say)
    return resolve_symbols(written, settings.symbols, feed, hint="a longer --look-back knows those of quieter feeds")


class _Feed(SymbolLookup):
    """The symbols of the newest trades and feed events in Kafka, read when they are first asked for."""

    def __init__(self, settings: Settings, look_back: float, say: Callable[[str], None]) -> None:
        self.place = f"the last {format_duration(look_back)} of the topic {settings.topics.trades.name}"
        self._settings = settings
        self._since = now_ms() - round(look_back * 1000)
        self._admin = Admin(settings)
        self._say = say

    @cached_property
    def _named(self) -> set[str]:
        self._admin.wait(say=self._say)
        topics = self._settings.topics
        found = {trade.symbol for trade in self._records(topics.trades.name, TRADES)}
        with suppress(UnknownTopicError):  # other producers send no feed events
            found |= heard_symbols(map(msgspec.structs.asdict, self._records(topics.feed_events.name, FEED_EVENTS)))
        return found

    def _records(self, topic: str, validator: Validator[Kind]) -> Iterator[Kind]:
        for message in messages(self._admin, self._settings, topic, WATCH_GROUP, self._since):
            with suppress(InvalidRecordError):  # the view counts what is no trade
                yield validator.record(message.value() or b"")

    def symbols(self) -> set[str]:
        """As in ``SymbolLookup``."""
        return self._named

    all_symbols = symbols

    def has_symbol(self, symbol: str) -> bool:
        """As in ``SymbolLookup``: what it knows it has named."""
        return symbol in self._named
