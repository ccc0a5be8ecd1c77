"""The claim log: what each object holds, which records are in the lake, and who may write which.

A **claim** says that the records of one Kafka partition from offset ``start`` to ``end`` are in the lake, in the objects it
names. It is put before its objects, and only if absent: whoever claims a start wins, everyone else can only repeat it.
A **start** opens a partition's log: the offset at which it begins, and the topic that it counts in. A partition whose topic was
made anew, or whose log was cut short, goes on in the next **generation**.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from stockctl.clients.store import AbsentError, ExistsError, Store
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
from stockctl.validation import decode_problem

CutReason = Literal["age", "bytes", "records", "objects", "buffer", "retention", "stop", "end", "lost", "closed"]
StartReason = Literal["first", "new topic", "log cut short"]

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Of rows or bytes, or an offset, which Kafka counts in 64 bits."""
Millis = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]


class ClaimedObject(msgspec.Struct, frozen=True):
    """One object: offsets of its first and last record, its time span in ms, and its content's hash.

    ``sha256`` is of the uncompressed lines; ``size`` in bytes is of the object as the claim's writer compressed it.
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
    """The batch's last record, to tell whether the topic still holds the same one at that offset."""

    offset: Count
    timestamp: int
    sha256: str


class Rejected(msgspec.Struct, frozen=True):
    """A record that is no row of the table, and why; it went to the dead letters."""

    offset: Count
    reason: str


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where one partition's log begins, and the topic that its offsets count in."""

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
    """Whether retention had passed the place where the log was cut: it may have taken records that no writer ever saw."""

    @property
    def key(self) -> str:
        """The start's key."""
        return start_key(self.table, self.generation, self.partition)

    def __str__(self) -> str:
        unseen = "; retention may have taken records from before it, which no writer ever saw" if self.blind else ""
        place = f"in generation g{self.generation} at offset {self.start}"
        return f"{self.reason}: {self.topic}/{self.partition} goes on {place}{unseen}"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One batch ``[start, end)`` of one partition. ``gaps`` counts offsets that hold no record (transaction markers).

    Two kinds hold no records: a ``lost`` one, and a ``closed`` one, which ends its generation and ``opens`` the next: whether a
    generation goes on, and where the next begins, is agreed on by the same put-if-absent as everything else.
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

    @property
    def key(self) -> str:
        """The claim's key."""
        return claim_key(self.table, self.generation, self.partition, self.start)

    @property
    def first_record(self) -> int:
        """Offset of the batch's first record; ``start`` where it holds none."""
        return min([item.first_offset for item in self.objects] + [item.offset for item in self.rejected], default=self.start)


_encode = msgspec.json.Encoder().encode
_NAMES_DAMAGE = "`stockctl lake verify` names all damage"
_Logged = TypeVar("_Logged", bound=msgspec.Struct)


class LastingError(StockctlError):
    """Asking again gives the same: a person is needed."""


class UnreadableError(LastingError):
    """What stands in the log is damaged, or of a version that we do not know."""

    def __init__(self, key: str, why: str, *, hint: str = _NAMES_DAMAGE) -> None:
        super().__init__(f"{key} cannot be read: {why}", hint=hint)


class _Versioned(msgspec.Struct):
    format: Any = None


def decode(data: bytes, key: str, kind: type[_Logged], version: int | None = None, hint: str = _NAMES_DAMAGE) -> _Logged:
    """What ``data``, the content of ``key``, holds. UnreadableError if it is no ``kind``, or not of the format ``version``."""
    try:
        if version is not None and (found := decode_json(data, _Versioned).format) != version:
            raise UnreadableError(key, f"it has format {found}; this stockctl knows {version}", hint="use a newer stockctl")
        return decode_json(data, kind)
    except UNREADABLE as error:
        raise UnreadableError(key, decode_problem(error), hint=hint) from error


def decode_claim(data: bytes, key: str) -> Claim:
    """The claim in ``data``. UnreadableError if it is not that of ``key``, or of a version that we can't repeat.

    A claim says where to read and write: its names are believed only if a writer gives such ones.
    """
    claim = decode(data, key, Claim, FORMAT)
    if claim.key != key:
        raise UnreadableError(key, f"the claim says that it is {claim.key}")
    own = (claim.table, claim.generation, claim.partition, claim.start)
    for item in claim.objects:
        name = parse_object(item.key)
        if name is None or (name.table, name.generation, name.partition, name.start) != own:
            raise UnreadableError(key, f"it names {quoted(item.key)}, which is no object of this claim")
    if claim.end < claim.start:
        raise UnreadableError(key, f"it ends at {claim.end}, before it starts")
    opens = claim.opens
    if opens is not None and opens.key != start_key(claim.table, claim.generation + 1, claim.partition):
        raise UnreadableError(key, f"it opens {quoted(opens.key)}, which is not the generation behind its own")
    if not _is_moment(claim.created):
        raise UnreadableError(key, f"{quoted(claim.created)} is no time with a zone")
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
        raise UnreadableError(key, f"the start says that it is {start.key}")
    return start


