"""The claim log: which records are in the lake, in which objects.

A **claim** says that the records of one Kafka partition from offset ``start`` to ``end`` are in the lake, in the objects that
it names. It is written before its objects, and only if absent: the first writer to claim an offset wins, and every other writer
can only repeat the claim. A **start** opens the log of a partition, with its first offset and the topic of its offsets. If the
topic is recreated or truncated, the log continues in the next **generation**.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from stockctl.clients.object_store import AbsentError, ExistsError, Store
from stockctl.errors import StockctlError, UnreachableError, quoted
from stockctl.lake.format.keys import (
    FORMAT,
    SOURCE_KEY,
    Layout,
    claim_key,
    log_folder,
    lost_key,
    parse_claim,
    parse_generation,
    parse_object,
    start_key,
    table_log,
)
from stockctl.records import MAX_MS, UNREADABLE
from stockctl.records import decode as decode_json
from stockctl.validation_errors import decode_problem

CutReason = Literal["age", "bytes", "records", "objects", "buffer", "retention", "stop", "end", "lost", "closed"]
StartReason = Literal["first", "new topic", "log cut short"]

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number of rows or bytes, or an offset: Kafka's offsets have 64 bits."""
Millis = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]


class ClaimedObject(msgspec.Struct, frozen=True):
    """One object: the offsets of its first and last record, its time span in ms, and the hash of its content.

    ``sha256`` is of the uncompressed lines; ``size`` in bytes is that of the object that the writer of the claim compressed.
    """

    key: str
    rows: Count
    first_offset: Count
    last_offset: Count
    ts_min: Millis
    ts_max: Millis
    sha256: str
    size: Count


class LastRecord(msgspec.Struct, frozen=True):
    """The last record of the batch, to check that the topic still has the same record at that offset."""

    offset: Count
    timestamp: int
    sha256: str


class Rejected(msgspec.Struct, frozen=True):
    """A record that is not a row of the table, and why; it went to the dead letter queue."""

    offset: Count
    reason: str


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log of a partition begins, and the topic of its offsets."""

    format: int = FORMAT
    cluster_id: str
    topic_id: str
    topic: str
    table: str
    generation: Count
    partition: Count
    start: Count
    reason: StartReason
    blind: bool = False
    """Whether retention had passed the point of truncation: it may have deleted records that no writer ever read."""

    @property
    def key(self) -> str:
        """Key of the start."""
        return start_key(self.table, self.generation, self.partition)

    def __str__(self) -> str:
        unseen = "; retention may have deleted records before it that no writer ever read" if self.blind else ""
        place = f"in generation g{self.generation} at offset {self.start}"
        return f"{self.reason}: {self.topic}/{self.partition} continues {place}{unseen}"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One batch ``[start, end)`` of one partition. ``gaps`` counts offsets without a record (transaction markers).

    Claims with the reasons ``lost`` and ``closed`` have no records. A ``closed`` claim ends its generation and ``opens`` the
    next: writers agree on it by the same put-if-absent as on every other claim.

    ``switches`` has the symbols whose rows lie in more than one object, unless the objects' offsets give their order: for each
    the places, as an index in ``objects`` and a line from 0, at which the symbol's rows go on. Older writers left it out.
    """

    format: int = FORMAT
    nonce: str
    writer: str
    created: str
    cluster_id: str
    topic_id: str
    topic: str
    table: str
    generation: Count
    partition: Count
    start: Count
    end: Count
    reason: CutReason
    layout: Layout
    last: LastRecord | None
    rows: Count
    gaps: Count
    rejected: list[Rejected] = []
    objects: list[ClaimedObject] = []
    opens: Start | None = None
    switches: dict[str, list[tuple[Count, Count]]] = {}

    @property
    def key(self) -> str:
        """Key of the claim."""
        return claim_key(self.table, self.generation, self.partition, self.start)

    @property
    def first_record(self) -> int:
        """Offset of the first record of the batch; ``start`` if it has none."""
        return min([item.first_offset for item in self.objects] + [item.offset for item in self.rejected], default=self.start)


