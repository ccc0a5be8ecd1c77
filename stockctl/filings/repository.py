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

from stockctl.clients.store import AbsentError, Store
from stockctl.errors import StockctlError, UsageError, quoted
from stockctl.filings.model import Filing, FilingError, parse_filing
from stockctl.lake.format.keys import (
    LINE_ITEMS,
    RAW_FILINGS,
    fetch_state_key,
    raw_filing_key,
    ticker_folder,
    ticker_of,
)
from stockctl.lake.store import existing_store
from stockctl.records import UNREADABLE, decode
from stockctl.settings import Settings
from stockctl.symbols import SymbolLookup, resolve_symbol, resolve_symbols
from stockctl.validation import decode_problem

_ACCESSION = re.compile(r"\d{10}-\d{2}-\d{6}")
_READERS = 8  # reports read at the same time


class Links(msgspec.Struct, frozen=True):
    """Where the SEC shows a filing: its main document, and its index page."""

    report: str = ""
    index: str = ""


class State(msgspec.Struct, frozen=True):
    """What the last whole fetch of a symbol left.

    ``fetched`` is when it was (ISO 8601, UTC), ``since`` the first period end that was ever asked for (empty: the whole
    history), ``newest`` the newest one that came, ``kept`` how many reports the lake then held, ``links`` those told by
    accession number, ``documented`` whether MongoDB, if there was one, had all of them.
    """

    symbol: str
    fetched: str
    source: str
    since: str = ""
    newest: str = ""
    kept: int = 0
    links: dict[str, Links] = {}
    documented: bool = True

    @property
    def at(self) -> datetime:
        """When it was."""
        return datetime.fromisoformat(self.fetched)


class Kept(NamedTuple):
    """Accession numbers that the lake holds of a symbol, as received and as line items."""

    raw: set[str]
    flat: set[str]


def kept(store: Store, symbol: str) -> Kept:
    """What the lake holds of ``symbol``."""
    return Kept(*(_accessions(store, f"{table}/{ticker_folder(symbol)}") for table in (RAW_FILINGS, LINE_ITEMS)))


class FilingHolder(SymbolLookup):
    """The lake as what tells whether a symbol is known by its filings."""

    def __init__(self, store: Store) -> None:
        self.place = f"the lake at {store.url}"
        self._store = store

    def symbols(self) -> list[str]:
        """As in ``SymbolLookup``."""
        return symbols_kept(self._store)

    all_symbols = symbols

    def has_symbol(self, symbol: str) -> bool:
        """As in ``SymbolLookup``: filings, or that it was asked for some."""
        return read_state(self._store, symbol) is not None


def asked_symbols(settings: Settings, written: Sequence[str]) -> list[str]:
    """The symbols that ``written`` means. UnknownSymbolError for one that neither the setting nor the lake's filings know."""
    holder = FilingHolder(existing_store(settings))
    return resolve_symbols(written, settings.symbols, holder, hint="`stockctl filings fetch` fetches a company's filings")


def asked_symbol(settings: Settings, written: str) -> str:
    """As ``asked_symbols``, of one."""
    holder = FilingHolder(existing_store(settings))
    return resolve_symbol(written, settings.symbols, holder, hint=f"`stockctl filings fetch {written}` fetches its filings")


def read_state(store: Store, symbol: str) -> State | None:
    """What the last fetch of ``symbol`` left; None if there was none."""
    try:
        return state_of(store, symbol, store.get(fetch_state_key(symbol)))
    except AbsentError:
        return None


def state_of(store: Store, symbol: str, data: bytes) -> State:
    """The state in ``data``, which lies in the store as that of ``symbol``; StockctlError if it is none."""
    try:
        state = decode(data, State)
        problem = _state_problem(state, symbol)
    except UNREADABLE as error:
        problem = decode_problem(error)
    if problem is not None:
        raise StockctlError(
            f"{fetch_state_key(symbol)} in {store.url} is no state of a fetch: {problem}", hint="delete it, and fetch again"
        )
    return state


