"""``signals run``: runs a strategy on the topic of trades, and publishes what it decides to the topic of signals.

The service reads every partition from its committed offset, alone: it joins no consumer group, and a second run of the strategy
takes over from the first. What a poll delivered is decided, then published together with the new offsets. After any failure it
begins again at the committed offsets, with states made again from the lake and the topic; so nothing is decided differently.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import Counter, Gauge, Histogram

from stockctl.clients.kafka import AbortedError, Admin, Consumer, Event, Message, Partition
from stockctl.errors import StockctlError, TimedOutError, UnreachableError
from stockctl.exchange.calendar import now_ms
from stockctl.lake.writer.allowed_sources import AcceptedSources
from stockctl.records import SignalRecord, encode
from stockctl.service import Service, retry
from stockctl.settings import Settings
from stockctl.settings.kafka_names import signals_group
from stockctl.signals.filing_watch import FilingWatch
from stockctl.signals.log_history import LogHistory
from stockctl.signals.publisher import Output, Publisher, open_publisher
from stockctl.signals.records import RunRecords
from stockctl.signals.symbol_states import SymbolStates, by_symbol, too_many
from stockctl.signals.topic_tail import Placed, valid_trades
from stockctl.strategies.loading import LoadedStrategy
from stockctl.strategies.symbol_run import StrategyError
from stockctl.stream.consumer_loop import by_partition
from stockctl.stream.dead_letters.record import as_message, dead_letter
from stockctl.units import counted

_CHUNK = 2_000
"""Most messages of one poll."""
_POLL = 0.1
"""Seconds that a poll waits for records."""
_PARTITIONS_EVERY = 30.0
"""Seconds between two looks for new partitions."""

SIGNALS = Counter("stockctl_signals_total", "Signals published", ["strategy", "side"])
ERRORS = Counter("stockctl_signals_strategy_errors_total", "Records that the strategy failed on", ["strategy"])
LAG = Gauge("stockctl_signals_lag_records", "Records in the topic of trades that the strategy has not seen yet")
LATENCY = Histogram(
    "stockctl_signals_latency_seconds",
    "Time from the receipt of the deciding record to the publication of its signal",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)

log = logging.getLogger("stockctl.signals")


class SignalsService:
    """Runs ``strategy`` on ``symbols``. With ``once`` it stops where the topic ended when it began."""

    def __init__(
        self, settings: Settings, service: Service, strategy: LoadedStrategy, symbols: Sequence[str], *, once: bool = False
    ) -> None:
        self._settings, self._service, self._strategy, self._once = settings, service, strategy, once
        self._symbols = frozenset(symbols)
        self._name = signals_group(settings.signals, strategy.name)
        self._topic = settings.topics.trades.name
        self._admin = Admin(settings)
        self._records = RunRecords(strategy, symbols, settings)
        self._starts: dict[Partition, int] | None = None
        self._announced = False
        """Whether the beginning of the run is published."""
        self._in_doubt: tuple[dict[Partition, int], list[SignalRecord], int] | None = None
        """Offsets, records and errors whose publication was begun, and has no answer yet."""
        self._trouble: str | None = "is starting"
        self.signals = self.errors = 0
        """Signals published, and records that the strategy failed on."""

    def run(self) -> None:
        """Run until ``service.stop`` is set or, with ``once``, to the end of the topic.

        FencedError if another run of the strategy took over; TooManyErrorsError, MissingHistoryError, and RefusedError where
        the broker refuses the login. While brokers or the lake don't answer it begins again and again.
        """
        self._service.health = lambda: self._trouble
        stop = self._service.stop
        self._admin.wait(say=log.warning, stop=stop)
        if stop.is_set():
            return
        for topic in (self._topic, self._settings.topics.signals.name):
            if self._admin.topic(topic) is None:
                raise StockctlError(f"there is no topic {topic}", hint="`stockctl topics apply` creates the topics")
        way = "in transactions" if self._settings.signals.transactions else "without transactions: a crash may repeat signals"
        log.info("%s %s on %s, %s", self._strategy.name, self._strategy.version[:12], ", ".join(sorted(self._symbols)), way)

        def again(error: BaseException, _attempt: int) -> None:
            self._trouble = str(error)
            log.warning("beginning again at the committed offsets: %s", error)

        with contextlib.redirect_stdout(sys.stderr):  # what a strategy prints is no data
            try:
                retry(self._attempt, _is_passing, stop=stop, on_retry=again)
            except StockctlError as error:
                if not (stop.is_set() and _is_passing(error)):
                    raise

    def _attempt(self) -> None:
        with self._session() as session:
            self._trouble = None
            session.loop()

    @contextlib.contextmanager
    def _session(self) -> Iterator[_Session]:
        with contextlib.ExitStack() as opened:
            consumer = opened.enter_context(
                Consumer(self._settings, self._name, **({"enable.partition.eof": True} if self._once else {}))
            )
            publisher = open_publisher(self._settings, self._name, consumer)
            opened.callback(publisher.close)
            history = opened.enter_context(LogHistory(self._settings, self._name, self._symbols))
            yield _Session(self, consumer, publisher, history)

    def announce(self, source: str) -> list[SignalRecord]:
        """The record of the beginning of the run, before it is published."""
        return [] if self._announced or self._starts is None else [self._records.start(self._starts, source)]

    def started(self, starts: Mapping[Partition, int]) -> None:
        """Note the offsets from which this run publishes."""
        if self._starts is None:
            self._starts = dict(starts)

    def publishes(self, offsets: Mapping[Partition, int], records: Sequence[SignalRecord], errors: int) -> None:
        """Note what is about to be published."""
        self._in_doubt = dict(offsets), list(records), errors

    def found(self, committed: Mapping[Partition, int]) -> None:
        """Count what was published although the answer was lost: ``committed`` are the offsets of a new beginning."""
        if self._in_doubt is not None:
            offsets, records, errors = self._in_doubt
            self._in_doubt = None
            if offsets and all(committed.get(partition) == at for partition, at in offsets.items()):
                self.count(records, errors)

    def count(self, records: Sequence[SignalRecord], errors: int) -> None:
        """Count what was published, and on how many records the strategy failed."""
        self._in_doubt = None
        now = now_ms()
        for record in records:
            self._announced = self._announced or record.kind == "run"
            if record.kind == "signal":
                self.signals += 1
                SIGNALS.labels(self._strategy.name, record.side).inc()
                LATENCY.observe(max(0, now - record.ts_decided) / 1000)
        self.errors += errors
        ERRORS.labels(self._strategy.name).inc(errors)


class _Session:
    """From one beginning at the committed offsets to the end, or to a failure."""

    def __init__(self, owner: SignalsService, consumer: Consumer, publisher: Publisher, history: LogHistory) -> None:
        self._owner, self._consumer, self._publisher = owner, consumer, publisher
        self._settings, self._strategy = owner._settings, owner._strategy
        filings = FilingWatch(self._settings, self._strategy)
        self._states = SymbolStates(owner._strategy, history, filings, owner._records, self._settings.signals, self._failed)
        self._sources = AcceptedSources(self._settings)
        self._positions: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._until: dict[Partition, int] = {}
        self._pending: list[SignalRecord] = []
        self._letters: list[Output] = []
        self._errors = 0
        self._urgent = False
        """Whether something waits that must not wait for the next commit."""

    def loop(self) -> None:
        """Read, decide and publish."""
        owner, stop = self._owner, self._owner._service.stop
        self._begin()
        committed = reported = looked = time.monotonic()
        signals = owner.signals
        limits = self._settings.signals
        while not stop.is_set():
            self._take(self._consumer.consume(_CHUNK, _POLL))
            now = time.monotonic()
            finished = owner._once and all(self._positions[one] >= end for one, end in self._until.items())
            if self._urgent or finished or (now - committed >= limits.commit_every):
                self._publish()
                committed = now
            if finished:
                return
            if now - reported >= self._settings.log.every:
                self._report((owner.signals - signals) / (now - reported))
                reported, signals = now, owner.signals
            LAG.set(self._lag())
            if now - looked >= _PARTITIONS_EVERY:
                looked = now
                if set(owner._admin.partitions(owner._topic)) != self._positions.keys():
                    self._publish()
                    log.warning("%s has other partitions than before", owner._topic)
                    self._begin()
        self._publish()

    def _begin(self) -> None:
        """Read from the committed offsets. A partition without one begins at its end in a new group, else at its start."""
        owner = self._owner
        partitions = owner._admin.partitions(owner._topic)
        committed = self._consumer.committed(partitions)
        owner.found({partition: one.offset for partition, one in committed.items()})
        offsets = owner._admin.offsets(partitions)
        is_new = all(one.offset < 0 for one in committed.values())
        for partition in partitions:
            edges, at = offsets[partition], committed[partition].offset
            if at < 0:
                at = edges.end if is_new else edges.start
            elif at > edges.end:
                log.warning("%s/%d ends at %d, before the committed offset: reading it from its start", *partition, edges.end)
                at = edges.start
            elif at < edges.start:
                log.error("%s/%d no longer holds offsets %d to %d: no signals on them", *partition, at, edges.start)
                at = edges.start
            self._positions[partition] = at
            self._until[partition] = edges.end
            if committed[partition].offset == at:
                self._committed[partition] = at
        owner.started(self._positions)
        self._publish()
        self._consumer.assign(self._positions)
        log.info("reading %s", ", ".join(f"{p.topic}/{p.number} from {at}" for p, at in sorted(self._positions.items())))

    def _take(self, messages: Sequence[Message]) -> None:
        for partition, run in by_partition(messages):
            records = [message for message in run if message.error() is None]
            self._take_records([message for message in records if message.offset() >= self._positions[partition]], partition)
            # After the records: the end of a partition moves its position past all that come before it.
            for message in run:
                if message.error() is not None:
                    self._take_event(message, partition)

    def _take_records(self, records: Sequence[Message], partition: Partition) -> None:
        if not records:
            return
        for symbol, placed in by_symbol(valid_trades(records, self._sources), self._owner._symbols).items():
            self._pending += self._owner.announce(placed[0].trade.source) if not self._has_run() else []
            found = self._states.feed(partition, symbol, placed)
            self._pending += found
            self._urgent = self._urgent or any(record.kind == "signal" for record in found)
        self._positions[partition] = records[-1].offset() + 1

    def _has_run(self) -> bool:
        return any(record.kind == "run" for record in self._pending)

    def _take_event(self, message: Message, partition: Partition) -> None:
        event = self._consumer.event(message, "read the topic")
        if event is Event.end:
            # The last offsets may be those of transaction markers.
            self._positions[partition] = max(self._positions[partition], self._until[partition])
        elif event is Event.out_of_range:
            raise UnreachableError(f"{partition.topic}/{partition.number} does not hold offset {self._positions[partition]}")
        else:
            log.warning("%s", event)

    def _failed(self, error: StrategyError, partition: Partition, placed: Placed) -> None:
        trade = placed.trade
        letter = dead_letter(
            str(error),
            placed.value,
            ts_recv=trade.ts_recv,
            source=trade.source,
            topic=partition.topic,
            partition=partition.number,
            offset=placed.offset,
            origin=f"signals {self._strategy.name}",
        )
        value, key = as_message(letter)
        self._letters.append(Output(self._settings.topics.dead_letters.name, key, value))
        self._errors += 1
        log.warning("%s", error)
        if self._owner.errors + self._errors > self._settings.signals.max_errors:
            raise too_many(self._strategy.name, self._owner.errors + self._errors, error)

    def _publish(self) -> None:
        owner = self._owner
        moved = {one: at for one, at in self._positions.items() if self._committed.get(one) != at}
        if moved or self._pending or self._letters:
            topic = self._settings.topics.signals.name
            outputs = [Output(topic, record.symbol or record.strategy, encode(record)) for record in self._pending]
            owner.publishes(moved, self._pending, self._errors)
            self._publisher.publish([*outputs, *self._letters], moved)
            self._committed |= moved
            owner.count(self._pending, self._errors)
            self._pending, self._letters, self._errors = [], [], 0
        self._urgent = False

    def _lag(self) -> int:
        return sum(max(0, self._consumer.known_end(one) - at) for one, at in self._positions.items())

    def _report(self, rate: float) -> None:
        owner, lag = self._owner, self._lag()
        words = f", {counted(owner.errors, 'error')} of the strategy" if owner.errors else ""
        log.info("%.1f signals/s, %d in all, lag %d%s", rate, owner.signals, lag, words)


def _is_passing(error: BaseException) -> bool:
    """Whether another attempt may succeed."""
    return isinstance(error, UnreachableError | TimedOutError | AbortedError)
