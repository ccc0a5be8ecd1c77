"""Finds the offset from which the topic's records differ from the claimed ones, as after a truncation of its log.

A log that was truncated and grew again holds other records at offsets that are claimed. The newest generation that includes an
offset holds the lake's record of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from stockctl.clients.kafka import Message, Offsets, Partition
from stockctl.clients.kafka.record_reader import RecordReader
from stockctl.clients.object_store import AbsentError, Store
from stockctl.errors import StockctlError
from stockctl.lake.format import claims
from stockctl.lake.format.claims import Claim, Start
from stockctl.lake.writer.batch import OpenBatch, decompress


class LogDivergence(NamedTuple):
    """The offset from which the topic's records differ from the claimed ones.

    ``blind``: the topic's first record already differs. Then it is unknown at which earlier offset the log was truncated, and
    what retention has deleted since.
    """

    at: int
    blind: bool


def log_divergence(
    store: Store, probe: RecordReader, start: Start, newest: Claim | None, offsets: Offsets
) -> LogDivergence | None:
    """Where the topic's records differ from the claimed ones; None if they are the same.

    ``newest`` is the newest claim of the generation ``start``; ``offsets`` must have been read after it.
    """
    partition = Partition(start.topic, start.partition)
    if newest is not None and newest.last is not None and newest.end <= offsets.end:
        # The usual case: the last record is where it was, so all before it are.
        if _holds_last(probe, partition, newest, offsets):
            return None
    elif newest is None and start.reason != "log cut short":
        return LogDivergence(offsets.start, blind=False) if offsets.end < start.start else None
    at, reaches_back = None, False
    for claim, until in _history(store, start):
        reaches_back = claim.start < offsets.start
        if until <= offsets.start:
            break  # retention has deleted it, and all before it
        if claim.last is None:
            continue
        if until == claim.end and until <= offsets.end and _holds_last(probe, partition, claim, offsets):
            break
        differs = _first_difference(store, probe, partition, claim, until, offsets)
        if differs is None:
            break
        at = differs
    return None if at is None else LogDivergence(at, reaches_back and at == offsets.start)


def _history(store: Store, start: Start) -> Iterator[tuple[Claim, int]]:
    """The claims that count, newest first, each with the offset where later generations replace it."""
    replaced: int | None = None
    for generation in range(start.generation, 0, -1):
        opened = claims.start_of(store, start.table, generation, start.partition)
        if opened is None or opened.topic_id != start.topic_id or opened.topic != start.topic:
            return
        for key in reversed(claims.claim_keys(store, opened)):
            claim = claims.read_claim(store, key)
            if replaced is None or claim.start < replaced:
                yield claim, claim.end if replaced is None else min(claim.end, replaced)
        replaced = opened.start if replaced is None else min(opened.start, replaced)


def _holds_last(probe: RecordReader, partition: Partition, claim: Claim, offsets: Offsets) -> bool:
    """Whether the topic holds the claim's last record; also True when retention has deleted that record."""
    if claim.last is None or claim.last.offset < offsets.start:
        return True
    record = probe.first(partition, claim.last.offset)
    return record is not None and record.offset() == claim.last.offset and _sha256(record) == claim.last.sha256


def _first_difference(
    store: Store, probe: RecordReader, partition: Partition, claim: Claim, until: int, offsets: Offsets
) -> int | None:
    """The first offset before ``until`` at which the topic lacks the record of ``claim`` or holds another one."""
    lines: dict[str, list[bytes]] = {}
    for item in claim.objects:
        try:
            lines[item.key] = decompress(store.get(item.key), item.key).split(b"\n")[-2::-1]
        except AbsentError:
            continue
    refused = {item.offset for item in claim.rejected}
    # Retention has deleted an unknown number of their first records: the first one that is left gives the place.
    truncated = {item.key for item in claim.objects if item.first_offset < offsets.start}
    expected = max(claim.start, offsets.start)
    for message in probe.records(partition, expected, min(until, offsets.end)):
        if not _matches(message, claim, lines, truncated, refused):
            return int(message.offset())
        expected = message.offset() + 1
    if offsets.end < until:
        return min(expected, offsets.end)
    # Every row is the same. A rejected record may still differ.
    same = until != claim.end or _holds_last(probe, partition, claim, offsets)
    return None if same or claim.last is None else min(expected, claim.last.offset)


def _matches(message: Message, claim: Claim, lines: dict[str, list[bytes]], truncated: set[str], refused: set[int]) -> bool:
    """Whether the record is the next line of the object it belongs to; ``lines`` are reversed and shrink."""
    batch = OpenBatch(claim.layout, claim.generation, claim.partition, claim.start)
    if message.offset() in refused:
        batch.add([message.offset()], [message.value()], None, 0)
        return not batch.objects
    try:
        batch.add([message.offset()], [message.value()], None, 0, frozenset())
    except StockctlError:
        return False
    key = batch.build(0)[0].claimed.key
    if key not in lines:
        return any(item.key == key for item in claim.objects)
    left = lines[key]
    if key in truncated:
        truncated.remove(key)
        while left and left[-1] != message.value():
            left.pop()
    return bool(left) and left.pop() == message.value()


def _sha256(message: Message) -> str:
    return hashlib.sha256(message.value() or b"").hexdigest()
