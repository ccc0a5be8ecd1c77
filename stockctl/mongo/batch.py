"""A batch: the documents of records that were read together, where each came from, and where the next batch begins."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stockctl.clients.kafka import Message, Partition
from stockctl.mongo.documents import BadRecord, Document, event_document, trade_document
from stockctl.mongo.schema import COVERAGE, TRADES

MINUTE_MS = 60_000

DOCUMENT_OF: dict[str, Callable[[bytes | None], Document | BadRecord]] = {TRADES: trade_document, COVERAGE: event_document}
"""How the records of each collection become documents."""


class Refused(NamedTuple):
    """A record that does not get into MongoDB: where it stands, its text, and why."""

    partition: Partition
    offset: int
    raw: bytes
    reason: str


class Batch:
    """Documents by collection, each with its message; ``ends`` holds the offset behind the last record of each partition."""

    def __init__(self) -> None:
        self.records = 0
        self.opened = time.monotonic()
        self.ends: dict[Partition, int] = {}
        self.documents: dict[str, list[Document]] = defaultdict(list)
        self.messages: dict[str, list[Message]] = defaultdict(list)
        self.refused: list[Refused] = []

    def add(self, collection: str, partition: Partition, messages: Sequence[Message]) -> None:
        """Take records of one partition in order; one that is no document is refused."""
        if not self.records:
            self.opened = time.monotonic()
        documents, taken = self.documents[collection], self.messages[collection]
        document_of = DOCUMENT_OF[collection]
        for message in messages:
            document = document_of(message.value())
            if isinstance(document, BadRecord):
                self.refused.append(Refused(partition, message.offset(), message.value() or b"", document.reason))
            else:
                documents.append(document)
                taken.append(message)
        self.records += len(messages)
        self.ends[partition] = messages[-1].offset() + 1

    def refuse(self, collection: str, number: int, reason: str) -> Refused:
        """The refusal of the document of that number."""
        message = self.messages[collection][number]
        return Refused(Partition(message.topic(), message.partition()), message.offset(), message.value() or b"", reason)

    @property
    def sources(self) -> set[str]:
        """The sources of its documents."""
        return {document["source"] for documents in self.documents.values() for document in documents}
