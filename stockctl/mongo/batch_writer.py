"""Writes batches in a thread of its own, retrying while MongoDB is unavailable; sends rejected records to the dead letters."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, get_args

from prometheus_client import Gauge

from stockctl.clients.kafka import Partition
from stockctl.clients.mongo import Mongo
from stockctl.errors import ConfigError, RefusedError, StockctlError
from stockctl.exchange.calendar import now_ms
from stockctl.mongo import schema
from stockctl.mongo.allowed_sources import begin_with
from stockctl.mongo.bars import MINUTE_MS, Touched, refresh_bars
from stockctl.mongo.batch import Batch, Refused
from stockctl.mongo.documents import ms_of
from stockctl.mongo.schema import COVERAGE, TRADES
from stockctl.records import Source
from stockctl.service import retry
from stockctl.settings import Settings
from stockctl.stream.dead_letters.producer import DeadLetterProducer
from stockctl.stream.dead_letters.record import dead_letter, foreign_source

log = logging.getLogger("stockctl.mongo")

REFRESH_SECONDS = Gauge("stockctl_mongo_derive_seconds", "Time that bars and companies took the last time")

Answer = TypeVar("Answer")

COMMIT_WITHIN = 60.0
"""Seconds that a backlog may delay the refresh of bars and companies, and so the commit."""

RefreshCompanies = Callable[[Mongo, Settings, Touched, Callable[[], None]], None]
"""Updates the company documents from the stored trades, bars and coverage. Safe to repeat; it calls the last argument between
the companies, which raises where the update has to end.
"""


@dataclass
class Written:
    """The outcome of a write: documents by collection, number of refused records, and the offsets that may be committed now."""

    documents: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    seconds: float = 0.0
    ends: dict[Partition, int] = field(default_factory=dict)


class BatchWriter:
    """Writes batches, one at a time. With ``finishing`` each write refreshes bars and companies, due or not; ``behind``
    is set while more records wait to be read than a batch takes.
    """

    def __init__(self, mongo: Mongo, settings: Settings, stop: threading.Event, refresh_companies: RefreshCompanies) -> None:
        self._mongo, self._settings, self._stop, self._refresh_companies = mongo, settings, stop, refresh_companies
        self._dead_letters = DeadLetterProducer(settings)
        self._extra = frozenset(settings.mongo.extra_sources)
        self._source: str | None = None
        self._touched: dict[str, set[int]] = {}
        self._ends: dict[Partition, int] = {}
        self._refreshed = time.monotonic()
        self._last_seconds = 0.0
        self.refresh_seconds = 0.0
        """Time that bars and companies have taken in all."""
        self.finishing = self.behind = False
        self._closed = False
        self.gave_up = False
        """Whether a write was left unfinished: after a signal while MongoDB or Kafka was unavailable, or by ``close``."""
        self.trouble: str | None = None
        """The error for which a write is retried; None if there is none."""

    @property
    def due(self) -> bool:
        """Whether it is time to refresh bars and companies."""
        pause = self._settings.mongo.derive_every
        if self.behind:
            # A backlog is read first: at most a tenth of the time goes elsewhere, unless the commit would wait too long.
            pause = max(pause, min(9 * self._last_seconds, COMMIT_WITHIN))
        return self.uncommitted and (self.finishing or time.monotonic() - self._refreshed >= pause)

    @property
    def uncommitted(self) -> bool:
        """Whether bars and companies lack something written, which is therefore not committed."""
        return bool(self._ends)

    def open(self) -> None:
        """Log in and create what the schema lacks, before anything is read. Errors as ``Mongo`` raises them."""
        with Mongo(self._settings) as mongo:  # its wait is mongo.connect_wait, longer than that of a write
            mongo.wait(say=log.warning)
            changes = schema.apply(mongo, self._settings.mongo)
        for change in changes:
            if change.action in ("created", "changed"):
                log.info("%s %s %s", change.action, change.kind, change.name)
            elif change.action == "skipped":
                log.warning("skipped %s %s: %s", change.kind, change.name, change.detail)

    def write(self, batch: Batch) -> Written:
        """Write ``batch``, retrying while MongoDB or Kafka is unavailable; empty if a signal came meanwhile.

        RefusedError when MongoDB refuses the login.
        """
        if self.gave_up:
            return Written()  # committing its end would skip the batch before it
        started = time.monotonic()
        written = Written()
        if batch.documents and self._retry(lambda: self._refuse_sources(batch)) is None:
            return Written()
        refused = list(batch.refused)
        for collection, documents in batch.documents.items():
            bad = self._retry(partial(self._mongo.upsert, collection, documents))
            if bad is None:
                return Written()
            refused += [batch.refuse(collection, item.number, f"MongoDB does not take it: {item.reason}") for item in bad]
            written.documents[collection] = len(documents) - len(bad)
        if refused and self._retry(lambda: self._send(refused)) is None:
            return Written()
        written.rejected = len(refused)
        self._note(batch)
        if self.due and self._retry(self._refresh) is not None:
            written.ends, self._ends = self._ends, {}
        written.seconds = time.monotonic() - started
        return written

    def _note(self, batch: Batch) -> None:
        """Remember what the batch has changed, and where it ends, until the next refresh of bars and companies."""
        for document in batch.documents.get(TRADES, ()):
            minute = ms_of(document["ts_event"]) // MINUTE_MS * MINUTE_MS
            self._touched.setdefault(document["symbol"], set()).add(minute)
        for document in batch.documents.get(COVERAGE, ()):
            if document["kind"] == "covered":
                for symbol in filter(None, document["symbols"].split(",")):
                    self._touched.setdefault(symbol, set())
        self._ends.update(batch.ends)

    def _refresh(self) -> bool:
        started = time.monotonic()
        refresh_bars(self._mongo, self._settings, self._touched, self._check_open)
        self._refresh_companies(self._mongo, self._settings, self._touched, self._check_open)
        self._touched = {}
        self._refreshed = time.monotonic()
        self._last_seconds = self._refreshed - started
        self.refresh_seconds += self._last_seconds
        REFRESH_SECONDS.set(self._last_seconds)
        return True

    def close(self) -> None:
        """End a refresh of bars between two queries, one of companies between two companies, and all retries.

        What is left unfinished is not committed.
        """
        self._closed = True
        self._stop.set()

    def _check_open(self) -> None:
        if self._closed:
            raise StockctlError("the writer is closed")

    def _send(self, refused: list[Refused]) -> bool:
        now = now_ms()
        self._dead_letters.send(
            dead_letter(
                item.reason,
                item.raw,
                ts_recv=now,
                source="",
                topic=item.partition.topic,
                partition=item.partition.number,
                offset=item.offset,
                origin="consume mongo",
            )
            for item in refused
        )
        return True

    def _refuse_sources(self, batch: Batch) -> bool:
        """Simulated and real trades must never mix: refuse the records of other sources than the first of this database."""
        if self._source is None:
            first = next((source for source in batch.sources if source in get_args(Source) and source not in self._extra), None)
            if first is not None:
                self._source = begin_with(self._mongo, first, self._extra)
        allowed = self._extra | {self._source}
        if not allowed.issuperset(batch.sources):
            batch.refuse_sources(
                lambda source: (
                    None if source in allowed else foreign_source(source, "MongoDB", self._source, "mongo.extra_sources")
                )
            )
        return True

    def _retry(self, call: Callable[[], Answer]) -> Answer | None:
        """The answer of ``call``, after as many attempts as it takes; None if a signal ended the wait."""
        failures = 0

        def report(error: BaseException, attempt: int) -> None:
            nonlocal failures
            failures = attempt
            if attempt == 1:
                log.warning("waiting: %s", error)  # a first failure is usually gone by the next attempt
            else:
                self.trouble = str(error)

        try:
            answer = retry(call, _retryable, stop=self._stop, on_retry=report)
        except StockctlError as error:
            if self._stop.is_set() and _retryable(error):
                self.gave_up = True
                log.warning("left a batch unfinished: the next start reads it again")
                return None
            raise
        if failures:
            log.info("the write succeeded after %d attempts", failures + 1)
            self.trouble = None
        return answer


def _retryable(error: BaseException) -> bool:
    """Whether another attempt may succeed."""
    return isinstance(error, StockctlError) and not isinstance(error, RefusedError | ConfigError)
