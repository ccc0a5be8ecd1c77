"""Reads single records and short ranges of a topic, without a consumer group."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from stockctl.clients.closing import Closing
from stockctl.clients.kafka import Consumer, Event, Message, Partition
from stockctl.errors import StockctlError, TimedOutError
from stockctl.settings import Settings
from stockctl.settings.kafka_names import probe_group

_WAIT = 15.0
"""Seconds without a record or an event until it raises TimedOutError: brokers answer within milliseconds."""


class RecordReader(Closing):
    """Reads records by offset. Usable from several threads, one at a time."""

    def __init__(self, settings: Settings) -> None:
        # Only a name: the reader does not join the group, and commits nothing.
        self._consumer = Consumer(settings, probe_group(settings.lake), **{"enable.partition.eof": True})
        self._lock = threading.Lock()

    def first(self, partition: Partition, offset: int) -> Message | None:
        """The first record at or after ``offset``; None if there is none yet."""
        return next(self.records(partition, offset, None), None)

    def records(self, partition: Partition, since: int, until: int | None) -> Iterator[Message]:
        """Records of ``[since, until)`` in order, or to the end of the partition if ``until`` is None."""
        if until is not None and since >= until:
            return
        with self._lock:
            self._consumer.assign({partition: since})
            try:
                while True:
                    batch = self._consumer.consume(1 if until is None else 1000, _WAIT)
                    if not batch:
                        raise TimedOutError(f"no answer from {partition.topic}/{partition.number} at offset {since}")
                    for message in batch:
                        if message.error() is not None:
                            event = self._consumer.event(message, f"read {partition.topic}/{partition.number} at {since}")
                            if isinstance(event, StockctlError):
                                raise event
                            if event is Event.end or event is Event.out_of_range:
                                return
                        if until is not None and message.offset() >= until:
                            return
                        yield message
            finally:
                self._consumer.assign({})

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()
