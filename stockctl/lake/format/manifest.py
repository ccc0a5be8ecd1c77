"""Manifests: which Parquet objects hold a date's trades, and whose claims they hold.

    parquet/trades/trade_date=2026-11-23/v0001-3f9a2c71/00000.parquet
    _log/parquet/trades/2026-11-23/0001.json

A manifest is put only if absent, after its objects: it is what makes them count. The newest version of a date is read, together
with the raw objects of claims that it does not hold yet. Objects that no manifest names are read by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec

from stockctl.clients.store import Store
from stockctl.errors import quoted
from stockctl.lake.format.claims import Count, Millis, UnreadableError, decode, put_once
from stockctl.lake.format.keys import MANIFESTS, CompactedName, manifest_key, parse_claim, parse_manifest, parse_parquet

FORMAT = 1


class Extent(msgspec.Struct, frozen=True, array_like=True):
    """What a date holds of one symbol: rows, and the span of their times in ms."""

    rows: Count
    ts_min: Millis
    ts_max: Millis


class ParquetObject(msgspec.Struct, frozen=True):
    """One Parquet object, sorted by symbol, time, receipt and id; ``sha256`` is of its bytes."""

    key: str
    rows: Count
    first_symbol: str
    last_symbol: str
    ts_min: Millis
    ts_max: Millis
    sha256: str
    size: Count


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one date: the keys of the claims whose trades it holds, its objects, and its symbols."""

    format: int = FORMAT
    nonce: str
    created: str
    trade_date: date
    version: Count
    claims: frozenset[str]
    rows: Count
    objects: list[ParquetObject]
    symbols: dict[str, Extent]

    @property
    def key(self) -> str:
        """The manifest's key."""
        return manifest_key(self.trade_date, self.version)

    @property
    def keys(self) -> set[str]:
        """Keys of the objects."""
        return {item.key for item in self.objects}

    def objects_of(self, symbols: Iterable[str] | None) -> list[ParquetObject]:
        """The objects that hold trades of ``symbols`` (None: all objects), with these symbols' own span of time."""
        if symbols is None:
            return self.objects
        held = {symbol: extent for symbol in symbols if (extent := self.symbols.get(symbol)) is not None}
        found = []
        for item in self.objects:
            extents = [extent for symbol, extent in held.items() if item.first_symbol <= symbol <= item.last_symbol]
            if extents:
                ts_min, ts_max = min(extent.ts_min for extent in extents), max(extent.ts_max for extent in extents)
                found.append(msgspec.structs.replace(item, ts_min=ts_min, ts_max=ts_max))
        return found


_encode = msgspec.json.Encoder(order="deterministic").encode


def decode_manifest(data: bytes, key: str) -> Manifest:
    """The manifest in ``data``. UnreadableError if it is not that of ``key``, or of a version that we can't read.

    It says what to read: its names are believed only if a compaction gives such ones.
    """
    manifest = decode(data, key, Manifest, FORMAT)
    if manifest.key != key:
        raise UnreadableError(key, f"the manifest says that it is {manifest.key}")
    own = CompactedName(manifest.trade_date, manifest.version)
    if (other := next((item.key for item in manifest.objects if parse_parquet(item.key) != own), None)) is not None:
        raise UnreadableError(key, f"it names {quoted(other)}, which is no object of this manifest")
    if (other := next((claim for claim in manifest.claims if parse_claim(claim) is None), None)) is not None:
        raise UnreadableError(key, f"it names {quoted(other)}, which is no claim")
    return manifest


def newest_manifests(store: Store) -> dict[date, str]:
    """The key of the newest manifest of each compacted date."""
    newest: dict[date, tuple[int, str]] = {}
    for item in store.objects(MANIFESTS):
        if (name := parse_manifest(item.key)) is not None:
            newest[name.trade_date] = max(newest.get(name.trade_date, (0, "")), (name.version, item.key))
    return {day: key for day, (_, key) in newest.items()}


def put_manifest(store: Store, manifest: Manifest) -> Manifest:
    """Put ``manifest`` if its version is free; the manifest that stands there now, ours or another compaction's.

    A store's answer is not the truth: whatever it says but success, the manifest itself tells.
    """
    stands = put_once(store, manifest.key, data := _encode(manifest))
    return manifest if stands is data else decode_manifest(stands, manifest.key)
