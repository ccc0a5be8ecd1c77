"""Documents made of records, for tests that put them into MongoDB themselves."""

from __future__ import annotations

from collections.abc import Iterable

from stockctl.mongo.documents import BadRecord, Document, event_documents, trade_documents
from stockctl.records import FeedEvent, Trade, encode


def documents_of(records: Iterable[Trade] | Iterable[FeedEvent]) -> list[Document]:
    """What ``consume mongo`` makes of ``records``."""
    made = []
    for record in records:
        [document] = (trade_documents if isinstance(record, Trade) else event_documents)([encode(record)])
        assert not isinstance(document, BadRecord), document
        made.append(document)
    return made
