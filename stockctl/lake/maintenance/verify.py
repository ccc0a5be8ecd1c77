"""``lake verify``: proves that the lake holds each claimed record exactly once, or names what is wrong.

Claims of each partition must follow each other without hole or overlap, their counts must add up, every object must be there,
and no object may stand without a claim. ``deep`` also reads each object: hash, rows, and ids that occur twice. Compacted dates
are looked at by ``verify_parquet``. Of what lies below the floor nothing is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from hashlib import sha256
from itertools import groupby
from typing import NamedTuple

from stockctl.clients.store import AbsentError, ObjectInfo, Store
from stockctl.errors import StockctlError
from stockctl.lake.format import claims
from stockctl.lake.format.claims import Claim, ClaimedObject, Start
from stockctl.lake.format.keys import (
    FLOORS,
    LOG,
    PARQUET,
    SOURCE_KEY,
    TABLES,
    date_of,
    folder_of,
    is_compaction,
    is_log_folder,
    lost_key,
    parse_claim,
    start_in,
)
from stockctl.lake.format.manifest import Manifest, newest_manifests
from stockctl.lake.format.retention import check_floor, is_expired, read_floor
from stockctl.lake.maintenance.issues import Issue, Report
from stockctl.lake.maintenance.verify_parquet import Digests, check_manifest, check_others, read_manifests, read_objects
from stockctl.lake.writer.batch import decompress
from stockctl.record_validation import VALIDATORS, InvalidRecordError
from stockctl.units import counted


class _Claimed(NamedTuple):
    """An object with the key of its claim."""

    item: ClaimedObject
    claim: str


class _Log(NamedTuple):
    """One partition's log of one generation, its claims in order."""

    start: Start
    claims: list[Claim]


Advance = Callable[[int, int], None]
"""Told how many objects were read, of how many."""


def verify(store: Store, *, deep: bool = False, advance: Advance = lambda _done, _all: None) -> Report:
    """Check the whole lake. Safe while writers run: what is claimed during the check is "in progress", not wrong."""
    report = Report(deep=deep)
    _check_notes(store, report)
    logs = list(_read_logs(store, report))
    manifests = read_manifests(store, report)
    listed = {item.key: item for table in TABLES for item in store.objects(table)}
    parquet = {item.key: item for item in store.objects(PARQUET)}
    report.floor = read_floor(store)
    manifests = {day: manifest for day, manifest in manifests.items() if not is_expired(manifest.key, report.floor)}
    later = list(_read_logs(store, Report()))
    newest = {(log.start.table, log.start.generation, log.start.partition): log.claims[-1].key for log in later if log.claims}
    claimed: dict[str, _Claimed] = {}
    for log in logs:
        _check_chain(log, report)
        is_newest = newest.get((log.start.table, log.start.generation, log.start.partition))
        for claim in log.claims:
            _check_objects(store, claim, listed, report, unfinished=claim.key == is_newest and _goes_on(log, logs))
            claimed.update((item.key, _Claimed(item, claim.key)) for item in claim.objects)
    known = {claim.key: claim for log in later for claim in log.claims}
    named = claimed.keys() | {item.key for claim in known.values() for item in claim.objects}
    for key in sorted(listed.keys() - named):
        report.findings.append(Issue("stray", key, "no claim names this object: readers ignore it"))
    for manifest in manifests.values():
        check_manifest(manifest, known, parquet, report)
    check_others(
        parquet.keys() - {key for manifest in manifests.values() for key in manifest.keys},
        {day: manifest.version for day, manifest in manifests.items()},
        report,
    )
    if deep:
        digests = Digests(manifests)
        _read_all(store, [item for key, item in claimed.items() if key in listed], report, digests, advance)
        for day, manifest in manifests.items():
            read_objects(store, manifest, digests.sums[day], report)
    _settle(store, report, listed.keys() | parquet.keys(), manifests)
    return report


def _settle(store: Store, report: Report, keys: Iterable[str], manifests: Mapping[date, Manifest]) -> None:
    """Take back what a prune or a compaction during the check explains, and order the findings."""
    report.floor = read_floor(store)
    anew = {day: key for day, key in newest_manifests(store).items() if day in manifests and manifests[day].key != key}
    report.findings = [
        finding
        for finding in report.findings
        if not is_expired(finding.key, report.floor) and not (is_compaction(finding.key) and date_of(finding.key) in anew)
    ]
    report.findings += [Issue("in progress", key, f"{day} was compacted anew during the check") for day, key in anew.items()]
    below = sorted(key for key in keys if is_expired(key, report.floor))
    if below:
        message = (
            f"{counted(len(below), 'object')} below the floor {report.floor}, read by nobody: "
            "the next `stockctl lake prune` drops them"
        )
        report.findings.append(Issue("leftover", below[0], message))
    report.findings.sort(key=lambda finding: (not finding.wrong, finding.key))


def _check_notes(store: Store, report: Report) -> None:
    """What is wrong with the note of the lake's source, and with the floors."""
    notes = [(SOURCE_KEY, claims.begun_with)]
    notes += [(item.key, partial(check_floor, key=item.key)) for item in store.objects(FLOORS)]
    for key, look in notes:
        try:
            look(store)
        except claims.UnreadableError as error:
            report.findings.append(Issue("unreadable", key, str(error)))


def _lost_of(store: Store, claim: Claim, report: Report) -> list[str]:
    try:
        return claims.read_lost(store, claim)
    except claims.UnreadableError as error:
        report.findings.append(Issue("unreadable", lost_key(claim.key), str(error)))
        return []


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
        for folder, members in groupby(keys, folder_of):
            names = [key for key in members if parse_claim(key)]
            if not is_log_folder(folder):
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
        report.findings.append(Issue("unreadable", key, str(error)))
        return None
    return claim


