"""The Glue crawlers of the settings, and their runs.

The target of a crawler is one table of the catalog, so that claims, raw reports and Parquet are never crawled. New partitions
inherit from the table, schema changes are only logged, and nothing is deleted. With ``--from-paths`` crawlers read folders and
create tables of their own with the prefix ``found_``, which show what Glue discovers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from stockctl.clients.aws import AbsentError, BusyError
from stockctl.clients.aws.glue import Glue
from stockctl.errors import StockctlError, TimedOutError
from stockctl.service import wait_for
from stockctl.settings import GlueSettings, LakeSettings, Settings
from stockctl.units import format_duration
from stockctl.warehouse.tables import TABLES, Table, location

ABOUT = "Made by stockctl"
"""The prefix of the description of crawlers that stockctl manages."""
FOUND = "found_"
_POLL = 5.0

Document = dict[str, Any]

RUNNING = "already running"
"""The state of a crawler that ``run`` does not start."""


class Run(NamedTuple):
    """The run of a crawler; ``added`` is the number of new partitions of its table, None unless it succeeded."""

    crawler: str
    state: str
    added: int | None
    seconds: float | None
    detail: str


def crawled(settings: LakeSettings) -> list[Table]:
    """The tables with a crawler: not trades in buckets, because crawlers cannot read the names of bucket folders."""
    return [table for table in TABLES if table.crawled and not (table.name == "trades" and settings.partition_by == "bucket")]


def name_of(settings: GlueSettings, table: Table) -> str:
    """The name of the table's crawler."""
    return f"{settings.database}-{table.name.replace('_', '-')}"


def crawler_input(settings: GlueSettings, table: Table, url: str, *, from_paths: bool = False) -> Document:
    """The CreateCrawler request of the table's crawler."""
    common: Document = {
        "Name": name_of(settings, table),
        "Role": settings.role or "",
        "DatabaseName": settings.database,
        "Description": f"{ABOUT}: {'discovers tables' if from_paths else 'adds partitions'} in {table.folder}/",
        "SchemaChangePolicy": {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
        "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVERYTHING"},
    }
    if settings.schedule is not None:
        common["Schedule"] = settings.schedule
    partitions = {"CrawlerOutput": {"Partitions": {"AddOrUpdateBehavior": "InheritFromTable"}}}
    if not from_paths:
        grouping = {"Grouping": {"TableGroupingPolicy": "CombineCompatibleSchemas"}}
        return common | {
            "Targets": {"CatalogTargets": [{"DatabaseName": settings.database, "Tables": [table.name]}]},
            "Configuration": json.dumps({"Version": 1.0} | partitions | grouping),
        }
    place = location(url, table.folder)
    # The bucket is level 1, so this is the level of the folder: one table, even if its files have different schemas.
    level = len(place.removeprefix("s3://").rstrip("/").split("/"))
    levels = {"Grouping": {"TableGroupingPolicy": "CombineCompatibleSchemas", "TableLevelConfiguration": level}}
    return common | {
        "Targets": {"S3Targets": [{"Path": place}]},
        "TablePrefix": FOUND,
        "Configuration": json.dumps({"Version": 1.0} | partitions | levels),
    }


def is_managed(crawler: Document) -> bool:
    """Whether stockctl manages the crawler."""
    return str(crawler.get("Description", "")).startswith(ABOUT)


def is_from_paths(crawler: Document) -> bool:
    """Whether the crawler reads S3 paths and makes tables of its own, instead of adding partitions to a catalog table."""
    return bool((crawler.get("Targets") or {}).get("S3Targets"))


def differing(wanted: Document, existing: Document) -> dict[str, tuple[Any, Any]]:
    """The properties in which the crawlers differ, each with its wanted and its existing value."""
    expected, actual = _comparable(wanted), _comparable(existing)
    return {name: (value, actual[name]) for name, value in expected.items() if (value or None) != (actual[name] or None)}


def _comparable(crawler: Document) -> Document:
    """The properties of a crawler that ``crawler_input`` sets, in a form that does not depend on how they were given."""
    schedule, policy = crawler.get("Schedule"), crawler.get("SchemaChangePolicy") or {}
    targets: Document = crawler.get("Targets") or {}
    return {
        "Role": str(crawler.get("Role")).rpartition("/")[2],  # a name or an ARN
        "DatabaseName": crawler.get("DatabaseName"),
        "Schedule": schedule.get("ScheduleExpression") if isinstance(schedule, dict) else schedule,
        "SchemaChangePolicy": {name: policy.get(name) for name in ("UpdateBehavior", "DeleteBehavior")},
        "TablePrefix": crawler.get("TablePrefix"),
        "Configuration": json.loads(crawler.get("Configuration") or "{}"),
        "Targets": {
            "CatalogTargets": [
                f"{item['DatabaseName']}.{table}"
                for item in targets.get("CatalogTargets", ())
                for table in sorted(item["Tables"])
            ],
            "S3Targets": sorted(item["Path"] for item in targets.get("S3Targets", ())),
        },
    }


