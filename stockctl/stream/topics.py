"""The topics of the pipeline: created, changed, listed and compared with the settings.

Topics and partitions are never deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stockctl.clients.kafka import Admin, TopicInfo
from stockctl.reconcile import Change, Difference, absent
from stockctl.settings import TopicsSettings
from stockctl.settings.model import TopicSettings
from stockctl.units import counted

APPLY = "`stockctl topics apply`"


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
        "topics.signals": topics.signals,
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


def table_topics(settings: TopicsSettings) -> dict[str, str]:
    """The name of the topic that each of the lake's tables is written from."""
    return {
        "trades": settings.trades.name,
        "feed_events": settings.feed_events.name,
        "signals": settings.signals.name,
    }


def differences(admin: Admin, settings: TopicsSettings) -> list[Difference]:
    """The differences between the topics on the cluster and the settings."""
    return [difference for topic in topic_specs(settings) for difference in compare(admin, topic)]


def compare(admin: Admin, topic: TopicSpec) -> list[Difference]:
    """The differences of one topic."""
    return list(compare_existing(admin, topic, admin.topic(topic.name)))


def compare_existing(admin: Admin, topic: TopicSpec, existing: TopicInfo | None) -> Iterator[Difference]:
    """The differences of one topic from what exists of it."""
    name = topic.name
    if existing is None:
        yield absent("topic", name, APPLY)
        return
    if existing.partitions != topic.partitions:
        fix = (
            f"{APPLY} adds them; keys move to other partitions"
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
            yield Difference("topic", name, key, value, config.get(key, ""), APPLY)


def apply(admin: Admin, settings: TopicsSettings) -> list[Change]:
    """Create or change the topics so that they match the settings. Safe to repeat."""
    return [change for topic in topic_specs(settings) for change in apply_one(admin, topic)]


def apply_one(admin: Admin, topic: TopicSpec) -> Iterator[Change]:
    """Create or change one topic; yields each change when it is done."""
    name = topic.name
    existing = admin.topic(name)
    if existing is None:
        admin.create_topic(name, topic.partitions, topic.replication, topic.config)
        yield Change("topic", name, "created", f"{counted(topic.partitions, 'partition')}, replication {topic.replication}")
        return
    differing = {difference.field: difference for difference in compare_existing(admin, topic, existing)}
    if not differing:
        yield Change("topic", name, "unchanged")
    if "partitions" in differing and existing.partitions < topic.partitions:
        admin.add_partitions(name, topic.partitions)
        yield Change(
            "topic",
            name,
            "changed",
            f"{counted(existing.partitions, 'partition')} to {topic.partitions}: keys move, older records of a symbol stay "
            "where they are",
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
