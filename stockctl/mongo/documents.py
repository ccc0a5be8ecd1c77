"""Records as documents: ``_id`` is the record's id, times are dates, numbers doubles; every other field as it is.

Whatever brings records into MongoDB must make the same documents.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec

from stockctl.records import UNREADABLE

Document = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The years 1970 to 9998, as in the lake: around each of these times midnights and sessions can be reckoned.
_Ms = Annotated[int, msgspec.Meta(ge=0, le=253_370_764_800_000)]
_Id = Annotated[str, msgspec.Meta(min_length=1)]


class _Trade(msgspec.Struct, gc=False):
    id: _Id
    symbol: str
    price: float
    volume: float
    ts_event: _Ms
    ts_recv: _Ms
    conditions: str
    updates: str
    source: str

    def document(self) -> Document:
        return {
            "_id": self.id,
            "symbol": self.symbol,
            "price": self.price,
            "volume": self.volume,
            "ts_event": date_of(self.ts_event),
            "ts_recv": date_of(self.ts_recv),
            "conditions": self.conditions,
            "updates": self.updates,
            "source": self.source,
        }


class _Event(msgspec.Struct, gc=False):
    id: _Id
    kind: str
    span_start: _Ms
    span_end: _Ms
    symbols: str
    reason: str
    connection: str
    ts_recv: _Ms
    source: str

    def document(self) -> Document:
        return {
            "_id": self.id,
            "kind": self.kind,
            "span_start": date_of(self.span_start),
            "span_end": date_of(self.span_end),
            "symbols": self.symbols,
            "reason": self.reason,
            "connection": self.connection,
            "ts_recv": date_of(self.ts_recv),
            "source": self.source,
        }


class BadRecord(NamedTuple):
    """A record that is no document, and why."""

    reason: str


_trade = msgspec.json.Decoder(_Trade).decode
_event = msgspec.json.Decoder(_Event).decode


def date_of(ms: int) -> datetime:
    """The moment ``ms`` milliseconds after the epoch."""
    return _EPOCH + timedelta(milliseconds=ms)


def ms_of(date: datetime) -> int:
    """Milliseconds since the epoch."""
    return (date - _EPOCH) // timedelta(milliseconds=1)


def trade_document(value: bytes | None) -> Document | BadRecord:
    """The document of a trade on the wire."""
    return _made(_trade, value)


def event_document(value: bytes | None) -> Document | BadRecord:
    """The document of a feed event on the wire."""
    return _made(_event, value)


def _made(decode: Any, value: bytes | None) -> Document | BadRecord:
    if value is None:
        return BadRecord("no value")
    try:
        document: Document = decode(value).document()
    except UNREADABLE as error:
        return BadRecord(str(error))
    return document