def run(
    glue: Glue,
    settings: Settings,
    names: list[str],
    *,
    wait: bool,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Run]:
    """Start the crawlers of the tables ``names`` concurrently; with ``wait``, wait until all have finished.

    Then the first error is raised: StockctlError with the reason of a failed crawler, or TimedOutError after ``glue.wait``. A
    crawler that is already running is not started again.
    """
    chosen = [table for table in crawled(settings.lake) if table.name in names]
    targets = {table.name: _target(glue, settings.glue, table) for table in chosen} if wait else {}
    before = {name: _count(glue, table) for name, table in targets.items()}
    started: dict[str, bool] = {}
    for table in chosen:
        name = name_of(settings.glue, table)
        try:
            glue.start_crawler(name)
            started[name] = True
        except BusyError:
            started[name] = False
            say(f"the crawler {name} is already running")
    deadline = time.monotonic() + settings.glue.wait
    failed: list[StockctlError] = []
    for table in chosen:
        name = name_of(settings.glue, table)
        if not wait:
            yield Run(name, "started" if started[name] else RUNNING, None, None, "")
            continue
        began = time.monotonic()
        try:
            state, detail = "succeeded", _follow(glue, name, deadline, settings.glue.wait, say)
        except StockctlError as error:
            failed.append(error)
            state, detail = "failed", str(error)
        added = _count(glue, targets[table.name]) - before[table.name] if state == "succeeded" else None
        yield Run(name, state, added, round(time.monotonic() - began, 1), detail)
    if failed:
        raise failed[0]


def plan(glue: Glue, settings: Settings, names: list[str]) -> list[Run]:
    """What ``run`` would do with the crawlers of the tables ``names``. StockctlError if one does not exist."""
    planned = []
    for table in crawled(settings.lake):
        if table.name not in names:
            continue
        name = name_of(settings.glue, table)
        crawler = glue.find_crawler(name)
        if crawler is None:
            raise StockctlError(f"there is no crawler {name}", hint="`stockctl glue apply` creates it")
        planned.append(Run(name, "would start" if crawler.get("State") == "READY" else RUNNING, None, None, ""))
    return planned


def _follow(glue: Glue, name: str, deadline: float, limit: float, say: Callable[[str], None]) -> str:
    """Wait until the crawler has finished; return the log stream of its last crawl."""
    reported = ""

    def finished_crawler() -> dict[str, Any] | None:
        nonlocal reported
        crawler = glue.find_crawler(name)
        if crawler is None:
            raise StockctlError(f"the crawler {name} was deleted while it ran", hint="`stockctl glue apply`")
        state = crawler.get("State", "")
        if state == "READY":
            return crawler
        if state != reported:
            left = glue.crawler_metrics(name).get("TimeLeftSeconds")
            say(f"the crawler {name} is {state.lower()}" + (f", about {format_duration(left)} left" if left else ""))
            reported = state
        return None

    crawler = wait_for(finished_crawler, within=deadline - time.monotonic(), every=min(_POLL, max(0.0, limit / 100)))
    if crawler is None:
        raise TimedOutError(
            f"the crawler {name} is still {reported.lower()} after {format_duration(limit)}",
            hint="wait longer with glue.wait, or look at its log in CloudWatch",
        )
    last = crawler.get("LastCrawl") or {}
    if last.get("Status") != "SUCCEEDED":
        where = f"{last.get('LogGroup', '/aws-glue/crawlers')}, stream {last.get('LogStream', name)}"
        ended = str(last.get("Status") or "did not run").lower()
        raise StockctlError(
            f"the crawler {name} {ended}: {last.get('ErrorMessage') or 'no reason given'}",
            hint=f"its log is in CloudWatch, group {where}; `stockctl glue policy` prints the permissions that it needs",
        )
    return f"{last.get('LogGroup', '')} {last.get('LogStream', '')}".strip()


def _target(glue: Glue, settings: GlueSettings, table: Table) -> str:
    """The catalog table to which the crawler of ``table`` adds partitions."""
    crawler = glue.find_crawler(name_of(settings, table))
    return f"{FOUND}{table.folder}" if crawler is not None and is_from_paths(crawler) else table.name


def _count(glue: Glue, name: str) -> int:
    try:
        return sum(1 for _ in glue.partitions(name))
    except AbsentError:
        return 0  # the crawler has not created it yet
