"""Manifests: which Parquet objects have the trades of a date, and which claims they include.

A manifest is written only if absent, after its objects: it makes them count. Readers use the newest manifest of a date, and the
raw objects of claims that it does not include. They ignore Parquet objects that no manifest names.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec

from stockctl.clients.object_store import Store
from stockctl.errors import quoted
from stockctl.lake.format.claims import Count, Millis, UnreadableError, decode, put_once
from stockctl.lake.format.keys import MANIFESTS, CompactedName, manifest_key, parse_claim, parse_manifest, parse_parquet

FORMAT = 1


class Extent(msgspec.Struct, frozen=True, array_like=True):
    """Rows of one symbol on a date, and their time span in ms."""

    rows: Count
    ts_min: Millis
    ts_max: Millis


class ParquetObject(msgspec.Struct, frozen=True):
    """A Parquet object, sorted by symbol, time, receipt and id; ``sha256`` is of its bytes."""

    key: str
    rows: Count
    first_symbol: str
    last_symbol: str
    ts_min: Millis
    ts_max: Millis
    sha256: str
    size: Count


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a date: the keys of the claims that it includes, its objects, and its symbols."""

    format: int = FORMAT
    nonce: str
    created: str
    trade_date: date
    version: Count
    claims: frozenset[str]
    rows: Count
    objects: list[ParquetObject]
    symbols: dict[str, Extent]
    log_order: bool = False
    """Whether the objects have the columns that keep the order of the log: an older compaction wrote none."""

    @property
    def key(self) -> str:
        """Key of the manifest."""
        return manifest_key(self.trade_date, self.version)

    @property
    def keys(self) -> set[str]:
        """Keys of the objects."""
        return {item.key for item in self.objects}

    def objects_of(self, symbols: Iterable[str] | None) -> list[ParquetObject]:
        """The objects with trades of ``symbols`` (None: all objects), each with the time span of these symbols only."""
        if symbols is None:
            return self.objects
        own = {symbol: extent for symbol in symbols if (extent := self.symbols.get(symbol)) is not None}
        objects = []
        for item in self.objects:
            extents = [extent for symbol, extent in own.items() if item.first_symbol <= symbol <= item.last_symbol]
            if extents:
                ts_min, ts_max = min(extent.ts_min for extent in extents), max(extent.ts_max for extent in extents)
                objects.append(msgspec.structs.replace(item, ts_min=ts_min, ts_max=ts_max))
        return objects


_encode = msgspec.json.Encoder(order="deterministic").encode


def decode_manifest(data: bytes, key: str) -> Manifest:
    """The manifest in ``data``. UnreadableError if it is not that of ``key``, or of an unknown version.

    A manifest says what to read: its keys are accepted only if a compaction would use them.
    """
    manifest = decode(data, key, Manifest, FORMAT)
    if manifest.key != key:
        raise UnreadableError(key, f"the manifest is that of {manifest.key}")
    own = CompactedName(manifest.trade_date, manifest.version)
    if (other := next((item.key for item in manifest.objects if parse_parquet(item.key) != own), None)) is not None:
        raise UnreadableError(key, f"it names {quoted(other)}, which is not an object of this manifest")
    if (other := next((claim for claim in manifest.claims if parse_claim(claim) is None), None)) is not None:
        raise UnreadableError(key, f"it names {quoted(other)}, which is not a claim")
    return manifest


def newest_manifests(store: Store) -> dict[date, str]:
    """The key of the newest manifest of each compacted date."""
    newest: dict[date, tuple[int, str]] = {}
    for item in store.objects(MANIFESTS):
        if (name := parse_manifest(item.key)) is not None:
            newest[name.trade_date] = max(newest.get(name.trade_date, (0, "")), (name.version, item.key))
    return {day: key for day, (_, key) in newest.items()}


def put_manifest(store: Store, manifest: Manifest) -> Manifest:
    """Write ``manifest`` unless its version exists; return the manifest that is there now, of this or another compaction.

    After any error of the store, the manifest that is there decides.
    """
    current = put_once(store, manifest.key, data := _encode(manifest))
    return manifest if current is data else decode_manifest(current, manifest.key)
