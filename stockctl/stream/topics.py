"""The pipeline's topics: as the settings want them, as the cluster has them, and how to get from one to the other.

Nothing is ever taken away: a topic is not deleted, and its partitions don't get fewer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from stockctl.clients.kafka import Admin, TopicInfo
from stockctl.errors import RefusedError
from stockctl.health import PROBE_WAIT, Check, CheckResult
from stockctl.settings import Settings
from stockctl.settings.model import TopicSettings
from stockctl.units import counted

NEEDED_RIGHTS = frozenset({"READ", "WRITE"})
"""Operations on its topics that the pipeline cannot do without."""


RATE_SPAN = 1.0
"""Seconds over which a topic's growth is measured."""


class Wanted(NamedTuple):
    """A topic as the settings want it; ``section`` is the name of its settings."""

    section: str
    name: str
    partitions: int
    replication: int
    config: dict[str, str]


class Difference(NamedTuple):
    """One thing in which a topic differs from the settings. ``remedy`` tells what makes them agree."""

    topic: str
    what: str
    wanted: str
    found: str
    remedy: str


class Change(NamedTuple):
    """What ``apply`` did with a topic, or left alone: ``done`` is ``made``, ``changed``, ``kept`` or ``left alone``."""

    topic: str
    done: str
    detail: str


class Listed(NamedTuple):
    """A topic as the cluster has it; the numbers are None where it doesn't. ``retention_ms`` is −1 for ever."""

    topic: str
    partitions: int | None
    replication: int | None
    records: int | None
    retention_ms: int | None


def wanted(settings: Settings) -> list[Wanted]:
    """The pipeline's topics as the settings want them."""
    topics = settings.topics
    sections: dict[str, TopicSettings] = {
        "topics.trades": topics.trades,
        "topics.feed_events": topics.feed_events,
        "topics.dead_letters": topics.dead_letters,
    }
    return [
        Wanted(
            section,
            topic.name,
            topic.partitions,
            topic.replication,
            {
                "retention.ms": str(round(topic.retention * 1000)),
                "max.message.bytes": str(topic.max_message),
                # Records carry the time of their receipt: with the broker's own time replayed history would look new.
                "message.timestamp.type": "CreateTime",
                "cleanup.policy": "delete",
            },
        )
        for section, topic in sections.items()
    ]


def differences(admin: Admin, settings: Settings) -> list[Difference]:
    """Every difference between the cluster's topics and the settings."""
    return [difference for topic in wanted(settings) for difference in compare(admin, topic)]


def compare(admin: Admin, topic: Wanted) -> list[Difference]:
    """In what one topic differs from what is wanted."""
    return list(_compare(admin, topic, admin.topic(topic.name)))


def _compare(admin: Admin, topic: Wanted, found: TopicInfo | None) -> Iterator[Difference]:
    name = topic.name
    if found is None:
        yield Difference(name, "topic", "present", "absent", "`stockctl topics apply` makes it")
        return
    if found.partitions != topic.partitions:
        remedy = (
            "`stockctl topics apply` adds them; keys move to other partitions"
            if found.partitions < topic.partitions
            else f"partitions cannot be taken away: set {topic.section}.partitions = {found.partitions}"
        )
        yield Difference(name, "partitions", str(topic.partitions), str(found.partitions), remedy)
    if found.replication != topic.replication:
        remedy = f"reassign its replicas with Kafka's own tools, or set {topic.section}.replication = {found.replication}"
        yield Difference(name, "replication", str(topic.replication), str(found.replication), remedy)
    config = admin.topic_config(name)
    for key, value in topic.config.items():
        if config.get(key) != value:
            yield Difference(name, key, value, config.get(key, ""), "`stockctl topics apply` sets it")


def apply(admin: Admin, settings: Settings) -> list[Change]:
    """Make the cluster's topics as the settings want them; what was done with each. Doing it again changes nothing."""
    return [change for topic in wanted(settings) for change in apply_one(admin, topic)]


