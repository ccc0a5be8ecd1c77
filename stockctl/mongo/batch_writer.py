"""The work beside the loop: write a batch whatever it takes, send what is refused to the dead letters, keep bars current."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeVar, get_args

from prometheus_client import Gauge

from stockctl.clients.kafka import Partition
from stockctl.clients.mongo import Mongo
from stockctl.errors import ConfigError, RefusedError, StockctlError
from stockctl.mongo import schema
from stockctl.mongo.batch import MINUTE_MS, Batch, Refused
from stockctl.mongo.documents import ms_of
from stockctl.mongo.rollups import refresh
from stockctl.mongo.schema import COVERAGE, TRADES
from stockctl.mongo.source_guard import begin_with
from stockctl.records import Source
from stockctl.service import retry
from stockctl.settings import Settings
from stockctl.stream.dead_letter_producer import DeadLetterProducer
from stockctl.stream.dead_letters import dead_letter, foreign_source

log = logging.getLogger("stockctl.mongo")

DERIVING = Gauge("stockctl_mongo_derive_seconds", "Time that bars and companies took the last time")

Answer = TypeVar("Answer")

COMMIT_WITHIN = 60.0
"""Seconds that a backlog may put off bars, companies and so the commit."""

Also = Callable[[Mongo, Settings, Collection[str]], None]
"""What else follows from the trades of these symbols, in rooms above this one. It is safe to repeat."""


@dataclass
class Written:
    """What a write has come to: documents by collection, records refused, and the offsets that may be committed now."""

    documents: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    seconds: float = 0.0
    ends: dict[Partition, int] = field(default_factory=dict)


class BatchWriter:
    """Writes batches, one at a time. ``finishing`` makes each write bring everything up to date, not only what is due;
    ``behind`` says that more waits to be read than a batch takes.
    """

    def __init__(self, mongo: Mongo, settings: Settings, stop: threading.Event, also: Also | None = None) -> None:
        self._mongo, self._settings, self._stop, self._also = mongo, settings, stop, also
        self._letters = DeadLetterProducer(settings)
        self._extra = frozenset(settings.mongo.extra_sources)
        self._begun: str | None = None
        self._touched: dict[str, set[int]] = {}
        self._ends: dict[Partition, int] = {}
        self._derived = time.monotonic()
        self._deriving = 0.0
        self.derived_seconds = 0.0
        """Time that bars and companies have taken in all."""
        self.finishing = self.behind = False
        self.gave_up = False
        """Whether a write was left because a signal asked to leave while MongoDB or Kafka was away."""
        self.trouble: str | None = None
        """What the writing waits for now; None when all is well."""

    @property
    def due(self) -> bool:
        """Whether it is time to bring bars and companies up to date."""
        pause = self._settings.mongo.derive_every
        if self.behind:
            # A backlog is read first: at most a tenth of the time goes elsewhere, unless the commit would wait too long.
            pause = max(pause, min(9 * self._deriving, COMMIT_WITHIN))
        return self.owes and (self.finishing or time.monotonic() - self._derived >= pause)

    @property
    def owes(self) -> bool:
        """Whether something written has not been brought into bars and companies, and so not been committed."""
        return bool(self._ends)

    def begin(self) -> None:
        """Make sure of login and collections before anything is read. Errors as ``Mongo`` raises them."""
        with Mongo(self._settings) as mongo:  # its wait is mongo.connect_wait, longer than that of a write
            mongo.wait(say=log.warning)
            changes = schema.apply(mongo, self._settings)
        for change in changes:
            if change.action in ("created", "changed"):
                log.info("%s %s %s", change.action, change.kind, change.name)
            elif change.action == "skipped":
                log.warning("skipped %s %s: %s", change.kind, change.name, change.detail)

    def write(self, batch: Batch) -> Written:
        """Write ``batch``, however long MongoDB is away; empty if a signal came meanwhile.

        RefusedError when MongoDB refuses our login.
        """
        if self.gave_up:
            return Written()  # its end must not be committed over what was left
        started = time.monotonic()
        written = Written()
        if batch.documents and self._retry(lambda: self._refuse_sources(batch)) is None:
            return Written()
        refused = list(batch.refused)
        for collection, documents in batch.documents.items():
            bad = self._retry(lambda name=collection, held=documents: self._mongo.upsert(name, held))  # type: ignore[misc]
            if bad is None:
                return Written()
            refused += [batch.refuse(collection, item.number, f"MongoDB does not take it: {item.reason}") for item in bad]
            written.documents[collection] = len(documents) - len(bad)
        if refused and self._retry(lambda: self._send(refused)) is None:
            return Written()
        written.rejected = len(refused)
        self._note(batch)
        if self.due and self._retry(self._derive) is not None:
            written.ends, self._ends = self._ends, {}
        written.seconds = time.monotonic() - started
        return written

    def _note(self, batch: Batch) -> None:
        """Remember what the batch has touched, and where it ends, until bars and companies are brought up to date."""
        for document in batch.documents.get(TRADES, ()):
            minute = ms_of(document["ts_event"]) // MINUTE_MS * MINUTE_MS
            self._touched.setdefault(document["symbol"], set()).add(minute)
        for document in batch.documents.get(COVERAGE, ()):
            if document["kind"] == "covered":
                for symbol in filter(None, document["symbols"].split(",")):
                    self._touched.setdefault(symbol, set())
        self._ends.update(batch.ends)

    def _derive(self) -> bool:
        started = time.monotonic()
        refresh(self._mongo, self._settings, self._touched)
        if self._also is not None:
            self._also(self._mongo, self._settings, self._touched.keys())
        self._touched = {}
        self._derived = time.monotonic()
        self._deriving = self._derived - started
        self.derived_seconds += self._deriving
        DERIVING.set(self._deriving)
        return True

    def _send(self, refused: list[Refused]) -> bool:
        now = int(time.time() * 1000)
        self._letters.send(
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
        """Simulated and real trades must never mix: refuse the records of a source that MongoDB was not begun with."""
        if self._begun is None:
            begins = next((one for one in batch.sources if one in get_args(Source) and one not in self._extra), None)
            if begins is not None:
                self._begun = begin_with(self._mongo, begins, self._extra)
        allowed = self._extra | {self._begun}
        if not allowed.issuperset(batch.sources):
            batch.refuse_sources(
                lambda source: (
                    None if source in allowed else foreign_source(source, "MongoDB", self._begun, "mongo.extra_sources")
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
                return None
            raise
        if failures:
            log.info("going on")
            self.trouble = None
        return answer


def _retryable(error: BaseException) -> bool:
    """Whether another attempt may succeed."""
    return isinstance(error, StockctlError) and not isinstance(error, RefusedError | ConfigError)
