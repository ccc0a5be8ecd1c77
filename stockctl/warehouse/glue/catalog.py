"""The catalog as the settings want it: database, tables and crawlers; made, compared, deleted.

What someone else made is never changed: a table tells by its parameter ``made_by`` that it is ours, a crawler by its
description.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from stockctl.clients.aws import AbsentError, BusyError
from stockctl.clients.aws.glue import Glue
from stockctl.errors import StockctlError
from stockctl.settings import Settings
from stockctl.warehouse.glue import crawlers
from stockctl.warehouse.tables import MADE_BY, OURS, TABLES, Table, lake_url, table_input

Document = dict[str, Any]

LEFT = "left alone"
_NO_BUCKETS = "no crawler knows the folders of buckets: `stockctl glue sync` does"


class Change(NamedTuple):
    """What was done: ``made``, ``changed``, ``adopted``, ``unchanged``, ``deleted``, ``not made`` or ``left alone``.

    ``detail`` tells why. What is left alone is not as the settings say; what is not made is.
    """

    what: str
    name: str
    done: str
    detail: str = ""


class Difference(NamedTuple):
    """Something in the catalog that is not as the settings say, and what mends it."""

    what: str
    name: str
    problem: str
    remedy: str


def is_ours(document: Document) -> bool:
    """Whether the table, or the database, was made by stockctl."""
    parameters = document.get("Parameters") or {}
    return bool(parameters.get(MADE_BY) == OURS)


def apply(
    glue: Glue, settings: Settings, *, adopt: bool = False, from_paths: bool = False, only_tables: bool = False
) -> list[Change]:
    """Make database, tables and crawlers, or bring ours up to date; those of others only with ``adopt``."""
    url = lake_url(settings)
    changes = [_apply_database(glue)]
    changes += [_apply_table(glue, table, url, adopt) for table in TABLES]
    if only_tables:
        return changes
    if settings.glue.role is None:
        return [*changes, Change("crawler", "-", LEFT, "glue.role is not set: `stockctl glue sync` adds the partitions")]
    return [*changes, *_apply_crawlers(glue, settings, url, adopt, from_paths)]


def _apply_database(glue: Glue) -> Change:
    if glue.find_database() is not None:
        return Change("database", glue.database, "unchanged")
    glue.create_database("The lake of stockctl", {MADE_BY: OURS})
    return Change("database", glue.database, "made")


def _apply_table(glue: Glue, table: Table, url: str, adopt: bool) -> Change:
    wanted, found = table_input(table, url), glue.find_table(table.name)
    if found is None:
        glue.create_table(wanted)
        return Change("table", table.name, "made", wanted["StorageDescriptor"]["Location"])
    if not is_ours(found) and not adopt:
        return Change("table", table.name, LEFT, "it was made by someone else: `stockctl glue apply --adopt` takes it over")
    differing = table_differences(wanted, found)
    if not differing:
        return Change("table", table.name, "unchanged")
    if "PartitionKeys" in differing:
        return Change("table", table.name, LEFT, "its partition keys differ, which no table can change: delete it first")
    # What others, crawlers above all, have noted there stays.
    wanted["Parameters"] = (found.get("Parameters") or {}) | wanted["Parameters"]
    glue.update_table(wanted)
    return Change("table", table.name, "changed" if is_ours(found) else "adopted", ", ".join(differing))


def table_differences(wanted: Document, found: Document) -> list[str]:
    """In what the table ``found`` differs from ``wanted``; what it has beside that is of no matter."""
    differing = [name for name in ("TableType", "PartitionKeys") if _plain(found.get(name)) != _plain(wanted[name])]
    want, have = wanted["StorageDescriptor"], found.get("StorageDescriptor") or {}
    differing += [
        name for name in ("Columns", "Location", "InputFormat", "OutputFormat") if _plain(have.get(name)) != want[name]
    ]
    serde = have.get("SerdeInfo") or {}
    if serde.get("SerializationLibrary") != want["SerdeInfo"]["SerializationLibrary"] or not _holds(
        serde.get("Parameters"), want["SerdeInfo"]["Parameters"]
    ):
        differing.append("SerdeInfo")
    if not _holds(found.get("Parameters"), wanted["Parameters"]):
        differing.append("Parameters")
    return differing


def _plain(value: Any) -> Any:
    """Columns without their comments, which are anyone's to write."""
    if isinstance(value, list):
        return [{"Name": item["Name"], "Type": item["Type"]} for item in value]
    return value


def _holds(parameters: Document | None, wanted: Document) -> bool:
    return wanted.items() <= (parameters or {}).items()


