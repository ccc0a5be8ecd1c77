"""The company behind a symbol: its document in MongoDB, its KPIs with their formulas, and its statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from stockctl.clients.mongo import Mongo
from stockctl.company.document import company, resolve_company
from stockctl.company.last_price import last_price
from stockctl.dashboard.stored_filings import stored_filings
from stockctl.errors import StockctlError, UsageError
from stockctl.exchange.calendar import from_ms, now_ms
from stockctl.exchange.time_parsing import parse_as_of
from stockctl.exchange.venues import has_venue
from stockctl.filings.fundamentals import kpis as fundamentals
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.filings.fundamentals.statements import Period, Which, caveats, statement, view_of
from stockctl.filings.repository import resolve_stored_symbol
from stockctl.json_values import json_values
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.symbols import resolve_lake_symbols
from stockctl.settings import Settings
from stockctl.symbols import UnknownSymbolError

Answer = dict[str, Any]

STATEMENTS: tuple[Which, ...] = ("income", "balance", "cashflow")
MOST_PERIODS = 40
LAST_MS = 253_402_200_000_000
"""9999-12-30: no zone has room for the end of the last day that there is."""
_CONNECT_WAIT = 2.0
"""Seconds that an answer waits for MongoDB: without it there is the rest of the page."""
_CELL = ("value", "unit", "derived", "how", "concept", "accession", "accepted", "replaced", "notes")
_LABELS = {
    "roe": "Return on equity",
    "eps": "EPS",
    "pe": "P/E",
    "ev_to_ebit": "EV / EBIT",
    "ev_to_sales": "EV / sales",
    "wacc": "WACC",
}


def company_answer(
    settings: Settings, written: str, as_of: str | None = None, *, period: Period = "annual", last: int = 8
) -> Answer:
    """What is known of the company ``written``: ``document``, ``kpis``, ``statements`` and ``notes``.

    - ``document`` is what ``stockctl company show -o json`` gives; None with ``as_of``: MongoDB keeps no history of it.
    - ``kpis`` are the rows of ``stockctl filings kpis --explain -o json``, with ``name`` and ``label``.
    - ``statements`` have the values of ``stockctl filings statement -o json``, a row for each item. ``values`` and ``cells``
      stand in the order of ``periods``, their last days, the newest first; a cell says where its value comes from.

    ``as_of`` is as ``--as-of`` takes it: filings that were public *and* stored by then, and the price of that time. What is
    not there is empty, and a note says why. UnknownSymbolError for a symbol that no store and no setting knows, UsageError for
    a time that is none.
    """
    zone = ZoneInfo(settings.timezone)
    then = None if as_of is None else min(parse_as_of(as_of, zone), LAST_MS)
    moment = None if then is None else from_ms(then, zone)
    symbol = _resolved(settings, written)
    notes: list[str] = []
    answer: Answer = {
        "symbol": symbol,
        "as_of": None if moment is None else moment.isoformat(),
        "document": None,
        "kpis": [],
        "statements": {},
        "notes": notes,
    }
    if then is None or then >= now_ms():
        with _noting(notes, "company"):
            answer["document"] = _document(settings, symbol)
    else:
        notes.append(
            f"as of {moment:%Y-%m-%d %H:%M %Z}: last trade and session are left out, MongoDB keeps them as of now alone"
        )
    if has_venue(symbol):
        notes.append(f"filings: {symbol} is no share of a company, so it has none")
        return answer
    with _noting(notes, "filings"):
        found = stored_filings(settings, symbol, then)
        notes += found.notes
        if found.filings or not found.notes:
            known = view_of(found.filings, symbol, moment)
            answer["statements"] = {
                which: _statement(known, symbol, which, period, min(last, MOST_PERIODS), zone, notes) for which in STATEMENTS
            }
            answer["kpis"] = _kpis(settings, known, symbol, moment, notes)
            notes += caveats(known, symbol, zone)
    answer["notes"] = list(dict.fromkeys(notes))
    return answer


def _resolved(settings: Settings, written: str) -> str:
    """The symbol that ``written`` means in the lake's filings, in MongoDB or in the lake's trades."""
    unknown: StockctlError | None = None
    for resolve in (resolve_stored_symbol, _resolved_by_lake, _resolved_by_mongo):
        try:
            return resolve(settings, written)
        except UnknownSymbolError as error:
            unknown = unknown or error
        except UsageError:
            raise
        except StockctlError:  # a store that is not there knows no symbol: the parts of the answer say so
            continue
    if unknown is not None:
        raise unknown
    return written


def _resolved_by_mongo(settings: Settings, written: str) -> str:
    with Mongo(settings, wait=_CONNECT_WAIT) as mongo:
        return resolve_company(mongo, settings, written)


def _resolved_by_lake(settings: Settings, written: str) -> str:
    with LakeReader(settings) as lake:
        return resolve_lake_symbols(lake, [written])[0]


@contextmanager
def _noting(notes: list[str], part: str) -> Iterator[None]:
    """An error of a part of the answer is a note: the other parts are there."""
    try:
        yield
    except StockctlError as error:
        notes.append(f"{part}: {error}" + (f"; {error.hint}" if error.hint else ""))


def _document(settings: Settings, symbol: str) -> Answer:
    with Mongo(settings, wait=_CONNECT_WAIT) as mongo:
        return json_values(company(mongo, settings, symbol))


def _statement(
    known: PointInTimeView, symbol: str, which: Which, period: Period, last: int, zone: ZoneInfo, notes: list[str]
) -> Answer:
    """One statement: ``periods``, ``rows``, and the period of each column as ``spans``."""
    found = statement(known, symbol, which, period, last, zone)
    beyond = set(caveats(known, symbol, zone))
    notes += [f"{which}: {word}" for word in found.words if word not in beyond]
    rows: dict[str, Answer] = {}
    for one in found.rows:
        row = rows.setdefault(
            one["item"], {"item": one["item"], "label": one["label"], "unit": None, "values": [], "cells": []}
        )
        row["unit"] = row["unit"] or one["unit"]
        row["values"].append(one["value"])
        row["cells"].append(json_values({name: one[name] for name in _CELL}))
    return {
        "period": period,
        "periods": [span.end.isoformat() for span in found.periods],
        "spans": [[span.start.isoformat(), span.end.isoformat()] for span in found.periods],
        "rows": list(rows.values()),
    }


def _kpis(settings: Settings, known: PointInTimeView, symbol: str, moment: datetime | None, notes: list[str]) -> list[Answer]:
    """Each KPI with its value, formula and inputs."""
    price = None
    with _noting(notes, "price"):
        price = last_price(settings, symbol, moment)
    found, words = fundamentals.kpis(known, settings.valuation, price)
    notes += [*words, *fundamentals.assumptions(settings.valuation, symbol, price)]
    made = [json_values(row) for row in fundamentals.rows(found, symbol, explain=True)]
    return [{"name": row["kpi"], "label": _label(row["kpi"])} | row for row in made]


def _label(name: str) -> str:
    return _LABELS.get(name) or name.replace("_", " ").capitalize()
