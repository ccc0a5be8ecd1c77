"""``lake verify``: proves that the lake has each claimed record exactly once, or reports what is wrong.

The claims of each partition must follow each other without gap or overlap, their counts must add up, every claimed object must
exist, and every object must have a claim. ``deep`` also reads each object: its hash, its rows, and duplicate ids. Compacted
dates are verified by ``verify_parquet``. Nothing is required of dates below the floor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date

from stockctl.clients.object_store import Store
from stockctl.lake.format import claims
from stockctl.lake.format.claims import Claim, ClaimedObject
from stockctl.lake.format.keys import date_of, is_compaction, lost_key
from stockctl.lake.format.manifest import Manifest, newest_manifests
from stockctl.lake.format.retention import is_expired, read_floor
from stockctl.lake.maintenance.issues import Issue, Report
from stockctl.lake.maintenance.snapshot import PartitionLog, Snapshot, take_snapshot
from stockctl.lake.maintenance.verify_objects import Advance, ObjectOfClaim, read_all, read_object
from stockctl.lake.maintenance.verify_parquet import Digests, check_manifest, check_others, read_objects
from stockctl.units import counted


def verify(store: Store, *, deep: bool = False, advance: Advance = lambda _done, _all: None) -> Report:
    """Verify the complete lake. Writers may run: what they claim meanwhile is "in progress", which is not wrong."""
    report = Report(deep=deep)
    snapshot = take_snapshot(store, report)
    report.floor = snapshot.floor
    _check_raw(store, snapshot, report)
    _check_compacted(snapshot, report)
    if deep:
        _check_contents(store, snapshot, report, advance)
    _settle(store, report, snapshot.objects.keys() | snapshot.parquet.keys(), snapshot.manifests)
    return report


def _check_raw(store: Store, snapshot: Snapshot, report: Report) -> None:
    """Each log, the objects of its claims, and objects without a claim."""
    unfinished = snapshot.unfinished
    for log in snapshot.logs:
        report.partitions += 1
        report.claims += len(log.claims)
        report.rows += sum(claim.rows for claim in log.claims)
        report.rejected += sum(len(claim.rejected) for claim in log.claims)
        report.issues += log_issues(log)
        for claim in log.claims:
            _check_objects(store, claim, snapshot, report, unfinished=claim.key in unfinished)
    logs = [*snapshot.logs, *snapshot.later_logs]
    claimed = {item.key for log in logs for claim in log.claims for item in claim.objects}
    report.issues += [
        Issue("orphan", key, "no claim names this object: readers ignore it")
        for key in sorted(snapshot.objects.keys() - claimed)
    ]


def log_issues(log: PartitionLog) -> Iterator[Issue]:
    """Issues of one log: each claim must begin where the claim before it ends, and its counts must add up."""
    start = log.start
    if start.generation > 1:
        yield Issue("truncated", start.key, str(start))
    expected = start.start
    for claim in log.claims:
        partition = f"{claim.topic}/{claim.partition}"
        if claim.start > expected:
            yield Issue("gap", claim.key, f"no claim covers offsets {expected} to {claim.start} of {partition}")
        elif claim.start < expected:
            yield Issue("overlap", claim.key, f"two claims cover offsets {claim.start} to {expected} of {partition}")
        expected = max(expected, claim.end)
        rows = sum(item.rows for item in claim.objects)
        if rows != claim.rows or claim.rows + len(claim.rejected) + claim.gaps != claim.end - claim.start:
            message = (
                f"{rows} rows in objects, {claim.rows} claimed, {len(claim.rejected)} rejected and {claim.gaps} gaps "
                f"do not make {claim.end - claim.start} offsets"
            )
            yield Issue("count", claim.key, message)
        if claim.reason == "lost":
            yield Issue(
                "lost", claim.key, f"offsets {claim.start} to {claim.end} of {partition} were lost, and accepted as lost"
            )


def _check_objects(store: Store, claim: Claim, snapshot: Snapshot, report: Report, *, unfinished: bool) -> None:
    """Whether the objects of ``claim`` exist and have their size, from the floor on."""
    expected = [item for item in claim.objects if not is_expired(item.key, snapshot.floor)]
    report.pruned += sum(item.rows for item in claim.objects) - sum(item.rows for item in expected)
    missing = [item for item in expected if item.key not in snapshot.objects]
    lost = set(_lost_objects(store, claim, report)) if missing else set()
    if missing and unfinished:
        existing = len(expected) - len(missing)
        message = f"{existing} of {len(expected)} objects exist; the writer, or its next start, stores the rest"
        report.issues.append(Issue("in progress", claim.key, message))
    else:
        report.issues += _missing_objects(store, claim, missing, lost)
    for item in expected:
        info = snapshot.objects.get(item.key)
        if info is None:
            continue
        report.objects += 1
        report.bytes += info.size
        # Another version of the compressor may write another size for the same lines: the hash of the lines decides.
        if info.size != item.size and not report.deep and (issue := read_object(store, item)[0]) is not None:
            report.issues.append(issue)


def _missing_objects(store: Store, claim: Claim, missing: Iterable[ClaimedObject], lost: Collection[str]) -> Iterator[Issue]:
    for item in missing:
        if store.exists(item.key):
            continue  # stored after the objects were listed
        if item.key in lost:
            yield Issue("lost", item.key, f"{counted(item.rows, 'row was', 'rows were')} lost, and accepted as lost")
        else:
            yield Issue("missing", item.key, f"claimed by {claim.key}, but does not exist: {counted(item.rows, 'row')}")


def _lost_objects(store: Store, claim: Claim, report: Report) -> list[str]:
    try:
        return claims.read_lost(store, claim)
    except claims.UnreadableError as error:
        report.issues.append(Issue("unreadable", lost_key(claim.key), str(error)))
        return []


def _check_compacted(snapshot: Snapshot, report: Report) -> None:
    """Each manifest, and Parquet objects without a manifest."""
    known = {claim.key: claim for log in snapshot.later_logs for claim in log.claims}
    for manifest in snapshot.manifests.values():
        check_manifest(manifest, known, snapshot.parquet, report)
    named = {key for manifest in snapshot.manifests.values() for key in manifest.keys}
    versions = {day: manifest.version for day, manifest in snapshot.manifests.items()}
    check_others(snapshot.parquet.keys() - named, versions, report)


def _check_contents(store: Store, snapshot: Snapshot, report: Report, advance: Advance) -> None:
    """Read every raw object and every Parquet object."""
    objects = {
        item.key: ObjectOfClaim(item, claim.key) for log in snapshot.logs for claim in log.claims for item in claim.objects
    }
    digests = Digests(snapshot.manifests)
    read_all(store, [item for key, item in objects.items() if key in snapshot.objects], report, digests, advance)
    for day, manifest in snapshot.manifests.items():
        read_objects(store, manifest, digests.sums[day], report)


def _settle(store: Store, report: Report, keys: Iterable[str], manifests: Mapping[date, Manifest]) -> None:
    """Remove issues that a prune or a compaction during the check explains, and sort the others."""
    report.floor = read_floor(store)
    newer = {day: key for day, key in newest_manifests(store).items() if day in manifests and manifests[day].key != key}
    report.issues = [
        issue
        for issue in report.issues
        if not is_expired(issue.key, report.floor) and not (is_compaction(issue.key) and date_of(issue.key) in newer)
    ]
    report.issues += [Issue("in progress", key, f"{day} was compacted again during the check") for day, key in newer.items()]
    below = sorted(key for key in keys if is_expired(key, report.floor))
    if below:
        message = (
            f"{counted(len(below), 'object')} below the floor {report.floor}, which nobody reads: "
            "the next `stockctl lake prune` deletes them"
        )
        report.issues.append(Issue("leftover", below[0], message))
    report.issues.sort(key=lambda issue: (not issue.wrong, issue.key))