def _apply_crawlers(glue: Glue, settings: Settings, url: str, adopt: bool, from_paths: bool) -> list[Change]:
    changes = []
    for table in TABLES:
        if not table.crawled:
            continue
        name = crawlers.name_of(settings, table)
        if table not in crawlers.crawled(settings):
            old = _is_there(glue, name)
            changes.append(Change("crawler", name, LEFT if old else "not made", _delete_crawler(name) if old else _NO_BUCKETS))
            continue
        wanted, found = crawlers.crawler_input(settings, table, url, from_paths=from_paths), glue.find_crawler(name)
        if found is None:
            glue.create_crawler(wanted)
            changes.append(Change("crawler", name, "made", settings.glue.schedule or "on demand"))
        elif not crawlers.is_ours(found) and not adopt:
            changes.append(Change("crawler", name, LEFT, "it was made by someone else: `--adopt` takes it over"))
        elif differing := crawlers.differences(wanted, found):
            turned = crawlers.is_from_paths(found) and not from_paths
            back = "; it discovers no tables any more: `--from-paths` lets it" if turned else ""
            changes.append(_update_crawler(glue, wanted, ", ".join(differing) + back))
        else:
            changes.append(Change("crawler", name, "unchanged"))
    return changes


def _is_there(glue: Glue, name: str) -> bool:
    """Whether a crawler of that name is there, and ours."""
    found = glue.find_crawler(name)
    return found is not None and crawlers.is_ours(found)


def _delete_crawler(name: str) -> str:
    return f"{_NO_BUCKETS}; `aws glue delete-crawler --name {name}`"


def _update_crawler(glue: Glue, wanted: Document, detail: str) -> Change:
    try:
        # Without one the service would keep the schedule that it has.
        glue.update_crawler({"Schedule": "", "TablePrefix": ""} | wanted)
    except BusyError:
        return Change("crawler", wanted["Name"], LEFT, "it is running: try again when it has ended")
    return Change("crawler", wanted["Name"], "changed", detail)


def differences(glue: Glue, settings: Settings, *, from_paths: bool | None = False) -> list[Difference]:
    """In what database, tables and crawlers differ from the settings; nothing is changed.

    Without word on ``from_paths`` (None) a crawler may be of either kind.
    """
    url = lake_url(settings)
    if glue.find_database() is None:
        return [Difference("database", glue.database, "absent", "`stockctl glue apply`")]
    found: list[Difference] = []
    for table in TABLES:
        there = glue.find_table(table.name)
        if there is None:
            found.append(Difference("table", table.name, "absent", "`stockctl glue apply`"))
        elif not is_ours(there):
            found.append(
                Difference(
                    "table", table.name, "made by someone else", "`stockctl glue apply --adopt`, or another glue.database"
                )
            )
        elif differing := table_differences(table_input(table, url), there):
            remedy = "`stockctl glue delete`, then apply" if "PartitionKeys" in differing else "`stockctl glue apply`"
            found.append(Difference("table", table.name, f"differs in {', '.join(differing)}", remedy))
    if settings.glue.role is None:
        return found
    for table in TABLES:
        if not table.crawled:
            continue
        name = crawlers.name_of(settings, table)
        if table not in crawlers.crawled(settings):
            if _is_there(glue, name):
                found.append(Difference("crawler", name, "crawls folders of buckets", _delete_crawler(name)))
            continue
        crawler = glue.find_crawler(name)
        if crawler is None:
            found.append(Difference("crawler", name, "absent", "`stockctl glue apply`"))
        elif not crawlers.is_ours(crawler):
            found.append(
                Difference("crawler", name, "made by someone else", "`stockctl glue apply --adopt`, or another glue.database")
            )
        else:
            paths = crawlers.is_from_paths(crawler) if from_paths is None else from_paths
            wanted = crawlers.crawler_input(settings, table, url, from_paths=paths)
            if differing := crawlers.differences(wanted, crawler):
                remedy = "`stockctl glue apply --from-paths`" if paths else "`stockctl glue apply`"
                found.append(Difference("crawler", name, f"differs in {', '.join(differing)}", remedy))
    return found


def delete(glue: Glue, settings: Settings) -> list[Change]:
    """Delete our crawlers, our tables with their partitions, and our database if nothing else is in it. The lake stays."""
    changes = []
    for table in TABLES:
        name = crawlers.name_of(settings, table)
        crawler = glue.find_crawler(name) if table.crawled else None
        if crawler is not None:
            changes.append(_delete(glue.delete_crawler, Change("crawler", name, "deleted"), crawlers.is_ours(crawler)))
    for table in TABLES:
        there = glue.find_table(table.name)
        if there is not None:
            changes.append(_delete(glue.delete_table, Change("table", table.name, "deleted"), is_ours(there)))
    database = glue.find_database()
    if database is None:
        return changes
    if is_ours(database) and not glue.tables():
        glue.delete_database()
        return [*changes, Change("database", glue.database, "deleted")]
    return [*changes, Change("database", glue.database, LEFT, "it was made by someone else, or holds their tables")]


def _delete(delete: Any, change: Change, ours: bool) -> Change:
    if not ours:
        return change._replace(done=LEFT, detail="it was made by someone else")
    try:
        delete(change.name)
    except AbsentError:
        return change
    except BusyError as error:
        raise StockctlError(f"{error}", hint="wait until it has ended: `stockctl glue run --wait`") from error
    return change
