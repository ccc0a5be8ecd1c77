"""The filing half of the documents of companies: the newest report, the KPIs, and what they give together with the last trade.

``filing``, ``kpis`` and ``figures`` follow from the filings that MongoDB holds of the symbol. ``together`` follows from
``figures`` and the last trade, so that it is brought up to date at each batch of trades without reading a filing. What cannot
be told is null; `stockctl filings kpis SYMBOL --explain` tells why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import msgspec

from stockctl.clients.mongo import Document, Mongo
from stockctl.filings.fundamentals.kpi_definitions import KPIS, PRICED
from stockctl.filings.fundamentals.kpis import Input, Price, basis, inputs_of, reckon, valuation
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.filings.model import STATEMENTS, Filing, FilingError, Item, Statement
from stockctl.mongo.schema import COMPANIES, FILINGS
from stockctl.settings import Settings
from stockctl.validation import decode_problem

NEWEST = 16
"""Reports that KPIs can stand on: those of two years, and their amendments."""

CURRENCY = "usd"
"""Of trades."""

_SHOWN = ("accession", "form", "year", "quarter", "period_start", "period_end", "filed", "accepted", "source")
_FIGURES = tuple(dict.fromkeys(name for kpi in KPIS if kpi.name in PRICED for name in kpi.inputs if name not in PRICED))


def refresh_filings(mongo: Mongo, settings: Settings, symbol: str) -> None:
    """Bring the company's document up to date with its filings; nothing happens if MongoDB holds none. Safe to repeat."""
    fields = filing_fields(mongo, settings, symbol)
    if not fields:
        return
    last = (mongo.get(COMPANIES, symbol) or {}).get("last")
    mongo.set_fields(COMPANIES, symbol, {"symbol": symbol} | fields | {"together": together(settings, fields["figures"], last)})


def refresh_together(mongo: Mongo, settings: Settings, symbols: Collection[str]) -> None:
    """Bring ``together`` up to date with the companies' last trades; those without filings are left as they are."""
    wanted = {"_id": {"$in": sorted(symbols)}, "figures": {"$exists": True}}
    for document in list(mongo.find(COMPANIES, wanted, ["figures", "last"])):
        fields = {"together": together(settings, document["figures"], document.get("last"))}
        mongo.set_fields(COMPANIES, document["_id"], fields)


def filing_fields(mongo: Mongo, settings: Settings, symbol: str) -> Document:
    """``filing``, ``kpis`` and ``figures`` of the company; empty if MongoDB holds no filing of it."""
    newest = [("known", -1), ("_id", -1)]
    documents = list(mongo.find(FILINGS, {"symbol": symbol}, sort=newest, limit=NEWEST))
    if not documents:
        return {}
    known = PointInTimeView(filing_of(document) for document in documents)
    found, _ = basis(known)
    inputs = inputs_of(known, found, settings, None)
    reckoned = reckon(inputs)
    currency = next((one.unit for one in reckoned if one.kpi.name == "free_cash_flow"), "") or CURRENCY
    twelve = found.twelve_months
    kpis: Document = {
        "currency": currency,
        "flows_from": _midnight(twelve and twelve.start),
        "flows_to": _midnight(twelve and twelve.end),
        "balances_at": _midnight(found.balance),
    }
    kpis |= {one.kpi.name: one.value for one in reckoned if one.kpi.name not in PRICED}
    # A KPI may be a figure of another: the cost of capital stands on the effective tax rate.
    figures: Document = {one.kpi.name: _plain(one.value, one.unit) for one in reckoned if one.kpi.name in _FIGURES}
    # Where a KPI has its input's name (EPS), the input tells whether it goes with a price.
    figures |= {name: None if one.old else _plain(one.value, one.unit) for name, one in inputs.items() if name in _FIGURES}
    for name in valuation(settings, None):
        del figures[name]
    return {"filing": {name: documents[0].get(name) for name in _SHOWN}, "kpis": kpis, "figures": figures}


def together(settings: Settings, figures: Mapping[str, Any], last: Mapping[str, Any] | None) -> Document:
    """What the figures of filings and the last trade give together; null without a trade."""
    price = None if last is None else Price(last["price"], "the last trade", CURRENCY)
    inputs = {name: Input(name, None) for name in _FIGURES}
    inputs |= {name: Input(name, one["value"], one["unit"]) for name, one in figures.items() if one is not None}
    reckoned = reckon(inputs | valuation(settings, price), [kpi for kpi in KPIS if kpi.name in PRICED])
    at: Document = {"price": last and last["price"], "ts_event": last and last["ts_event"]}
    return at | {one.kpi.name: one.value for one in reckoned}


def filing_of(document: Mapping[str, Any]) -> Filing:
    """The filing that a document of the collection ``filings`` holds. FilingError if it is damaged."""
    try:
        held = msgspec.convert(document, _Held)
    except msgspec.ValidationError as error:
        raise FilingError(
            f"the document {document.get('_id')} of the collection {FILINGS} is damaged: {decode_problem(error)}",
            hint="delete it: the next `stockctl filings fetch` makes it again",
        ) from error
    report = held.report or {}
    return Filing(
        accession=held.accession,
        symbol=held.symbol,
        cik=held.cik,
        form=held.form,
        year=held.year,
        quarter=held.quarter,
        start=held.period_start and held.period_start.date(),
        end=held.period_end and held.period_end.date(),
        filed=held.filed and held.filed.date(),
        accepted=held.accepted,
        **{name: tuple(report.get(name) or ()) for name in STATEMENTS},
    )


class _Held(msgspec.Struct):
    """What is read of a filing's document."""

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
