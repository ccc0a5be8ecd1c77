"""``filings fetch``: brings reports of many symbols from Finnhub into the lake and MongoDB.

A symbol's failure does not stop the others. A refused key, a limit that stays reached, or a lake that cannot be written ends
the run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, date, datetime
from typing import Literal, NamedTuple

from stockctl.clients.finnhub.rest import FinnhubRest, NoAccessError
from stockctl.clients.rate_limit import StoppedError
from stockctl.errors import ConfigError, RefusedError, StockctlError
from stockctl.filings.collect.plan import FetchPlan, FetchRequest, age_of, merged_links, next_state, plan_fetch, stored_times
from stockctl.filings.collect.storage import FilingStore, LakeError
from stockctl.filings.model import Filing, FilingError
from stockctl.filings.repository import Links, State, StoredAccessions, filing_of
from stockctl.settings import FilingsSettings
from stockctl.units import counted, format_duration

OnProgress = Callable[[int, int], None]
"""Called with the number of symbols that are done, and of all symbols."""

OutcomeState = Literal["fetched", "up to date", "fresh", "none", "failed", "not tried"]

_LAKE_ALONE = "MongoDB may lack reports that the lake has: {}"


class Outcome(NamedTuple):
    """The result for one symbol: ``new`` reports written (in a dry run: found), and ``stored`` ones in the lake in total."""

    symbol: str
    state: OutcomeState
    new: int
    stored: int
    detail: str


class Received(NamedTuple):
    """Finnhub's answer: reports by accession number, as received and parsed, and why the other ones cannot be read."""

    reports: dict[str, tuple[bytes, Filing]]
    unreadable: list[FilingError]