def log_fields(entry: Start | Claim) -> dict[str, Any]:
    """The fields that are equal in the start and in all claims of one log."""
    names = ("cluster_id", "topic_id", "topic", "table", "generation", "partition")
    return {name: getattr(entry, name) for name in names}


def claim_head(start: Start, writer: str) -> dict[str, Any]:
    """The head of a new claim in the log of ``start``, made now by ``writer``."""
    created = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"nonce": secrets.token_hex(8), "writer": writer, "created": created} | log_fields(start)


_encode = msgspec.json.Encoder().encode
_LISTS_DAMAGE = "`stockctl lake verify` lists all damage"
_Logged = TypeVar("_Logged", bound=msgspec.Struct)


class PermanentError(StockctlError):
    """Retrying gives the same result: it needs a person."""


class UnreadableError(PermanentError):
    """An entry of the log is damaged, or of an unknown version."""

    def __init__(self, key: str, why: str, *, hint: str = _LISTS_DAMAGE) -> None:
        super().__init__(f"{key} cannot be read: {why}", hint=hint)


class _Versioned(msgspec.Struct):
    format: Any = None


def decode(data: bytes, key: str, kind: type[_Logged], version: int | None = None, hint: str = _LISTS_DAMAGE) -> _Logged:
    """Decode ``data``, the content of ``key``. UnreadableError if it is not a ``kind``, or not of the format ``version``."""
    try:
        if version is not None and (found := decode_json(data, _Versioned).format) != version:
            raise UnreadableError(
                key, f"it has format {found}; this version of stockctl reads format {version}", hint="use a newer stockctl"
            )
        return decode_json(data, kind)
    except UNREADABLE as error:
        raise UnreadableError(key, decode_problem(error), hint=hint) from error


def decode_claim(data: bytes, key: str) -> Claim:
    """The claim in ``data``. UnreadableError if it is not that of ``key``, or of a version that cannot be repeated.

    A claim says where to read and write: its keys are accepted only if a writer would use them.
    """
    claim = decode(data, key, Claim, FORMAT)
    if claim.key != key:
        raise UnreadableError(key, f"the claim is that of {claim.key}")
    own = (claim.table, claim.generation, claim.partition, claim.start)
    for item in claim.objects:
        name = parse_object(item.key)
        if name is None or (name.table, name.generation, name.partition, name.start) != own:
            raise UnreadableError(key, f"it names {quoted(item.key)}, which is not an object of this claim")
    if claim.end < claim.start:
        raise UnreadableError(key, f"it ends at {claim.end}, before it starts")
    opens = claim.opens
    if opens is not None and opens.key != start_key(claim.table, claim.generation + 1, claim.partition):
        raise UnreadableError(key, f"it opens {quoted(opens.key)}, which is not its next generation")
    if not _is_moment(claim.created):
        raise UnreadableError(key, f"{quoted(claim.created)} is not a time with a zone")
    if (fault := claim.layout.fault) is not None:
        raise UnreadableError(key, fault)
    return claim


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def decode_start(data: bytes, key: str) -> Start:
    """The start in ``data``. UnreadableError if it is not that of ``key``."""
    start = decode(data, key, Start, FORMAT)
    if start.key != key:
        raise UnreadableError(key, f"the start is that of {start.key}")
    return start


def read_claim(store: Store, key: str) -> Claim:
    """The claim at ``key``. AbsentError if there is none."""
    return decode_claim(store.get(key), key)


def put_claim(store: Store, claim: Claim) -> Claim:
    """Write ``claim`` unless its start is claimed; return the claim that is there now, of this or another writer.

    After any error of the store, the claim that is there decides. If there is none, it raises the error of the store; a retry
    is safe.
    """
    current = put_once(store, claim.key, data := _encode(claim))
    return claim if current is data else decode_claim(current, claim.key)


def put_once(store: Store, key: str, data: bytes) -> bytes:
    """Write ``data`` at ``key`` if absent; return what is there now, which may be that of another writer.

    If nothing is there, it raises the error of the store. UnreachableError if the store said that something is there: S3
    answers so for a conflict that passes (409).
    """
    try:
        store.put_new(key, data)
    except StockctlError as error:
        try:
            return store.get(key)
        except AbsentError:
            if isinstance(error, ExistsError):
                raise UnreachableError(str(error), hint="try again: the object does not exist") from error
            raise error from None
    return data


