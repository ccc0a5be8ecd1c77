"""``lake verify``: proves that the lake holds each claimed record exactly once, or names what is wrong.

Claims of each partition must follow each other without hole or overlap, their counts must add up, every object must be there,
and no object may stand without a claim. ``deep`` also reads each object: hash, rows, and ids that occur twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from typing import Annotated, Literal, NamedTuple

import msgspec

from stockctl.clients.store import AbsentError, ObjectInfo, Store
from stockctl.errors import StockctlError
from stockctl.lake import claims
from stockctl.lake.batch import decompress
from stockctl.lake.claims import Claim, ClaimedObject, Start
from stockctl.lake.layout import LOG, TABLES, parse_claim

Kind = Literal[
    "hole",
    "overlap",
    "count",
    "missing",
    "size",
    "changed",
    "stray",
    "doubled",
    "unreadable",
    "lost",
    "cut short",
    "in progress",
]
_HARMLESS: frozenset[Kind] = frozenset({"in progress", "cut short"})


class Finding(NamedTuple):
    """One thing found: what kind, at which key, and what it means."""

    kind: Kind
    key: str
    message: str

    @property
    def wrong(self) -> bool:
        """Whether it makes the lake unhealthy: an unfinished newest claim and a new generation do not."""
        return self.kind not in _HARMLESS


@dataclass
class Report:
    """What was checked, and what was found."""

    partitions: int = 0
    claims: int = 0
    objects: int = 0
    rows: int = 0
    rejected: int = 0
    bytes: int = 0
    deep: bool = False
    findings: list[Finding] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.wrong for finding in self.findings)


class _Log(NamedTuple):
    """One partition's log of one generation, its claims in order."""

    start: Start
    claims: list[Claim]


Advance = Callable[[int, int], None]
"""Told how many objects were read, of how many."""


def verify(store: Store, *, deep: bool = False, advance: Advance = lambda _done, _all: None) -> Report:
    """Check the whole lake. Safe while writers run: what is claimed during the check is "in progress", not wrong."""
    report = Report(deep=deep)
    logs = list(_read_logs(store, report))
    listed = {item.key: item for table in TABLES for item in store.objects(table)}
    later = list(_read_logs(store, Report()))
    newest = {(log.start.table, log.start.generation, log.start.partition): log.claims[-1].key for log in later if log.claims}
    claimed: dict[str, ClaimedObject] = {}
    for log in logs:
        _check_chain(log, report)
        is_newest = newest.get((log.start.table, log.start.generation, log.start.partition))
        for claim in log.claims:
            _check_objects(store, claim, listed, report, unfinished=claim.key == is_newest and _goes_on(log, logs))
            claimed.update((item.key, item) for item in claim.objects)
    known = claimed.keys() | {item.key for log in later for claim in log.claims for item in claim.objects}
    for key in sorted(listed.keys() - known):
        report.findings.append(Finding("stray", key, "no claim names this object: readers ignore it"))
    if deep:
        _read_all(store, [item for key, item in claimed.items() if key in listed], report, advance)
    report.findings.sort(key=lambda finding: (not finding.wrong, finding.key))
    return report


def _goes_on(log: _Log, logs: Iterable[_Log]) -> bool:
    """Whether this is the partition's newest generation: only there can a writer still be at work."""
    return not any(
        (other.start.table, other.start.partition) == (log.start.table, log.start.partition)
        and other.start.generation > log.start.generation
        for other in logs
    )


def _read_logs(store: Store, report: Report) -> Iterator[_Log]:
    keys = [item.key for item in store.objects(LOG)]
    with ThreadPoolExecutor(16, thread_name_prefix="verify") as pool:
        for folder, members in groupby(keys, key=lambda key: key.rpartition("/")[0]):
            names = [key for key in members if parse_claim(key)]
            if folder == LOG or folder.count("/") != 3:
                continue
            read = list(pool.map(lambda key: _read(store, key, report), names))
            found = [claim for claim in read if claim is not None]
            start = _read_start(store, folder, found, report)
            if start is None:
                continue
            report.partitions += 1
            report.claims += len(found)
            report.rows += sum(claim.rows for claim in found)
            report.rejected += sum(len(claim.rejected) for claim in found)
            yield _Log(start, found)


def _read(store: Store, key: str, report: Report) -> Claim | None:
    try:
        claim = claims.read_claim(store, key)
    except AbsentError:
        raise
    except StockctlError as error:
        report.findings.append(Finding("unreadable", key, str(error)))
        return None
    if claim.key != key:
        report.findings.append(Finding("unreadable", key, f"the claim says that it is {claim.key}"))
        return None
    return claim


def _read_start(store: Store, folder: str, found: list[Claim], report: Report) -> Start | None:
    key = f"{folder}/start.json"
    try:
        return msgspec.json.decode(store.get(key), type=Start)
    except AbsentError:
        report.findings.append(Finding("hole", key, "the partition's start is gone: nothing tells where its log begins"))
    except msgspec.DecodeError as error:
        report.findings.append(Finding("unreadable", key, f"the partition's start cannot be read: {error}"))
    if not found:
        return None
    first = found[0]
    return Start(
        cluster_id=first.cluster_id,
        topic_id=first.topic_id,
        topic=first.topic,
        table=first.table,
        generation=first.generation,
        partition=first.partition,
        start=first.start,
        reason="first",
    )


