"""The filings that the lake holds, as rows for people, and finding one of them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from stockctl.clients.store import Store
from stockctl.errors import StockctlError, UsageError
from stockctl.filings.model import Filing
from stockctl.filings.repository import (
    State,
    asked_symbol,
    kept,
    kept_filing,
    links_of,
    read_filings,
    read_raw,
    read_state,
    symbols_kept,
)
from stockctl.lake.store import existing_store
from stockctl.settings import Settings

LISTED = ("symbol", "form", "filed", "accepted", "period_start", "period_end", "accession", "report", "index")
"""Columns of a listed filing; ``report`` and ``index`` are the SEC's pages."""
LATEST = "latest"

_ACCESSION = re.compile(r"\d{10}-\d{2}-\d{6}")


class Found(NamedTuple):
    """One filing: as received, as parsed, and what the last fetch of its symbol left."""

    raw: bytes
    filing: Filing
    state: State | None


def row_of(settings: Settings, filing: Filing, state: State | None) -> dict[str, Any]:
    """One filing as a row of ``LISTED``; ``accepted`` is in ``settings.timezone``."""
    links = links_of(filing, state)
    accepted = filing.accepted.astimezone(ZoneInfo(settings.timezone)) if filing.accepted else None
    told = (filing.symbol, filing.form, filing.filed, accepted, filing.start, filing.end, filing.accession)
    return dict(zip(LISTED, (*told, links.report, links.index), strict=True))


def listed(settings: Settings, symbol: str, *, form: str | None = None, last: int | None = None) -> list[dict[str, Any]]:
    """Filings of ``symbol``, the newest acceptance first: those of ``form``, the ``last`` ones."""
    state = read_state(existing_store(settings), symbol)
    filings = [one for one in read_filings(settings, symbol)[::-1] if form is None or one.form.upper() == form.upper()]
    return [row_of(settings, one, state) for one in filings[:last]]


def find(settings: Settings, name: str, accession: str = LATEST) -> Found:
    """The filing ``accession``, or the latest, of the symbol ``name``; or the one that ``name`` is the number of.

    StockctlError if the lake holds no filing of the symbol, UsageError if it does not hold that one.
    """
    store = existing_store(settings)
    if _ACCESSION.fullmatch(name):
        symbol, accession = _holder(store, name), name
    else:
        symbol = asked_symbol(settings, name)
    if accession == LATEST:
        filings = read_filings(settings, symbol)
        if not filings:
            raise StockctlError(
                f"the lake at {store.url} holds no filing of {symbol}", hint=f"`stockctl filings fetch {symbol}` fetches them"
            )
        accession = filings[-1].accession
    raw = read_raw(store, symbol, accession)
    return Found(raw, kept_filing(raw, symbol, accession), read_state(store, symbol))


def _holder(store: Store, accession: str) -> str:
    """The symbol under which a filing lies."""
    for symbol in symbols_kept(store):
        if accession in kept(store, symbol).raw:
            return symbol
    raise UsageError(f"the lake at {store.url} holds no filing {accession}", hint="`stockctl filings list` tells what it holds")
