"""A report as a document of MongoDB's collection ``filings``.

``_id`` is symbol and accession number: each class of a company's shares has its own document of the same report. ``accepted``
is as reported, ``known`` the time from which the report was certainly public. Dates are midnights in UTC.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import msgspec

from stockctl.clients.mongo import Document
from stockctl.filings.model import STATEMENTS, Filing
from stockctl.filings.repository import Links
from stockctl.records import Source


def document_id(symbol: str, accession: str) -> str:
    """The ``_id`` of a report's document."""
    return f"{symbol}-{accession}"


def document_of(filing: Filing, source: Source, links: Links) -> Document:
    """The document of ``filing``; ``report`` contains its statements, each a list of items."""
    return {
        "_id": document_id(filing.symbol, filing.accession),
        "symbol": filing.symbol,
        "accession": filing.accession,
        "cik": filing.cik,
        "form": filing.form,
        "year": filing.year,
        "quarter": filing.quarter,
        "period_start": _midnight(filing.start),
        "period_end": _midnight(filing.end),
        "filed": _midnight(filing.filed),
        "accepted": filing.accepted,
        "known": filing.known,
        "source": source,
        "links": msgspec.structs.asdict(links),
        "report": {name: [msgspec.structs.asdict(item) for item in filing.statement(name)] for name in STATEMENTS},
    }


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)
