"""A batch: the documents of records that were read together, with their messages and the offsets where the batch ends."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stockctl.clients.kafka import Message, Partition
from stockctl.clients.mongo import Document
from stockctl.mongo.documents import BadRecord, event_documents, signal_documents, trade_documents
from stockctl.mongo.schema import COVERAGE, SIGNALS, TRADES

DOCUMENTS_OF: dict[str, Callable[[Sequence[bytes | None]], list[Document | BadRecord]]] = {
    TRADES: trade_documents,
    COVERAGE: event_documents,
    SIGNALS: signal_documents,
}
"""What makes the documents of each collection."""


class Refused(NamedTuple):
    """A record that is not written: its partition and offset, its value, and why."""

    partition: Partition
    offset: int
    raw: bytes
    reason: str


class Batch:
    """Documents by collection, each with its message; ``ends`` has the offset after the last record of each partition."""

    def __init__(self) -> None:
        self.records = 0
        self.opened = time.monotonic()
        self.ends: dict[Partition, int] = {}
        self.documents: dict[str, list[Document]] = defaultdict(list)
        self.messages: dict[str, list[Message]] = defaultdict(list)
        self.refused: list[Refused] = []

    def add(self, collection: str, partition: Partition, messages: Sequence[Message]) -> None:
        """Add records of one partition in order; an invalid one is refused."""
        if not self.records:
            self.opened = time.monotonic()
        documents, accepted = self.documents[collection], self.messages[collection]
        results = DOCUMENTS_OF[collection]([message.value() for message in messages])
        for message, document in zip(messages, results, strict=True):
            if isinstance(document, BadRecord):
                self.refused.append(Refused(partition, message.offset(), message.value() or b"", document.reason))
            else:
                documents.append(document)
                accepted.append(message)
        self.records += len(messages)
        self.ends[partition] = messages[-1].offset() + 1

    def refuse(self, collection: str, number: int, reason: str) -> Refused:
        """The refusal of the document at index ``number``."""
        message = self.messages[collection][number]
        return Refused(Partition(message.topic(), message.partition()), message.offset(), message.value() or b"", reason)

    def refuse_sources(self, refusal: Callable[[str], str | None]) -> None:
        """Refuse the documents of each source for which ``refusal`` has a reason."""
        for collection, documents in self.documents.items():
            reasons = [refusal(document["source"]) for document in documents]
            self.refused += [self.refuse(collection, number, why) for number, why in enumerate(reasons) if why is not None]
            accepted = [number for number, why in enumerate(reasons) if why is None]
            self.documents[collection] = [documents[number] for number in accepted]
            self.messages[collection] = [self.messages[collection][number] for number in accepted]

    @property
    def sources(self) -> list[str]:
        """The sources of its documents, in the order of their first occurrence: trades come before events."""
        collections = [documents for _, documents in sorted(self.documents.items(), reverse=True)]
        return list(dict.fromkeys(document["source"] for documents in collections for document in documents))
