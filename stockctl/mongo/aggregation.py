"""Aggregation stages and expressions: minute bars, and which trades count. The rules are those of ``sql/metrics``.

Besides its columns a bar holds, for each kind of trade (``trade_kind``), the number of trades that count, their volume and
value, and the number of prices that count (the field ``KIND``), so that a session adds up bars instead of trades.
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


def _has_code(codes: Iterable[str]) -> Document:
    """True for a trade with one of ``codes``."""
    return {"$regexMatch": {"input": "$conditions", "regex": f"(^|,)({'|'.join(sorted(codes))})(,|$)"}}


KIND = "told"  # allow-word told: a field of stored documents
"""The field of a bar with its sums by kind of trade, and within these the field of the kind."""

# Documents compare field by field, so the minimum is the first trade by time, receipt and id in byte order.
TRADE_ORDER = {"t": "$ts_event", "r": "$ts_recv", "i": "$_id", "price": "$price", "volume": "$volume"}
_TRADE_KIND: Document = {
    "$switch": {
        "branches": [
            {"case": _has_code(LATE_EXTENDED), "then": "extended"},
            {"case": _has_code(LATE_REGULAR), "then": "regular"},
        ],
        "default": "plain",
    }
}
"""``trade_kind``."""


def _updates(update: str) -> Document:
    return {"$gte": [{"$indexOfBytes": ["$updates", update]}, 0]}


def _policy_rules(policy: str) -> list[Document]:
    rules: list[Document] = []
    if policy != "all":
        rules.append({"$not": [_has_code(NEVER_PRICE_FORMING)]})
    if policy == "price-forming":
        rules.append({"$or": [_updates("l"), _updates("h")]})
    return rules


def counts(policy: str) -> Document:
    """True for a trade that counts: ``counts`` of ``sql/metrics/placed.sql``."""
    return {"$and": [{"$gt": ["$volume", 0]}, _updates("v"), *_policy_rules(policy)]}


def priced(symbol: str, policy: str) -> Document:
    """True for a trade of ``symbol`` whose price counts: ``priced`` of ``sql/metrics/placed.sql``."""
    if not has_venue(symbol):
        return counts(policy)
    return {"$and": [{"$or": [{"$lte": ["$volume", 0]}, _updates("v")]}, *_policy_rules(policy)]}


def in_slots(slots: Iterable[Slot]) -> Document:
    """True for a trade in one of ``slots``."""
    return {
        "$or": [
            {
                "$and": [
                    {"$gte": ["$ts_event", date_of(slot.since)]},
                    {"$lt": ["$ts_event", date_of(slot.until)]},
                    {"$in": [_TRADE_KIND, list(slot.kinds)]},
                ]
            }
            for slot in slots
        ]
    }


def when(condition: Document, value: Any, otherwise: Any = "$$REMOVE") -> Document:
    """``value`` where the condition holds."""
    return {"$cond": [condition, value, otherwise]}


def match_symbol(symbol: str, field: str, since: int, until: int) -> Document:
    """The first stage of a pipeline: documents of ``symbol`` with ``field`` in ``[since, until)`` (ms UTC), by an index."""
    return {"$match": {"symbol": symbol, field: {"$gte": date_of(since), "$lt": date_of(until)}}}


def bars_pipeline(symbol: str, since: int, until: int, policy: str) -> list[Document]:
    """Replaces the minute bars of ``symbol`` in ``[since, until)`` (ms UTC)."""
    counted, last, high_low = {"$eq": ["$c", True]}, {"$eq": ["$l", True]}, {"$eq": ["$h", True]}
    any_trade = {"$gt": ["$trades", 0]}
    return [
        match_symbol(symbol, "ts_event", since, until),
        # The rules are evaluated once for each trade.
        {
            "$project": dict.fromkeys(("ts_event", "ts_recv", "price", "volume"), 1)
            | {"c": counts(policy), "l": _updates("l"), "h": _updates("h"), "p": priced(symbol, policy), KIND: _TRADE_KIND}
        },
        {
            "$group": {
                "_id": {"bar": {"$dateTrunc": {"date": "$ts_event", "unit": "minute"}}, KIND: f"${KIND}"},
                "first": {"$min": when(last, TRADE_ORDER)},
                "last": {"$max": when(last, TRADE_ORDER)},
                "high": {"$max": when(high_low, "$price")},
                "low": {"$min": when(high_low, "$price")},
                "volume": {"$sum": when(counted, "$volume", 0.0)},
                "paid": {"$sum": when(counted, {"$multiply": ["$price", "$volume"]}, 0.0)},
                "trades": {"$sum": when(counted, 1, 0)},
                "prices": {"$sum": when({"$eq": ["$p", True]}, 1, 0)},
            }
        },
        {"$sort": {"_id": 1}},
        {
            "$group": {
                "_id": "$_id.bar",
                **{name: {accumulator: f"${name}"} for name, accumulator in _ENDS.items()},
                **{name: {"$sum": f"${name}"} for name in ("trades", "volume", "paid")},
                KIND: {
                    "$push": {
                        KIND: f"$_id.{KIND}",
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
                "volume": when(any_trade, "$volume", None),
                "vwap": when(any_trade, {"$divide": ["$paid", when(any_trade, "$volume", 1.0)]}, None),
                "trades": {"$toLong": "$trades"},
                KIND: 1,
                "policy": {"$literal": policy},
            }
        },
        {"$merge": {"into": BARS, "on": "_id", "whenMatched": "replace", "whenNotMatched": "insert"}},
    ]


_ENDS = {"first": "$min", "last": "$max", "high": "$max", "low": "$min"}
