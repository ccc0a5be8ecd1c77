"""Partitions straight from the lake: ``glue sync`` registers them without a crawler, ``glue status`` tells where they differ.

Both compare what the claim log, the manifests and the folders of filings want with what the catalog holds. Doing it again, or
beside a crawler, changes nothing: a partition is named by its values.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

from stockctl.clients.aws.glue import Glue, raise_failures
from stockctl.clients.store import Store
from stockctl.errors import UnhealthyError
from stockctl.settings import Settings
from stockctl.warehouse.glue import catalog, crawlers
from stockctl.warehouse.partitions import Values, Wanted, wanted
from stockctl.warehouse.tables import TABLES, Table, descriptor, lake_url

Document = dict[str, Any]


class Synced(NamedTuple):
    """What ``sync`` did to one table: partitions made, changed, deleted, left as they were, and those that nobody can read."""

    table: str
    made: int
    changed: int
    deleted: int
    unchanged: int
    foreign: int
    unread: int


class Finding(NamedTuple):
    """Something that differs between lake, catalog and crawlers; ``problem`` is missing, stale, foreign, unread or words."""

    what: str
    name: str
    problem: str
    detail: str


class Standing(NamedTuple):
    """One table in numbers: partitions that the lake wants, those of the catalog, and how many differ."""

    table: str
    lake: int
    catalog: int
    missing: int
    stale: int
    foreign: int
    crawler: str


class _Compared(NamedTuple):
    missing: list[Values]
    stale: list[Values]
    foreign: list[Values]
    there: dict[Values, Document]


def sync(
    glue: Glue, store: Store, settings: Settings, *, since: date | None = None, prune: bool = False
) -> tuple[list[catalog.Change], list[Synced]]:
    """Make or update the tables, then register every partition of the lake (from ``since`` on); what was done.

    Partitions that the lake does not want are kept unless ``prune``. UnhealthyError if a table is someone else's.
    """
    url = lake_url(settings)
    changes = catalog.apply(glue, settings, only_tables=True)
    if left := [change for change in changes if change.done == catalog.LEFT]:
        raise UnhealthyError(f"the table {left[0].name} is left alone: {left[0].detail}", hint="`stockctl glue diff` tells all")
    want = wanted(store, url, since)
    return changes, [_sync(glue, table, want, prune) for table in TABLES]


def _sync(glue: Glue, table: Table, want: Wanted, prune: bool) -> Synced:
    places = want.partitions[table.name]
    found = _compare(glue, table, want)
    made = glue.create_partitions(table.name, [partition_input(table, values, places[values]) for values in found.missing])
    # A crawler, or another sync, was quicker: then it is compared like one that was there before.
    quicker = [failure for failure in made if failure.code == "AlreadyExistsException"]
    raise_failures([failure for failure in made if failure not in quicker], f"create partitions of {table.name}")
    change = [*found.stale, *(failure.values for failure in quicker)]
    changed = glue.update_partitions(table.name, [partition_input(table, values, places[values]) for values in change])
    raise_failures(changed, f"update partitions of {table.name}")
    gone = found.foreign if prune else []
    raise_failures(glue.delete_partitions(table.name, gone), f"delete partitions of {table.name}")
    return Synced(
        table.name,
        len(found.missing) - len(quicker),
        len(change),
        len(gone),
        len(places) - len(found.missing) - len(found.stale),
        len(found.foreign) - len(gone),
        sum(name == table.name for name, _ in want.unread),
    )


def partition_input(table: Table, values: Values, place: str) -> Document:
    """Glue's ``PartitionInput``: the table's own descriptor at the partition's place."""
    return {"Values": list(values), "StorageDescriptor": descriptor(table, place)}


def _compare(glue: Glue, table: Table, want: Wanted) -> _Compared:
    places = want.partitions[table.name]
    dated = table.keys[0].kind == "date"
    expression = f"trade_date >= '{want.since.isoformat()}'" if want.since is not None and dated else None
    there = {tuple(item["Values"]): item for item in glue.partitions(table.name, expression)}
    return _Compared(
        sorted(places.keys() - there.keys()),
        sorted(values for values in places.keys() & there.keys() if _is_stale(table, places[values], there[values])),
        sorted(there.keys() - places.keys()),
        there,
    )


