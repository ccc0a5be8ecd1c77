"""Health of the lake: whether its store can be used, how old its newest claims are and where they end."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from stockctl.check_runner import PROBE_WAIT, Check, CheckResult
from stockctl.clients.kafka import Admin, Committed, Partition
from stockctl.clients.object_store import ExistsError, Store, folder_of_url
from stockctl.errors import RefusedError, StockctlError, UnhealthyError
from stockctl.lake.format.claims import Claim, generations, newest_claim, newest_start
from stockctl.lake.format.keys import LOG, PROBE_FOLDER, TABLES, Table, generation_folder
from stockctl.lake.store import NoLakeError, existing_store
from stockctl.lake.writer.recovery import hinted_claim
from stockctl.settings import Settings
from stockctl.stream.lag import lake_writer
from stockctl.stream.topics import table_topics
from stockctl.stream.waiting_records import pending
from stockctl.units import counted, format_duration


def checks(settings: Settings) -> list[Check]:
    """The check of the lake's store: its latency, and each permission that a lake needs."""
    return [Check("lake store", partial(_check_store, settings))]


def overview(settings: Settings) -> list[Check]:
    """A row for each table of the lake."""
    return [Check(f"lake {table}", partial(_newest, settings, table)) for table in TABLES]


def _check_store(settings: Settings) -> CheckResult:
    try:
        store = existing_store(settings)
    except NoLakeError as error:
        folder = folder_of_url(str(settings.lake.url))
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
            raise
        return CheckResult(str(error), "warn", error.hint)
    return probe(store)


def probe(store: Store) -> CheckResult:
    """Try each operation that a lake needs, on a new object. UnhealthyError if put-if-absent overwrites an object."""
    key = f"{PROBE_FOLDER}/{uuid.uuid4()}"
    store.folders()
    started = time.monotonic()
    store.put_new(key, b"first")
    latency = time.monotonic() - started
    is_refused = _refuses_second(store, key)
    is_unchanged = store.get(key) == b"first"
    try:
        store.delete([key])
        _remove_empty(store)
    except RefusedError as error:
        return CheckResult(
            f"permission denied: delete: {error}", "warn", f"grant it for `lake prune`, and delete {key}", latency
        )
    if not (is_refused and is_unchanged):
        raise UnhealthyError(
            f"{store.url} overwrites an object that must be written only if it is absent",
            hint="use a store that supports If-None-Match: without it two writers overwrite each other's claims",
        )
    return CheckResult(f"{store.url}: list, put if absent, get and delete work", latency=latency)


def _remove_empty(store: Store) -> None:
    # An empty folder is not a lake yet: the check leaves no trace in it.
    if store.folder is not None:
        for folder in (PROBE_FOLDER, LOG):
            with suppress(OSError):
                (store.folder / folder).rmdir()


def _refuses_second(store: Store, key: str) -> bool:
    try:
        store.put_new(key, b"second")
    except ExistsError:
        return True
    return False


def _newest(settings: Settings, table: Table) -> CheckResult:
    try:
        store = existing_store(settings)
    except NoLakeError as error:
        return CheckResult(str(error), "warn", error.hint)
    folders = (generation_folder(table, generation) for generation in generations(store, table))
    numbers = sorted({int(name) for folder in folders for name in store.folders(folder) if name.isdecimal()})
    topic = table_topics(settings.topics)[table]
    committed = _committed(settings, [Partition(topic, number) for number in numbers])
    claims = [
        claim for number in numbers if (claim := _newest_of(store, table, number, committed.get(Partition(topic, number))))
    ]
    if not claims:
        return _empty(settings, store, table, topic)
    newest = max(claims, key=lambda claim: claim.created)
    age = (datetime.now(UTC) - datetime.fromisoformat(newest.created)).total_seconds()
    ends = ", ".join(f"{claim.partition} to {claim.end}" for claim in claims)
    return CheckResult(
        f"newest claim {format_duration(max(0.0, age))} ago, {counted(newest.rows, 'row')} (reason: {newest.reason}); "
        f"partitions {ends}"
    )


def _empty(settings: Settings, store: Store, table: Table, topic: str) -> CheckResult:
    """The result for a table without claims: ok if its writer runs and has not closed a batch yet."""
    with suppress(StockctlError):  # other rows report what is wrong there
        waits = pending(settings, lake_writer(settings.lake), [topic])
        if waits.running:
            return CheckResult(f"empty so far: {waits.message}")
    if table == "signals":
        return CheckResult("empty: no strategy has run")  # most lakes need none
    return CheckResult(f"empty: {store.url}", "warn", "`stockctl consume s3` fills it")


def _newest_of(store: Store, table: Table, number: int, committed: Committed | None) -> Claim | None:
    start = newest_start(store, table, number)
    return None if start is None else newest_claim(store, start, hinted_claim(committed) if committed else None)


def _committed(settings: Settings, partitions: list[Partition]) -> dict[Partition, Committed]:
    """The committed offsets of the writer's group; empty if Kafka cannot be reached, since they only shorten listings."""
    try:
        admin = Admin(settings)
        admin.wait(PROBE_WAIT)
        return admin.committed(settings.lake.group, partitions) if partitions else {}
    except StockctlError:
        return {}
