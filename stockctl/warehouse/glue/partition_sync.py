"""Partitions registered without a crawler: ``glue sync`` adds them, ``glue status`` compares them with the lake.

Both compare the claim log, the manifests and the folders of filings with the catalog. A partition is identified by its values,
so running ``sync`` again, or while a crawler runs, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

from stockctl.clients.aws.glue import Glue, raise_failures
from stockctl.clients.object_store import Store
from stockctl.errors import UnhealthyError
from stockctl.reconcile import ABSENT, Change, Difference, absent
from stockctl.settings import Settings
from stockctl.warehouse.glue import catalog, crawlers
from stockctl.warehouse.partitions import LakePartitions, Values, lake_partitions
from stockctl.warehouse.tables import TABLES, Table, descriptor, lake_url

Document = dict[str, Any]

_SYNC = "`stockctl glue sync`"


class SyncResult(NamedTuple):
    """What ``sync`` did to one table, in partitions.

    ``foreign`` are those that the lake does not have and ``sync`` did not delete, ``unread`` those that Spectrum cannot read.
    """

    table: str
    created: int
    changed: int
    deleted: int
    unchanged: int
    foreign: int
    unread: int


class TableStatus(NamedTuple):
    """The partitions of one table: how many the lake and the catalog have, how many differ, and the state of its crawler."""

    table: str
    lake: int
    catalog: int
    missing: int
    stale: int
    foreign: int
    crawler: str


class _Comparison(NamedTuple):
    missing: list[Values]
    stale: list[Values]
    foreign: list[Values]
    registered: dict[Values, Document]


def sync(
    glue: Glue, store: Store, settings: Settings, *, since: date | None = None, prune: bool = False
) -> tuple[list[Change], list[SyncResult]]:
    """Create or update the tables, then register the partitions of the lake (dates from ``since`` on).

    Partitions that the lake does not have are deleted only with ``prune``. UnhealthyError if someone else made a table.
    """
    url = lake_url(settings)
    changes = catalog.apply(glue, settings, only_tables=True)
    if skipped := [change for change in changes if change.action == "skipped"]:
        raise UnhealthyError(f"the table {skipped[0].name} is skipped: {skipped[0].detail}", hint="`stockctl glue diff`")
    lake = lake_partitions(store, url, since)
    return changes, [_sync(glue, table, lake, prune) for table in TABLES]


def plan(glue: Glue, store: Store, settings: Settings, *, since: date | None = None, prune: bool = False) -> list[Difference]:
    """The differences that ``sync`` would resolve."""
    _, differences = status(glue, store, settings, since)
    return [
        one
        for one in differences
        if one.kind in ("database", "table") or (one.kind == "partition" and (prune or one.wanted != ABSENT))
    ]


def _sync(glue: Glue, table: Table, lake: LakePartitions, prune: bool) -> SyncResult:
    locations = lake.locations[table.name]
    comparison = _compare(glue, table, lake)
    failures = glue.create_partitions(
        table.name, [partition_input(table, values, locations[values]) for values in comparison.missing]
    )
    # A crawler or another sync created these meanwhile: update them.
    existing = [failure for failure in failures if failure.code == "AlreadyExistsException"]
    raise_failures([failure for failure in failures if failure not in existing], f"create partitions of {table.name}")
    stale = [*comparison.stale, *(failure.values for failure in existing)]
    failures = glue.update_partitions(table.name, [partition_input(table, values, locations[values]) for values in stale])
    raise_failures(failures, f"update partitions of {table.name}")
    deleted = comparison.foreign if prune else []
    raise_failures(glue.delete_partitions(table.name, deleted), f"delete partitions of {table.name}")
    return SyncResult(
        table.name,
        len(comparison.missing) - len(existing),
        len(stale),
        len(deleted),
        len(locations) - len(comparison.missing) - len(comparison.stale),
        len(comparison.foreign) - len(deleted),
        sum(name == table.name for name, _ in lake.unread),
    )


def partition_input(table: Table, values: Values, location: str) -> Document:
    """Glue's ``PartitionInput`` for a partition at ``location``."""
    return {"Values": list(values), "StorageDescriptor": descriptor(table, location)}


def _compare(glue: Glue, table: Table, lake: LakePartitions) -> _Comparison:
    locations = lake.locations[table.name]
    dated = table.keys[0].kind == "date"
    expression = f"trade_date >= '{lake.since.isoformat()}'" if lake.since is not None and dated else None
    registered = {tuple(item["Values"]): item for item in glue.partitions(table.name, expression)}
    return _Comparison(
        sorted(locations.keys() - registered.keys()),
        sorted(
            values for values in locations.keys() & registered.keys() if _is_stale(table, locations[values], registered[values])
        ),
        sorted(registered.keys() - locations.keys()),
        registered,
    )


