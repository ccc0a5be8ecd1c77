"""The lag of consumer groups on the topics of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stockctl.clients.kafka import Admin, Offsets, Partition
from stockctl.settings import LakeSettings, Settings
from stockctl.stream.topics import table_topics
from stockctl.units import counted, format_duration

_CONNECT_COMMIT_INTERVAL = 60.0
"""Seconds between two commits of Kafka Connect, its ``offset.flush.interval.ms``."""


class Lag(NamedTuple):
    """The lag of one group on one partition.

    ``committed``, ``start`` and ``end`` are offsets; ``committed`` is None if the group has committed none, and it then reads
    from ``start``. ``lag`` is the number of records still to read, ``lost`` of those that retention deleted before the group
    read them.
    """

    group: str
    topic: str
    partition: int
    committed: int | None
    start: int
    end: int
    lag: int
    lost: int


def read_lag(admin: Admin, settings: Settings, groups: Sequence[str] = ()) -> list[Lag]:
    """The lag of ``groups``; by default of the lake's group and every group that has committed offsets of the topics.

    The groups of the writers, and a group of ``groups`` without commits, have rows for every topic that a writer reads.
    """
    topics = settings.topics
    read_by_writers = [*table_topics(topics).values()]
    partitions = [partition for name in (*read_by_writers, topics.dead_letters.name) for partition in admin.partitions(name)]
    offsets = admin.offsets(partitions) if partitions else {}
    rows: list[Lag] = []
    for group in groups or sorted({settings.lake.group, *admin.groups()}):
        committed = {
            partition: position.offset
            for partition, position in admin.committed(group, partitions).items()
            if position.offset >= 0
        }
        reads = {partition.topic for partition in committed}
        if group in (settings.lake.group, settings.mongo.group) or (group in groups and not reads):
            reads.update(read_by_writers)
        rows += [_lag(group, one, committed.get(one), offsets[one]) for one in partitions if one.topic in reads]
    return rows


def _lag(group: str, partition: Partition, committed: int | None, offsets: Offsets) -> Lag:
    position = offsets.start if committed is None else committed
    return Lag(
        group,
        partition.topic,
        partition.number,
        committed,
        offsets.start,
        offsets.end,
        lag=max(0, offsets.end - max(position, offsets.start)),
        lost=max(0, offsets.start - position),
    )


def lag_summary(rows: Sequence[Lag]) -> str:
    """The lag of a group in words, with the partitions that have some."""
    partitions = ", ".join(f"{row.topic}/{row.partition} {row.lag:,}" for row in rows if row.lag)
    words = f"{counted(sum(row.lag for row in rows), 'record')} behind" + (f": {partitions}" if partitions else "")
    lost = sum(row.lost for row in rows)
    return f"{words}; retention deleted {lost:,} before it read them" if lost else words


class Writer(NamedTuple):
    """A service that writes the topics into a store.

    ``max_age`` is the age in seconds at which it writes a batch, ``batches`` says so in words, ``if_lost`` is what to do if
    retention deleted records before it read them.
    """

    group: str
    command: str
    max_age: float
    batches: str
    if_lost: str = "set a longer retention for the topic"


def lake_writer(settings: LakeSettings) -> Writer:
    """The service that writes the lake."""
    age, if_lost = settings.max_age, "`stockctl lake verify` shows the gap; set a longer retention for the topic"
    batches = f"`consume s3` writes a batch every {format_duration(age)} (lake.max_age)"
    return Writer(settings.group, "stockctl consume s3", age, batches, if_lost)


def mongo_writer(settings: Settings) -> Writer:
    """The service that writes MongoDB: the connector if ``connect.url`` is set."""
    if settings.connect.url is not None:
        batches = f"Kafka Connect commits every {format_duration(_CONNECT_COMMIT_INTERVAL)}"
        return Writer(settings.connect.group, "stockctl connect apply", _CONNECT_COMMIT_INTERVAL, batches)
    age, derive = settings.mongo.max_age, settings.mongo.derive_every
    batches = f"`consume mongo` writes a batch every {format_duration(age)} (mongo.max_age)"
    return Writer(settings.mongo.group, "stockctl consume mongo", age + derive, batches)
