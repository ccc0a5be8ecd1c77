"""The topics of the pipeline: created, changed, listed and compared with the settings.

Topics and partitions are never deleted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from stockctl.clients.kafka import Admin, TopicInfo
from stockctl.errors import RefusedError
from stockctl.health import PROBE_WAIT, Check, CheckResult
from stockctl.reconcile import Change, Difference, absent
from stockctl.settings import Settings, TopicsSettings
from stockctl.settings.model import TopicSettings
from stockctl.units import counted

REQUIRED_OPERATIONS = frozenset({"READ", "WRITE"})
"""ACL operations on its topics that the pipeline needs."""

_APPLY = "`stockctl topics apply`"
RATE_SPAN = 1.0
"""Seconds over which the growth of a topic is measured."""


class TopicSpec(NamedTuple):
    """The wanted partitions, replication factor and configuration of a topic; ``section`` is its section of the settings."""

    section: str
    name: str
    partitions: int
    replication: int
    config: dict[str, str]


class TopicStatus(NamedTuple):
    """A topic on the cluster; the numbers are None if it does not exist. ``retention_ms`` is −1 for no limit."""

    topic: str
    partitions: int | None
    replication: int | None
    records: int | None
    retention_ms: int | None


def topic_specs(settings: TopicsSettings) -> list[TopicSpec]:
    """The topics of the settings."""
    topics = settings
    sections: dict[str, TopicSettings] = {
        "topics.trades": topics.trades,
        "topics.feed_events": topics.feed_events,
        "topics.dead_letters": topics.dead_letters,
    }
    return [
        TopicSpec(
            section,
            topic.name,
            topic.partitions,
            topic.replication,
            {
                "retention.ms": str(round(topic.retention * 1000)),
                "max.message.bytes": str(topic.max_message),
                # Timestamps are the time of receipt: with the broker's time, replayed history would look new.
                "message.timestamp.type": "CreateTime",
                "cleanup.policy": "delete",
            },
        )
        for section, topic in sections.items()
    ]


def differences(admin: Admin, settings: TopicsSettings) -> list[Difference]:
    """The differences between the topics on the cluster and the settings."""
    return [difference for topic in topic_specs(settings) for difference in compare(admin, topic)]


def compare(admin: Admin, topic: TopicSpec) -> list[Difference]:
    """The differences of one topic."""
    return list(_compare(admin, topic, admin.topic(topic.name)))


def _compare(admin: Admin, topic: TopicSpec, existing: TopicInfo | None) -> Iterator[Difference]:
    name = topic.name
    if existing is None:
        yield absent("topic", name, _APPLY)
        return
    if existing.partitions != topic.partitions:
        fix = (
            f"{_APPLY} adds them; keys move to other partitions"
            if existing.partitions < topic.partitions
            else f"Kafka cannot remove partitions: set {topic.section}.partitions = {existing.partitions}"
        )
        yield Difference("topic", name, "partitions", str(topic.partitions), str(existing.partitions), fix)
    if existing.replication != topic.replication:
        fix = (
            f"reassign its replicas with kafka-reassign-partitions, or set {topic.section}.replication = {existing.replication}"
        )
        yield Difference("topic", name, "replication", str(topic.replication), str(existing.replication), fix)
    config = admin.topic_config(name)
    for key, value in topic.config.items():
        if config.get(key) != value:
            yield Difference("topic", name, key, value, config.get(key, ""), _APPLY)


def apply(admin: Admin, settings: TopicsSettings) -> list[Change]:
    """Create or change the topics so that they match the settings. Safe to repeat."""
    return [change for topic in topic_specs(settings) for change in apply_one(admin, topic)]


def apply_one(admin: Admin, topic: TopicSpec) -> Iterator[Change]:
    """Create or change one topic; yields each change when it is done."""
    name = topic.name
    existing = admin.topic(name)
    if existing is None:
        admin.create_topic(name, topic.partitions, topic.replication, topic.config)
        yield Change("topic", name, "created", f"{_count(topic.partitions)}, replication {topic.replication}")
        return
    differing = {difference.field: difference for difference in _compare(admin, topic, existing)}
    if not differing:
        yield Change("topic", name, "unchanged")
    if "partitions" in differing and existing.partitions < topic.partitions:
        admin.add_partitions(name, topic.partitions)
        yield Change(
            "topic",
            name,
            "changed",
            f"{_count(existing.partitions)} to {topic.partitions}: keys move, older records of a symbol stay where they are",
        )
    elif "partitions" in differing:
        yield _skipped(differing["partitions"])
    if "replication" in differing:
        yield _skipped(differing["replication"])
    if config := {key: value for key, value in topic.config.items() if key in differing}:
        admin.set_topic_config(name, config)
        detail = ", ".join(f"{key} {differing[key].actual} to {value}" for key, value in config.items())
        yield Change("topic", name, "changed", detail)


def _skipped(difference: Difference) -> Change:
    detail = f"{difference.field} {difference.actual} and not {difference.wanted}: {difference.fix}"
    return Change("topic", difference.name, "skipped", detail)


def _count(partitions: int) -> str:
    return counted(partitions, "partition")


def listing(admin: Admin, settings: TopicsSettings, *, every: bool = False) -> list[TopicStatus]:
    """The topics of the pipeline, or ``every`` topic of the cluster."""
    names = admin.topics() if every else [topic.name for topic in topic_specs(settings)]
    return [_list_one(admin, name) for name in names]


def _list_one(admin: Admin, name: str) -> TopicStatus:
    info = admin.topic(name)
    if info is None:
        return TopicStatus(name, None, None, None, None)
    records = sum(end - start for start, end in admin.offsets(admin.partitions(name)).values())
    retention = int(admin.topic_config(name).get("retention.ms", -1))
    return TopicStatus(name, info.partitions, info.replication, records, retention)


def checks(settings: Settings) -> list[Check]:
    """A check of each topic: it exists, matches the settings, and this client may read and write it."""
    return [Check(f"topic {topic.name}", partial(_probe, settings, topic)) for topic in topic_specs(settings.topics)]


def _probe(settings: Settings, topic: TopicSpec) -> CheckResult:
    admin = Admin(settings)
    latency = admin.wait(PROBE_WAIT)
    existing = admin.topic(topic.name)
    if existing is None:
        return CheckResult("absent", "fail", _APPLY, latency)
    if existing.rights is not None and (missing := REQUIRED_OPERATIONS - existing.rights):
        raise RefusedError(
            f"permission denied: {', '.join(sorted(missing))}",
            hint=f"grant {settings.kafka.username or 'this client'} these operations on the topic",
        )
    differing = list(_compare(admin, topic, existing))
    if differing:
        detail = ", ".join(f"{one.field} {one.actual} and not {one.wanted}" for one in differing)
        return CheckResult(detail, "warn", differing[0].fix, latency)
    return CheckResult(
        f"{_count(existing.partitions)}, replication {existing.replication}, matches the settings", latency=latency
    )


def overview(settings: Settings) -> list[Check]:
    """The records and the growth of each topic."""
    return [Check(f"topic {topic.name}", partial(_growth, settings, topic)) for topic in topic_specs(settings.topics)]


def _growth(settings: Settings, topic: TopicSpec) -> CheckResult:
    admin = Admin(settings)
    admin.wait(PROBE_WAIT)
    partitions = admin.partitions(topic.name)
    if not partitions:
        return CheckResult("absent", "fail", _APPLY)
    before, started = admin.offsets(partitions), time.monotonic()
    time.sleep(RATE_SPAN)
    after, seconds = admin.offsets(partitions), time.monotonic() - started
    records = sum(end - start for start, end in after.values())
    grown = sum(after[partition].end - before[partition].end for partition in partitions)
    ends = ", ".join(f"{partition.number} at {after[partition].end}" for partition in partitions)
    return CheckResult(f"{counted(records, 'record')}, {grown / seconds:,.0f} per second; end offsets: {ends}")
