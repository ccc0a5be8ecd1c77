"""A report as a document of MongoDB's collection ``filings``, written and read.

``_id`` is symbol and accession number: each class of a company's shares has its own document of the same report. ``accepted``
is as reported, ``known`` the time from which the report was certainly public. Dates are midnights in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import msgspec

from stockctl.clients.mongo import Document
from stockctl.filings.model import STATEMENTS, Filing, FilingError, Item, Statement
from stockctl.filings.repository import Links
from stockctl.mongo.schema import FILINGS
from stockctl.records import Source
from stockctl.validation_errors import decode_problem


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
        "period_start": midnight(filing.start),
        "period_end": midnight(filing.end),
        "filed": midnight(filing.filed),
        "accepted": filing.accepted,
        "known": filing.known,
        "source": source,
        "links": msgspec.structs.asdict(links),
        "report": {name: [msgspec.structs.asdict(item) for item in filing.statement(name)] for name in STATEMENTS},
    }


def filing_of(document: Mapping[str, Any]) -> Filing:
    """The filing in a document of the collection ``filings``. FilingError if it is damaged."""
    try:
        stored = msgspec.convert(document, _FilingDocument)
    except msgspec.ValidationError as error:
        raise FilingError(
            f"the document {document.get('_id')} of the collection {FILINGS} is damaged: {decode_problem(error)}",
            hint="delete it: the next `stockctl filings fetch` writes it again",
        ) from error
    report = stored.report or {}
    return Filing(
        accession=stored.accession,
        symbol=stored.symbol,
        cik=stored.cik,
        form=stored.form,
        year=stored.year,
        quarter=stored.quarter,
        start=stored.period_start and stored.period_start.date(),
        end=stored.period_end and stored.period_end.date(),
        filed=stored.filed and stored.filed.date(),
        accepted=stored.accepted,
        **{name: tuple(report.get(name) or ()) for name in STATEMENTS},
    )


class _FilingDocument(msgspec.Struct):
    """The fields of a filing's document that are read."""

    accession: str
    symbol: str
    cik: str
    form: str
    year: int | None
    quarter: int | None
    accepted: datetime | None
    period_start: datetime | None = None
    period_end: datetime | None = None
    filed: datetime | None = None
    report: dict[Statement, list[Item] | None] | None = None


def midnight(day: date | None) -> datetime | None:
    """The start of ``day`` in UTC; None for None."""
    return None if day is None else datetime.combine(day, time(), UTC)