def _is_stale(table: Table, place: str, found: Document) -> bool:
    wanted, have = descriptor(table, place), found.get("StorageDescriptor") or {}
    serde = have.get("SerdeInfo") or {}
    # A crawler writes a location without the slash at its end.
    return bool(
        str(have.get("Location", "")).rstrip("/") != place.rstrip("/")
        or any(have.get(name) != wanted[name] for name in ("InputFormat", "OutputFormat"))
        or serde.get("SerializationLibrary") != wanted["SerdeInfo"]["SerializationLibrary"]
        or not wanted["SerdeInfo"]["Parameters"].items() <= (serde.get("Parameters") or {}).items()
    )


def status(glue: Glue, store: Store, settings: Settings, since: date | None = None) -> tuple[list[Standing], list[Finding]]:
    """The tables in numbers, and everything in which lake, catalog and crawlers differ."""
    url = lake_url(settings)
    differing = catalog.differences(glue, settings, from_paths=None)
    findings = [Finding(item.what, item.name, item.problem, item.remedy) for item in differing]
    want = wanted(store, url, since)
    standings = []
    absent = {item.name for item in findings if item.problem == "absent"}
    for table in TABLES:
        known = glue.database not in absent and table.name not in absent
        compared = _compare(glue, table, want) if known else _Compared(sorted(want.partitions[table.name]), [], [], {})
        crawler = _crawler(glue, settings, table, findings)
        standings.append(
            Standing(
                table.name,
                len(want.partitions[table.name]),
                len(compared.there),
                len(compared.missing),
                len(compared.stale),
                len(compared.foreign),
                crawler,
            )
        )
        findings += _told(store, url, table, want, compared)
    return standings, findings


def _told(store: Store, url: str, table: Table, want: Wanted, compared: _Compared) -> Iterator[Finding]:
    places = want.partitions[table.name]
    for values in compared.missing:
        yield Finding("partition", _name(table, values), "missing", f"{places[values]} is not in the catalog")
    for values in compared.stale:
        have = (compared.there[values].get("StorageDescriptor") or {}).get("Location", "nowhere")
        where = f"it points to {have}" if have.rstrip("/") != places[values].rstrip("/") else "it is read in another form"
        yield Finding("partition", _name(table, values), "stale", where)
    for values in compared.foreign:
        have = (compared.there[values].get("StorageDescriptor") or {}).get("Location", "nowhere")
        yield Finding("partition", _name(table, values), "foreign", _why_foreign(store, url, have))
    for (name, values), key in sorted(want.unread.items()):
        if name == table.name:
            yield Finding("partition", _name(table, values), "unread", f"{key} is zstd, which Redshift Spectrum does not read")


def _why_foreign(store: Store, url: str, place: str) -> str:
    if not place.startswith(f"{url}/"):
        return f"{place} lies outside the lake"
    folder = place.removeprefix(f"{url}/").rstrip("/")
    if next(iter(store.objects(folder)), None) is None:
        return f"{place} is empty"
    return f"{place} holds objects that count no more, or that no claim names"


def _name(table: Table, values: Values) -> str:
    return "/".join([table.name, *(f"{key.name}={value}" for key, value in zip(table.keys, values, strict=False))])


def _crawler(glue: Glue, settings: Settings, table: Table, findings: list[Finding]) -> str:
    """The crawler's state in words; what is wrong with its last run goes to ``findings``."""
    if settings.glue.role is None or table not in crawlers.crawled(settings):
        return "none"
    name = crawlers.name_of(settings, table)
    crawler = glue.find_crawler(name)
    if crawler is None:
        return "absent"
    last = crawler.get("LastCrawl") or {}
    if last.get("Status") == "FAILED":
        findings.append(Finding("crawler", name, "failed", str(last.get("ErrorMessage") or "no reason given")))
    state = str(crawler.get("State", "")).lower()
    return f"{state}, last run {str(last.get('Status', 'never')).lower()}"
