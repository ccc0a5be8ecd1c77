"""Signals as they are published: ``signals watch`` reads the topic, without a consumer group that others would see."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress

from stockctl.clients.kafka import Admin, Consumer, UnknownTopicError
from stockctl.errors import StockctlError
from stockctl.exchange.calendar import now_ms
from stockctl.record_validation import SIGNALS, InvalidRecordError
from stockctl.records import SignalRecord
from stockctl.settings import Settings
from stockctl.settings.kafka_names import WATCH_GROUP

_CHUNK = 1_000
_POLL = 0.2


def follow(
    settings: Settings,
    symbols: Collection[str] = (),
    *,
    strategy: str | None = None,
    seconds: float | None = None,
    look_back: float = 0.0,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> Iterator[SignalRecord]:
    """The signals of ``symbols`` (none: of all) from those published ``look_back`` seconds ago on, as they come.

    Ends after ``seconds`` or when ``stop`` is set. What is no valid record is left out, and so are runs, heartbeats and inputs.
    ``notify`` receives a line about a wait for Kafka and about its errors, each once. UnreachableError if no broker answers,
    UnknownTopicError if the topic does not exist.
    """
    stop = stop or threading.Event()
    admin = Admin(settings)
    admin.wait(say=notify)
    topic = settings.topics.signals.name
    partitions = admin.partitions(topic)
    if not partitions:
        raise UnknownTopicError(f"there is no topic {topic}", hint="`stockctl topics apply` creates the topics")
    ends, said = time.monotonic() + (float("inf") if seconds is None else seconds), ""
    with Consumer(settings, WATCH_GROUP, **{"auto.offset.reset": "earliest"}) as consumer:
        consumer.assign(consumer.offsets_since(partitions, now_ms() - round(look_back * 1000)))
        while not stop.is_set() and (left := ends - time.monotonic()) > 0:
            for message in consumer.consume(_CHUNK, min(_POLL, left)):
                if message.error() is not None:
                    event = consumer.event(message, f"read {topic}")
                    if isinstance(event, StockctlError) and str(event) != said:
                        said = str(event)
                        notify(said)
                    continue
                record = _signal(message.value())
                if (
                    record is not None
                    and (not symbols or record.symbol in symbols)
                    and (strategy is None or record.strategy == strategy)
                ):
                    yield record


def _signal(value: bytes | None) -> SignalRecord | None:
    """The signal in ``value``; None if it holds another record, or none."""
    with suppress(InvalidRecordError):
        record = SIGNALS.record(value)
        return record if record.kind == "signal" else None
    return None
