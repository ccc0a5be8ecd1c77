"""An open batch: records of one partition, split into objects as they arrive, and the cut that makes them a claim's objects."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence, Set
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import msgspec
from isal import igzip, igzip_lib

from stockctl.errors import StockctlError
from stockctl.lake.format.claims import ClaimedObject, CutReason, LastRecord, Rejected
from stockctl.lake.format.keys import Layout
from stockctl.lake.format.record_placement import ClaimedEvent, ClaimedRecord, day_of
from stockctl.record_validation import VALIDATORS, InvalidRecordError
from stockctl.records import UNREADABLE, FeedEvent
from stockctl.settings import LakeSettings
from stockctl.validation_errors import decode_problem

_CLAIMED = {
    "trades": msgspec.json.Decoder(ClaimedRecord).decode,
    "feed_events": msgspec.json.Decoder(ClaimedEvent).decode,
    "signals": msgspec.json.Decoder(ClaimedRecord).decode,
}
"""Decoders for the records of existing claims."""
_REASON = 300
"""Most characters of a rejection's reason: it may quote a value."""
_REJECTED = 400
"""Bytes that a rejected record takes besides its value, in the batch and in its claim."""


class Sources(Protocol):
    """The sources that a lake accepts records of."""

    @property
    def known(self) -> Set[str]:
        """The accepted sources known so far."""
        ...

    def refusal(self, source: str) -> str | None:
        """Why records of ``source`` are rejected; None if they are not. Called in the order of the records."""
        ...


class _Head(NamedTuple):
    """The fields that place a feed event: it is stored under the date of its span's end."""

    symbol: str
    ts_event: int
    source: str


class _Group:
    """The lines of a future object: records in ``[since, until)`` of the symbols that share its folder."""

    __slots__ = ("append", "first_offset", "folder", "last_offset", "lines", "since", "ts_max", "ts_min", "until")

    def __init__(self, folder: str, since: int, until: int, offset: int, ts: int) -> None:
        self.folder, self.since, self.until = folder, since, until
        self.first_offset = self.last_offset = offset
        self.ts_min = self.ts_max = ts
        self.lines: list[bytes] = []
        self.append = self.lines.append


class Record(NamedTuple):
    """A Kafka record: offset, timestamp in ms, value."""

    offset: int
    timestamp: int
    value: bytes


class BuiltObject(NamedTuple):
    """An object ready to be put, and its entry in the claim."""

    claimed: ClaimedObject
    data: bytes