def _state_problem(state: State, symbol: str) -> str | None:
    """What is wrong with the values of a state of ``symbol``; None if nothing is."""
    try:
        for day in filter(None, (state.since, state.newest)):
            date.fromisoformat(day)
        is_zoned = state.at.tzinfo is not None
    except ValueError:
        return f"one of {quoted(state.since)}, {quoted(state.newest)} and {quoted(state.fetched)} is no date"
    if not is_zoned or fetch_state_key(state.symbol) != fetch_state_key(symbol):
        return f"it is of {quoted(state.symbol)}, fetched at {quoted(state.fetched)}"
    return None


def write_state(store: Store, state: State) -> None:
    """Note a whole fetch."""
    store.put(fetch_state_key(state.symbol), msgspec.json.encode(state))


def symbols_kept(store: Store) -> list[str]:
    """Folder names (``AAPL``) of the symbols of which the lake holds filings, sorted."""
    return [ticker_of(name) for name in store.folders(RAW_FILINGS)]


def read_raw(store: Store, symbol: str, accession: str) -> bytes:
    """One report as received; UsageError if the lake does not hold it."""
    if not _ACCESSION.fullmatch(accession):
        raise UsageError(f"{quoted(accession)} is no accession number", hint="write one as 0000320193-25-000073, or latest")
    try:
        return store.get(raw_filing_key(symbol, accession))
    except AbsentError:
        raise UsageError(
            f"the lake at {store.url} holds no filing {accession} of {symbol}", hint=f"`stockctl filings list {symbol}`"
        ) from None


def read_filings(settings: Settings, symbol: str) -> list[Filing]:
    """Every filing of ``symbol`` that the lake holds, the oldest acceptance first; empty if there is none.

    Amendments stand beside what they amend. FilingError if one of them cannot be read as a report.
    """
    store = existing_store(settings)
    numbers = sorted(kept(store, symbol).raw)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="filings") as pool:
        found = list(pool.map(lambda number: kept_filing(read_raw(store, symbol, number), symbol, number), numbers))
    return sorted(found, key=_order)


def filing_of(raw: bytes, symbol: str) -> Filing:
    """The report in ``raw``, as one of ``symbol``, under which it lies: Finnhub may name another class of the shares."""
    return msgspec.structs.replace(parse_filing(raw, symbol), symbol=symbol)


def kept_filing(raw: bytes, symbol: str, accession: str) -> Filing:
    """The report in ``raw``, which lies in the lake under these names. FilingError if it is damaged, or another one."""
    try:
        filing = filing_of(raw, symbol)
        if filing.accession != accession:
            raise FilingError(f"the report says that it is {filing.accession}")  # noqa: TRY301  # told below
    except FilingError as error:
        hint = "delete it, and fetch it again: `stockctl filings fetch --full`"
        raise FilingError(f"{raw_filing_key(symbol, accession)} is damaged: {error}", hint=hint) from error
    return filing


def links_of(filing: Filing, state: State | None) -> Links:
    """Where the SEC shows ``filing``: as Finnhub told, else the index page, whose address follows from the numbers."""
    if state is not None and filing.accession in state.links:
        return state.links[filing.accession]
    if not filing.cik.isdecimal():
        return Links()
    plain = filing.accession.replace("-", "")
    return Links(index=f"https://www.sec.gov/Archives/edgar/data/{int(filing.cik)}/{plain}/{filing.accession}-index.html")


def _order(filing: Filing) -> tuple[datetime, date, str]:
    return filing.known or datetime.min.replace(tzinfo=UTC), filing.end or date.min, filing.accession


def _accessions(store: Store, folder: str) -> set[str]:
    names = (item.key.rpartition("/")[2].partition(".")[0] for item in store.objects(folder))
    return {name for name in names if _ACCESSION.fullmatch(name)}