def _is_stale(table: Table, location: str, partition: Document) -> bool:
    wanted, actual = descriptor(table, location), partition.get("StorageDescriptor") or {}
    serde = actual.get("SerdeInfo") or {}
    # Crawlers write a location without the slash at its end.
    return bool(
        str(actual.get("Location", "")).rstrip("/") != location.rstrip("/")
        or any(actual.get(name) != wanted[name] for name in ("InputFormat", "OutputFormat"))
        or serde.get("SerializationLibrary") != wanted["SerdeInfo"]["SerializationLibrary"]
        or not wanted["SerdeInfo"]["Parameters"].items() <= (serde.get("Parameters") or {}).items()
    )


def status(
    glue: Glue, store: Store, settings: Settings, since: date | None = None
) -> tuple[list[TableStatus], list[Difference]]:
    """The status of each table, and every difference between lake, catalog and crawlers."""
    url = lake_url(settings)
    differences = catalog.differences(glue, settings, from_paths=None)
    lake = lake_partitions(store, url, since)
    missing = {one.name for one in differences if one.actual == ABSENT}
    rows = []
    for table in TABLES:
        if glue.database in missing or table.name in missing:
            comparison = _Comparison(sorted(lake.locations[table.name]), [], [], {})
        else:
            comparison = _compare(glue, table, lake)
        state, failure = _crawler(glue, settings, table)
        rows.append(
            TableStatus(
                table.name,
                len(lake.locations[table.name]),
                len(comparison.registered),
                len(comparison.missing),
                len(comparison.stale),
                len(comparison.foreign),
                state,
            )
        )
        differences += [*failure, *_partition_differences(store, url, table, lake, comparison)]
    return rows, differences


def _partition_differences(
    store: Store, url: str, table: Table, lake: LakePartitions, comparison: _Comparison
) -> Iterator[Difference]:
    locations = lake.locations[table.name]

    def registered_location(values: Values) -> str:
        return str((comparison.registered[values].get("StorageDescriptor") or {}).get("Location", ""))

    for values in comparison.missing:
        yield absent("partition", _name(table, values), _SYNC, wanted=locations[values])
    for values in comparison.stale:
        wanted, actual = locations[values], registered_location(values)
        if actual.rstrip("/") != wanted.rstrip("/"):
            yield Difference("partition", _name(table, values), "Location", wanted, actual, _SYNC)
        else:
            yield Difference("partition", _name(table, values), "format", table.form, "another", _SYNC)
    for values in comparison.foreign:
        actual = _foreign_location(store, url, registered_location(values))
        yield Difference("partition", _name(table, values), "", ABSENT, actual, "`stockctl glue sync --prune`")
    for (name, values), key in sorted(lake.unread.items()):
        if name == table.name:
            fix = "set lake.compression to gzip; `stockctl lake compact` turns these trades into Parquet"
            yield Difference("partition", _name(table, values), "compression", "gzip", f"zstd, as {key}", fix)


def _foreign_location(store: Store, url: str, location: str) -> str:
    if not location.startswith(f"{url}/"):
        return f"{location}, outside the lake"
    folder = location.removeprefix(f"{url}/").rstrip("/")
    if next(iter(store.objects(folder)), None) is None:
        return f"{location}, which is empty"
    return f"{location}, with objects that no claim names, or that have expired"


def _name(table: Table, values: Values) -> str:
    return "/".join([table.name, *(f"{key.name}={value}" for key, value in zip(table.keys, values, strict=False))])


def _crawler(glue: Glue, settings: Settings, table: Table) -> tuple[str, list[Difference]]:
    """The state of the table's crawler, and its last run as a difference if it failed."""
    if settings.glue.role is None or table not in crawlers.crawled(settings.lake):
        return "none", []
    name = crawlers.name_of(settings.glue, table)
    crawler = glue.find_crawler(name)
    if crawler is None:
        return "absent", []
    last = crawler.get("LastCrawl") or {}
    failure = []
    if last.get("Status") == "FAILED":
        reason = str(last.get("ErrorMessage") or "no reason given")
        fix = "correct the cause, then `stockctl glue run --wait`"
        failure.append(Difference("crawler", name, "LastCrawl", "SUCCEEDED", f"FAILED: {reason}", fix))
    state = str(crawler.get("State", "")).lower()
    return f"{state}, last run {str(last.get('Status', 'never')).lower()}", failure
