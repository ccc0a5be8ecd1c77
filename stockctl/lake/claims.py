"""The claim log: what each object holds, which records are in the lake, and who may write which.

A **claim** says that the records of one Kafka partition from offset ``start`` to ``end`` are in the lake, in the objects it
names. It is put before its objects, and only if absent: whoever claims a start wins, everyone else can only repeat it.
A **start** opens a partition's log: the offset at which it begins, and the topic that it counts in. A partition whose topic was
made anew, or whose log was cut short, goes on in the next **generation**.
"""

from __future__ import annotations

import secrets
from typing import Literal

import msgspec

from stockctl.clients.store import AbsentError, ExistsError, Store
from stockctl.errors import StockctlError
from stockctl.lake.layout import FORMAT, LOG, Layout, claim_key, log_folder, parse_claim
from stockctl.validation import decode_problem

CutReason = Literal["age", "bytes", "records", "objects", "buffer", "retention", "stop", "end", "lost", "closed"]
StartReason = Literal["first", "new topic", "log cut short"]


class ClaimedObject(msgspec.Struct, frozen=True):
    """One object: offsets of its first and last record, its time span in ms, and its content's hash.

    ``sha256`` is of the uncompressed lines; ``size`` in bytes is of the object as the claim's writer compressed it.
    """

    key: str
    rows: int
    first_offset: int
    last_offset: int
    ts_min: int
    ts_max: int
    sha256: str
    size: int


class LastRecord(msgspec.Struct, frozen=True):
    """The batch's last record, to tell whether the topic still holds the same one at that offset."""

    offset: int
    timestamp: int
    sha256: str


class Rejected(msgspec.Struct, frozen=True):
    """A record that is no row of the table, and why; it went to the dead letters."""

    offset: int
    reason: str


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where one partition's log begins, and the topic that its offsets count in."""

    format: int = FORMAT
    cluster_id: str
    topic_id: str
    topic: str
    table: str
    generation: int
    partition: int
    start: int
    reason: StartReason
    blind: bool = False
    """Whether retention had passed the place where the log was cut: it may have taken records that no writer ever saw."""

    @property
    def key(self) -> str:
        """The start's key."""
        return f"{log_folder(self.table, self.generation, self.partition)}/start.json"

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
    generation: int
    partition: int
    start: int
    end: int
    reason: CutReason
    layout: Layout
    last: LastRecord | None
    rows: int
    gaps: int
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
_decode_claim = msgspec.json.Decoder(Claim).decode
_decode_start = msgspec.json.Decoder(Start).decode


class UnreadableClaimError(StockctlError):
    """A claim is damaged, or of a version that we do not know: asking again gives the same."""


def decode_claim(data: bytes, key: str) -> Claim:
    """The claim in ``data``. UnreadableClaimError if it is none, or of a version that we can't repeat."""
    try:
        version = msgspec.json.decode(data, type=dict).get("format")
        claim = _decode_claim(data) if version == FORMAT else None
    except msgspec.DecodeError as error:
        raise UnreadableClaimError(
            f"the claim {key} cannot be read: {decode_problem(error)}", hint="`stockctl lake verify` names all damage"
        ) from error
    if claim is None:
        raise UnreadableClaimError(
            f"the claim {key} has format {version}; this stockctl knows {FORMAT}", hint="use a newer stockctl"
        )
    return claim


def read_claim(store: Store, key: str) -> Claim:
    """The claim at ``key``. AbsentError if there is none."""
    return decode_claim(store.get(key), key)


def put_claim(store: Store, claim: Claim) -> Claim:
    """Put ``claim`` if its start is free; the claim that stands there now, ours or another writer's.

    A store's answer is not the truth: whatever it says but success, the claim itself tells. Raises what the store raised when
    nothing stands there; asking again is safe.
    """
    try:
        store.put_new(claim.key, _encode(claim))
    except StockctlError as error:
        try:
            return read_claim(store, claim.key)
        except AbsentError:
            raise error from None
    return claim


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
    try:
        return _decode_start(store.get(f"{log_folder(table, generation, partition)}/start.json"))
    except AbsentError:
        return None


def newest_start(store: Store, table: str, partition: int) -> Start | None:
    """The start of the partition's newest generation; None if the lake has never seen it."""
    generations = sorted((int(name[1:]) for name in store.folders(f"{LOG}/{table}") if name[1:].isdigit()), reverse=True)
    found = (start_of(store, table, generation, partition) for generation in generations)
    return next((start for start in found if start is not None), None)


def put_start(store: Store, start: Start) -> Start:
    """Put ``start`` if its generation is free; the start that stands there now."""
    try:
        store.put_new(start.key, _encode(start))
    except StockctlError as error:
        try:
            return _decode_start(store.get(start.key))
        except AbsentError:
            raise error from None
    return start


class LostObjects(msgspec.Struct, frozen=True, kw_only=True):
    """Objects of a claim that can never be made, because Kafka no longer holds their records; accepted by a person."""

    claim: str
    objects: list[str]


def lost_key(claim_key: str) -> str:
    """Key of the note that names what of a claim is lost."""
    return claim_key.removesuffix(".json") + ".lost.json"


def put_lost(store: Store, claim: Claim, missing: list[str]) -> None:
    """Note for ever that these objects of ``claim`` are lost."""
    try:
        store.put_new(lost_key(claim.key), _encode(LostObjects(claim=claim.key, objects=missing)))
    except ExistsError:
        return


def read_lost(store: Store, claim: Claim) -> list[str]:
    """Keys of the claim's objects that are known to be lost."""
    try:
        return msgspec.json.decode(store.get(lost_key(claim.key)), type=LostObjects).objects
    except AbsentError:
        return []


_SOURCE = f"{LOG}/source.json"


def lake_source(store: Store, first: str) -> str:
    """The source that the lake was begun with; ``first`` begins it if it is empty."""
    try:
        store.put_new(_SOURCE, _encode({"source": first, "id": secrets.token_hex(8)}))
    except ExistsError:
        return begun_with(store) or first
    return first


def begun_with(store: Store) -> str | None:
    """The source that the lake was begun with; None while it is empty."""
    return _beginning(store).get("source")


def lake_id(store: Store) -> str:
    """What tells this lake from another that began anew at the same place; empty while it is empty, or if it has none."""
    return _beginning(store).get("id", "")


def _beginning(store: Store) -> dict[str, str]:
    try:
        return msgspec.json.decode(store.get(_SOURCE), type=dict[str, str])
    except AbsentError:
        return {}
