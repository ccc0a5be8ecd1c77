"""Records as documents: ``_id`` is the record's id, times become dates, every other field stays.

``consume mongo`` and the MongoDB sink connector must make the same documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from msgspec.structs import asdict

from stockctl.clients.mongo import Document
from stockctl.record_validation import FEED_EVENTS, SIGNALS, TRADES, InvalidRecordError, Kind, Validator
from stockctl.records import FeedEvent, SignalRecord, Trade, time_columns

_SIGNAL_TIMES = time_columns(SignalRecord)
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


class BadRecord(NamedTuple):
    """Why a record does not become a document."""

    reason: str


def date_of(ms: int) -> datetime:
    """The time ``ms`` milliseconds after the epoch."""
    return _EPOCH + ms * _MILLISECOND


def ms_of(date: datetime) -> int:
    """Milliseconds since the epoch."""
    return (date - _EPOCH) // _MILLISECOND


def trade_documents(values: Sequence[bytes | None]) -> list[Document | BadRecord]:
    """The document of each trade, given as JSON."""
    return _documents(TRADES, _trade_document, values)


def trade_of(document: Document) -> Trade:
    """The trade of a document."""
    return Trade(
        id=document["_id"],
        symbol=document["symbol"],
        price=document["price"],
        volume=document["volume"],
        ts_event=ms_of(document["ts_event"]),
        ts_recv=ms_of(document["ts_recv"]),
        conditions=document["conditions"],
        updates=document["updates"],
        source=document["source"],
    )


def event_documents(values: Sequence[bytes | None]) -> list[Document | BadRecord]:
    """The document of each feed event, given as JSON."""
    return _documents(FEED_EVENTS, _event_document, values)


def signal_documents(values: Sequence[bytes | None]) -> list[Document | BadRecord]:
    """The document of each record of the topic of signals, given as JSON."""
    return _documents(SIGNALS, _signal_document, values)


def _documents(
    validator: Validator[Kind], document_of: Callable[[Kind], Document], values: Sequence[bytes | None]
) -> list[Document | BadRecord]:
    records = validator.all(values)
    if records is not None:
        return [*map(document_of, records)]
    documents: list[Document | BadRecord] = []
    for value in values:
        try:
            documents.append(document_of(validator.record(value)))
        except InvalidRecordError as error:
            documents.append(BadRecord(str(error)))
    return documents


def _trade_document(trade: Trade) -> Document:
    # Literals: a loop over the columns takes longer, and every record passes here.
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


def _event_document(event: FeedEvent) -> Document:
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


def _signal_document(signal: SignalRecord) -> Document:
    values = asdict(signal)
    values |= {name: date_of(values[name]) for name in _SIGNAL_TIMES}
    return {"_id": values.pop("id")} | values  # MongoDB puts _id first
