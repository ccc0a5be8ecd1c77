"""The filings in the lake as rows for display, and finding one of them."""

from __future__ import annotations

from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from stockctl.clients.object_store import Store
from stockctl.errors import UsageError
from stockctl.exchange.calendar import from_ms
from stockctl.filings.model import Filing
from stockctl.filings.repository import (
    ACCESSION,
    State,
    links_of,
    parse_stored,
    read_filings,
    read_raw,
    read_state,
    resolve_stored_symbol,
    stored_accessions,
    stored_symbols,
)
from stockctl.lake.store import existing_store
from stockctl.settings import Settings

COLUMNS = ("symbol", "form", "filed", "accepted", "period_start", "period_end", "accession", "report", "index", "stored")
"""Columns of a row; ``report`` and ``index`` are the SEC's pages, ``stored`` is when the filing was put into the lake."""
LATEST = "latest"


class StoredFiling(NamedTuple):
    """One filing as received and as parsed, with the state after the last fetch of its symbol."""

    raw: bytes
    filing: Filing
    state: State | None


def row_of(settings: Settings, filing: Filing, state: State | None) -> dict[str, Any]:
    """One filing as a row of ``COLUMNS``; ``accepted`` and ``stored`` are in ``settings.timezone``."""
    links, zone = links_of(filing, state), ZoneInfo(settings.timezone)
    accepted = filing.accepted.astimezone(zone) if filing.accepted else None
    at = ((state.stored or {}) if state is not None else {}).get(filing.accession)
    stored = None if at is None else from_ms(at, zone)
    values = (filing.symbol, filing.form, filing.filed, accepted, filing.start, filing.end, filing.accession)
    return dict(zip(COLUMNS, (*values, links.report, links.index, stored), strict=True))


def list_filings(settings: Settings, symbol: str, *, form: str | None = None, last: int | None = None) -> list[dict[str, Any]]:
    """Filings of ``symbol`` as rows, the newest acceptance first: those of ``form``, the ``last`` ones."""
    state = read_state(existing_store(settings), symbol)
    filings = [one for one in read_filings(settings, symbol)[::-1] if form is None or one.form.upper() == form.upper()]
    return [row_of(settings, one, state) for one in filings[:last]]


def find_filing(settings: Settings, name: str, accession: str = LATEST) -> StoredFiling:
    """The filing ``accession``, or the latest one, of the symbol ``name``. ``name`` may be an accession number itself.

    UsageError if the lake does not have it.
    """
    store = existing_store(settings)
    if ACCESSION.fullmatch(name):
        symbol, accession = _symbol_of(store, name), name
    else:
        symbol = resolve_stored_symbol(settings, name)
    if accession == LATEST:
        filings = read_filings(settings, symbol)
        if not filings:
            raise UsageError(
                f"the lake at {store.url} holds no filing of {symbol}", hint=f"`stockctl filings fetch {symbol}` fetches them"
            )
        accession = filings[-1].accession
    raw = read_raw(store, symbol, accession)
    return StoredFiling(raw, parse_stored(raw, symbol, accession), read_state(store, symbol))


def _symbol_of(store: Store, accession: str) -> str:
    """The symbol that a filing is stored under."""
    for symbol in stored_symbols(store):
        if accession in stored_accessions(store, symbol).raw:
            return symbol
    raise UsageError(f"the lake at {store.url} holds no filing {accession}", hint="`stockctl filings list` lists its filings")
