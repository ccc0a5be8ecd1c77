"""The state of a lake that ``lake verify`` checks: its claims, its manifests, and the objects that exist."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from itertools import groupby
from typing import NamedTuple

from stockctl.clients.object_store import AbsentError, ObjectInfo, Store
from stockctl.errors import StockctlError
from stockctl.lake.format import claims
from stockctl.lake.format.claims import Claim, Start
from stockctl.lake.format.keys import FLOORS, LOG, PARQUET, SOURCE_KEY, TABLES, folder_of, is_log_folder, parse_claim, start_in
from stockctl.lake.format.manifest import Manifest
from stockctl.lake.format.retention import check_floor, is_expired, read_floor
from stockctl.lake.maintenance.issues import Issue, Report
from stockctl.lake.maintenance.verify_parquet import read_manifests


class PartitionLog(NamedTuple):
    """The log of one generation of one partition, with its claims in order."""

    start: Start
    claims: list[Claim]

    @property
    def name(self) -> tuple[str, int, int]:
        """Table, generation and partition."""
        return self.start.table, self.start.generation, self.start.partition


class Snapshot(NamedTuple):
    """The lake while writers may run: ``logs`` were read before the objects were listed, ``later_logs`` after that.

    ``manifests`` are the newest of each date from the floor on; ``objects`` and ``parquet`` are the objects that exist.
    """

    logs: list[PartitionLog]
    manifests: dict[date, Manifest]
    objects: dict[str, ObjectInfo]
    parquet: dict[str, ObjectInfo]
    floor: date | None
    later_logs: list[PartitionLog]

    @property
    def unfinished(self) -> set[str]:
        """Keys of the claims whose objects a writer may still be storing: the newest claim of each partition."""
        generations: dict[tuple[str, int], int] = {}
        for table, generation, partition in (log.name for log in self.logs):
            generations[table, partition] = max(generation, generations.get((table, partition), 0))
        return {
            log.claims[-1].key
            for log in self.later_logs
            if log.claims and log.start.generation >= generations.get((log.start.table, log.start.partition), 0)
        }


def take_snapshot(store: Store, report: Report) -> Snapshot:
    """Read the log and list the objects. Unreadable parts of the log become issues of ``report``."""
    _check_notes(store, report)
    logs = list(_read_logs(store, report))
    manifests = read_manifests(store, report)
    objects = {item.key: item for table in TABLES for item in store.objects(table)}
    parquet = {item.key: item for item in store.objects(PARQUET)}
    floor = read_floor(store)
    current = {day: manifest for day, manifest in manifests.items() if not is_expired(manifest.key, floor)}
    return Snapshot(logs, current, objects, parquet, floor, list(_read_logs(store, Report())))


def _check_notes(store: Store, report: Report) -> None:
    """Issues of the lake's source and of the floors."""
    notes = [(SOURCE_KEY, claims.read_source)]
    notes += [(item.key, partial(check_floor, key=item.key)) for item in store.objects(FLOORS)]
    for key, check in notes:
        try:
            check(store)
        except claims.UnreadableError as error:
            report.issues.append(Issue("unreadable", key, str(error)))


def _read_logs(store: Store, report: Report) -> Iterator[PartitionLog]:
    keys = [item.key for item in store.objects(LOG)]
    with ThreadPoolExecutor(16, thread_name_prefix="verify") as pool:
        for folder, members in groupby(keys, folder_of):
            claim_keys = [key for key in members if parse_claim(key)]
            if not is_log_folder(folder):
                continue
            readable = [
                claim for claim in pool.map(lambda key: _read_claim(store, key, report), claim_keys) if claim is not None
            ]
            start = _read_start(store, folder, readable, report)
            if start is not None:
                yield PartitionLog(start, readable)


def _read_claim(store: Store, key: str, report: Report) -> Claim | None:
    try:
        return claims.read_claim(store, key)
    except AbsentError:
        raise
    except StockctlError as error:
        report.issues.append(Issue("unreadable", key, str(error)))
        return None


def _read_start(store: Store, folder: str, log: list[Claim], report: Report) -> Start | None:
    """The start of a log; without a readable start, the position of its first claim."""
    key = start_in(folder)
    try:
        return claims.decode_start(store.get(key), key)
    except AbsentError:
        report.issues.append(Issue("gap", key, "the start of the partition's log is missing"))
    except claims.UnreadableError as error:
        report.issues.append(Issue("unreadable", key, str(error)))
    return Start(**claims.log_fields(log[0]), start=log[0].start, reason="first") if log else None