class Collector:
    """Fetches symbols once.

    ``errors`` are by symbol. ``fatal`` is the error that ended the run early. ``fetched`` has the time of each symbol's last
    complete fetch.
    """

    def __init__(
        self,
        settings: FilingsSettings,
        finnhub: FinnhubRest,
        storage: FilingStore,
        request: FetchRequest,
        stop: threading.Event,
    ) -> None:
        self._finnhub, self._storage, self._request, self._stop = finnhub, storage, request, stop
        self._workers = settings.workers
        self._fresh_for = settings.fresh_for if request.fresh_for is None else request.fresh_for
        self.errors: dict[str, StockctlError] = {}
        self.fetched: dict[str, datetime] = {}
        self.fatal: StockctlError | None = None

    def run(self, symbols: Sequence[str], on_progress: OnProgress) -> list[Outcome]:
        """Fetch ``symbols``; their outcomes in the same order."""
        outcomes: dict[str, Outcome] = {}
        on_progress(0, len(symbols))
        with ThreadPoolExecutor(self._workers, thread_name_prefix="fetch") as pool:
            for done in as_completed([pool.submit(self._fetch, symbol) for symbol in symbols]):
                outcome = done.result()
                outcomes[outcome.symbol] = outcome
                on_progress(len(outcomes), len(symbols))
        return [outcomes[symbol] for symbol in symbols]

    @property
    def failure(self) -> StockctlError | None:
        """The error that the command ends with, None on success. If all symbols failed alike, it has their exit code."""
        if self.fatal is not None:
            return self.fatal
        if self.errors:
            return _combined(list(self.errors.values()))
        if (cause := self._storage.mongo_error) is not None and not self._storage.mongo_is_local_stack:
            error = StockctlError(_LAKE_ALONE.format(cause), hint="the next fetch writes the missing documents")
            error.exit_code = cause.exit_code
            return error
        return None

    @property
    def note(self) -> str | None:
        """What the user should know although it is no failure."""
        error = self._storage.mongo_error
        return _LAKE_ALONE.format(error) if error is not None and self._storage.mongo_is_local_stack else None

    def _fetch(self, symbol: str) -> Outcome:
        if self.fatal is not None or self._stop.is_set():
            return Outcome(symbol, "not tried", 0, 0, "the run ended before")
        try:
            return self._collect(symbol)
        except StoppedError:
            return Outcome(symbol, "not tried", 0, 0, "stopped in progress; reports that arrived are stored")
        except (LakeError, ConfigError) as error:
            self.fatal = error
            return Outcome(symbol, "failed", 0, 0, str(error))
        except StockctlError as error:
            if isinstance(error, RefusedError) and not isinstance(error, NoAccessError):
                self.fatal = error
            else:
                self.errors[symbol] = error
            return Outcome(symbol, "failed", 0, 0, str(error))

    def _collect(self, symbol: str) -> Outcome:
        state = self._storage.state(symbol)
        stored = self._storage.stored(symbol)
        now = datetime.now(UTC)
        plan = plan_fetch(state, len(stored.raw), self._request, self._fresh_for, now)
        if state is not None and plan.fresh:
            return self._skip(state, symbol, stored, now)
        if self._request.dry_run:
            new = self._receive(symbol, plan.since).reports.keys() - stored.raw
            detail = "dry run: nothing was written"
            return Outcome(symbol, "fetched" if new else "up to date", len(new), len(stored.raw), detail)
        return self._update(symbol, plan, state, stored)

    def _skip(self, state: State, symbol: str, stored: StoredAccessions, now: datetime) -> Outcome:
        """A fresh symbol: request nothing, but complete its documents, since MongoDB may be new or may have lost them."""
        storage = self._storage
        if not self._request.dry_run:
            storage.put_documents(symbol, stored.raw, state, fresh=state.documented)
            if not state.documented and storage.mongo_error is None:
                storage.put_state(state)
        if storage.mongo_error is None:
            self.fetched[symbol] = state.at
        detail = f"fetched {format_duration(age_of(state, now))} ago; --full requests it again"
        return Outcome(symbol, "fresh", 0, len(stored.raw), detail)

    def _update(self, symbol: str, plan: FetchPlan, before: State | None, stored: StoredAccessions) -> Outcome:
        storage = self._storage
        completed = storage.put_missing_line_items(symbol, stored)
        received = self._receive(symbol, plan.since)
        new = {number: report for number, report in received.reports.items() if number not in stored.raw}
        put: dict[str, int] = {}
        for number, (raw, filing) in new.items():
            if self._stop.is_set():
                raise StoppedError("stopped")
            put[number] = storage.put(symbol, raw, filing)
        to_link = received.reports if plan.link_all else new
        links, note = self._links(symbol, [filing for _, filing in to_link.values()])
        numbers = stored.raw | new.keys()
        state = next_state(
            plan,
            before,
            symbol=symbol,
            source=storage.source,
            stored=len(numbers),
            period_ends=(filing.end for _, filing in received.reports.values()),
            links=merged_links(before, received.reports.keys(), links),
            times=stored_times(before, stored.changed, put),
            now=datetime.now(UTC),
        )
        storage.put_documents(symbol, numbers, state)
        if received.unreadable:
            raise received.unreadable[0]
        if not received.reports and not numbers:
            self._require_known(symbol)
            since = plan.lower_bound
            note = f"no report since {since}" if since else "no 10-K or 10-Q: a fund or a foreign company"
        storage.put_state(state)
        if storage.mongo_error is None:
            self.fetched[symbol] = state.at
        if completed:
            note = f"{counted(completed, 'report')} completed after an interrupted fetch; {note}".rstrip("; ")
        return Outcome(symbol, "fetched" if new else "up to date" if numbers else "none", len(new), len(numbers), note)

    def _receive(self, symbol: str, since: date | None) -> Received:
        received = Received({}, [])
        answers = (self._finnhub.reported(symbol, frequency, since) for frequency in ("annual", "quarterly"))
        for raw in [raw for answer in answers for raw in answer]:
            try:
                filing = filing_of(raw, symbol)
            except FilingError as error:
                received.unreadable.append(FilingError(f"a report of {symbol} is not stored: {error}", hint=error.hint))
            else:
                received.reports[filing.accession] = (raw, filing)
        return received

    def _links(self, symbol: str, filings: Sequence[Filing]) -> tuple[dict[str, Links], str]:
        """Links by accession number, including those of ``filings``; and a note if there are none."""
        if not filings:
            return {}, ""
        try:
            entries = self._finnhub.filings(symbol, min((one.filed for one in filings if one.filed), default=None))
        except NoAccessError as error:
            # Links are an extra: the reports themselves are stored.
            return {}, f"without links: {error}"
        return {entry.access_number: Links(entry.report_url or "", entry.filing_url or "") for entry in entries}, ""

    def _require_known(self, symbol: str) -> None:
        """StockctlError if Finnhub does not know ``symbol``: it answers with an empty list, and with a quote of zeros."""
        if not self._finnhub.quote(symbol).c:
            raise StockctlError(f"Finnhub knows no symbol {symbol}", hint="check its spelling")


def _combined(errors: Sequence[StockctlError]) -> StockctlError:
    first = errors[0]
    if len(errors) == 1:
        return first
    combined = StockctlError(f"{counted(len(errors), 'symbol')} failed, {first}", hint=first.hint or "fetch again")
    if {error.exit_code for error in errors} == {first.exit_code}:
        combined.exit_code = first.exit_code
    return combined
