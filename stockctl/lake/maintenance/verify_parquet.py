"""The part of ``lake verify`` for compacted dates: each newest manifest, its objects, and other objects in their folders.

A manifest must be readable, the log must have each claim that it includes, its rows must be those of the claims, and its
objects must exist. ``deep`` also compares the hashes of the objects, and their ids with those of the raw objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet

from stockctl.clients.object_store import AbsentError, ObjectInfo, Store
from stockctl.errors import StockctlError
from stockctl.lake.format.claims import Claim
from stockctl.lake.format.keys import date_of, parse_parquet
from stockctl.lake.format.manifest import Manifest, ParquetObject, decode_manifest, newest_manifests
from stockctl.lake.maintenance.issues import Issue, Report
from stockctl.units import counted


class Digests:
    """A digest of the ids of the raw rows in each manifest. It needs no memory per id, and does not depend on their order."""

    def __init__(self, manifests: Mapping[date, Manifest]) -> None:
        self._claims = {day: manifest.claims for day, manifest in manifests.items()}
        self.sums: dict[date, int] = defaultdict(int)

    def add(self, claim: str, key: str, ids: Iterable[str]) -> None:
        """Add the ids of the object at ``key`` of ``claim``."""
        day = date_of(key)
        if day is not None and claim in self._claims.get(day, ()):
            self.sums[day] += digest(ids)


def digest(ids: Iterable[str]) -> int:
    """A sum over ``ids`` that does not depend on their order. It is only valid within this process."""
    return sum(map(hash, ids))


def read_manifests(store: Store, report: Report) -> dict[date, Manifest]:
    """The newest manifest of each date. Unreadable manifests become issues."""
    manifests = {}
    for day, key in newest_manifests(store).items():
        try:
            manifest = decode_manifest(store.get(key), key)
        except AbsentError:
            raise
        except StockctlError as error:
            report.issues.append(Issue("unreadable", key, str(error)))
            continue
        manifests[day] = manifest
    return manifests


def check_manifest(manifest: Manifest, claims: Mapping[str, Claim], listed: Mapping[str, ObjectInfo], report: Report) -> None:
    """Issues of the manifest, and of its objects, given the objects that exist (``listed``)."""
    report.compacted += 1
    unknown = manifest.claims - claims.keys()
    if unknown:
        message = (
            f"it includes {counted(len(unknown), 'claim that is', 'claims that are')} not in the log, such as {min(unknown)}"
        )
        report.issues.append(Issue("unclaimed", manifest.key, message))
    claimed = sum(
        item.rows
        for key in manifest.claims - unknown
        for item in claims[key].objects
        if date_of(item.key) == manifest.trade_date
    )
    rows = sum(item.rows for item in manifest.objects)
    indexed = sum(extent.rows for extent in manifest.symbols.values())
    if not unknown and not claimed == rows == indexed == manifest.rows:
        message = f"{claimed} rows claimed, {rows} in objects, {indexed} by symbol and {manifest.rows} in all should be equal"
        report.issues.append(Issue("count", manifest.key, message))
    for item in manifest.objects:
        info = listed.get(item.key)
        if info is None:
            report.issues.append(
                Issue("missing", item.key, f"named by {manifest.key}, but does not exist: {counted(item.rows, 'row')}")
            )
        elif info.size != item.size:
            report.issues.append(Issue("changed", item.key, f"{info.size} bytes, but {item.size} in its manifest"))
        else:
            report.objects += 1
            report.bytes += info.size


def check_others(keys: Iterable[str], newest: Mapping[date, int], report: Report) -> None:
    """Issues of the objects at ``keys``, which no manifest names; ``newest`` has the version of each date's manifest."""
    leftover: dict[date, list[str]] = defaultdict(list)
    unfinished: dict[date, list[str]] = defaultdict(list)
    for key in sorted(keys):
        name = parse_parquet(key)
        if name is None:
            report.issues.append(Issue("orphan", key, "no compaction writes such an object: readers ignore it"))
        elif name.version > newest.get(name.trade_date, 0):
            unfinished[name.trade_date].append(key)
        else:
            leftover[name.trade_date].append(key)
    for objects in leftover.values():
        message = f"{counted(len(objects), 'object')} of an old version: the next `stockctl lake compact` deletes them"
        report.issues.append(Issue("leftover", objects[0], message))
    for objects in unfinished.values():
        message = f"{counted(len(objects), 'object')} of a compaction that is running or has died: the next one replaces them"
        report.issues.append(Issue("in progress", objects[0], message))


def read_objects(store: Store, manifest: Manifest, raw: int | None, report: Report) -> None:
    """Read the objects of the manifest: check their hashes, and compare their ids with ``raw``, the digest of the raw ids."""
    total = 0
    for item in manifest.objects:
        issue, ids = _read(store, item)
        if issue is not None:
            report.issues.append(issue)
            raw = None
        total += ids
    if raw is not None and total != raw:
        message = f"the ids in the Parquet objects of {manifest.trade_date} are not those of its raw objects"
        report.issues.append(Issue("changed", manifest.key, message))


def _read(store: Store, item: ParquetObject) -> tuple[Issue | None, int]:
    try:
        data = store.get(item.key)
    except AbsentError:
        return Issue("missing", item.key, "it was deleted during the check"), 0
    if sha256(data).hexdigest() != item.sha256:
        return Issue("changed", item.key, "its bytes do not match the hash in its manifest"), 0
    try:
        batches = pyarrow.parquet.ParquetFile(pa.BufferReader(data)).iter_batches(columns=["id"])
        return None, sum(digest(map(str, batch.column("id").to_pylist())) for batch in batches)
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        return Issue("changed", item.key, f"it is not a Parquet file of trades: {error}"), 0
