"""Views that join collections, computed when they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stockctl.clients.mongo import Document

TRADES_WITH_FILINGS = "trades_with_filings"


@dataclass(frozen=True)
class View:
    """A view ``name`` of the collection ``on``."""

    name: str
    on: str
    pipeline: list[Document]


def _known_at(moment: str) -> list[Document]:
    """The newest report of the symbol that was public at ``moment``, by the index on symbol and ``known``."""
    rules: list[Any] = [
        {"$eq": ["$symbol", "$$symbol"]},
        {"$lte": ["$known", moment]},
        # Null is less than any date: without this, a report of unknown publication would count as public.
        {"$gt": ["$known", None]},
    ]
    fields = ("accession", "form", "year", "quarter", "period_start", "period_end", "filed", "accepted", "known", "source")
    return [
        {"$match": {"$expr": {"$and": rules}}},
        {"$sort": {"known": -1, "_id": -1}},
        {"$limit": 1},
        {"$project": {"_id": 0} | dict.fromkeys(fields, 1)},
    ]


VIEWS = (
    View(
        TRADES_WITH_FILINGS,
        "trades",
        [
            {
                "$lookup": {
                    "from": "filings",
                    "let": {"symbol": "$symbol", "moment": "$ts_event"},
                    "pipeline": _known_at("$$moment"),
                    "as": "filing",
                }
            },
            {"$set": {"filing": {"$ifNull": [{"$first": "$filing"}, None]}}},
        ],
    ),
)
"""``trades_with_filings``: each trade with the report that was public when it happened, null before the first."""