def _check_chain(log: _Log, report: Report) -> None:
    """Each claim must begin where the one before it ends, and its counts must add up."""
    start = log.start
    if start.generation > 1:
        report.findings.append(
            Finding("cut short", start.key, f"{start.reason}: the partition goes on at offset {start.start} of {start.topic}")
        )
    expected = start.start
    for claim in log.claims:
        if claim.start > expected:
            report.findings.append(
                Finding(
                    "hole",
                    claim.key,
                    f"offsets {expected} to {claim.start} of {claim.topic}/{claim.partition} are claimed by nobody",
                )
            )
        elif claim.start < expected:
            report.findings.append(
                Finding(
                    "overlap",
                    claim.key,
                    f"offsets {claim.start} to {expected} of {claim.topic}/{claim.partition} are claimed twice",
                )
            )
        expected = max(expected, claim.end)
        rows = sum(item.rows for item in claim.objects)
        if rows != claim.rows or claim.rows + len(claim.rejected) + claim.gaps != claim.end - claim.start:
            message = (
                f"{rows} rows in objects, {claim.rows} claimed, {len(claim.rejected)} rejected and {claim.gaps} gaps "
                f"do not make {claim.end - claim.start} offsets"
            )
            report.findings.append(Finding("count", claim.key, message))
        if claim.reason == "lost":
            message = f"offsets {claim.start} to {claim.end} of {claim.topic}/{claim.partition} were lost, and accepted as lost"
            report.findings.append(Finding("lost", claim.key, message))


def _check_objects(store: Store, claim: Claim, listed: dict[str, ObjectInfo], report: Report, *, unfinished: bool) -> None:
    missing = [item for item in claim.objects if item.key not in listed]
    lost = set(claims.read_lost(store, claim)) if missing else set()
    for item in missing:
        # It may have been put between the two listings.
        if unfinished or _appeared(store, item):
            continue
        if item.key in lost:
            report.findings.append(Finding("lost", item.key, f"{item.rows} rows were lost, and accepted as lost"))
        else:
            report.findings.append(Finding("missing", item.key, f"claimed by {claim.key}, and not there: {item.rows} rows"))
    if missing and unfinished:
        there = len(claim.objects) - len(missing)
        message = f"{there} of {len(claim.objects)} objects are there; the writer, or its next start, puts the rest"
        report.findings.append(Finding("in progress", claim.key, message))
    for item in claim.objects:
        info = listed.get(item.key)
        if info is None:
            continue
        report.objects += 1
        report.bytes += info.size
        # A repeat by another version of the compressor may give other bytes of the same lines: the hash of the lines decides.
        if info.size != item.size and not report.deep and (finding := _read_object(store, item)[0]) is not None:
            report.findings.append(finding)


def _appeared(store: Store, item: ClaimedObject) -> bool:
    try:
        store.size(item.key)
    except AbsentError:
        return False
    return True


_Id = Annotated[str, msgspec.Meta(min_length=1)]


class _Line(msgspec.Struct, gc=False):
    id: _Id


_decode_line = msgspec.json.Decoder(_Line).decode


def _read_object(store: Store, item: ClaimedObject) -> tuple[Finding | None, list[str]]:
    """What is wrong with the object, and its rows' ids."""
    try:
        lines = decompress(store.get(item.key), item.key)
        rows = lines.splitlines()
        ids = [_decode_line(line).id for line in rows]
    except AbsentError:
        return Finding("missing", item.key, "it was deleted during the check"), []
    except (StockctlError, msgspec.DecodeError) as error:
        return Finding("changed", item.key, str(error)), []
    if len(rows) != item.rows:
        return Finding("changed", item.key, f"{len(rows)} rows, and {item.rows} claimed"), ids
    if sha256(lines).hexdigest() != item.sha256:
        return Finding("changed", item.key, "its lines are not those that were claimed"), ids
    return None, ids


def _read_all(store: Store, items: list[ClaimedObject], report: Report, advance: Advance) -> None:
    """Read every object. An id belongs to one symbol and one moment, so it can occur twice only within one folder."""
    folders: dict[str, list[ClaimedObject]] = defaultdict(list)
    for item in items:
        folders[item.key.rpartition("/")[0]].append(item)
    done = 0
    with ThreadPoolExecutor(4, thread_name_prefix="deep") as pool:
        for members in folders.values():
            seen: dict[str, str] = {}
            for item, (finding, ids) in zip(members, pool.map(lambda one: _read_object(store, one), members), strict=True):
                if finding is not None:
                    report.findings.append(finding)
                doubled = [name for name in ids if name in seen]
                own = set(ids)
                if doubled or len(own) != len(ids):
                    where = f"also in {seen[doubled[0]]}" if doubled else "within the object"
                    count = len(doubled) + len(ids) - len(own)
                    report.findings.append(Finding("doubled", item.key, f"{count} ids occur twice, {where}"))
                seen.update(dict.fromkeys(own, item.key))
                done += 1
                advance(done, len(items))
