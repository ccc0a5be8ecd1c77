"""Where a writer continues in a partition: the claim log, compared with the records that the topic still holds.

Only the newest claim of a partition can be unfinished, because a writer makes a claim only after it has put every object of
the one before. So only the newest claim is replayed, unless the committed offset's metadata names it. A generation ends with a
claim too, so that no writer continues in it while another one has opened the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from stockctl.clients.kafka import Committed, Offsets, TopicInfo
from stockctl.clients.kafka.record_reader import RecordReader
from stockctl.clients.object_store import Store
from stockctl.lake.format import claims
from stockctl.lake.format.claims import Claim, CutReason, PermanentError, Rejected, Start, StartReason, UnreadableError
from stockctl.lake.format.keys import Layout, Table
from stockctl.lake.format.retention import is_expired, read_floor
from stockctl.lake.writer.dead_letter_sender import DeadLetters
from stockctl.lake.writer.kafka_log_divergence import LogDivergence, log_divergence
from stockctl.records import UNREADABLE, decode
from stockctl.units import counted

log = logging.getLogger("stockctl.lake")

_WITHOUT_VALUE = "(without its value: the writer ended before this was known to be sent, and Kafka no longer holds the record)"


class Plan(NamedTuple):
    """Where to continue: the start of the generation, the offset of the next claim, and the claim to replay before it, if any.

    ``before`` is the offset of the last record before the position, if the topic still holds it: reading begins there, so that
    the first record delivered proves the place. ``end`` is the end of the topic when the plan was made.
    """

    start: Start
    position: int
    repeat: Claim | None
    before: int | None
    end: int


class BrokerState(NamedTuple):
    """The broker's state of a partition: cluster id, topic and offsets, read in this order."""

    cluster_id: str
    topic: TopicInfo
    offsets: Offsets


def commit_metadata(claim: Claim) -> str:
    """The metadata of a committed offset: its claim. Its nonce sets it apart from a claim of the same key in another lake."""
    return msgspec.json.encode({"claim": claim.key, "nonce": claim.nonce, "end": claim.end}).decode()


def _names(committed: Committed, claim: Claim) -> bool:
    return committed.offset == claim.end and committed.metadata == commit_metadata(claim)


class _Hint(msgspec.Struct):
    claim: str | None = None


def hinted_claim(committed: Committed) -> str | None:
    """The claim that the committed offset names, after which a listing can begin; None if it names none."""
    try:
        return decode(committed.metadata or "{}", _Hint).claim
    except UNREADABLE:
        return None  # metadata of another program