def apply_one(admin: Admin, topic: Wanted) -> Iterator[Change]:
    """Make one topic as it is wanted; what was done, as it is done."""
    name = topic.name
    found = admin.topic(name)
    if found is None:
        admin.create_topic(name, topic.partitions, topic.replication, topic.config)
        yield Change(name, "made", f"{_count(topic.partitions)}, replication {topic.replication}")
        return
    differing = {difference.what: difference for difference in _compare(admin, topic, found)}
    if not differing:
        yield Change(name, "kept", "as the settings say")
    if "partitions" in differing and found.partitions < topic.partitions:
        admin.add_partitions(name, topic.partitions)
        yield Change(
            name,
            "changed",
            f"{_count(found.partitions)} to {topic.partitions}: keys move, so a symbol's older records stay elsewhere",
        )
    elif "partitions" in differing:
        yield _left_alone(differing["partitions"])
    if "replication" in differing:
        yield _left_alone(differing["replication"])
    if config := {key: value for key, value in topic.config.items() if key in differing}:
        admin.set_topic_config(name, config)
        yield Change(name, "changed", ", ".join(f"{key} {differing[key].found} to {value}" for key, value in config.items()))


def _left_alone(difference: Difference) -> Change:
    detail = f"{difference.what} {difference.found} and not {difference.wanted}: {difference.remedy}"
    return Change(difference.topic, "left alone", detail)


def _count(partitions: int) -> str:
    return counted(partitions, "partition")


def listing(admin: Admin, settings: Settings, *, every: bool = False) -> list[Listed]:
    """The pipeline's topics as the cluster has them, or ``every`` topic of the cluster."""
    names = admin.topics() if every else [topic.name for topic in wanted(settings)]
    return [_list_one(admin, name) for name in names]


def _list_one(admin: Admin, name: str) -> Listed:
    info = admin.topic(name)
    if info is None:
        return Listed(name, None, None, None, None)
    records = sum(end - start for start, end in admin.offsets(admin.partitions(name)).values())
    retention = int(admin.topic_config(name).get("retention.ms", -1))
    return Listed(name, info.partitions, info.replication, records, retention)


def checks(settings: Settings) -> list[Check]:
    """A check of each of the pipeline's topics: there, as configured, and ours to read and write."""
    return [Check(f"topic {topic.name}", partial(_probe, settings, topic)) for topic in wanted(settings)]


def _probe(settings: Settings, topic: Wanted) -> CheckResult:
    admin = Admin(settings)
    latency = admin.wait(PROBE_WAIT)
    found = admin.topic(topic.name)
    if found is None:
        return CheckResult("absent", "fail", "`stockctl topics apply` makes it", latency)
    if found.rights is not None and (missing := NEEDED_RIGHTS - found.rights):
        raise RefusedError(
            f"no right to {' or '.join(sorted(missing))}", hint=f"grant {settings.kafka.username or 'this client'} that right"
        )
    differing = list(_compare(admin, topic, found))
    if differing:
        detail = ", ".join(f"{one.what} {one.found} and not {one.wanted}" for one in differing)
        return CheckResult(detail, "warn", differing[0].remedy, latency)
    return CheckResult(f"{_count(found.partitions)}, replication {found.replication}, as the settings say", latency=latency)


def overview(settings: Settings) -> list[Check]:
    """A row of ``stockctl status`` for each topic: what it holds, and how fast it grows."""
    return [Check(f"topic {topic.name}", partial(_holding, settings, topic)) for topic in wanted(settings)]


def _holding(settings: Settings, topic: Wanted) -> CheckResult:
    admin = Admin(settings)
    admin.wait(PROBE_WAIT)
    partitions = admin.partitions(topic.name)
    if not partitions:
        return CheckResult("absent", "fail", "`stockctl topics apply` makes it")
    before, started = admin.offsets(partitions), time.monotonic()
    time.sleep(RATE_SPAN)
    after, seconds = admin.offsets(partitions), time.monotonic() - started
    records = sum(end - start for start, end in after.values())
    grown = sum(after[partition].end - before[partition].end for partition in partitions)
    ends = ", ".join(f"{partition.number} at {after[partition].end}" for partition in partitions)
    return CheckResult(f"{counted(records, 'record')}, {grown / seconds:,.0f} more a second; ends of the partitions: {ends}")
