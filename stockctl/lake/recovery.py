"""Where a writer goes on in a partition: what the claim log says, held against what the topic still holds.

Only the newest claim of a partition can be unfinished, because a claim is only ever made by a writer that has put every object
of the one before it. So the newest claim alone is looked at, and repeated unless the committed offset's metadata names it.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from stockctl.clients.kafka import Committed, Message, Offsets, Partition, TopicInfo
from stockctl.clients.store import AbsentError, Store
from stockctl.errors import StockctlError
from stockctl.lake import claims
from stockctl.lake.batch import OpenBatch, decompress
from stockctl.lake.claims import Claim, Start
from stockctl.lake.floor import is_below, read_floor
from stockctl.lake.layout import Layout, log_folder, parse_claim
from stockctl.lake.probe import Probe

log = logging.getLogger("stockctl.lake")


class Plan(NamedTuple):
    """Where to go on: the log's start, the offset of the next claim, and the claim to repeat before it, if any.

    ``before`` is the offset of the last record ahead of the position that the topic still holds: reading begins there, so that
    the first record delivered proves that the reading is where it should be.
    """

    start: Start
    position: int
    repeat: Claim | None
    before: int | None


class Topic(NamedTuple):
    """The topic as it is now."""

    cluster_id: str
    info: TopicInfo
    table: str


def commit_metadata(claim: Claim) -> str:
    """What the committed offset carries: the claim it stands for. Another lake may hold one of its key, none of its nonce."""
    return msgspec.json.encode({"claim": claim.key, "nonce": claim.nonce, "end": claim.end}).decode()


def _names(committed: Committed, claim: Claim) -> bool:
    return committed.offset == claim.end and committed.metadata == commit_metadata(claim)


def hinted_claim(committed: Committed) -> str | None:
    """The claim that the committed offset names: listing can begin behind it."""
    try:
        found = msgspec.json.decode(committed.metadata or "{}")
    except msgspec.DecodeError:
        return None
    return found.get("claim") if isinstance(found, dict) else None


class Recovery:
    """Plans for partitions. ``accept_loss`` goes on behind records that Kafka no longer holds, and notes the loss for ever."""

    def __init__(self, store: Store, probe: Probe, *, writer: str, accept_loss: bool) -> None:
        self._store, self._probe, self._writer, self._accept_loss = store, probe, writer, accept_loss

    def plan(self, topic: Topic, number: int, offsets: Offsets, committed: Committed) -> Plan:
        """Where to go on in partition ``number``. StockctlError when records are lost, or the cluster is another one."""
        start = claims.newest_start(self._store, topic.table, number)
        if start is None:
            start = self._open(topic, number, 1, offsets.start, "first")
        if start.cluster_id != topic.cluster_id:
            raise StockctlError(
                f"the lake at {self._store.url} is of the Kafka cluster {start.cluster_id}, and this is {topic.cluster_id}",
                hint="correct kafka.bootstrap_servers, or use another lake.url: offsets of two clusters can't be told apart",
            )
        newest = self._newest(start, committed)
        ids_differ = start.topic_id and topic.info.topic_id and start.topic_id != topic.info.topic_id
        if ids_differ or start.topic != topic.info.name:
            self._leave(newest)
            log.warning(
                "the topic %s was made anew: partition %d goes on in generation g%d", start.topic, number, start.generation + 1
            )
            start = self._open(topic, number, start.generation + 1, offsets.start, "new topic")
            newest = claims.newest_claim(self._store, start)
        partition = Partition(start.topic, number)
        if (parted := self._parted(partition, start, newest, offsets)) is not None:
            self._leave(newest)
            log.warning(
                "the log of %s/%d was cut short and differs from offset %d on: it goes on in generation g%d",
                start.topic,
                number,
                parted,
                start.generation + 1,
            )
            start = self._open(topic, number, start.generation + 1, parted, "log cut short")
            newest = claims.newest_claim(self._store, start)
        return self._position(start, newest, offsets, committed)

    def _newest(self, start: Start, committed: Committed) -> Claim | None:
        return claims.newest_claim(self._store, start, hinted_claim(committed))

    def _open(self, topic: Topic, number: int, generation: int, at: int, reason: str) -> Start:
        start = Start(
            cluster_id=topic.cluster_id,
            topic_id=topic.info.topic_id,
            topic=topic.info.name,
            table=topic.table,
            generation=generation,
            partition=number,
            start=at,
            reason=reason,  # type: ignore[arg-type]  # one of the literals, by the callers above
        )
        return claims.put_start(self._store, start)

    def _position(self, start: Start, newest: Claim | None, offsets: Offsets, committed: Committed) -> Plan:
        repeat = newest
        if newest is not None and (newest.reason == "lost" or _names(committed, newest)):
            repeat = None
        if repeat is not None and offsets.start > repeat.first_record:
            # Kafka has begun to forget the newest claim's records. If all its objects stand, nothing is left to repeat.
            self._leave(repeat)
            repeat = None
        position = newest.end if newest is not None else start.start
        if repeat is None and offsets.start > position:
            return self._position(start, self._lose(start, position, offsets.start), offsets, committed)
        last = newest.last if newest is not None and repeat is None else None
        before = last.offset if last is not None and last.offset >= offsets.start else None
        return Plan(start, position, repeat, before)

    def _leave(self, claim: Claim | None) -> None:
        """Go on behind ``claim``, whose records the topic no longer holds: fine if its objects all stand, else a loss."""
        missing = [] if claim is None else self._missing(claim)
        if claim is None or not missing:
            return
        if not self._accept_loss:
            raise StockctlError(
                f"the claim {claim.key} was never finished and Kafka no longer holds its records: {len(missing)} of its "
                f"{len(claim.objects)} objects are missing",
                hint="--accept-loss goes on without them; `stockctl lake verify` will tell of it for ever",
            )
        log.warning("lost: %d objects of %s", len(missing), claim.key)
        claims.put_lost(self._store, claim, missing)

    def _missing(self, claim: Claim) -> list[str]:
        missing = []
        floor = read_floor(self._store)
        for item in claim.objects:
            if is_below(item.key, floor):
                continue  # pruned: nobody wants it back
            try:
                self._store.size(item.key)
            except AbsentError:
                missing.append(item.key)
        return missing

    def _lose(self, start: Start, since: int, until: int) -> Claim:
        """Claim ``[since, until)`` as lost: none of its rows will ever be in the lake. The claim that then stands there."""
        if not self._accept_loss:
            raise StockctlError(
                f"{until - since} records of {start.topic}/{start.partition} are lost: the lake goes on at offset {since}, "
                f"and Kafka holds nothing before {until}",
                hint="--accept-loss goes on behind them; `stockctl lake verify` will tell of it for ever",
            )
        log.warning("lost: offsets %d to %d of %s/%d", since, until, start.topic, start.partition)
        lost = Claim(
            nonce=secrets.token_hex(8),
            writer=self._writer,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            cluster_id=start.cluster_id,
            topic_id=start.topic_id,
            topic=start.topic,
            table=start.table,
            generation=start.generation,
            partition=start.partition,
            start=since,
            end=until,
            reason="lost",
            layout=Layout("trades", "UTC", "none", "gzip"),
            last=None,
            rows=0,
            gaps=until - since,
        )
        return claims.put_claim(self._store, lost)

    # Has the log been cut short?

    def _parted(self, partition: Partition, start: Start, newest: Claim | None, offsets: Offsets) -> int | None:
        """The offset from which the topic's records are not the claimed ones; None when they are the same."""
        if newest is None:
            return offsets.start if offsets.end < start.start else None
        if offsets.end >= newest.end and self._same(partition, newest, offsets):
            return None
        folder = log_folder(start.table, start.generation, start.partition)
        keys = [item.key for item in self._store.objects(folder) if parse_claim(item.key)]
        following = newest
        for key in reversed(keys[:-1]):
            claim = claims.read_claim(self._store, key)
            if claim.end <= offsets.end and self._same(partition, claim, offsets):
                break
            following = claim
        return self._first_difference(partition, following, offsets)

    def _same(self, partition: Partition, claim: Claim, offsets: Offsets) -> bool:
        """Whether the topic holds the claim's last record; also when it can't be known, because retention took it."""
        if claim.last is None or claim.last.offset < offsets.start:
            return True
        found = self._probe.first(partition, claim.last.offset)
        return found is not None and found.offset() == claim.last.offset and _sha256(found) == claim.last.sha256

    def _first_difference(self, partition: Partition, claim: Claim, offsets: Offsets) -> int:
        """The first offset of ``claim`` at which the topic holds another record than the lake does."""
        lines: dict[str, list[bytes]] = {}
        for item in claim.objects:
            try:
                lines[item.key] = decompress(self._store.get(item.key), item.key).splitlines()[::-1]
            except AbsentError:
                continue
        refused = {item.offset for item in claim.rejected}
        # Of these, retention took the first records, nobody knows how many: the first record that it left tells.
        torn = {item.key for item in claim.objects if item.first_offset < offsets.start}
        expected = max(claim.start, offsets.start)
        for message in self._probe.records(partition, expected, min(claim.end, offsets.end)):
            if message.offset() not in refused and not _stands(message, claim, lines, torn):
                return int(message.offset())
            expected = message.offset() + 1
        return min(expected, offsets.end)


def _stands(message: Message, claim: Claim, lines: dict[str, list[bytes]], torn: set[str]) -> bool:
    """Whether the record is the next line of the object it belongs to; ``lines`` are reversed and shrink."""
    batch = OpenBatch(claim.layout, claim.generation, claim.partition, claim.start)
    batch.add([message.offset()], [message.value()], None, 0)
    built = batch.build(0)
    if not built:
        return False
    key = built[0].claimed.key
    if key not in lines:
        return any(item.key == key for item in claim.objects)
    left = lines[key]
    if key in torn:
        torn.remove(key)
        while left and left[-1] != message.value():
            left.pop()
    return bool(left) and left.pop() == message.value()


def _sha256(message: Message) -> str:
    return hashlib.sha256(message.value() or b"").hexdigest()
