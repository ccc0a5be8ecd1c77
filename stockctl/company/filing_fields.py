"""The filing part of company documents: the newest report, the KPIs, and the ratios that need the last trade too.

``filing``, ``kpis`` and ``figures`` derive from the symbol's filings in MongoDB. ``together`` derives from ``figures`` and the
last trade, so each batch of trades updates it without reading filings. Unknown values are null; `stockctl filings kpis SYMBOL
--explain` shows why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import msgspec

from stockctl.clients.mongo import Document, Mongo
from stockctl.filings.fundamentals.kpi_definitions import KPIS, PRICED
from stockctl.filings.fundamentals.kpis import Input, Price, basis, compute, inputs_of, valuation
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.filings.model import STATEMENTS, Filing, FilingError, Item, Statement
from stockctl.mongo.schema import COMPANIES, FILINGS
from stockctl.settings import ValuationSettings
from stockctl.validation_errors import decode_problem

NEWEST = 16
"""Reports that KPIs are computed from: those of two years and their amendments."""

CURRENCY = "usd"
"""Of trades."""

_SHOWN = ("accession", "form", "year", "quarter", "period_start", "period_end", "filed", "accepted", "source")
_FIGURES = tuple(dict.fromkeys(name for kpi in KPIS if kpi.name in PRICED for name in kpi.inputs if name not in PRICED))


def refresh_filings(mongo: Mongo, settings: ValuationSettings, symbol: str) -> None:
    """Update the company document from its filings in MongoDB, if there are any. Idempotent."""
    fields = filing_fields(mongo, settings, symbol)
    if not fields:
        return
    last = (mongo.get(COMPANIES, symbol) or {}).get("last")
    mongo.set_fields(COMPANIES, symbol, {"symbol": symbol} | fields | {"together": together(settings, fields["figures"], last)})


def refresh_together(mongo: Mongo, settings: ValuationSettings, symbols: Collection[str], check: Callable[[], None]) -> None:
    """Update ``together`` from the companies' last trades. Companies without filings are left alone.

    What ``check`` raises, between two companies, ends it.
    """
    wanted = {"_id": {"$in": sorted(symbols)}, "figures": {"$exists": True}}
    for document in list(mongo.find(COMPANIES, wanted, ["figures", "last"])):
        check()
        fields = {"together": together(settings, document["figures"], document.get("last"))}
        mongo.set_fields(COMPANIES, document["_id"], fields)


def filing_fields(mongo: Mongo, settings: ValuationSettings, symbol: str) -> Document:
    """``filing``, ``kpis`` and ``figures`` of the company; empty if MongoDB has no filing of it."""
    newest = [("known", -1), ("_id", -1)]
    documents = list(mongo.find(FILINGS, {"symbol": symbol}, sort=newest, limit=NEWEST))
    if not documents:
        return {}
    known = PointInTimeView(filing_of(document) for document in documents)
    found, _ = basis(known)
    inputs = inputs_of(known, found, settings, None)
    values = compute(inputs)
    currency = next((one.unit for one in values if one.kpi.name == "free_cash_flow"), "") or CURRENCY
    twelve = found.twelve_months
    kpis: Document = {
        "currency": currency,
        "flows_from": _midnight(twelve and twelve.start),
        "flows_to": _midnight(twelve and twelve.end),
        "balances_at": _midnight(found.balance),
    }
    kpis |= {one.kpi.name: one.value for one in values if one.kpi.name not in PRICED}
    # A KPI may be an input of another: the cost of capital uses the effective tax rate.
    figures: Document = {one.kpi.name: _plain(one.value, one.unit) for one in values if one.kpi.name in _FIGURES}
    # EPS is both a KPI and an input. The input knows whether it fits a price.
    figures |= {name: None if one.old else _plain(one.value, one.unit) for name, one in inputs.items() if name in _FIGURES}
    for name in valuation(settings, None):
        del figures[name]
    return {"filing": {name: documents[0].get(name) for name in _SHOWN}, "kpis": kpis, "figures": figures}


def together(settings: ValuationSettings, figures: Mapping[str, Any], last: Mapping[str, Any] | None) -> Document:
    """The ratios of the filings' figures and the last trade; null without a trade."""
    price = None if last is None else Price(last["price"], "the last trade", CURRENCY)
    inputs = {name: Input(name, None) for name in _FIGURES}
    inputs |= {name: Input(name, one["value"], one["unit"]) for name, one in figures.items() if one is not None}
    values = compute(inputs | valuation(settings, price), [kpi for kpi in KPIS if kpi.name in PRICED])
    at: Document = {"price": last and last["price"], "ts_event": last and last["ts_event"]}
    return at | {one.kpi.name: one.value for one in values}


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


def _plain(value: float | None, unit: str) -> Document | None:
    return None if value is None else {"value": value, "unit": unit}


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)
