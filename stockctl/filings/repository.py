"""Filings in the lake: which are stored, and reading them. Their keys are in ``lake.format.keys``.

An accession number identifies a filing permanently, so each object is written once and never changed. An amendment has its own
accession number and is stored as a filing of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import NamedTuple

import msgspec

from stockctl.clients.object_store import AbsentError, Store
from stockctl.errors import StockctlError, UsageError, quoted
from stockctl.exchange.calendar import to_ms
from stockctl.filings.model import Filing, FilingError, parse_filing
from stockctl.lake.format.keys import LINE_ITEMS, RAW_FILINGS, fetch_state_key, raw_filing_key, ticker_folder, ticker_of
from stockctl.lake.store import existing_store
from stockctl.records import UNREADABLE, decode
from stockctl.settings import Settings
from stockctl.symbols import SymbolLookup, resolve_symbol, resolve_symbols
from stockctl.validation_errors import decode_problem

ACCESSION = re.compile(r"\d{10}-\d{2}-\d{6}")
"""The form of an accession number."""

_READERS = 8  # reports read concurrently


class Links(msgspec.Struct, frozen=True):
    """The SEC's pages of a filing: its main document, and its index."""

    report: str = ""
    index: str = ""


class State(msgspec.Struct, frozen=True):
    """The record of the last complete fetch of a symbol.

    ``fetched`` is its time (ISO 8601, UTC), ``since`` the first period end that was ever requested (empty: the complete
    history), ``newest`` the newest one received, ``kept`` the number of reports in the lake afterwards, ``links`` the SEC's
    pages by accession number, ``documented`` whether MongoDB, if configured, had all reports. ``stored`` is when each report
    was put into the lake (ms UTC), kept from then on; None for those of an older version, which did not record it.
    """

    symbol: str
    fetched: str
    source: str
    since: str = ""
    newest: str = ""
    kept: int = 0
    links: dict[str, Links] = {}
    documented: bool = True
    stored: dict[str, int | None] | None = None

    @property
    def at(self) -> datetime:
        """The time of the fetch."""
        return datetime.fromisoformat(self.fetched)


class StoredAccessions(NamedTuple):
    """Accession numbers of a symbol's reports in the lake: those stored as received, and those with line items.

    ``changed`` is when the object of each report as received was put, by the store's clock: copying a lake changes it.
    """

    raw: set[str]
    line_items: set[str]
    changed: dict[str, int]


def stored_accessions(store: Store, symbol: str) -> StoredAccessions:
    """The reports of ``symbol`` in the lake."""
    raw, line_items = (_accessions(store, f"{table}/{ticker_folder(symbol)}") for table in (RAW_FILINGS, LINE_ITEMS))
    return StoredAccessions(set(raw), set(line_items), raw)


def stored_at(store: Store, symbol: str) -> dict[str, int | None]:
    """When each report of ``symbol`` was put into the lake (ms UTC), by accession number; None where that is not known.

    It never changes. A report whose fetch has not ended is left out: it gets its time when a fetch ends.
    """
    state = read_state(store, symbol)
    return dict(state.stored or {}) if state is not None else {}


class FilingSymbols(SymbolLookup):
    """The symbols of which the lake has filings."""

    def __init__(self, store: Store) -> None:
        self.place = f"the lake at {store.url}"
        self._store = store

    def symbols(self) -> list[str]:
        """The symbols with at least one filing."""
        return stored_symbols(self._store)

    all_symbols = symbols

    def has_symbol(self, symbol: str) -> bool:
        """Whether ``symbol`` has filings, or was fetched without finding any."""
        return read_state(self._store, symbol) is not None


def resolve_stored_symbols(settings: Settings, written: Sequence[str]) -> list[str]:
    """The symbols that ``written`` means. UnknownSymbolError for one that neither the setting nor the lake's filings know."""
    lookup = FilingSymbols(existing_store(settings))
    return resolve_symbols(written, settings.symbols, lookup, hint="`stockctl filings fetch` fetches a company's filings")


def resolve_stored_symbol(settings: Settings, written: str) -> str:
    """The one symbol that ``written`` means. UnknownSymbolError as for ``resolve_stored_symbols``."""
    lookup = FilingSymbols(existing_store(settings))
    return resolve_symbol(written, settings.symbols, lookup, hint=f"`stockctl filings fetch {written}` fetches its filings")


def read_state(store: Store, symbol: str) -> State | None:
    """The state after the last fetch of ``symbol``; None if it was never fetched."""
    try:
        return parse_state(store, symbol, store.get(fetch_state_key(symbol)))
    except AbsentError:
        return None