class OpenBatch:
    """Records from offset ``start`` on. ``end`` is one past the last record's offset, and ``start`` while there is none."""

    def __init__(self, layout: Layout, generation: int, partition: int, start: int, sources: Sources | None = None) -> None:
        self.layout, self.generation, self.partition, self.start = layout, generation, partition, start
        self._sources = sources
        self.end = start
        self.records = 0
        self.bytes = 0
        self.opened = time.monotonic()
        self.rejected: list[tuple[Rejected, bytes]] = []
        self._last: Record | None = None
        self._groups: dict[str, _Group] = {}
        self._by_symbol: dict[str, _Group] = {}
        self._switches: dict[str, list[tuple[_Group, int]]] = {}
        self._validator = VALIDATORS[layout.table]

    def limit(self, limits: LakeSettings, now: float) -> CutReason | None:
        """Which of the ``limits`` the batch has reached at ``now`` (``time.monotonic()``); None while it may stay open."""
        if self.bytes >= limits.max_bytes:
            return "bytes"
        if self.records >= limits.max_records:
            return "records"
        if self.objects >= limits.max_objects:
            return "objects"
        return "age" if now - self.opened >= limits.max_age else None

    @property
    def objects(self) -> int:
        """The number of objects that a cut would make now."""
        return len(self._groups)

    @property
    def last(self) -> LastRecord | None:
        """The last record with the hash of its value; None without a record."""
        if self._last is None:
            return None
        return LastRecord(self._last.offset, self._last.timestamp, hashlib.sha256(self._last.value).hexdigest())

    def heads(self, values: Sequence[bytes | None]) -> list[Any] | None:
        """The fields that place each of ``values``; None if one of them needs ``record`` and ``line`` of its own."""
        records = self._validator.all(values)
        return None if records is None else list(map(_head, records)) if self.layout.table == "feed_events" else records

    def add(
        self,
        offsets: Sequence[int],
        values: Sequence[bytes | None],
        heads: Sequence[Any] | None,
        timestamp: int,
        refuse: frozenset[int] | None = None,
    ) -> None:
        """Add records in offset order; ``heads`` are ``self.heads(values)``, ``timestamp`` is that of the last record.

        An invalid record, or one of a source that the lake does not accept, is rejected. With ``refuse``, the offsets that an
        earlier cut of the same records rejected, these are rejected and no others.
        """
        if not offsets:
            return
        if not self.records:
            self.opened = time.monotonic()
        if heads is not None and not refuse and (refuse is not None or self._known(heads)):
            self._add_valid(offsets, values, heads)  # type: ignore[arg-type]  # the decoder has refused None
        else:
            self._add_each(offsets, values, refuse)
        self.records += len(offsets)
        self.end = offsets[-1] + 1
        self._last = Record(offsets[-1], timestamp, values[-1] or b"")

    def _add_valid(self, offsets: Sequence[int], values: Sequence[bytes], heads: Sequence[Any]) -> None:
        by_symbol = self._by_symbol
        get = by_symbol.get
        for offset, value, head in zip(offsets, values, heads, strict=True):
            ts = head.ts_event
            group = get(head.symbol)
            if group is None or not group.since <= ts < group.until:
                group = by_symbol[head.symbol] = self._next_group(group, head.symbol, ts, offset)
            group.append(value)
            group.last_offset = offset
            if ts > group.ts_max:
                group.ts_max = ts
            elif ts < group.ts_min:
                group.ts_min = ts
        self.bytes += sum(map(len, values)) + len(values)

    def _known(self, heads: Sequence[Any]) -> bool:
        """Whether every source of ``heads`` is known to be accepted."""
        return self._sources is None or self._sources.known >= {head.source for head in heads}

    def _add_each(self, offsets: Sequence[int], values: Sequence[bytes | None], refuse: frozenset[int] | None) -> None:
        for offset, value in zip(offsets, values, strict=True):
            reason = "rejected by the claim"
            if refuse is None or offset not in refuse:
                try:
                    head, line = self._row(value) if refuse is None else self._claimed_row(value)
                except InvalidRecordError as error:
                    reason = str(error)
                else:
                    self._add_valid((offset,), (line,), (head,))
                    continue
                if refuse is not None:
                    place = f"offset {offset} of partition {self.partition}"
                    raise StockctlError(
                        f"the record at {place} was claimed as a row, but it is not one: {reason}",
                        hint="has the topic been rewritten? `stockctl lake verify`",
                    )
            self.rejected.append((Rejected(offset, reason[:_REASON]), value or b""))
            self.bytes += len(value or b"") + _REJECTED

    def _row(self, value: bytes | None) -> tuple[Any, bytes]:
        record = self._validator.record(value)
        if self._sources is not None and (refusal := self._sources.refusal(record.source)) is not None:
            raise InvalidRecordError(refusal)
        line = self._validator.line(value)  # type: ignore[arg-type]  # None is no valid record
        return _head(record) if isinstance(record, FeedEvent) else record, line

    def _claimed_row(self, value: bytes | None) -> tuple[Any, bytes]:
        # A row of an earlier cut stays a row, even if the rules have changed since.
        try:
            head = _CLAIMED[self.layout.table](value)  # type: ignore[arg-type]  # None is refused like any other type
            return head, value if self.layout.lines == "raw" else self._validator.line(value)  # type: ignore[arg-type,return-value]
        except TypeError:
            raise InvalidRecordError("no value") from None
        except UNREADABLE as error:
            raise InvalidRecordError(decode_problem(error, "the record")) from None

    def _next_group(self, before: _Group | None, symbol: str, ts: int, offset: int) -> _Group:
        """The group of the symbol's next row, which ``before``, that of its last row, does not hold."""
        group = self._group(symbol, ts, offset)
        if before is not None:
            # All rows of the symbol in its first group come before: from its line 0 on, whosever that line is.
            self._switches.setdefault(symbol, [(before, 0)]).append((group, len(group.lines)))
        return group

    def _group(self, symbol: str, ts: int, offset: int) -> _Group:
        day, since, until = day_of(ts, self.layout.timezone)
        folder = self.layout.folder(symbol, day)
        group = self._groups.get(folder)
        if group is None:
            group = self._groups[folder] = _Group(folder, since, until, offset, ts)
        return group

    @property
    def switches(self) -> dict[str, list[tuple[int, int]]]:
        """The claim's ``switches``: the order of a symbol's trades, where the offsets of its objects don't give it."""
        if self.layout.table != "trades" or not self._switches:
            return {}
        numbers = {folder: number for number, folder in enumerate(sorted(self._groups))}
        return {
            symbol: [(numbers[group.folder], line) for group, line in places]
            for symbol, places in self._switches.items()
            if any(one.last_offset >= other.first_offset for (one, _), (other, _) in pairwise(places))
        }

    def build(self, level: int) -> list[BuiltObject]:
        """The batch's objects in key order, compressed. Safe from any thread: the lines are only read."""
        return [self._build(group, level) for _, group in sorted(self._groups.items())]

    def _build(self, group: _Group, level: int) -> BuiltObject:
        lines = b"\n".join(group.lines) + b"\n"
        data = compress(lines, self.layout.compression, level)
        claimed = ClaimedObject(
            key=self.layout.object_key(group.folder, self.generation, self.partition, self.start),
            rows=len(group.lines),
            first_offset=group.first_offset,
            last_offset=group.last_offset,
            ts_min=group.ts_min,
            ts_max=group.ts_max,
            sha256=hashlib.sha256(lines).hexdigest(),
            size=len(data),
        )
        return BuiltObject(claimed, data)


def _head(event: FeedEvent) -> _Head:
    return _Head("", event.span_end, event.source)


def compress(lines: bytes, compression: str, level: int) -> bytes:
    """``lines`` compressed. Equal lines give equal bytes on one machine: the header has no time stamp."""
    if compression == "gzip":
        return bytes(igzip.compress(lines, level, mtime=0))
    import pyarrow as pa

    return bytes(pa.Codec("zstd", compression_level=3).compress(lines, asbytes=True))


def decompress(data: bytes, key: str) -> bytes:
    """The lines of the object at ``key``. StockctlError if it is damaged."""
    try:
        if key.endswith(".gz"):
            return bytes(igzip.decompress(data))  # type: ignore[no-untyped-call]  # isal ships no types
        import pyarrow as pa

        return bytes(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())
    except (OSError, EOFError, ValueError, igzip_lib.IsalError) as error:  # type: ignore[misc]  # isal ships no types
        raise StockctlError(
            f"the object {key} cannot be decompressed: {error}", hint="`stockctl lake verify --deep`"
        ) from error
