"""Documents made of records, and what follows from them, for tests that put them into MongoDB themselves."""

from __future__ import annotations

from collections.abc import Iterable

from stockctl.clients.mongo import Document, Mongo
from stockctl.company.trade_fields import refresh_trades
from stockctl.mongo.bars import Touched, refresh_bars
from stockctl.mongo.documents import BadRecord, event_documents, signal_documents, trade_documents
from stockctl.records import FeedEvent, SignalRecord, Trade, encode
from stockctl.settings import Settings


def documents_of(records: Iterable[Trade] | Iterable[FeedEvent] | Iterable[SignalRecord]) -> list[Document]:
    """What ``consume mongo`` makes of ``records``."""
    makers = {Trade: trade_documents, FeedEvent: event_documents, SignalRecord: signal_documents}
    made = []
    for record in records:
        [document] = makers[type(record)]([encode(record)])
        assert not isinstance(document, BadRecord), document
        made.append(document)
    return made


def refresh(mongo: Mongo, settings: Settings, touched: Touched) -> None:
    """Update bars and companies as ``consume mongo`` does."""
    refresh_bars(mongo, settings, touched, lambda: None)
    refresh_trades(mongo, settings, touched, lambda: None)
