"""The records of a partition that the lake does not have yet, by symbol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from stockctl.clients.closing import Closing
from stockctl.clients.kafka import Consumer, Event, Message, Partition
from stockctl.errors import StockctlError, TimedOutError
from stockctl.lake.writer.allowed_sources import AcceptedSources
from stockctl.record_validation import TRADES, InvalidRecordError
from stockctl.records import Trade
from stockctl.service import wait_for
from stockctl.settings import Settings

_POLL = 0.1
_WAIT = 30.0
"""Seconds without a record until it raises TimedOutError: brokers answer within milliseconds."""


class Placed(NamedTuple):
    """A valid trade with its offset and its message's value."""

    offset: int
    trade: Trade
    value: bytes


def valid_trades(messages: Sequence[Message], sources: AcceptedSources) -> list[Placed]:
    """The trades of ``messages`` that the lake takes; its writer sends the others to the dead letters."""
    found = _decoded(messages)
    present = {placed.trade.source for placed in found}
    accepted = sources.among(present)
    return found if accepted == present else [placed for placed in found if placed.trade.source in accepted]


def _decoded(messages: Sequence[Message]) -> list[Placed]:
    values = [message.value() for message in messages]
    trades = TRADES.all(values)
    if trades is not None:
        return [
            Placed(message.offset(), trade, value or b"")
            for message, trade, value in zip(messages, trades, values, strict=True)
        ]
    found = []
    for message, value in zip(messages, values, strict=True):
        try:
            found.append(Placed(message.offset(), TRADES.record(value), value or b""))
        except InvalidRecordError:
            continue
    return found


class TopicTail(Closing):
    """Reads ranges of partitions, and keeps what it read last of each: the next range often begins at the same offset."""

    def __init__(self, settings: Settings, group: str, symbols: Collection[str]) -> None:
        self._consumer = Consumer(settings, group, **{"enable.partition.eof": True})
        self._symbols = frozenset(symbols)
        self._sources = AcceptedSources(settings)
        self._kept: dict[Partition, tuple[int, int, dict[str, list[Placed]]]] = {}

    def rows(self, partition: Partition, since: int, until: int) -> Mapping[str, Sequence[Placed]]:
        """The trades of ``[since, until)`` by symbol, in order; there may be some beyond ``until``."""
        first, last, rows = self._kept.get(partition, (since, since, defaultdict[str, list[Placed]](list)))
        if first != since:
            last, rows = since, defaultdict(list)
        if last < until:
            for placed in self._read(partition, last, until):
                if placed.trade.symbol in self._symbols:
                    rows[placed.trade.symbol].append(placed)
            self._kept[partition] = (since, until, rows)
        return rows

    def since(self, partition: Partition, ms: int) -> int:
        """The first offset with a timestamp of ``ms`` (UTC) or later."""
        return self._consumer.offsets_since([partition], ms)[partition]

    def _read(self, partition: Partition, since: int, until: int) -> list[Placed]:
        self._consumer.assign({partition: since})
        found: list[Placed] = []
        ended = False

        def more() -> bool:
            nonlocal ended
            messages = self._consumer.consume(1000, _POLL)
            records = [message for message in messages if message.error() is None]
            for message in messages:
                if message.error() is not None:
                    event = self._consumer.event(message, f"read {partition.topic}/{partition.number}")
                    if isinstance(event, StockctlError):
                        raise event
                    if event is Event.out_of_range:
                        raise StockctlError(
                            f"retention deleted offset {since} of {partition.topic}/{partition.number} while it was read",
                            hint="set a longer retention for the topic",
                        )
                    ended = True
            found.extend(valid_trades([message for message in records if message.offset() < until], self._sources))
            ended = ended or bool(records and records[-1].offset() + 1 >= until)
            return bool(messages)

        try:
            while not ended:
                if not wait_for(more, within=_WAIT, every=0) and not ended:
                    raise TimedOutError(f"no answer from {partition.topic}/{partition.number} at offset {since}")
        finally:
            self._consumer.assign({})
        return found

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()
