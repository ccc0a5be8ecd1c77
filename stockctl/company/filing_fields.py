"""The filing part of company documents: the newest report, the KPIs, and the ratios that need the last trade too.

``filing``, ``kpis`` and ``figures`` derive from the symbol's filings in MongoDB. ``together`` derives from ``figures`` and the
last trade, so each batch of trades updates it without reading filings. Unknown values are null; `stockctl filings kpis SYMBOL
--explain` shows why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from stockctl.clients.mongo import Document, Mongo
from stockctl.filings.collect.filing_document import filing_of, midnight
from stockctl.filings.fundamentals.kpi_definitions import KPIS, PRICED
from stockctl.filings.fundamentals.kpis import TRADE_CURRENCY, Input, Price, basis, compute, inputs_of, valuation
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.mongo.schema import COMPANIES, FILINGS
from stockctl.settings import ValuationSettings

NEWEST = 16
"""Reports that KPIs are computed from: those of two years and their amendments."""

_SHOWN = ("accession", "form", "year", "quarter", "period_start", "period_end", "filed", "accepted", "source")
_FIGURES = tuple(dict.fromkeys(name for kpi in KPIS if kpi.name in PRICED for name in kpi.inputs if name not in PRICED))


def refresh_filings(mongo: Mongo, settings: ValuationSettings, symbol: str) -> None:
    """Update the company document from its filings in MongoDB, if there are any. Idempotent."""
    fields = filing_fields(mongo, settings, symbol)
    if not fields:
        return
    while True:
        mongo.set_fields(COMPANIES, symbol, {"symbol": symbol})
        last = (mongo.get(COMPANIES, symbol) or {}).get("last")
        combined = {"together": together(settings, fields["figures"], last)}
        if mongo.set_fields(COMPANIES, symbol, fields | combined, _with_last(last)):
            return


def refresh_together(mongo: Mongo, settings: ValuationSettings, symbols: Collection[str], check: Callable[[], None]) -> None:
    """Update ``together`` from the companies' last trades. Companies without filings are left alone.

    What ``check`` raises, between two companies, ends it.
    """
    outdated = sorted(symbols)
    while outdated:
        wanted = {"_id": {"$in": outdated}, "figures": {"$exists": True}}
        outdated = []
        for document in list(mongo.find(COMPANIES, wanted, ["figures", "last"])):
            check()
            figures, last = document["figures"], document.get("last")
            fields = {"together": together(settings, figures, last)}
            if not mongo.set_fields(COMPANIES, document["_id"], fields, _with_last(last) | {"figures": figures}):
                outdated.append(document["_id"])


def _with_last(last: Mapping[str, Any] | None) -> Document:
    """Matches a company while its last trade is ``last``: the other writer may have changed it since it was read."""
    return {"last.id": last["id"] if last else {"$exists": False}}


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
    currency = next((one.unit for one in values if one.kpi.name == "free_cash_flow"), "") or TRADE_CURRENCY
    twelve = found.twelve_months
    kpis: Document = {
        "currency": currency,
        "flows_from": midnight(twelve and twelve.start),
        "flows_to": midnight(twelve and twelve.end),
        "balances_at": midnight(found.balance),
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
    price = None if last is None else Price(last["price"], "the last trade", TRADE_CURRENCY)
    inputs = {name: Input(name, None) for name in _FIGURES}
    inputs |= {name: Input(name, one["value"], one["unit"]) for name, one in figures.items() if one is not None}
    values = compute(inputs | valuation(settings, price), [kpi for kpi in KPIS if kpi.name in PRICED])
    at: Document = {"price": last and last["price"], "ts_event": last and last["ts_event"]}
    return at | {one.kpi.name: one.value for one in values}


def _plain(value: float | None, unit: str) -> Document | None:
    return None if value is None else {"value": value, "unit": unit}
