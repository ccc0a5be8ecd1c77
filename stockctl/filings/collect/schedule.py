"""Runs fetches: opens the clients, selects the symbols, and decides when each symbol is due again."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from stockctl.clients.finnhub.rest import FinnhubRest, LimitReachedError
from stockctl.clients.mongo import Mongo
from stockctl.clients.object_store import open_store
from stockctl.errors import ConfigError, RefusedError, StockctlError
from stockctl.filings.collect.collector import Collector, OnProgress, Outcome
from stockctl.filings.collect.plan import FetchRequest
from stockctl.filings.collect.storage import FilingStore, RefreshCompany
from stockctl.filings.collect.symbol_selection import SymbolSelection, configured_stocks, named_stocks, us_common_stocks
from stockctl.service import Service
from stockctl.settings import Settings
from stockctl.units import counted, format_duration

log = logging.getLogger("stockctl.filings")

_RETRY_AFTER = 3600.0  # seconds until a failed symbol is due again
_LOCAL_STACK_WAIT = 2.0  # seconds: the local stack's MongoDB answers at once, or is down
_ROUNDS = 50  # at most this many rounds per interval, so that symbols are fetched in batches


class FetchResult(NamedTuple):
    """The outcome of each symbol, the error that the run ends with (None on success), and a note for the user."""

    outcomes: list[Outcome]
    failure: StockctlError | None
    note: str | None


class FetchSchedule:
    """A context that opens the clients of a fetch and closes them. The constructor raises the errors of the settings."""

    def __init__(
        self,
        settings: Settings,
        selection: SymbolSelection,
        request: FetchRequest,
        stop: threading.Event,
        refresh: RefreshCompany,
    ) -> None:
        self._settings, self._request, self._stop, self._refresh = settings, request, stop, refresh
        # Check the symbols before opening anything.
        self._symbols = (
            named_stocks(selection.symbols) if selection.symbols else [] if selection.all_us else configured_stocks(settings)
        )
        self._problem: str | None = None
        self._store = open_store(settings)
        self._clients = ExitStack()
        self._finnhub = self._clients.enter_context(FinnhubRest(settings, stop=stop))
        with_documents = settings.mongo.url is not None and not request.dry_run
        wait = _LOCAL_STACK_WAIT if settings.origin("mongo.url").startswith("local stack") else None
        self._mongo = self._clients.enter_context(Mongo(settings, wait=wait)) if with_documents else None

    def __enter__(self) -> FetchSchedule:
        return self

    def __exit__(self, *_: object) -> None:
        self._clients.close()

    def symbols(self) -> list[str]:
        """The selected symbols. With ``all_us`` the list is Finnhub's of now."""
        return self._symbols or us_common_stocks(self._finnhub.symbols())

    def once(self, on_progress: OnProgress = lambda _done, _all: None) -> FetchResult:
        """Fetch every symbol that is not fresh."""
        collector, outcomes = self._fetch(self.symbols(), self._request, on_progress)
        failure = collector.failure
        left = sum(outcome.state == "not tried" for outcome in outcomes)
        if failure is None and left:
            failure = StockctlError(f"stopped, with {counted(left, 'symbol')} not tried", hint="the next fetch resumes there")
        return FetchResult(outcomes, failure, collector.note)

    def repeat(self, service: Service, every: float) -> None:
        """Fetch each symbol again ``every`` seconds after its last fetch, by any machine, until the service stops.

        Raises if the settings are wrong, or if the key or the access to the lake is refused. Other errors, such as a failed
        symbol, are logged, reported at ``/healthz``, and retried.
        """
        due: dict[str, datetime] = {}
        retry_after = min(_RETRY_AFTER, every)
        while not service.stop.is_set():
            problem: StockctlError | None = None
            fatal: StockctlError | None = None
            now = datetime.now(UTC)
            try:
                symbols = self.symbols()
                ready = [symbol for symbol in symbols if due.get(symbol, now) <= now]
                request = self._request._replace(fresh_for=every)
                collector, outcomes = self._fetch(ready, request, lambda _done, _all: None)
                problem, fatal = collector.failure, collector.fatal
                due = {symbol: due[symbol] for symbol in symbols if symbol in due} | {
                    outcome.symbol: collector.fetched.get(outcome.symbol, now + timedelta(seconds=retry_after - every))
                    + timedelta(seconds=every)
                    for outcome in outcomes
                }
                _log(outcomes)
            except StockctlError as error:
                problem = fatal = error
            if fatal is not None and _is_permanent(fatal):
                raise fatal
            if problem is not None:
                log.warning("%s", problem)
            self._problem = str(problem) if problem else None
            service.health = lambda: self._problem
            next_due = min(due.values(), default=now + timedelta(seconds=retry_after))
            wait = max((next_due - datetime.now(UTC)).total_seconds(), every / _ROUNDS)
            log.info("next fetch in %s", format_duration(wait))
            service.stop.wait(wait)

    def _fetch(self, symbols: Sequence[str], request: FetchRequest, on_progress: OnProgress) -> tuple[Collector, list[Outcome]]:
        storage = FilingStore(self._store, self._mongo, self._settings, self._stop, self._refresh)
        if not request.dry_run:
            storage.prepare()
        collector = Collector(self._settings.filings, self._finnhub, storage, request, self._stop)
        return collector, collector.run(symbols, on_progress)


def _is_permanent(error: StockctlError) -> bool:
    """Whether a retry cannot succeed. The key's limit is a refusal too, but it passes."""
    return error.exit_code in (ConfigError.exit_code, RefusedError.exit_code) and not isinstance(error, LimitReachedError)


def _log(outcomes: Sequence[Outcome]) -> None:
    counts = Counter(outcome.state for outcome in outcomes)
    log.info(
        "%s: %s; %s",
        counted(len(outcomes), "symbol"),
        ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none was due",
        counted(sum(outcome.new for outcome in outcomes), "new report"),
    )
    for outcome in outcomes:
        if outcome.state == "failed":
            log.warning("%s: %s", outcome.symbol, outcome.detail)
