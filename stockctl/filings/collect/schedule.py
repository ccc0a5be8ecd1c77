"""One run of ``filings fetch``, or one after the other: what is opened, which symbols are meant, when each is due again."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from stockctl.clients.finnhub.rest import FinnhubRest, LimitReachedError
from stockctl.clients.mongo import Mongo
from stockctl.clients.store import open_store
from stockctl.errors import ConfigError, RefusedError, StockctlError
from stockctl.filings.collect.collector import Collector, FetchRequest, Outcome, all_us, configured, named
from stockctl.filings.collect.storage import FilingStore, RefreshCompany
from stockctl.service import Service
from stockctl.settings import Settings
from stockctl.units import counted, format_duration

log = logging.getLogger("stockctl.filings")

_AGAIN = 3600.0  # a symbol that failed is due again after this long, in seconds
_STAND_IN_WAIT = 2.0
_ROUNDS = 50  # at most this many rounds in the time after which each symbol is due: they come in bunches

Advance = Callable[[int, int], None]
"""Told how many symbols are done, of how many."""


class SymbolSelection(NamedTuple):
    """Which symbols are meant: those named, else all common stock of the US exchanges, else the configured ones."""

    symbols: Sequence[str] = ()
    all_us: bool = False


class Run(NamedTuple):
    """What came of each symbol, the error that the run as a whole ends with, if any, and what else is worth a word."""

    outcomes: list[Outcome]
    failure: StockctlError | None
    note: str | None


class Runs:
    """Opens what a fetch needs; a context that closes it. Errors of the settings come when it is made."""

    def __init__(
        self,
        settings: Settings,
        choice: SymbolSelection,
        order: FetchRequest,
        stop: threading.Event,
        refresh: RefreshCompany,
    ) -> None:
        self._settings, self._choice, self._order, self._stop, self._refresh = settings, choice, order, stop, refresh
        # What is asked for wrongly is told before anything is opened.
        self._named = named(choice.symbols) if choice.symbols else [] if choice.all_us else configured(settings)
        self._trouble: str | None = None
        self._store = open_store(settings)
        self._opened = ExitStack()
        self._gateway = self._opened.enter_context(FinnhubRest(settings, stop=stop))
        with_documents = settings.mongo.url is not None and not order.dry_run
        # The local stack's own answers at once, or is down.
        wait = _STAND_IN_WAIT if settings.origin("mongo.url").startswith("local stack") else None
        self._mongo = self._opened.enter_context(Mongo(settings, wait=wait)) if with_documents else None

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def symbols(self) -> list[str]:
        """The symbols that are meant, as of now."""
        return all_us(self._gateway.symbols()) if self._choice.all_us and not self._named else self._named

    def once(self, advance: Advance = lambda _done, _all: None) -> Run:
        """Fetch every symbol that is not fresh."""
        fetch, outcomes = self._fetch(self.symbols(), self._order, advance)
        failure = fetch.failure
        left = sum(outcome.state == "not tried" for outcome in outcomes)
        if failure is None and left:
            failure = StockctlError(f"stopped, with {counted(left, 'symbol')} not tried", hint="the next fetch goes on there")
        return Run(outcomes, failure, fetch.note)

    def repeat(self, service: Service, every: float) -> None:
        """Fetch each symbol again ``every`` seconds after it was fetched last, by whomever, until the service stops.

        Ends with the settings, the key or the lake's rights refused; other trouble, as that of one symbol, is logged, tells
        itself at ``/healthz``, and is tried again.
        """
        order = self._order
        due: dict[str, datetime] = {}
        pause = min(_AGAIN, every)
        while not service.stop.is_set():
            trouble: StockctlError | None = None
            ended: StockctlError | None = None
            now = datetime.now(UTC)
            try:
                known = self.symbols()
                ready = [symbol for symbol in known if due.get(symbol, now) <= now]
                fetch, outcomes = self._fetch(ready, order._replace(fresh_for=every), lambda _done, _all: None)
                trouble, ended = fetch.failure, fetch.ended
                due = {symbol: due[symbol] for symbol in known if symbol in due} | {
                    outcome.symbol: fetch.fetched.get(outcome.symbol, now + timedelta(seconds=pause - every))
                    + timedelta(seconds=every)
                    for outcome in outcomes
                }
                _tell(outcomes)
            except StockctlError as error:
                trouble = ended = error
            if ended is not None and _lasts(ended):
                raise ended
            if trouble is not None:
                log.warning("%s", trouble)
            self._trouble = str(trouble) if trouble else None
            service.health = lambda: self._trouble
            next_due = min(due.values(), default=now + timedelta(seconds=pause))
            wait = max((next_due - datetime.now(UTC)).total_seconds(), every / _ROUNDS)
            log.info("next look in %s", format_duration(wait))
            service.stop.wait(wait)

    def _fetch(self, symbols: Sequence[str], order: FetchRequest, advance: Advance) -> tuple[Collector, list[Outcome]]:
        keeper = FilingStore(self._store, self._mongo, self._settings, self._stop, self._refresh)
        if not order.dry_run:
            keeper.begin()
        fetch = Collector(self._settings, self._gateway, keeper, order, self._stop)
        done: list[str] = []

        def told(outcome: Outcome) -> None:
            done.append(outcome.symbol)
            advance(len(done), len(symbols))

        advance(0, len(symbols))
        return fetch, fetch.run(symbols, told)


def _lasts(error: StockctlError) -> bool:
    """Whether trying again is in vain: refused, for another reason than the key's limit, which passes."""
    return error.exit_code in (ConfigError.exit_code, RefusedError.exit_code) and not isinstance(error, LimitReachedError)


def _tell(outcomes: Sequence[Outcome]) -> None:
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
