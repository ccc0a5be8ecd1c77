"""The Glue database, its tables and crawlers: created, compared with the settings, and deleted.

What someone else made is never changed. The parameter ``made_by`` marks databases and tables that stockctl manages, the
description its crawlers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from stockctl.clients.aws import AbsentError, BusyError
from stockctl.clients.aws.glue import Glue
from stockctl.errors import StockctlError
from stockctl.reconcile import Change, Difference, absent, owned_by_others
from stockctl.settings import GlueSettings, Settings
from stockctl.warehouse.glue import crawlers
from stockctl.warehouse.tables import MADE_BY, OURS, TABLES, Table, lake_url, table_input

Document = dict[str, Any]

_APPLY = "`stockctl glue apply`"
_ADOPT = "`stockctl glue apply --adopt`, or another glue.database"
_DELETE_FIRST = f"`stockctl glue delete`, then {_APPLY}: Glue cannot change the partition keys of a table"
_NO_BUCKETS = "crawlers cannot read bucket folders: `stockctl glue sync` adds the partitions"
_MADE_BY_OTHERS = "someone else made it"


def is_managed(document: Document) -> bool:
    """Whether stockctl manages the table or the database."""
    parameters = document.get("Parameters") or {}
    return bool(parameters.get(MADE_BY) == OURS)


def apply(
    glue: Glue, settings: Settings, *, adopt: bool = False, from_paths: bool = False, only_tables: bool = False
) -> list[Change]:
    """Create or update database, tables and crawlers. Tables and crawlers of others are changed only with ``adopt``."""
    url = lake_url(settings)
    changes = [_apply_database(glue)]
    changes += [_apply_table(glue, table, url, adopt) for table in TABLES]
    if only_tables:
        return changes
    if settings.glue.role is None:
        return [*changes, Change("crawler", "-", "unchanged", "glue.role is not set: `stockctl glue sync` adds the partitions")]
    return [*changes, *_apply_crawlers(glue, settings, url, adopt, from_paths)]


def _apply_database(glue: Glue) -> Change:
    if glue.find_database() is not None:
        return Change("database", glue.database, "unchanged")
    glue.create_database("The lake of stockctl", {MADE_BY: OURS})
    return Change("database", glue.database, "created")


def _apply_table(glue: Glue, table: Table, url: str, adopt: bool) -> Change:
    wanted, existing = table_input(table, url), glue.find_table(table.name)
    if existing is None:
        glue.create_table(wanted)
        return Change("table", table.name, "created", wanted["StorageDescriptor"]["Location"])
    if not is_managed(existing) and not adopt:
        return Change("table", table.name, "skipped", f"{_MADE_BY_OTHERS}: {_ADOPT}")
    fields = [difference.field for difference in table_differences(table, url, existing)]
    if not fields:
        return Change("table", table.name, "unchanged")
    if "PartitionKeys" in fields:
        return Change("table", table.name, "skipped", f"the partition keys differ: {_DELETE_FIRST}")
    # Parameters that others set, such as a crawler, stay.
    wanted["Parameters"] = (existing.get("Parameters") or {}) | wanted["Parameters"]
    glue.update_table(wanted)
    return Change("table", table.name, "changed" if is_managed(existing) else "adopted", ", ".join(fields))


def table_differences(table: Table, url: str, existing: Document) -> list[Difference]:
    """The properties in which the ``existing`` Glue table differs. Properties that stockctl does not set are ignored."""
    wanted = table_input(table, url)
    pairs = [(name, wanted[name], existing.get(name)) for name in ("TableType", "PartitionKeys")]
    descriptor, actual = wanted["StorageDescriptor"], existing.get("StorageDescriptor") or {}
    pairs += [(name, descriptor[name], actual.get(name)) for name in ("Columns", "Location", "InputFormat", "OutputFormat")]
    serde, actual_serde = descriptor["SerdeInfo"], actual.get("SerdeInfo") or {}
    pairs.append(
        (
            "SerdeInfo",
            serde,
            {
                "SerializationLibrary": actual_serde.get("SerializationLibrary"),
                "Parameters": _only(serde["Parameters"], actual_serde.get("Parameters")),
            },
        )
    )
    pairs.append(("Parameters", wanted["Parameters"], _only(wanted["Parameters"], existing.get("Parameters"))))
    differing = [
        (name, expected, value) for name, expected, value in pairs if _without_comments(value) != _without_comments(expected)
    ]
    fix = _DELETE_FIRST if any(name == "PartitionKeys" for name, _, _ in differing) else _APPLY
    return [Difference("table", table.name, name, _text(expected), _text(value), fix) for name, expected, value in differing]


def _without_comments(value: Any) -> Any:
    """Columns without their comments, which anyone may write."""
    if isinstance(value, list):
        return [{"Name": item["Name"], "Type": item["Type"]} for item in value]
    return value


def _only(wanted: Document, actual: Document | None) -> Document:
    """The parameters of ``actual`` that ``wanted`` has too."""
    return {name: value for name, value in (actual or {}).items() if name in wanted}


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(_without_comments(value))


def _apply_crawlers(glue: Glue, settings: Settings, url: str, adopt: bool, from_paths: bool) -> Iterator[Change]:
    for table in TABLES:
        if not table.crawled:
            continue
        name = crawlers.name_of(settings.glue, table)
        if table not in crawlers.crawled(settings.lake):
            if _has_managed_crawler(glue, name):
                yield Change("crawler", name, "skipped", _delete_crawler(name))
            else:
                yield Change("crawler", name, "unchanged", _NO_BUCKETS)
            continue
        wanted, existing = crawlers.crawler_input(settings.glue, table, url, from_paths=from_paths), glue.find_crawler(name)
        if existing is None:
            glue.create_crawler(wanted)
            yield Change("crawler", name, "created", settings.glue.schedule or "on demand")
        elif not crawlers.is_managed(existing) and not adopt:
            yield Change("crawler", name, "skipped", f"{_MADE_BY_OTHERS}: {_ADOPT}")
        elif differing := crawlers.differing(wanted, existing):
            detail = ", ".join(differing)
            if crawlers.is_from_paths(existing) and not from_paths:
                detail += "; it no longer discovers tables: `--from-paths` makes it discover them"
            yield _update_crawler(glue, wanted, detail)
        else:
            yield Change("crawler", name, "unchanged")


def _has_managed_crawler(glue: Glue, name: str) -> bool:
    crawler = glue.find_crawler(name)
    return crawler is not None and crawlers.is_managed(crawler)


def _delete_crawler(name: str) -> str:
    return f"{_NO_BUCKETS}; `aws glue delete-crawler --name {name}`"


def _update_crawler(glue: Glue, wanted: Document, detail: str) -> Change:
    try:
        # Glue keeps the schedule and the prefix that it has unless the request clears them.
        glue.update_crawler({"Schedule": "", "TablePrefix": ""} | wanted)
    except BusyError:
        return Change("crawler", wanted["Name"], "skipped", "it is running: try again when it has finished")
    return Change("crawler", wanted["Name"], "changed", detail)


def differences(glue: Glue, settings: Settings, *, from_paths: bool | None = False) -> list[Difference]:
    """The differences of database, tables and crawlers. With ``from_paths`` None a crawler of either kind is right."""
    url = lake_url(settings)
    if glue.find_database() is None:
        return [absent("database", glue.database, _APPLY)]
    result: list[Difference] = []
    for table in TABLES:
        existing = glue.find_table(table.name)
        if existing is None:
            result.append(absent("table", table.name, _APPLY))
        elif not is_managed(existing):
            result.append(owned_by_others("table", table.name, _ADOPT))
        else:
            result += table_differences(table, url, existing)
    if settings.glue.role is None:
        return result
    return result + [one for table in TABLES if table.crawled for one in _crawler(glue, settings, table, url, from_paths)]


def _crawler(glue: Glue, settings: Settings, table: Table, url: str, from_paths: bool | None) -> Iterator[Difference]:
    name = crawlers.name_of(settings.glue, table)
    if table not in crawlers.crawled(settings.lake):
        if _has_managed_crawler(glue, name):
            yield Difference("crawler", name, "", "absent", "present", _delete_crawler(name))
        return
    existing = glue.find_crawler(name)
    if existing is None:
        yield absent("crawler", name, _APPLY)
        return
    if not crawlers.is_managed(existing):
        yield owned_by_others("crawler", name, _ADOPT)
        return
    paths = crawlers.is_from_paths(existing) if from_paths is None else from_paths
    fix = "`stockctl glue apply --from-paths`" if paths else _APPLY
    wanted = crawlers.crawler_input(settings.glue, table, url, from_paths=paths)
    for field, (expected, value) in crawlers.differing(wanted, existing).items():
        yield Difference("crawler", name, field, _text(expected), _text(value), fix)


def delete(glue: Glue, settings: GlueSettings, *, dry_run: bool = False) -> list[Change]:
    """Delete the crawlers and tables that stockctl manages, and its database if nothing else is in it. The lake stays.

    With ``dry_run`` delete nothing; the result is what would be done.
    """
    changes = []
    for table in TABLES:
        name = crawlers.name_of(settings, table)
        crawler = glue.find_crawler(name) if table.crawled else None
        if crawler is not None:
            change = Change("crawler", name, "deleted")
            changes.append(_delete(None if dry_run else glue.delete_crawler, change, crawlers.is_managed(crawler)))
    for table in TABLES:
        existing = glue.find_table(table.name)
        if existing is not None:
            change = Change("table", table.name, "deleted")
            changes.append(_delete(None if dry_run else glue.delete_table, change, is_managed(existing)))
    database = glue.find_database()
    if database is None:
        return changes
    deleted = {change.name for change in changes if change.kind == "table" and change.action == "deleted"}
    if is_managed(database) and not {str(table["Name"]) for table in glue.tables()} - deleted:
        if not dry_run:
            glue.delete_database()
        return [*changes, Change("database", glue.database, "deleted")]
    return [*changes, Change("database", glue.database, "skipped", "someone else made it, or has tables in it")]


def _delete(delete: Callable[[str], None] | None, change: Change, managed: bool) -> Change:
    if not managed:
        return change._replace(action="skipped", detail=_MADE_BY_OTHERS)
    if delete is None:
        return change
    try:
        delete(change.name)
    except AbsentError:
        return change
    except BusyError as error:
        raise StockctlError(f"{error}", hint="wait until it has finished: `stockctl glue run --wait`") from error
    return change
