"""The part of ``lake verify`` that looks at compacted dates: each newest manifest, its objects, and what else lies there.

Of a manifest: that it can be read, that the log has every claim which it holds, that its rows are theirs and its objects are
there. ``deep`` also compares the objects' hashes, and their ids with those of the raw objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet

from stockctl.clients.store import AbsentError, ObjectInfo, Store
from stockctl.errors import StockctlError
from stockctl.lake.format.claims import Claim
from stockctl.lake.format.keys import date_of, parse_parquet
from stockctl.lake.format.manifest import Manifest, ParquetObject, decode_manifest, newest_manifests
from stockctl.lake.maintenance.issues import Issue, Report
from stockctl.units import counted


class Digests:
    """For each date the ids of the raw rows that its manifest holds, summed so that neither order nor number costs memory."""

    def __init__(self, manifests: Mapping[date, Manifest]) -> None:
        self._held = {day: manifest.claims for day, manifest in manifests.items()}
        self.sums: dict[date, int] = defaultdict(int)

    def add(self, claim: str, key: str, ids: Iterable[str]) -> None:
        """Take the ids of the object at ``key`` of ``claim``."""
        day = date_of(key)
        if day is not None and claim in self._held.get(day, ()):
            self.sums[day] += digest(ids)


def digest(ids: Iterable[str]) -> int:
    """A sum over ``ids`` that is the same in any order, within this process."""
    return sum(map(hash, ids))


def read_manifests(store: Store, report: Report) -> dict[date, Manifest]:
    """The newest manifest of each date; those that cannot be read are found."""
    manifests = {}
    for day, key in newest_manifests(store).items():
        try:
            manifest = decode_manifest(store.get(key), key)
        except AbsentError:
            raise
        except StockctlError as error:
            report.findings.append(Issue("unreadable", key, str(error)))
            continue
        manifests[day] = manifest
    return manifests


def check_manifest(manifest: Manifest, claims: Mapping[str, Claim], listed: Mapping[str, ObjectInfo], report: Report) -> None:
    """What is wrong with the manifest, and with its objects as they are listed."""
    report.compacted += 1
    unknown = manifest.claims - claims.keys()
    if unknown:
        message = f"it holds {counted(len(unknown), 'claim that is', 'claims that are')} not in the log, such as {min(unknown)}"
        report.findings.append(Issue("unclaimed", manifest.key, message))
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
        report.findings.append(Issue("count", manifest.key, message))
    for item in manifest.objects:
        info = listed.get(item.key)
        if info is None:
            report.findings.append(Issue("missing", item.key, f"named by {manifest.key}, and not there: {item.rows} rows"))
        elif info.size != item.size:
            report.findings.append(Issue("changed", item.key, f"{info.size} bytes, and {item.size} by its manifest"))
        else:
            report.objects += 1
            report.bytes += info.size


def check_others(keys: Iterable[str], newest: Mapping[date, int], report: Report) -> None:
    """What the objects at ``keys`` are, that no newest manifest names; ``newest`` are the versions that count."""
    leftover: dict[date, list[str]] = defaultdict(list)
    unfinished: dict[date, list[str]] = defaultdict(list)
    for key in sorted(keys):
        name = parse_parquet(key)
        if name is None:
            report.findings.append(Issue("stray", key, "no compaction makes such an object: readers ignore it"))
        elif name.version > newest.get(name.trade_date, 0):
            unfinished[name.trade_date].append(key)
        else:
            leftover[name.trade_date].append(key)
    for found in leftover.values():
        message = (
            f"{counted(len(found), 'object')} of a version that no longer counts: the next `stockctl lake compact` drops them"
        )
        report.findings.append(Issue("leftover", found[0], message))
    for found in unfinished.values():
        message = f"{counted(len(found), 'object')} of a compaction under way, or of one that died: the next one replaces them"
        report.findings.append(Issue("in progress", found[0], message))


def read_objects(store: Store, manifest: Manifest, raw: int | None, report: Report) -> None:
    """Read the manifest's objects: their hashes, and their ids against the digest ``raw`` of those of the raw objects."""
    total = 0
    for item in manifest.objects:
        finding, ids = _read(store, item)
        if finding is not None:
            report.findings.append(finding)
            raw = None
        total += ids
    if raw is not None and total != raw:
        message = f"the ids in the Parquet objects of {manifest.trade_date} are not those of the raw objects that they hold"
        report.findings.append(Issue("changed", manifest.key, message))


def _read(store: Store, item: ParquetObject) -> tuple[Issue | None, int]:
    try:
        data = store.get(item.key)
    except AbsentError:
        return Issue("missing", item.key, "it was deleted during the check"), 0
    if sha256(data).hexdigest() != item.sha256:
        return Issue("changed", item.key, "its bytes are not those of its manifest"), 0
    try:
        batches = pyarrow.parquet.ParquetFile(pa.BufferReader(data)).iter_batches(columns=["id"])
        return None, sum(digest(map(str, batch.column("id").to_pylist())) for batch in batches)
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        return Issue("changed", item.key, f"it is no Parquet of trades: {error}"), 0
