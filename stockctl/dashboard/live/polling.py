"""Changes of a MongoDB without change streams: what was received since the last look, asked each second."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from stockctl.clients.mongo import DocumentChange, Mongo
from stockctl.exchange.calendar import now_ms
from stockctl.mongo.documents import date_of, ms_of
from stockctl.mongo.schema import COMPANIES, COVERAGE, SIGNALS, TRADES

EVERY = 1.0
_OVERLAP_MS = 30_000
"""How far each look goes back: records are stored nearly in the order of their receipt. Repeated ones change nothing."""


def polled_changes(mongo: Mongo, stop: threading.Event) -> Iterator[DocumentChange | None]:
    """As ``Mongo.changes``: records by their receipt, companies as they are. A record may come several times."""
    newest = dict.fromkeys((TRADES, COVERAGE, SIGNALS), now_ms())
    yield None
    while not stop.wait(EVERY):
        for collection, since in newest.items():
            for document in mongo.find(collection, {"ts_recv": {"$gte": date_of(since - _OVERLAP_MS)}}):
                newest[collection] = max(newest[collection], ms_of(document["ts_recv"]))
                yield DocumentChange(collection, document, True)
        for document in mongo.find(COMPANIES, {}):
            yield DocumentChange(COMPANIES, document, True)
        yield None