def parse_state(store: Store, symbol: str, data: bytes) -> State:
    """The state in ``data``, the object of ``symbol`` in ``store``. StockctlError if it is damaged."""
    try:
        state = decode(data, State)
        problem = _state_problem(state, symbol)
    except UNREADABLE as error:
        problem = decode_problem(error)
    if problem is not None:
        raise StockctlError(
            f"{fetch_state_key(symbol)} in {store.url} is not the state of a fetch: {problem}",
            hint="delete it, and fetch again",
        )
    return state


def _state_problem(state: State, symbol: str) -> str | None:
    """What is wrong with the values of a state of ``symbol``; None if nothing is."""
    try:
        for day in filter(None, (state.since, state.newest)):
            date.fromisoformat(day)
        is_zoned = state.at.tzinfo is not None
    except ValueError:
        return f"one of {quoted(state.since)}, {quoted(state.newest)} and {quoted(state.fetched)} is not a date"
    if not is_zoned or fetch_state_key(state.symbol) != fetch_state_key(symbol):
        return f"it is of {quoted(state.symbol)}, fetched at {quoted(state.fetched)}"
    return None


def write_state(store: Store, state: State) -> None:
    """Record a complete fetch."""
    store.put(fetch_state_key(state.symbol), msgspec.json.encode(state))


def stored_symbols(store: Store) -> list[str]:
    """Folder names (``AAPL``) of the symbols with filings in the lake, sorted."""
    return [ticker_of(name) for name in store.folders(RAW_FILINGS)]


def read_raw(store: Store, symbol: str, accession: str) -> bytes:
    """One report as received. UsageError if the lake does not have it."""
    if not ACCESSION.fullmatch(accession):
        raise UsageError(f"{quoted(accession)} is not an accession number", hint="write one as 0000320193-25-000073, or latest")
    try:
        return store.get(raw_filing_key(symbol, accession))
    except AbsentError:
        raise UsageError(
            f"the lake at {store.url} holds no filing {accession} of {symbol}", hint=f"`stockctl filings list {symbol}`"
        ) from None


def read_filings(settings: Settings, symbol: str) -> list[Filing]:
    """Every filing of ``symbol`` in the lake, the oldest acceptance first; empty if there is none.

    Originals and their amendments are both included. FilingError if one of them cannot be parsed.
    """
    store = existing_store(settings)
    numbers = sorted(stored_accessions(store, symbol).raw)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="filings") as pool:
        filings = list(pool.map(lambda number: parse_stored(read_raw(store, symbol, number), symbol, number), numbers))
    return sorted(filings, key=_order)


def filing_of(raw: bytes, symbol: str) -> Filing:
    """The report in ``raw`` under the symbol that was requested: Finnhub may name another class of the company's shares."""
    return msgspec.structs.replace(parse_filing(raw, symbol), symbol=symbol)


def parse_stored(raw: bytes, symbol: str, accession: str) -> Filing:
    """The report in ``raw``, the lake's object of this symbol and number. FilingError if it is damaged or another report."""
    try:
        filing = filing_of(raw, symbol)
        if filing.accession != accession:
            raise FilingError(f"it contains the report {filing.accession}")  # noqa: TRY301  # re-raised with the key below
    except FilingError as error:
        hint = "delete it, and fetch it again: `stockctl filings fetch --full`"
        raise FilingError(f"{raw_filing_key(symbol, accession)} is damaged: {error}", hint=hint) from error
    return filing


def links_of(filing: Filing, state: State | None) -> Links:
    """The SEC's pages of ``filing``: those Finnhub gave, else the index page, whose address follows from the numbers."""
    if state is not None and filing.accession in state.links:
        return state.links[filing.accession]
    if not filing.cik.isdecimal():
        return Links()
    plain = filing.accession.replace("-", "")
    return Links(index=f"https://www.sec.gov/Archives/edgar/data/{int(filing.cik)}/{plain}/{filing.accession}-index.html")


def _order(filing: Filing) -> tuple[datetime, date, str]:
    return filing.known or datetime.min.replace(tzinfo=UTC), filing.end or date.min, filing.accession


def _accessions(store: Store, folder: str) -> dict[str, int]:
    """The accession numbers in the names of objects in ``folder``, each with the time of its last change in ms."""
    names = ((item.key.rpartition("/")[2].partition(".")[0], to_ms(item.modified)) for item in store.objects(folder))
    return {name: at for name, at in names if ACCESSION.fullmatch(name)}
