"""Storing a batch in the lake: claim, put every object, flush the dead letters. Runs in threads, beside the consumer loop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from stockctl.clients.kafka import Admin
from stockctl.clients.object_store import ExistsError, Store
from stockctl.errors import ConfigError, RefusedError, StockctlError
from stockctl.lake.format import claims
from stockctl.lake.format.claims import Claim, CutReason, PermanentError, Start
from stockctl.lake.writer.batch import BuiltObject, OpenBatch
from stockctl.lake.writer.dead_letter_sender import DeadLetters
from stockctl.service import retry
from stockctl.settings import Settings

log = logging.getLogger("stockctl.lake")

Result = TypeVar("Result")


class TopicChangedError(PermanentError):
    """The topic was recreated since the partition was assigned."""


class CommittedBatch(NamedTuple):
    """The claim and all its objects are in the lake."""

    claim: Claim
    seconds: float


class Superseded(NamedTuple):
    """Another writer has claimed the batch's start: its claim must be replayed."""

    claim: Claim


class DifferentRecordsError(PermanentError):
    """Replaying a claim gives other lines than the claim names: the topic has other records, or the claim is damaged."""


class Committer:
    """Stores batches. Temporary failures are retried until ``abandon`` is set; meanwhile ``trouble`` holds the error.

    The first retry comes within ``pause`` seconds, each later one within twice the time of the one before.
    """

    def __init__(
        self, store: Store, settings: Settings, admin: Admin, dead_letters: DeadLetters, *, writer: str, pause: float = 0.2
    ) -> None:
        self._store, self._settings, self._admin, self._dead_letters = store, settings, admin, dead_letters
        self._writer, self._pause = writer, pause
        self._puts = ThreadPoolExecutor(settings.lake.uploads, thread_name_prefix="put")
        self.abandon = threading.Event()
        self.trouble: str | None = None

    def store(self, batch: OpenBatch, start: Start, reason: CutReason, repeat: Claim | None) -> CommittedBatch | Superseded:
        """Store ``batch``, as the replay of the claim ``repeat`` if there is one.

        Blocks until it is stored. PermanentError and RefusedError, which no retry can cure.
        """
        began = time.monotonic()
        built = batch.build(self._settings.lake.compression_level)
        if repeat is not None:
            _check_repeat(built, repeat)
            claim = repeat
        else:
            self._retry(lambda: self._check_topic(start))
            claim = self._claim(batch, start, reason, built)
            existing = self._retry(lambda: claims.put_claim(self._store, claim))
            if existing.nonce != claim.nonce:
                return Superseded(existing)
        for put in [self._puts.submit(self._retry, self._putter(item, repeated=repeat is not None)) for item in built]:
            put.result()
        if batch.rejected:
            self._retry(lambda: self._dead_letters.send_rejected(start.topic, start.partition, batch.rejected))
        self.trouble = None
        return CommittedBatch(claim, time.monotonic() - began)

    def _claim(self, batch: OpenBatch, start: Start, reason: CutReason, built: list[BuiltObject]) -> Claim:
        rows = sum(item.claimed.rows for item in built)
        return Claim(
            **claims.claim_head(start, self._writer),
            start=batch.start,
            end=batch.end,
            reason=reason,
            layout=batch.layout,
            last=batch.last,
            rows=rows,
            gaps=batch.end - batch.start - rows - len(batch.rejected),
            rejected=[rejected for rejected, _ in batch.rejected],
            objects=[item.claimed for item in built],
            switches=batch.switches,
        )

    def _putter(self, item: BuiltObject, *, repeated: bool) -> Callable[[], None]:
        def put() -> None:
            # A replay mostly finds every object there: HEAD costs less than sending bytes that are refused.
            if repeated and self._store.exists(item.claimed.key):
                return
            try:
                self._store.put_new(item.claimed.key, item.data)
            except ExistsError:
                # Our own put whose answer was lost, another writer's replay of the same claim, or a conflict of two puts.
                if not self._store.exists(item.claimed.key):
                    raise

        return put

    def _check_topic(self, start: Start) -> None:
        info = self._admin.topic(start.topic) if start.topic_id else None
        if info is not None and info.topic_id != start.topic_id:
            raise TopicChangedError(f"the topic {start.topic} was recreated")

    def _retry(self, call: Callable[[], Result]) -> Result:
        return retry(call, retryable, stop=self.abandon, first=self._pause, longest=15, on_retry=self._report)

    def _report(self, error: BaseException, attempt: int) -> None:
        if attempt > 1:  # a first failure is usually gone by the next attempt
            self.trouble = str(error)
        if attempt in (1, 4) or attempt % 20 == 0:
            log.warning("trying again (attempt %d): %s", attempt, error)

    def close(self) -> None:
        """End the retries, and wait for the threads."""
        self.abandon.set()
        self._puts.shutdown()


def retryable(error: BaseException) -> bool:
    """Whether another attempt may succeed."""
    return isinstance(error, StockctlError) and not isinstance(error, RefusedError | ConfigError | PermanentError)


def _check_repeat(built: list[BuiltObject], claim: Claim) -> None:
    """Before anything is put: the replay must give exactly the lines that the claim names."""
    replayed = {item.claimed.key: (item.claimed.rows, item.claimed.sha256) for item in built}
    claimed = {item.key: (item.rows, item.sha256) for item in claim.objects}
    if replayed != claimed:
        differing = sorted(key for key in replayed.keys() | claimed.keys() if replayed.get(key) != claimed.get(key))
        raise DifferentRecordsError(
            f"the records of {claim.topic}/{claim.partition} from {claim.start} to {claim.end} are not those of the claim "
            f"{claim.key}: {differing[0]} would differ",
            hint="has the topic been rewritten, or the claim damaged? `stockctl lake verify --deep`",
        )
