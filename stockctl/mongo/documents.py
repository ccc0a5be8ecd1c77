"""Records as documents: ``_id`` is the record's id, times are dates, numbers doubles; every other field as it is.

Whatever brings records into MongoDB must make the same documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from stockctl.record_validation import FEED_EVENTS, TRADES, InvalidRecordError, Kind, Validator
from stockctl.records import FeedEvent, Trade

Document = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BadRecord(NamedTuple):
    """A record that is no document, and why."""

    reason: str


def date_of(ms: int) -> datetime:
    """The moment ``ms`` milliseconds after the epoch."""
    return _EPOCH + timedelta(milliseconds=ms)


def ms_of(date: datetime) -> int:
    """Milliseconds since the epoch."""
    return (date - _EPOCH) // timedelta(milliseconds=1)


def trade_documents(values: Sequence[bytes | None]) -> list[Document | BadRecord]:
    """The document of each trade on the wire."""
    return [one if isinstance(one, BadRecord) else _of_trade(one) for one in _records(TRADES, values)]


def event_documents(values: Sequence[bytes | None]) -> list[Document | BadRecord]:
    """The document of each feed event on the wire."""
    return [one if isinstance(one, BadRecord) else _of_event(one) for one in _records(FEED_EVENTS, values)]


def _records(validator: Validator[Kind], values: Sequence[bytes | None]) -> Sequence[Kind | BadRecord]:
    records = validator.all(values)
    return [_record(validator, value) for value in values] if records is None else records


def _record(validator: Validator[Kind], value: bytes | None) -> Kind | BadRecord:
    try:
        return validator.record(value)
    except InvalidRecordError as error:
        return BadRecord(str(error))


def _of_trade(trade: Trade) -> Document:
    return {
        "_id": trade.id,
        "symbol": trade.symbol,
        "price": trade.price,
        "volume": trade.volume,
        "ts_event": date_of(trade.ts_event),
        "ts_recv": date_of(trade.ts_recv),
        "conditions": trade.conditions,
        "updates": trade.updates,
        "source": trade.source,
    }


def _of_event(event: FeedEvent) -> Document:
    return {
        "_id": event.id,
        "kind": event.kind,
        "span_start": date_of(event.span_start),
        "span_end": date_of(event.span_end),
        "symbols": event.symbols,
        "reason": event.reason,
        "connection": event.connection,
        "ts_recv": date_of(event.ts_recv),
        "source": event.source,
    }
