"""Keeping what was fetched: each report in the lake, as received and as line items, and as a document in MongoDB.

The order, and why a crash at any point loses nothing and repeats nothing that was kept:

1. The report as received is put, only if absent. From here on nothing that came can be lost.
2. Its line items are put, only if absent. They follow from what lies under 1 alone, so whoever makes them makes the same.
3. Its document is upserted, which also follows from 1.
4. When all reports of a symbol are kept, its state is put: now the symbol counts as fetched.

A crash after 1 or 2 leaves a report whose line items or document are absent. The next fetch sees that in the listings, and
makes them from 1, without asking Finnhub again (``mend``). A crash before 4 leaves a symbol that is asked for again, and of the
answer only what is absent is put. Two fetches at the same time do no harm: who puts 1 first wins, and the other makes 2 and 3
from it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import NoReturn, TypeVar

import msgspec
from isal import igzip

from stockctl.clients.mongo import Mongo
from stockctl.clients.store import AbsentError, ExistsError, Store
from stockctl.errors import StockctlError, TimedOutError, UnreachableError
from stockctl.filings.collect.mongo_document import document_id, document_of
from stockctl.filings.model import Filing, lines
from stockctl.filings.repository import Kept, State, kept, kept_filing, links_of, read_raw, state_of, write_state
from stockctl.lake.format.claims import lake_source
from stockctl.lake.format.keys import fetch_state_key, line_items_key, raw_filing_key
from stockctl.mongo import schema
from stockctl.mongo.schema import COMPANIES, FILINGS
from stockctl.mongo.source_guard import strangers
from stockctl.service import retry
from stockctl.settings import Settings

log = logging.getLogger("stockctl.filings")

Result = TypeVar("Result")

RefreshCompany = Callable[[Mongo, Settings, str], None]
"""Brings the company document of a symbol up to date with its filings in MongoDB."""

_encode = msgspec.json.Encoder().encode
_EFFORT = 2  # gzip: isal's level
_AT_ONCE = 50  # documents in one write


class LakeError(StockctlError):
    """The lake takes nothing now: to fetch more would be in vain. ``__cause__`` tells why."""

    def __init__(self, error: StockctlError) -> None:
        super().__init__(str(error), hint=error.hint)
        self.exit_code = error.exit_code


class FilingStore:
    """Puts reports into the lake of the settings, and into MongoDB if there is one. Usable from several threads.

    A store that is away for a while is waited for, at most ``lake.store_wait``; after that, LakeError. While MongoDB is away
    the lake alone is filled: ``documents_lost`` tells why, and the next fetch puts what is missing.
    """

    def __init__(
        self, store: Store, mongo: Mongo | None, settings: Settings, stop: threading.Event, refresh: RefreshCompany
    ) -> None:
        self._store, self._mongo, self._settings, self._stop, self._refresh = store, mongo, settings, stop, refresh
        self.source = settings.finnhub.rest_source
        self.documents_lost: StockctlError | None = None
        self.is_stand_in = settings.origin("mongo.url").startswith("local stack")
        """Whether MongoDB is the local stack's, whose address stays when it is down: then its absence is no failure."""

    def begin(self) -> None:
        """Refuse a second source, and make sure of MongoDB. StockctlError if simulated and real filings would mix."""
        first = self.patiently(lambda: lake_source(self._store, self.source))
        if self.source not in {first, *self._settings.lake.extra_sources}:
            self._refuse(f"the lake at {self._store.url}", first, "lake.extra_sources")
        if self._mongo is not None:
            try:
                self._mongo.wait(say=log.warning)
                schema.apply(self._mongo, self._settings)
                begun, mixing = strangers(self._mongo, self.source, set(self._settings.mongo.extra_sources))
            except (UnreachableError, TimedOutError) as error:
                self.documents_lost = error
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
        """What the last fetch of ``symbol`` left; StockctlError if it is damaged, which ends no other symbol's fetch."""
        try:
            data = self.patiently(lambda: self._store.get(fetch_state_key(symbol)))
        except AbsentError:
            return None
        return state_of(self._store, symbol, data)

    def kept(self, symbol: str) -> Kept:
        """What the lake holds of ``symbol``."""
        return self.patiently(lambda: kept(self._store, symbol))

    def put(self, symbol: str, raw: bytes, filing: Filing) -> None:
        """Steps 1 and 2 for one report."""
        key = raw_filing_key(symbol, filing.accession)
        if not self._put_once(key, raw):
            filing = kept_filing(self.patiently(lambda: self._store.get(key)), symbol, filing.accession)
        self._put_flat(symbol, filing)

    def mend(self, symbol: str, there: Kept) -> int:
        """Make the line items that a crash has left out; how many."""
        missing = sorted(there.raw - there.flat)
        for number in missing:
            self._put_flat(symbol, self._read(symbol, number))
        return len(missing)

    def document(self, symbol: str, numbers: Iterable[str], state: State, *, fresh: bool = False) -> None:
        """Step 3 for the reports ``numbers``: those that MongoDB lacks, and what follows from all of them for the company.

        Of a ``fresh`` symbol nothing is computed again where nothing is missing. StockctlError if MongoDB refuses a report.
        """
        if self._mongo is None or self.documents_lost is not None:
            return
        wanted = {document_id(symbol, number): number for number in numbers}
        try:
            there = {one["_id"] for one in self._mongo.find(FILINGS, {"symbol": symbol}, ["_id"])}
            missing = sorted(wanted.keys() - there)
            if fresh and not missing and (self._mongo.get(COMPANIES, symbol) or {}).get("filing"):
                return
            for start in range(0, len(missing), _AT_ONCE):
                filings = [self._read(symbol, wanted[one]) for one in missing[start : start + _AT_ONCE]]
                bad = self._mongo.upsert(FILINGS, [document_of(one, self.source, links_of(one, state)) for one in filings])
                if bad:
                    raise StockctlError(f"MongoDB does not take {filings[bad[0].number].accession}: {bad[0].reason}")
            self._refresh(self._mongo, self._settings, symbol)
        except (UnreachableError, TimedOutError) as error:
            self.documents_lost = error

    def finish(self, state: State) -> None:
        """Step 4, with whether step 3 was done for all; without MongoDB that stays as it was."""
        noted = state if self._mongo is None else msgspec.structs.replace(state, documented=self.documents_lost is None)
        self.patiently(lambda: write_state(self._store, noted))

    def _read(self, symbol: str, number: str) -> Filing:
        return kept_filing(self.patiently(lambda: read_raw(self._store, symbol, number)), symbol, number)

    def _put_flat(self, symbol: str, filing: Filing) -> None:
        data = b"".join(_encode(line) + b"\n" for line in lines(filing))
        self._put_once(line_items_key(symbol, filing.accession), igzip.compress(data, _EFFORT, mtime=0))

    def _put_once(self, key: str, data: bytes) -> bool:
        """Put ``data`` unless something is there; whether it was this call that did, as far as anyone can tell."""

        def put() -> bool:
            try:
                self._store.put_new(key, data)
            except ExistsError:
                # It stands there already, or a conflict looks like it: then it is put again.
                try:
                    self._store.size(key)
                except AbsentError as error:
                    raise UnreachableError(f"{self._store.url} answers that {key} is there, and it is not") from error
                return False
            return True

        return self.patiently(put)

    def patiently(self, call: Callable[[], Result]) -> Result:
        """The answer of ``call`` to the lake, tried again while the store is away; LakeError when that lasts too long."""
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
