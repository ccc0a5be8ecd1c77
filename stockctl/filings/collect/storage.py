"""Stores fetched reports: each one in the lake, as received and as line items, and as a document in MongoDB.

The order of writes makes a crash at any point harmless:

1. The report as received, put if absent. From here on it cannot be lost.
2. Its line items, put if absent. They derive from the object of step 1 alone, so every writer produces the same bytes.
3. Its document, upserted. It derives from step 1 as well.
4. After all reports of a symbol, its state. Now the symbol counts as fetched.

A crash after 1 or 2 leaves a report without line items or document. The next fetch sees that in the listings and writes them
from step 1, without another request to Finnhub. A crash before 4 leaves a symbol that is requested again; of the answer only
what is absent is put. Two fetches at the same time are safe: the first put of 1 wins, and the other one derives 2 and 3 from
that object.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import NoReturn, TypeVar

import msgspec
from isal import igzip

from stockctl.clients.mongo import Mongo
from stockctl.clients.object_store import AbsentError, ExistsError, Store
from stockctl.errors import StockctlError, TimedOutError, UnreachableError
from stockctl.exchange.calendar import now_ms
from stockctl.filings.collect.filing_document import document_id, document_of
from stockctl.filings.model import Filing, line_item_records
from stockctl.filings.repository import (
    State,
    StoredAccessions,
    links_of,
    parse_state,
    parse_stored,
    read_raw,
    stored_accessions,
    write_state,
)
from stockctl.lake.format.claims import lake_source
from stockctl.lake.format.keys import fetch_state_key, line_items_key, raw_filing_key
from stockctl.mongo import schema
from stockctl.mongo.allowed_sources import foreign_sources
from stockctl.mongo.schema import COMPANIES, FILINGS
from stockctl.service import retry
from stockctl.settings import Settings, ValuationSettings

log = logging.getLogger("stockctl.filings")

Result = TypeVar("Result")

RefreshCompany = Callable[[Mongo, ValuationSettings, str], None]
"""Updates the company document of a symbol from its filings in MongoDB."""

_encode = msgspec.json.Encoder().encode
_GZIP_LEVEL = 2  # of isal's 0 to 3
_BATCH = 50  # documents per write


class LakeError(StockctlError):
    """The lake cannot be written: fetching more is pointless. ``__cause__`` is the reason."""

    def __init__(self, error: StockctlError) -> None:
        super().__init__(str(error), hint=error.hint)
        self.exit_code = error.exit_code


class FilingStore:
    """Writes reports into the lake, and into MongoDB if one is configured. Thread-safe.

    Retries while the lake's store is unreachable, for at most ``lake.store_wait``; then raises LakeError. While MongoDB is
    unreachable only the lake is written: ``mongo_error`` is the reason, and the next fetch writes the missing documents.
    """

    def __init__(
        self, store: Store, mongo: Mongo | None, settings: Settings, stop: threading.Event, refresh: RefreshCompany
    ) -> None:
        self._store, self._mongo, self._settings, self._stop, self._refresh = store, mongo, settings, stop, refresh
        self.source = settings.finnhub.rest_source
        self.mongo_error: StockctlError | None = None
        self.mongo_is_local_stack = settings.origin("mongo.url").startswith("local stack")
        """The local stack's address stays in the settings when the stack is down, so an unreachable one is no failure."""

    def prepare(self) -> None:
        """Check the source and wait for MongoDB. StockctlError if simulated and real filings would mix."""
        first = self._retry(lambda: lake_source(self._store, self.source))
        if self.source not in {first, *self._settings.lake.extra_sources}:
            self._refuse(f"the lake at {self._store.url}", first, "lake.extra_sources")
        if self._mongo is not None:
            try:
                self._mongo.wait(say=log.warning)
                schema.apply(self._mongo, self._settings.mongo)
                begun, mixing = foreign_sources(self._mongo, self.source, set(self._settings.mongo.extra_sources))
            except (UnreachableError, TimedOutError) as error:
                self.mongo_error = error
                return
            if mixing:
                other = min(mixing - {self.source}, default=begun)
                self._refuse(f"MongoDB at {self._mongo.place}", str(other), "mongo.extra_sources")

    def _refuse(self, place: str, other: str, setting: str) -> NoReturn:
        raise StockctlError(
            f"{place} holds data of the source {other}, and filings come from {self.source}: they would mix",
            hint=f"use another place, or name the source in {setting}",
        )

    def state(self, symbol: str) -> State | None:
        """The state after the last fetch of ``symbol``. StockctlError if it is damaged: the symbol fails, others do not."""
        try:
            data = self._retry(lambda: self._store.get(fetch_state_key(symbol)))
        except AbsentError:
            return None
        return parse_state(self._store, symbol, data)

    def stored(self, symbol: str) -> StoredAccessions:
        """The reports of ``symbol`` in the lake."""
        return self._retry(lambda: stored_accessions(self._store, symbol))

    def put(self, symbol: str, raw: bytes, filing: Filing) -> int:
        """Steps 1 and 2 for one report. Returns when it was in the lake, in ms UTC."""
        key = raw_filing_key(symbol, filing.accession)
        is_new = self._put_if_absent(key, raw)
        at = now_ms()
        if not is_new:
            filing = parse_stored(self._retry(lambda: self._store.get(key)), symbol, filing.accession)
        self._put_line_items(symbol, filing)
        return at

    def put_missing_line_items(self, symbol: str, stored: StoredAccessions) -> int:
        """Step 2 for the reports that an interrupted fetch left without line items; returns how many."""
        missing = sorted(stored.raw - stored.line_items)
        for number in missing:
            self._put_line_items(symbol, self._read(symbol, number))
        return len(missing)

    def put_documents(self, symbol: str, numbers: Iterable[str], state: State, *, fresh: bool = False) -> None:
        """Step 3 for the reports ``numbers`` that MongoDB lacks; then update the company document.

        The company document of a ``fresh`` symbol is left alone if nothing is missing. StockctlError if MongoDB rejects a
        report.
        """
        if self._mongo is None or self.mongo_error is not None:
            return
        wanted = {document_id(symbol, number): number for number in numbers}
        try:
            present = {one["_id"] for one in self._mongo.find(FILINGS, {"symbol": symbol}, ["_id"])}
            missing = sorted(wanted.keys() - present)
            if fresh and not missing and (self._mongo.get(COMPANIES, symbol) or {}).get("filing"):
                return
            for start in range(0, len(missing), _BATCH):
                filings = [self._read(symbol, wanted[one]) for one in missing[start : start + _BATCH]]
                bad = self._mongo.upsert(FILINGS, [document_of(one, self.source, links_of(one, state)) for one in filings])
                if bad:
                    raise StockctlError(f"MongoDB rejects {filings[bad[0].number].accession}: {bad[0].reason}")
            self._refresh(self._mongo, self._settings.valuation, symbol)
        except (UnreachableError, TimedOutError) as error:
            self.mongo_error = error

    def put_state(self, state: State) -> None:
        """Step 4. ``documented`` is whether step 3 succeeded for all reports; without MongoDB it stays as it was.

        The times at which reports were put stay as another fetch has recorded them meanwhile.
        """
        before = self.state(state.symbol)
        if before is not None and before.stored is not None:
            state = msgspec.structs.replace(state, stored=(state.stored or {}) | before.stored)
        if self._mongo is not None:
            state = msgspec.structs.replace(state, documented=self.mongo_error is None)
        self._retry(lambda: write_state(self._store, state))

    def _read(self, symbol: str, number: str) -> Filing:
        return parse_stored(self._retry(lambda: read_raw(self._store, symbol, number)), symbol, number)

    def _put_line_items(self, symbol: str, filing: Filing) -> None:
        data = b"".join(_encode(record) + b"\n" for record in line_item_records(filing))
        self._put_if_absent(line_items_key(symbol, filing.accession), igzip.compress(data, _GZIP_LEVEL, mtime=0))

    def _put_if_absent(self, key: str, data: bytes) -> bool:
        """Put ``data`` unless the key exists. False if it did exist; a lost answer can make our own put look like that."""

        def put() -> bool:
            try:
                self._store.put_new(key, data)
            except ExistsError as error:
                # A conflict can look like an existing object: check, and put again if there is none.
                if not self._store.exists(key):
                    raise UnreachableError(f"{self._store.url} reports that {key} exists, but it does not") from error
                return False
            return True

        return self._retry(put)

    def _retry(self, call: Callable[[], Result]) -> Result:
        """The result of ``call``, retried while the store is unreachable. LakeError when that lasts too long."""
        try:
            return retry(
                call,
                lambda error: isinstance(error, UnreachableError),
                stop=self._stop,
                within=self._settings.lake.store_wait,
            )
        except (AbsentError, ExistsError):
            raise
        except StockctlError as error:
            raise LakeError(error) from error
