"""Minute bars by aggregation, and which trades count, in MongoDB's words: ``sql/metrics`` once more.

Beside its columns a bar tells, by what its trades' codes tell of their session, how many count, their volume and value, and how
many prices count (``told``), so that a session adds up bars instead of trades.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stockctl.clients.mongo import Document
from stockctl.exchange.trade_conditions import LATE_EXTENDED, LATE_REGULAR, NEVER_PRICE_FORMING
from stockctl.exchange.trade_sessions import Slot
from stockctl.exchange.venues import has_venue
from stockctl.mongo.documents import date_of
from stockctl.mongo.schema import BARS


def _codes(codes: Iterable[str]) -> Document:
    """Whether one of the trade's codes is among ``codes``."""
    return {"$regexMatch": {"input": "$conditions", "regex": f"(^|,)({'|'.join(sorted(codes))})(,|$)"}}


# Documents compare field by field, so the least is the first by time, receipt and id in byte order.
PLACE = {"t": "$ts_event", "r": "$ts_recv", "i": "$_id", "price": "$price", "volume": "$volume"}
_TOLD: Document = {
    "$switch": {
        "branches": [
            {"case": _codes(LATE_EXTENDED), "then": "extended"},
            {"case": _codes(LATE_REGULAR), "then": "regular"},
        ],
        "default": "plain",
    }
}
"""``trade_kind``."""


def _may(update: str) -> Document:
    return {"$gte": [{"$indexOfBytes": ["$updates", update]}, 0]}


def _allowed(policy: str) -> list[Document]:
    rules: list[Document] = []
    if policy != "all":
        rules.append({"$not": [_codes(NEVER_PRICE_FORMING)]})
    if policy == "price-forming":
        rules.append({"$or": [_may("l"), _may("h")]})
    return rules


def counts(policy: str) -> Document:
    """The expression that tells whether a trade counts: ``counts`` of ``sql/metrics/placed.sql``."""
    return {"$and": [{"$gt": ["$volume", 0]}, _may("v"), *_allowed(policy)]}


def priced(symbol: str, policy: str) -> Document:
    """The expression that tells whether a price of ``symbol`` counts: ``priced`` of ``sql/metrics/placed.sql``."""
    if not has_venue(symbol):
        return counts(policy)
    return {"$and": [{"$or": [{"$lte": ["$volume", 0]}, _may("v")]}, *_allowed(policy)]}


def within(slots: Iterable[Slot]) -> Document:
    """The expression that tells whether a trade lies in one of ``slots``."""
    return {
        "$or": [
            {
                "$and": [
                    {"$gte": ["$ts_event", date_of(slot.since)]},
                    {"$lt": ["$ts_event", date_of(slot.until)]},
                    {"$in": [_TOLD, list(slot.kinds)]},
                ]
            }
            for slot in slots
        ]
    }


def if_(condition: Document, value: Any, otherwise: Any = "$$REMOVE") -> Document:
    """``value`` where the condition holds."""
    return {"$cond": [condition, value, otherwise]}


def of(symbol: str, field: str, since: int, until: int) -> Document:
    """The first stage: alone it is answered by an index."""
    return {"$match": {"symbol": symbol, field: {"$gte": date_of(since), "$lt": date_of(until)}}}


def bars_pipeline(symbol: str, since: int, until: int, policy: str) -> list[Document]:
    """Put the minute bars of ``[since, until)`` in the place of what was there."""
    counted, last, high_low = {"$eq": ["$c", True]}, {"$eq": ["$l", True]}, {"$eq": ["$h", True]}
    any_trade = {"$gt": ["$trades", 0]}
    return [
        of(symbol, "ts_event", since, until),
        # Each trade is judged once.
        {
            "$project": dict.fromkeys(("ts_event", "ts_recv", "price", "volume"), 1)
            | {"c": counts(policy), "l": _may("l"), "h": _may("h"), "p": priced(symbol, policy), "told": _TOLD}
        },
        {
            "$group": {
                "_id": {"bar": {"$dateTrunc": {"date": "$ts_event", "unit": "minute"}}, "told": "$told"},
                "first": {"$min": if_(last, PLACE)},
                "last": {"$max": if_(last, PLACE)},
                "high": {"$max": if_(high_low, "$price")},
                "low": {"$min": if_(high_low, "$price")},
                "volume": {"$sum": if_(counted, "$volume", 0.0)},
                "paid": {"$sum": if_(counted, {"$multiply": ["$price", "$volume"]}, 0.0)},
                "trades": {"$sum": if_(counted, 1, 0)},
                "prices": {"$sum": if_({"$eq": ["$p", True]}, 1, 0)},
            }
        },
        {"$sort": {"_id": 1}},
        {
            "$group": {
                "_id": "$_id.bar",
                **{name: {accumulator: f"${name}"} for name, accumulator in _ENDS.items()},
                **{name: {"$sum": f"${name}"} for name in ("trades", "volume", "paid")},
                "told": {
                    "$push": {
                        "told": "$_id.told",
                        "trades": {"$toLong": "$trades"},
                        "volume": "$volume",
                        "paid": "$paid",
                        "prices": {"$toLong": "$prices"},
                    }
                },
            }
        },
        {
            "$project": {
                "_id": {"$concat": [{"$literal": symbol}, "-", {"$toString": {"$toLong": "$_id"}}]},
                "symbol": {"$literal": symbol},
                "bar": "$_id",
                "open": {"$ifNull": ["$first.price", None]},
                "high": {"$ifNull": ["$high", None]},
                "low": {"$ifNull": ["$low", None]},
                "close": {"$ifNull": ["$last.price", None]},
                "volume": if_(any_trade, "$volume", None),
                "vwap": if_(any_trade, {"$divide": ["$paid", if_(any_trade, "$volume", 1.0)]}, None),
                "trades": {"$toLong": "$trades"},
                "told": 1,
                "policy": {"$literal": policy},
            }
        },
        {"$merge": {"into": BARS, "on": "_id", "whenMatched": "replace", "whenNotMatched": "insert"}},
    ]


_ENDS = {"first": "$min", "last": "$max", "high": "$max", "low": "$min"}
