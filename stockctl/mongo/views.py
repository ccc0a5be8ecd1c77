"""Views: what is asked of several collections at once, computed when it is read."""

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
    """The report of the symbol that had been accepted last by ``moment``; an index on symbol and ``known`` answers it."""
    rules: list[Any] = [
        {"$eq": ["$symbol", "$$symbol"]},
        {"$lte": ["$known", moment]},
        # Null is less than any date: a report of which nothing tells since when it was public was never known.
        {"$gt": ["$known", None]},
    ]
    shown = ("accession", "form", "year", "quarter", "period_start", "period_end", "filed", "accepted", "known", "source")
    return [
        {"$match": {"$expr": {"$and": rules}}},
        {"$sort": {"known": -1, "_id": -1}},
        {"$limit": 1},
        {"$project": {"_id": 0} | dict.fromkeys(shown, 1)},
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
"""``trades_with_filings``: each trade with the report that was known when it happened, None before the first."""
