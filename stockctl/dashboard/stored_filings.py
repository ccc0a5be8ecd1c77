"""The filings of a symbol that were in the lake by a time, parsed, and the flags of a date."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import date
from typing import NamedTuple, TypedDict

from stockctl.exchange.calendar import EXCHANGE_ZONE, from_ms, to_ms, trade_date
from stockctl.filings.model import Filing
from stockctl.filings.repository import read_filings, stored_accessions, stored_at
from stockctl.lake.store import existing_store
from stockctl.settings import Settings
from stockctl.units import counted

_SYMBOLS = 32
"""Symbols whose parsed reports are kept: reports never change, and a page asks for the same ones again and again."""


class StoredFilings(NamedTuple):
    """Reports, the oldest acceptance first, and notes on those that are left out."""

    filings: list[Filing]
    notes: list[str]


class FilingFlag(TypedDict):
    """A filing at its acceptance time ``at`` (ms UTC). ``earlier``: it is the last one before the date."""

    at: int
    accession: str
    form: str
    period: str | None
    text: str
    earlier: bool


class _Parsed:
    """Parsed reports by lake and symbol, as long as the lake has the same ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str], tuple[frozenset[str], list[Filing]]] = OrderedDict()

    def read(self, settings: Settings, symbol: str) -> list[Filing]:
        store = existing_store(settings)
        key, there = (store.url, symbol), frozenset(stored_accessions(store, symbol).raw)
        with self._lock:
            held = self._held.get(key)
        if held is not None and held[0] == there:
            return held[1]
        filings = read_filings(settings, symbol) if there else []
        with self._lock:
            self._held[key] = (frozenset(one.accession for one in filings), filings)
            self._held.move_to_end(key)
            while len(self._held) > _SYMBOLS:
                self._held.popitem(last=False)
        return filings


_parsed = _Parsed()


def stored_filings(settings: Settings, symbol: str, as_of: int | None = None) -> StoredFilings:
    """The reports of ``symbol`` in the lake, without those that were accepted by ``as_of`` (ms UTC) and stored later.

    A report without a recorded time of storage is left out too: nobody knows whether it was there. Reports that were accepted
    after ``as_of`` stay: a ``PointInTimeView`` leaves them out, and says how many. FilingError for a damaged one.
    """
    filings = _parsed.read(settings, symbol)
    if as_of is None:
        return StoredFilings(filings, [])
    stored = stored_at(existing_store(settings), symbol)
    kept, later, undated = [], 0, 0
    for one in filings:
        at = stored.get(one.accession)
        if one.known is None or to_ms(one.known) > as_of or (at is not None and at <= as_of):
            kept.append(one)
        elif at is None:
            undated += 1
        else:
            later += 1
    notes = []
    if later:
        notes.append(f"{counted(later, 'report was', 'reports were')} public then, and stored later: left out")
    if undated:
        notes.append(f"{counted(undated, 'report has', 'reports have')} no recorded time of storage: left out")
    return StoredFilings(kept, notes)


def filing_flags(settings: Settings, symbol: str, day: date, as_of: int | None = None) -> list[FilingFlag]:
    """The filings accepted on the exchange's date ``day``, and the last one before it, as stored by ``as_of`` (ms UTC).

    In the order of their acceptance. Empty if the lake has none. A filing without an acceptance time counts from the end of its
    filing date, as everywhere.
    """
    dated = [
        (to_ms(one.known), one)
        for one in stored_filings(settings, symbol, as_of).filings
        if one.known is not None and (as_of is None or to_ms(one.known) <= as_of)
    ]
    earlier = [pair for pair in dated if trade_date(pair[0]) < day][-1:]
    return [_flag(at, one, day) for at, one in (*earlier, *(pair for pair in dated if trade_date(pair[0]) == day))]


def _flag(at: int, filing: Filing, day: date) -> FilingFlag:
    period = filing.end.isoformat() if filing.end is not None else None
    name = f"{filing.form or 'report'}" + (f" to {period}" if period else "")
    known = "accepted" if filing.accepted is not None else "public by"
    return FilingFlag(
        at=at,
        accession=filing.accession,
        form=filing.form,
        period=period,
        text=f"{name}, {known} {from_ms(at, EXCHANGE_ZONE):%Y-%m-%d %H:%M:%S %Z}, {filing.accession}",
        earlier=trade_date(at) < day,
    )
