"""Coverage of the feed, as stored in MongoDB: covered time, and how far its trades are stored."""

from __future__ import annotations

import re
from collections.abc import Collection, Set
from datetime import timedelta

from stockctl.clients.mongo import Document, Mongo
from stockctl.intervals import Interval, intersect, merge
from stockctl.mongo.documents import date_of, ms_of
from stockctl.mongo.schema import COVERAGE, TRADES
from stockctl.records import CONNECTING, stopped_time

_NEWEST = 1000
"""Number of trades among which the newest receipt is searched: they are written nearly in order."""


def through(mongo: Mongo, symbol: str, since: int) -> int | None:
    """Receipt time in ms up to which all trades of ``symbol`` are stored, from its trades at ``since`` (ms UTC) and later."""
    rows = mongo.aggregate(
        TRADES,
        [
            {"$match": {"symbol": symbol, "ts_event": {"$gte": date_of(since)}}},
            {"$sort": {"ts_event": -1}},
            {"$limit": _NEWEST},
            {"$group": {"_id": None, "received": {"$max": "$ts_recv"}}},
        ],
    )
    return ms_of(rows[0]["received"]) if rows else None


def connected_before(mongo: Mongo, symbols: Set[str], ms: int, as_of: int | None = None) -> set[str]:
    """The ``symbols`` for which the feed was connected before ``ms`` (UTC), by the events received by ``as_of``."""
    earlier = {"span_end": {"$lt": date_of(ms)}, "kind": {"$in": sorted(CONNECTING)}} | received(as_of)
    return {symbol for symbol in symbols if any(mongo.find(COVERAGE, earlier | _naming(symbol), ["kind"], limit=1))}


def stopped(mongo: Mongo, symbol: str, since: int, until: int) -> list[Interval]:
    """The intervals within ``[since, until)`` in which the producer of ``symbol`` was stopped."""
    events = mongo.find(
        COVERAGE,
        {"span_end": {"$gte": date_of(since)}, "span_start": {"$lt": date_of(until)}} | _naming(symbol),
        ["kind", "reason", "connection", "span_start", "span_end"],
    )
    return stopped_time([event | {edge: ms_of(event[edge]) for edge in ("span_start", "span_end")} for event in events])


def received(as_of: int | None) -> Document:
    """The filter for documents received by ``as_of`` (ms UTC); None is no bound."""
    return {} if as_of is None else {"ts_recv": {"$lte": date_of(as_of)}}


def _naming(symbol: str) -> Document:
    return {"symbols": {"$regex": f"(^|,){re.escape(symbol)}(,|$)"}}


def covered(mongo: Mongo, symbols: Collection[str], since: int, until: int) -> dict[str, list[Interval]]:
    """For each symbol, the parts of ``[since, until)`` that the feed covered, in order and disjoint."""
    first, last = date_of(since), date_of(until)
    ends = {"$gt": first, "$lt": last + timedelta(days=1)}
    events = mongo.find(
        COVERAGE,
        {"span_end": ends, "span_start": {"$lt": last}, "kind": "covered"},
        ["symbols", "span_start", "span_end"],
    )
    spans_by_names: dict[str, list[Interval]] = {}
    for event in events:
        spans_by_names.setdefault(event["symbols"], []).append((ms_of(event["span_start"]), ms_of(event["span_end"])))
    # Most events name the same symbols: merging first leaves few spans to distribute.
    parts = [(frozenset(names.split(",")), merge(spans)) for names, spans in spans_by_names.items()]
    return {
        symbol: intersect(merge(span for names, spans in parts if symbol in names for span in spans), [(since, until)])
        for symbol in symbols
    }
