"""``filings fetch``: reports of many symbols from Finnhub into the lake and MongoDB, whatever happens on the way.

What is in the lake says what is to be done: no machine remembers anything, so any may run the next fetch. A symbol's failure
stops no other; only a refused key, its limit that stays reached, or a lake that takes nothing, ends the run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, date, datetime, timedelta
from typing import Literal, NamedTuple

from stockctl.clients.finnhub.responses import Listed
from stockctl.clients.finnhub.rest import FinnhubRest, NoAccessError
from stockctl.clients.rate_limit import StoppedError
from stockctl.errors import ConfigError, RefusedError, StockctlError, UsageError
from stockctl.exchange.venues import has_venue
from stockctl.filings.collect.storage import FilingStore, LakeError
from stockctl.filings.model import Filing, FilingError
from stockctl.filings.repository import Links, State, filing_of
from stockctl.settings import Settings, require
from stockctl.units import counted, format_duration

Standing = Literal["fetched", "up to date", "fresh", "none", "failed", "not tried"]

_EXCHANGES = ("XNYS", "XNAS")
_NO_DOCUMENTS = "the lake holds everything, and MongoDB does not: {}"
_LOOK_BACK = timedelta(days=550)
"""Reports whose period ended this long before the newest one's are asked for again: late ones, and amendments of a year's."""


class Outcome(NamedTuple):
    """What came of one symbol: ``new`` reports put now (in a dry run: that would be put), ``kept`` ones in the lake."""

    symbol: str
    state: Standing
    new: int
    kept: int
    detail: str


class FetchRequest(NamedTuple):
    """What is to be fetched.

    ``since`` bounds the ends of periods; ``full`` asks for everything again, however fresh; ``fresh_for`` in seconds stands in
    place of the setting; ``dry_run`` asks, and puts nothing.
    """

    since: date | None = None
    full: bool = False
    dry_run: bool = False
    fresh_for: float | None = None


class Collector:
    """Fetches symbols once. ``errors`` are those of symbols that failed; ``ended`` is what ended the run before its end;
    ``fetched`` tells when each symbol was last fetched whole.
    """

    def __init__(
        self, settings: Settings, gateway: FinnhubRest, keeper: FilingStore, order: FetchRequest, stop: threading.Event
    ) -> None:
        self._gateway, self._keeper, self._order, self._stop = gateway, keeper, order, stop
        self._workers = settings.filings.workers
        self._fresh_for = settings.filings.fresh_for if order.fresh_for is None else order.fresh_for
        self.errors: dict[str, StockctlError] = {}
        self.fetched: dict[str, datetime] = {}
        self.ended: StockctlError | None = None

    def run(self, symbols: Sequence[str], advance: Callable[[Outcome], None] = lambda _: None) -> list[Outcome]:
        """Fetch ``symbols``; what came of each, in their order. ``advance`` is told of each as it is done."""
        found: dict[str, Outcome] = {}
        with ThreadPoolExecutor(self._workers, thread_name_prefix="fetch") as pool:
            for done in as_completed([pool.submit(self._one, symbol) for symbol in symbols]):
                outcome = done.result()
                found[outcome.symbol] = outcome
                advance(outcome)
        return [found[symbol] for symbol in symbols]

    @property
    def failure(self) -> StockctlError | None:
        """The error that the command ends with: of one kind if all failed alike; None if all went well."""
        if self.ended is not None:
            return self.ended
        if self.errors:
            first, *others = self.errors.values()
            if not others:
                return first
            told = StockctlError(f"{counted(len(self.errors), 'symbol')} failed, {first}", hint=first.hint or "fetch again")
            if {error.exit_code for error in self.errors.values()} == {first.exit_code}:
                told.exit_code = first.exit_code
            return told
        if (lost := self._keeper.documents_lost) is not None and not self._keeper.is_stand_in:
            error = StockctlError(_NO_DOCUMENTS.format(lost), hint="the next fetch puts there what is missing")
            error.exit_code = lost.exit_code
            return error
        return None

    @property
    def note(self) -> str | None:
        """What is worth a word and is no failure."""
        lost = self._keeper.documents_lost
        return _NO_DOCUMENTS.format(lost) if lost is not None and self._keeper.is_stand_in else None

    def _one(self, symbol: str) -> Outcome:
        if self.ended is not None or self._stop.is_set():
            return Outcome(symbol, "not tried", 0, 0, "the run ended before")
        try:
            return self._collect(symbol)
        except StoppedError:
            return Outcome(symbol, "not tried", 0, 0, "stopped on the way; what came is kept")
        except (LakeError, ConfigError) as error:
            self.ended = error
            return Outcome(symbol, "failed", 0, 0, str(error))
        except StockctlError as error:
            if isinstance(error, RefusedError) and not isinstance(error, NoAccessError):
                self.ended = error
            else:
                self.errors[symbol] = error
            return Outcome(symbol, "failed", 0, 0, str(error))

    def _collect(self, symbol: str) -> Outcome:
        keeper, dry = self._keeper, self._order.dry_run
        before = keeper.state(symbol)
        # A period that ends after today is a slip of the pen, and would hide all reports until then.
        today = datetime.now(UTC).date().isoformat()
        newest = min(before.newest, today) if before is not None else ""
        there = keeper.kept(symbol)
        wanted = self._order.since.isoformat() if self._order.since else ""
        # A lake that holds fewer reports than it did (a copy in part, a deletion) is filled from where the first fetch began.
        lost = before is not None and len(there.raw) < before.kept
        if before is not None and lost:
            wanted = min(wanted, before.since)
        covered = before is not None and before.since <= wanted and not lost and not self._order.full
        if before is not None and covered and (age := _age(before)) < self._fresh_for:
            if not dry:
                # MongoDB may have been set, or have lost its documents, since.
                keeper.document(symbol, there.raw, before, fresh=before.documented)
                if not before.documented and keeper.documents_lost is None:
                    keeper.finish(before)
            if keeper.documents_lost is None:
                self.fetched[symbol] = before.at
            return Outcome(symbol, "fresh", 0, len(there.raw), f"fetched {format_duration(age)} ago; --full asks again")
        mended = 0 if dry else keeper.mend(symbol, there)
        since = _later(wanted, newest if covered else "")
        received, bad = self._receive(symbol, since)
        new = {number: item for number, item in received.items() if number not in there.raw}
        if dry:
            return Outcome(symbol, "fetched" if new else "up to date", len(new), len(there.raw), "dry run: nothing was put")
        for raw, filing in new.values():
            if self._stop.is_set():
                raise StoppedError("stopped")
            keeper.put(symbol, raw, filing)
        links = dict(before.links) if before else {}
        # Those that an interrupted fetch has put have none yet.
        unfinished = before is None or len(there.raw) > before.kept
        told, note = self._links(symbol, [item for _, item in (received if unfinished or self._order.full else new).values()])
        links |= {number: told[number] for number in received if number in told}
        numbers = there.raw | new.keys()
        ends = [newest, *(end for _, filing in received.values() if filing.end and (end := str(filing.end)) <= today)]
        # What lies between the newest before and a later --since was not asked for: the next fetch begins there.
        skipped = "" < newest < wanted
        state = State(
            symbol=symbol,
            fetched=datetime.now(UTC).isoformat(timespec="milliseconds"),
            source=keeper.source,
            since=before.since if before is not None and before.since <= wanted else wanted,
            newest=ends[0] if skipped else max(ends),
            kept=len(numbers),
            links=links,
            documented=before is None or before.documented,
        )
        keeper.document(symbol, numbers, state)
        if bad:
            raise bad[0]
        if not received and not numbers:
            self._check_known(symbol)
            note = f"no report since {wanted}" if wanted else "no 10-K or 10-Q: a fund, or a company abroad"
        keeper.finish(state)
        if keeper.documents_lost is None:
            self.fetched[symbol] = state.at
        if mended:
            note = f"{counted(mended, 'report')} completed that a crash had left; {note}".rstrip("; ")
        standing: Standing = "fetched" if new else "up to date" if numbers else "none"
        return Outcome(symbol, standing, len(new), len(numbers), note)

    def _receive(self, symbol: str, since: date | None) -> tuple[dict[str, tuple[bytes, Filing]], list[FilingError]]:
        """Reports by accession number, as received and parsed; and why others are none."""
        found: dict[str, tuple[bytes, Filing]] = {}
        bad: list[FilingError] = []
        for raw in (*self._gateway.reported(symbol, "annual", since), *self._gateway.reported(symbol, "quarterly", since)):
            try:
                filing = filing_of(raw, symbol)
            except FilingError as error:
                bad.append(FilingError(f"a report of {symbol} is not kept: {error}", hint=error.hint))
            else:
                found[filing.accession] = (raw, filing)
        return found, bad

    def _links(self, symbol: str, wanted: Sequence[Filing]) -> tuple[dict[str, Links], str]:
        """Links by accession number, those of the ``wanted`` reports among them; and a word on what is missing."""
        if not wanted:
            return {}, ""
        try:
            told = self._gateway.filings(symbol, min((one.filed for one in wanted if one.filed), default=None))
        except NoAccessError as error:
            # They only point to what is kept anyway.
            return {}, f"without links: {error}"
        return {entry.access_number: Links(entry.report_url or "", entry.filing_url or "") for entry in told}, ""

    def _check_known(self, symbol: str) -> None:
        """StockctlError if nothing is known of ``symbol``: Finnhub answers with an empty list, and a quote of zeros."""
        if not self._gateway.quote(symbol).c:
            raise StockctlError(f"Finnhub knows no symbol {symbol}", hint="check its spelling")


def _age(state: State) -> float:
    return max(0.0, (datetime.now(UTC) - state.at).total_seconds())


def _later(since: str, newest: str) -> date | None:
    """The first period end to ask for, where all from ``since`` to ``newest`` was asked for before."""
    bounds = [date.fromisoformat(since)] if since else []
    if newest:
        bounds.append(date.fromisoformat(newest) - _LOOK_BACK)
    return max(bounds, default=None)


def named(symbols: Sequence[str]) -> list[str]:
    """``symbols`` without repetition; UsageError for one that can have no filings."""
    for symbol in symbols:
        if has_venue(symbol):
            raise UsageError(f"{symbol} has no filings", hint="name US stocks, as AAPL")
    return list(dict.fromkeys(symbols))


def configured(settings: Settings) -> list[str]:
    """Those of the configured symbols that may have filings; ConfigError if there is none."""
    stocks = [symbol for symbol in dict.fromkeys(require(settings, "symbols")) if not has_venue(symbol)]
    if not stocks:
        raise ConfigError("none of the configured symbols is a stock", hint="`stockctl filings fetch AAPL`")
    return stocks


def all_us(listed: Sequence[Listed]) -> list[str]:
    """Common stock on New York's and Nasdaq's exchanges in dollars."""
    return sorted(
        {one.symbol for one in listed if one.type == "Common Stock" and one.mic in _EXCHANGES and one.currency == "USD"}
    )