class Recovery:
    """Plans for partitions. ``accept_loss`` skips records that Kafka no longer holds, and records the loss permanently."""

    def __init__(self, store: Store, probe: RecordReader, dead_letters: DeadLetters, *, writer: str, accept_loss: bool) -> None:
        self._store, self._probe, self._dead_letters = store, probe, dead_letters
        self._writer, self._accept_loss = writer, accept_loss

    def plan(self, table: Table, number: int, ask_broker: Callable[[], BrokerState], committed: Committed) -> Plan:
        """Where to continue in partition ``number``. PermanentError if records are lost, or the cluster is another one.

        ``ask_broker`` reads the broker's state; ``committed`` may be a little old.
        """
        start = claims.newest_start(self._store, table, number)
        if start is None:
            start = claims.put_start(self._store, _start(table, number, 1, ask_broker(), "first"))
        newest = claims.newest_claim(self._store, start, hinted_claim(committed))
        while True:
            if newest is not None and newest.opens is not None:
                start = claims.put_start(self._store, newest.opens)
                newest = claims.newest_claim(self._store, start)
                continue
            # Only now: an earlier state may be older than the one by which other writers made these claims.
            broker = ask_broker()
            self._check_cluster(start, broker)
            offsets = broker.offsets
            if (opens := self._next_generation(start, newest, broker)) is not None:
                self._skip_claim(newest, committed)
                log.warning("%s", opens)
                newest = self._put_empty(start, newest, "closed", opens=opens)
                continue
            repeat = newest if newest is not None and newest.last is not None and not _names(committed, newest) else None
            if repeat is not None and not repeat.start <= repeat.first_record < repeat.end:
                raise UnreadableError(repeat.key, f"its first record, {repeat.first_record}, is not within it")
            if repeat is not None and offsets.start > repeat.first_record:
                # Retention has deleted some of the newest claim's records: it can't be replayed.
                self._skip_claim(repeat, committed)
                repeat = None
            position = newest.end if newest is not None else start.start
            if repeat is None and offsets.start > position:
                newest = self._claim_lost(start, newest, position, offsets.start)
                continue
            last = newest.last if newest is not None and repeat is None else None
            before = last.offset if last is not None and last.offset >= offsets.start else None
            return Plan(start, position, repeat, before, offsets.end)

    def _check_cluster(self, start: Start, broker: BrokerState) -> None:
        if start.cluster_id != broker.cluster_id:
            raise PermanentError(
                f"the lake at {self._store.url} belongs to the Kafka cluster {start.cluster_id}, not to {broker.cluster_id}",
                hint="correct kafka.bootstrap_servers, or use another lake.url: offsets do not identify a cluster",
            )

    def _next_generation(self, start: Start, newest: Claim | None, broker: BrokerState) -> Start | None:
        """The next generation, if the topic is not that of ``start``, or its log was truncated; else None."""
        table, number, generation, topic = start.table, start.partition, start.generation + 1, broker.topic
        ids_differ = start.topic_id and topic.topic_id and start.topic_id != topic.topic_id
        if ids_differ or start.topic != topic.name:
            return _start(table, number, generation, broker, "new topic")
        found = log_divergence(self._store, self._probe, start, newest, broker.offsets)
        return None if found is None else _start(table, number, generation, broker, "log cut short", found)

    def _skip_claim(self, claim: Claim | None, committed: Committed) -> None:
        """Skip ``claim``, whose records the topic no longer holds: a loss unless all its objects exist."""
        if claim is None or _names(committed, claim):
            return
        missing = self._missing(claim)
        if missing and not self._accept_loss:
            raise PermanentError(
                f"the claim {claim.key} was never finished and Kafka no longer holds its records: {len(missing)} of its "
                f"{len(claim.objects)} objects are missing",
                hint="--accept-loss continues without them; `stockctl lake verify` reports the loss permanently",
            )
        if claim.rejected:
            # The writer may have ended before it sent them. A record that it did send gets a second dead letter.
            rejected = [(Rejected(item.offset, f"{item.reason} {_WITHOUT_VALUE}"), b"") for item in claim.rejected]
            self._dead_letters.send_rejected(claim.topic, claim.partition, rejected)
        if missing:
            log.warning("lost: %d objects of %s", len(missing), claim.key)
            claims.put_lost(self._store, claim, missing)

    def _missing(self, claim: Claim) -> list[str]:
        floor = read_floor(self._store)
        expected = [item.key for item in claim.objects if not is_expired(item.key, floor)]  # others are pruned on purpose
        return [key for key in expected if not self._store.exists(key)]

    def _claim_lost(self, start: Start, newest: Claim | None, since: int, until: int) -> Claim:
        """Claim ``[since, until)`` as lost: none of its rows will ever be in the lake. Returns the claim that is there then."""
        if not self._accept_loss:
            place = f"{start.topic}/{start.partition}"
            raise PermanentError(
                f"{counted(until - since, f'record of {place} is', f'records of {place} are')} lost: "
                f"the lake continues at offset {since}, "
                f"and Kafka holds nothing before {until}",
                hint="--accept-loss skips them; `stockctl lake verify` reports the loss permanently",
            )
        log.warning("lost: offsets %d to %d of %s/%d", since, until, start.topic, start.partition)
        return self._put_empty(start, newest, "lost", until=until)

    def _put_empty(
        self, start: Start, newest: Claim | None, reason: CutReason, *, until: int | None = None, opens: Start | None = None
    ) -> Claim:
        """Put a claim without records after ``newest``, up to ``until``; the claim that is there then, ours or another's."""
        at = start.start if newest is None else newest.end
        end = at if until is None else until
        claim = Claim(
            **claims.claim_head(start, self._writer),
            start=at,
            end=end,
            reason=reason,
            layout=Layout("trades", "UTC", "none", "gzip"),
            last=None,
            rows=0,
            gaps=end - at,
            opens=opens,
        )
        return claims.put_claim(self._store, claim)


def _start(
    table: str, number: int, generation: int, broker: BrokerState, reason: StartReason, cut: LogDivergence | None = None
) -> Start:
    return Start(
        cluster_id=broker.cluster_id,
        topic_id=broker.topic.topic_id,
        topic=broker.topic.name,
        table=table,
        generation=generation,
        partition=number,
        start=broker.offsets.start if cut is None else cut.at,
        reason=reason,
        # No writer ever saw what retention deleted from a new topic before. A new lake begins where its topic begins.
        blind=broker.offsets.start > 0 and reason == "new topic" if cut is None else cut.blind,
    )