def _read_start(store: Store, folder: str, found: list[Claim], report: Report) -> Start | None:
    key = start_in(folder)
    try:
        return claims.decode_start(store.get(key), key)
    except AbsentError:
        report.findings.append(Issue("hole", key, "the partition's start is gone: nothing tells where its log begins"))
    except claims.UnreadableError as error:
        report.findings.append(Issue("unreadable", key, str(error)))
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
        report.findings.append(Issue("cut short", start.key, str(start)))
    expected = start.start
    for claim in log.claims:
        if claim.start > expected:
            report.findings.append(
                Issue(
                    "hole",
                    claim.key,
                    f"offsets {expected} to {claim.start} of {claim.topic}/{claim.partition} are claimed by nobody",
                )
            )
        elif claim.start < expected:
            report.findings.append(
                Issue(
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
            report.findings.append(Issue("count", claim.key, message))
        if claim.reason == "lost":
            message = f"offsets {claim.start} to {claim.end} of {claim.topic}/{claim.partition} were lost, and accepted as lost"
            report.findings.append(Issue("lost", claim.key, message))


def _check_objects(store: Store, claim: Claim, listed: dict[str, ObjectInfo], report: Report, *, unfinished: bool) -> None:
    promised = [item for item in claim.objects if not is_expired(item.key, report.floor)]
    report.pruned += sum(item.rows for item in claim.objects) - sum(item.rows for item in promised)
    missing = [item for item in promised if item.key not in listed]
    lost = set(_lost_of(store, claim, report)) if missing else set()
    for item in missing:
        # It may have been put between the two listings.
        if unfinished or _appeared(store, item):
            continue
        if item.key in lost:
            report.findings.append(
                Issue("lost", item.key, f"{counted(item.rows, 'row was', 'rows were')} lost, and accepted as lost")
            )
        else:
            report.findings.append(Issue("missing", item.key, f"claimed by {claim.key}, and not there: {item.rows} rows"))
    if missing and unfinished:
        there = len(promised) - len(missing)
        message = f"{there} of {len(promised)} objects are there; the writer, or its next start, puts the rest"
        report.findings.append(Issue("in progress", claim.key, message))
    for item in promised:
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


def _read_object(store: Store, item: ClaimedObject) -> tuple[Issue | None, list[str]]:
    """What is wrong with the object, and its rows' ids."""
    try:
        lines = decompress(store.get(item.key), item.key)
    except AbsentError:
        return Issue("missing", item.key, "it was deleted during the check"), []
    except StockctlError as error:
        return Issue("changed", item.key, str(error)), []
    rows = lines.splitlines()
    ids, invalid = _ids(item.key.partition("/")[0], rows)
    if len(rows) != item.rows:
        return Issue("changed", item.key, f"{len(rows)} rows, and {item.rows} claimed"), ids
    if sha256(lines).hexdigest() != item.sha256:
        return Issue("changed", item.key, "its lines are not those that were claimed"), ids
    if invalid:
        first = f"line {min(invalid)}: {invalid[min(invalid)]}"
        message = f"{counted(len(invalid), 'line')} that readers may refuse or take otherwise: {first}"
        return Issue("invalid", item.key, message), ids
    return None, ids


def _ids(table: str, rows: Sequence[bytes]) -> tuple[list[str], dict[int, str]]:
    """The ids of ``rows``, and by their numbers, from 1, why some of these are not valid."""
    validator = VALIDATORS[table]
    if (records := validator.all(rows)) is not None:
        return [record.id for record in records], {}
    ids, invalid = [], {}
    for number, row in enumerate(rows, 1):
        try:
            ids.append(validator.record(row).id)
        except InvalidRecordError as error:
            invalid[number] = str(error)
    return ids, invalid


def _read_all(store: Store, items: list[_Claimed], report: Report, digests: Digests, advance: Advance) -> None:
    """Read every object: what is wrong with it, and with its ids."""
    done = 0
    with ThreadPoolExecutor(4, thread_name_prefix="deep") as pool:
        for members in _meeting(items):
            seen: dict[str, str] = {}
            read = pool.map(lambda one: _read_object(store, one.item), members)
            for (item, claim), (finding, ids) in zip(members, read, strict=True):
                if finding is not None:
                    report.findings.append(finding)
                doubled = [name for name in ids if name in seen]
                own = set(ids)
                # A producer that died sends its waiting feed events again: their ids tell, and coverage is the same twice.
                if (doubled or len(own) != len(ids)) and not item.key.startswith("feed_events/"):
                    where = f"also in {seen[doubled[0]]}" if doubled else "within the object"
                    count = len(doubled) + len(ids) - len(own)
                    report.findings.append(
                        Issue("doubled", item.key, f"{counted(count, 'id occurs', 'ids occur')} twice, {where}")
                    )
                seen.update(dict.fromkeys(own, item.key))
                digests.add(claim, item.key, ids)
                done += 1
                advance(done, len(items))


def _meeting(items: Iterable[_Claimed]) -> Iterator[list[_Claimed]]:
    """The objects in groups within which an id may occur twice, because it belongs to one symbol and one moment.

    A folder each; a whole date if it was cut in more than one way, such as by ticker and by bucket.
    """
    dates: dict[str, dict[str, list[_Claimed]]] = defaultdict(lambda: defaultdict(list))
    for one in items:
        folder = folder_of(one.item.key)
        dates["/".join(folder.split("/")[:2])][folder].append(one)
    for folders in dates.values():
        ways = {
            name.partition("=")[0] + name.partition("-of-")[2] for name in (folder.rpartition("/")[2] for folder in folders)
        }
        if len(ways) == 1:
            yield from folders.values()
        else:
            yield [one for members in folders.values() for one in members]
