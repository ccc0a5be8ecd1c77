"""Records as documents: ``_id`` is the record's id, times become dates, every other field stays.

``consume mongo`` and the MongoDB sink connector must make the same documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from stockctl.record_validation import FEED_EVENTS, TRADES, InvalidRecordError, Kind, Validator
from stockctl.records import FeedEvent, Trade, column_types

Document = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _times(record: type[msgspec.Struct]) -> tuple[str, ...]:
    """The columns that are times: all integers."""
    return tuple(name for name, type_ in column_types(record).items() if type_ is int)


_TRADE_TIMES, _EVENT_TIMES = _times(Trade), _times(FeedEvent)


class BadRecord(NamedTuple):
    """Why a record does not become a document."""

    reason: str


def date_of(ms: int) -> datetime:
    """The time ``ms`` milliseconds after the epoch."""
    return _EPOCH + timedelta(milliseconds=ms)


def ms_of(date: datetime) -> int:
    """Milliseconds since the epoch."""
    return (date - _EPOCH) // timedelta(milliseconds=1)


def trade_documents(values: Sequence[bytes | None]) -> list[Document | BadRecord]:
    """The document of each trade, given as JSON."""
    return [one if isinstance(one, BadRecord) else _document(one, _TRADE_TIMES) for one in _records(TRADES, values)]


def event_documents(values: Sequence[bytes | None]) -> list[Document | BadRecord]:
    """The document of each feed event, given as JSON."""
    return [one if isinstance(one, BadRecord) else _document(one, _EVENT_TIMES) for one in _records(FEED_EVENTS, values)]


def _records(validator: Validator[Kind], values: Sequence[bytes | None]) -> Sequence[Kind | BadRecord]:
    records = validator.all(values)
    return [_record(validator, value) for value in values] if records is None else records


def _record(validator: Validator[Kind], value: bytes | None) -> Kind | BadRecord:
    try:
        return validator.record(value)
    except InvalidRecordError as error:
        return BadRecord(str(error))


def _document(record: msgspec.Struct, times: Sequence[str]) -> Document:
    values = msgspec.structs.asdict(record)
    document: Document = {"_id": values.pop("id")}
    document |= values
    for name in times:
        document[name] = date_of(document[name])
    return document