def read_claim(store: Store, key: str) -> Claim:
    """The claim at ``key``. AbsentError if there is none."""
    return decode_claim(store.get(key), key)


def put_claim(store: Store, claim: Claim) -> Claim:
    """Put ``claim`` if its start is free; the claim that stands there now, ours or another writer's.

    A store's answer is not the truth: whatever it says but success, the claim itself tells. Raises what the store raised when
    nothing stands there; asking again is safe.
    """
    stands = put_once(store, claim.key, data := _encode(claim))
    return claim if stands is data else decode_claim(stands, claim.key)


def put_once(store: Store, key: str, data: bytes) -> bytes:
    """Put ``data`` at ``key`` if it is free; what stands there now, ours or another one's. The error's own words otherwise.

    A server that answers that something is there, where nothing is, has refused for the moment (409): UnreachableError.
    """
    try:
        store.put_new(key, data)
    except StockctlError as error:
        try:
            return store.get(key)
        except AbsentError:
            if isinstance(error, ExistsError):
                raise UnreachableError(str(error), hint="try again: nothing is there") from error
            raise error from None
    return data


def newest_claim(store: Store, start: Start, after: str | None = None) -> Claim | None:
    """The newest claim of the partition. ``after``, the key of one that should exist, shortens the listing."""
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
        return newest_claim(store, start)  # the hint is of another lake


def claim_keys(store: Store, start: Start) -> list[str]:
    """Keys of all claims of the partition's generation, in order."""
    return [
        item.key for item in store.objects(log_folder(start.table, start.generation, start.partition)) if parse_claim(item.key)
    ]


def start_of(store: Store, table: str, generation: int, partition: int) -> Start | None:
    """The start of one generation of the partition; None if there is none."""
    key = start_key(table, generation, partition)
    try:
        return decode_start(store.get(key), key)
    except AbsentError:
        return None


def generations(store: Store, table: str) -> list[int]:
    """The generations that the table's log has, in order."""
    names = map(parse_generation, store.folders(table_log(table)))
    return sorted(number for number in names if number is not None)


def newest_start(store: Store, table: str, partition: int) -> Start | None:
    """The start of the partition's newest generation; None if the lake has never seen it."""
    found = (start_of(store, table, generation, partition) for generation in reversed(generations(store, table)))
    return next((start for start in found if start is not None), None)


def put_start(store: Store, start: Start) -> Start:
    """Put ``start`` if its generation is free; the start that stands there now."""
    stands = put_once(store, start.key, data := _encode(start))
    return start if stands is data else decode_start(stands, start.key)


class LostObjects(msgspec.Struct, frozen=True, kw_only=True):
    """Objects of a claim that can never be made, because Kafka no longer holds their records; accepted by a person."""

    claim: str
    objects: list[str]


def put_lost(store: Store, claim: Claim, missing: list[str]) -> None:
    """Note for ever that these objects of ``claim`` are lost."""
    put_once(store, lost_key(claim.key), _encode(LostObjects(claim=claim.key, objects=missing)))


def read_lost(store: Store, claim: Claim) -> list[str]:
    """Keys of the claim's objects that are known to be lost. UnreadableError if the note is damaged."""
    key = lost_key(claim.key)
    try:
        lost = decode(store.get(key), key, LostObjects)
    except AbsentError:
        return []
    if lost.claim != claim.key:
        raise UnreadableError(key, f"it is of the claim {quoted(lost.claim)}")
    return lost.objects


class _Beginning(msgspec.Struct, frozen=True):
    """What a lake is begun with."""

    source: Annotated[str, msgspec.Meta(min_length=1)]
    id: str = ""


def lake_source(store: Store, first: str) -> str:
    """The source that the lake was begun with; ``first`` begins it if it is empty."""
    return _decode_beginning(put_once(store, SOURCE_KEY, _encode(_Beginning(first, secrets.token_hex(8))))).source


def begun_with(store: Store) -> str | None:
    """The source that the lake was begun with; None while it is empty."""
    beginning = _beginning(store)
    return beginning.source if beginning else None


def lake_id(store: Store) -> str:
    """What tells this lake from another that began anew at the same place; empty while it is empty, or if it has none."""
    beginning = _beginning(store)
    return beginning.id if beginning else ""


def _beginning(store: Store) -> _Beginning | None:
    try:
        return _decode_beginning(store.get(SOURCE_KEY))
    except AbsentError:
        return None


def _decode_beginning(data: bytes) -> _Beginning:
    hint = """put {"source": "…"} in its place, with the source that the lake's records have: `stockctl lake read` shows them"""
    return decode(data, SOURCE_KEY, _Beginning, hint=hint)