def newest_claim(store: Store, start: Start, after: str | None = None) -> Claim | None:
    """The newest claim of the partition. ``after``, the key of a claim that should exist, shortens the listing."""
    folder = log_folder(start.table, start.generation, start.partition)
    hint = after if after is not None and parse_claim(after) and after.startswith(f"{folder}/") else None
    newest = max((item.key for item in store.objects(folder, after=hint) if parse_claim(item.key)), default=hint)
    if newest is None:
        return None
    try:
        return read_claim(store, newest)
    except AbsentError:
        if newest != hint:
            raise
        return newest_claim(store, start)  # the hint belongs to another lake


def claim_keys(store: Store, start: Start) -> list[str]:
    """Keys of all claims of the start's generation, in order."""
    return [
        item.key for item in store.objects(log_folder(start.table, start.generation, start.partition)) if parse_claim(item.key)
    ]


def start_of(store: Store, table: str, generation: int, partition: int) -> Start | None:
    """The start of one generation of the partition; None if it does not exist."""
    key = start_key(table, generation, partition)
    try:
        return decode_start(store.get(key), key)
    except AbsentError:
        return None


def generations(store: Store, table: str) -> list[int]:
    """The generations in the log of ``table``, in order."""
    names = map(parse_generation, store.folders(table_log(table)))
    return sorted(number for number in names if number is not None)


def newest_start(store: Store, table: str, partition: int) -> Start | None:
    """The start of the partition's newest generation; None if the lake has no data of it."""
    starts = (start_of(store, table, generation, partition) for generation in reversed(generations(store, table)))
    return next((start for start in starts if start is not None), None)


def put_start(store: Store, start: Start) -> Start:
    """Write ``start`` unless its generation has one; return the start that is there now."""
    current = put_once(store, start.key, data := _encode(start))
    return start if current is data else decode_start(current, start.key)


class LostObjects(msgspec.Struct, frozen=True, kw_only=True):
    """Objects of a claim that cannot be written, because Kafka no longer has their records; a person accepted the loss."""

    claim: str
    objects: list[str]


def put_lost(store: Store, claim: Claim, missing: list[str]) -> None:
    """Record permanently that these objects of ``claim`` are lost."""
    put_once(store, lost_key(claim.key), _encode(LostObjects(claim=claim.key, objects=missing)))


def read_lost(store: Store, claim: Claim) -> list[str]:
    """Keys of the claim's objects whose loss was accepted. UnreadableError if the list is damaged."""
    key = lost_key(claim.key)
    try:
        lost = decode(store.get(key), key, LostObjects)
    except AbsentError:
        return []
    if lost.claim != claim.key:
        raise UnreadableError(key, f"it belongs to the claim {quoted(lost.claim)}")
    return lost.objects


class _Identity(msgspec.Struct, frozen=True):
    """Source and id of a lake, written by its first writer."""

    source: Annotated[str, msgspec.Meta(min_length=1)]
    id: str = ""


def lake_source(store: Store, first: str) -> str:
    """The source of the lake; an empty lake gets the source ``first``."""
    return _decode_identity(put_once(store, SOURCE_KEY, _encode(_Identity(first, secrets.token_hex(8))))).source


def read_source(store: Store) -> str | None:
    """The source of the lake; None while it is empty."""
    identity = _read_identity(store)
    return identity.source if identity else None


def lake_id(store: Store) -> str:
    """The id of the lake, which differs after it was recreated at the same URL; empty if it has none."""
    identity = _read_identity(store)
    return identity.id if identity else ""


def _read_identity(store: Store) -> _Identity | None:
    try:
        return _decode_identity(store.get(SOURCE_KEY))
    except AbsentError:
        return None


def _decode_identity(data: bytes) -> _Identity:
    hint = """replace it with {"source": "…"}, the source of the lake's records: `stockctl lake read` shows them"""
    return decode(data, SOURCE_KEY, _Identity, hint=hint)
