"""Has the topic's log been cut short since the lake was written? Where the records that it holds part from those claimed.

A log that is cut short, and grows again, holds other records at offsets that have been claimed. What the lake says of an offset
is what the newest generation that reaches down to it says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from stockctl.clients.kafka import Message, Offsets, Partition
from stockctl.clients.kafka.record_reader import RecordReader
from stockctl.clients.store import AbsentError, Store
from stockctl.errors import StockctlError
from stockctl.lake.format import claims
from stockctl.lake.format.claims import Claim, Start
from stockctl.lake.writer.batch import OpenBatch, decompress


class LogDivergence(NamedTuple):
    """The offset from which on the topic's records are not the claimed ones.

    ``blind``: the first record that the topic holds is already another one, so nobody knows where before it the log was cut,
    nor what retention has taken since.
    """

    at: int
    blind: bool


def log_divergence(
    store: Store, probe: RecordReader, start: Start, newest: Claim | None, offsets: Offsets
) -> LogDivergence | None:
    """Where the topic's records part from those claimed; None while they are the same.

    ``newest`` is the newest claim of the generation ``start``; ``offsets`` were asked for after it had been read.
    """
    partition = Partition(start.topic, start.partition)
    if newest is not None and newest.last is not None and newest.end <= offsets.end:
        # Nearly always: the last record stands where it stood, so all before it do.
        if _holds_last(probe, partition, newest, offsets):
            return None
    elif newest is None and start.reason != "log cut short":
        return LogDivergence(offsets.start, blind=False) if offsets.end < start.start else None
    at, reaches_back = None, False
    for claim, until in _history(store, start):
        reaches_back = claim.start < offsets.start
        if until <= offsets.start:
            break  # retention took it, and all before it
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
    """The claims that count, newest first, each with the end of what counts of it: later generations have replaced the rest."""
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
    """Whether the topic holds the claim's last record; also when it can't be known, because retention took it."""
    if claim.last is None or claim.last.offset < offsets.start:
        return True
    found = probe.first(partition, claim.last.offset)
    return found is not None and found.offset() == claim.last.offset and _sha256(found) == claim.last.sha256


def _first_difference(
    store: Store, probe: RecordReader, partition: Partition, claim: Claim, until: int, offsets: Offsets
) -> int | None:
    """The first offset before ``until`` at which the topic holds another record than ``claim`` says, or none any more."""
    lines: dict[str, list[bytes]] = {}
    for item in claim.objects:
        try:
            lines[item.key] = decompress(store.get(item.key), item.key).split(b"\n")[-2::-1]
        except AbsentError:
            continue
    refused = {item.offset for item in claim.rejected}
    # Of these, retention took the first records, nobody knows how many: the first record that it left tells.
    torn = {item.key for item in claim.objects if item.first_offset < offsets.start}
    expected = max(claim.start, offsets.start)
    for message in probe.records(partition, expected, min(until, offsets.end)):
        if not _stands(message, claim, lines, torn, refused):
            return int(message.offset())
        expected = message.offset() + 1
    if offsets.end < until:
        return min(expected, offsets.end)
    # Every row is the same. A record that was none may still differ.
    whole = until != claim.end or _holds_last(probe, partition, claim, offsets)
    return None if whole or claim.last is None else min(expected, claim.last.offset)


def _stands(message: Message, claim: Claim, lines: dict[str, list[bytes]], torn: set[str], refused: set[int]) -> bool:
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
    if key in torn:
        torn.remove(key)
        while left and left[-1] != message.value():
            left.pop()
    return bool(left) and left.pop() == message.value()


def _sha256(message: Message) -> str:
    return hashlib.sha256(message.value() or b"").hexdigest()
