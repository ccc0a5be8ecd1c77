"""One batch's way into the lake: claim, put every object, flush the dead letters. Runs beside the polling."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from stockctl.clients.kafka import Admin
from stockctl.clients.store import AbsentError, ExistsError, Store
from stockctl.errors import ConfigError, RefusedError, StockctlError
from stockctl.lake.format import claims
from stockctl.lake.format.claims import Claim, CutReason, PermanentError, Start
from stockctl.lake.writer.batch import BuiltObject, OpenBatch
from stockctl.lake.writer.dead_letters import DeadLetters
from stockctl.service import retry
from stockctl.settings import Settings

log = logging.getLogger("stockctl.lake")

Result = TypeVar("Result")


class TopicChangedError(PermanentError):
    """The topic was made anew since the partition was assigned."""


class CommittedBatch(NamedTuple):
    """The batch is in the lake, whole."""

    claim: Claim
    seconds: float


class Superseded(NamedTuple):
    """Another writer had claimed the batch's start: this claim is to be repeated."""

    claim: Claim


class DifferentRecordsError(PermanentError):
    """A claim's repeat gives other lines than the claim says: the topic holds other records, or the claim is damaged."""


class Committer:
    """Stores batches. What fails for a while is tried again until ``abandon`` is set; ``trouble`` tells of it meanwhile.

    The first try again comes within ``pause`` seconds, each later one within twice the time of the one before.
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
        """Store ``batch``, or repeat the claim ``repeat`` with it."""
        began = time.monotonic()
        built = batch.build(self._settings.lake.compression_level)
        if repeat is not None:
            _check_repeat(built, repeat)
            claim = repeat
        else:
            self._retry(lambda: self._check_topic(start))
            claim = self._claim(batch, start, reason, built)
            stands = self._retry(lambda: claims.put_claim(self._store, claim))
            if stands.nonce != claim.nonce:
                return Superseded(stands)
        for done in [self._puts.submit(self._retry, self._putter(item, repeated=repeat is not None)) for item in built]:
            done.result()
        if batch.rejected:
            self._retry(lambda: self._dead_letters.send_rejected(start.topic, start.partition, batch.rejected))
        self.trouble = None
        return CommittedBatch(claim, time.monotonic() - began)

    def _claim(self, batch: OpenBatch, start: Start, reason: CutReason, built: list[BuiltObject]) -> Claim:
        rows = sum(item.claimed.rows for item in built)
        return Claim(
            nonce=secrets.token_hex(8),
            writer=self._writer,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            cluster_id=start.cluster_id,
            topic_id=start.topic_id,
            topic=start.topic,
            table=start.table,
            generation=start.generation,
            partition=start.partition,
            start=batch.start,
            end=batch.end,
            reason=reason,
            layout=batch.layout,
            last=batch.last,
            rows=rows,
            gaps=batch.end - batch.start - rows - len(batch.rejected),
            rejected=[rejected for rejected, _ in batch.rejected],
            objects=[item.claimed for item in built],
        )

    def _putter(self, item: BuiltObject, *, repeated: bool) -> Callable[[], None]:
        def put() -> None:
            # A repeat mostly finds everything there: a look costs less than sending the bytes to be refused.
            if repeated and self._stands(item):
                return
            try:
                self._store.put_new(item.claimed.key, item.data)
            except ExistsError:
                # It may be our own put whose answer was lost, another writer's repeat of the same claim, or a conflict.
                if not self._stands(item):
                    raise

        return put

    def _stands(self, item: BuiltObject) -> bool:
        try:
            self._store.size(item.claimed.key)
        except AbsentError:
            return False
        return True

    def _check_topic(self, start: Start) -> None:
        info = self._admin.topic(start.topic) if start.topic_id else None
        if info is not None and info.topic_id != start.topic_id:
            raise TopicChangedError(f"the topic {start.topic} was made anew")

    def _retry(self, call: Callable[[], Result]) -> Result:
        return retry(call, retryable, stop=self.abandon, first=self._pause, longest=15, on_retry=self._report)

    def _report(self, error: BaseException, attempt: int) -> None:
        if attempt > 1:  # a first failure is usually gone by the next attempt
            self.trouble = str(error)
        if attempt in (1, 4) or attempt % 20 == 0:
            log.warning("trying again (attempt %d): %s", attempt, error)

    def close(self) -> None:
        """Give up what still retries, and wait for the threads."""
        self.abandon.set()
        self._puts.shutdown()


def retryable(error: BaseException) -> bool:
    """Whether another attempt may succeed."""
    return isinstance(error, StockctlError) and not isinstance(error, RefusedError | ConfigError | PermanentError)


def _check_repeat(built: list[BuiltObject], claim: Claim) -> None:
    """Before anything is put: the repeat must give the very lines that the claim names."""
    ours = {item.claimed.key: (item.claimed.rows, item.claimed.sha256) for item in built}
    theirs = {item.key: (item.rows, item.sha256) for item in claim.objects}
    if ours != theirs:
        differing = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
        raise DifferentRecordsError(
            f"the records of {claim.topic}/{claim.partition} from {claim.start} to {claim.end} are not those of the claim "
            f"{claim.key}: {differing[0]} would differ",
            hint="has the topic been rewritten, or the claim damaged? `stockctl lake verify --deep`",
        )
