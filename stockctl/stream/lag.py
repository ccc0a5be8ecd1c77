"""How far consumer groups are behind the ends of the pipeline's topics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from stockctl.checks import PROBE_WAIT, Check, Finding
from stockctl.clients.kafka import Admin, Offsets, Partition
from stockctl.settings import Settings


class Lag(NamedTuple):
    """One group's place in one partition, in offsets.

    ``committed`` is None where the group has committed nothing; it then has everything from ``start`` to read. ``lag`` is what
    it still can read, ``lost`` what retention deleted before the group read it.
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
    """The lag of ``groups``, or of the lake's group and each that has committed something of the pipeline's topics.

    The writers' groups, and one asked for that has committed nothing at all, are shown with every topic that a writer reads.
    """
    topics = settings.topics
    read_by_writers = [topics.trades.name, topics.feed_events.name]
    partitions = [partition for name in (*read_by_writers, topics.dead_letters.name) for partition in admin.partitions(name)]
    offsets = admin.offsets(partitions) if partitions else {}
    found: list[Lag] = []
    for group in groups or sorted({settings.lake.group, *admin.groups()}):
        committed = {
            partition: held.offset for partition, held in admin.committed(group, partitions).items() if held.offset >= 0
        }
        reads = {partition.topic for partition in committed}
        if group in (settings.lake.group, settings.mongo.group) or (group in groups and not reads):
            reads.update(read_by_writers)
        found += [_lag(group, one, committed.get(one), offsets[one]) for one in partitions if one.topic in reads]
    return found


def _lag(group: str, partition: Partition, committed: int | None, offsets: Offsets) -> Lag:
    at = offsets.start if committed is None else committed
    return Lag(
        group,
        partition.topic,
        partition.number,
        committed,
        offsets.start,
        offsets.end,
        lag=max(0, offsets.end - max(at, offsets.start)),
        lost=max(0, offsets.start - at),
    )


def overview(settings: Settings) -> list[Check]:
    """The rows of ``stockctl status`` for the writers' groups; Kafka Connect, where it fills MongoDB, has a row of its own."""
    groups = {settings.lake.group: "`stockctl lake verify` names the hole; a longer retention gives the writer more time"}
    if settings.mongo.url is not None and settings.connect.url is None:
        groups[settings.mongo.group] = "a longer retention gives the writer more time"
    return [Check(f"group {group}", partial(_behind, settings, group, fix)) for group, fix in groups.items()]


def _behind(settings: Settings, group: str, fix: str) -> Finding:
    admin = Admin(settings)
    admin.wait(PROBE_WAIT)
    rows = read_lag(admin, settings, [group])
    lost = sum(row.lost for row in rows)
    parts = ", ".join(f"{row.topic}/{row.partition} {row.lag:,}" for row in rows if row.lag)
    detail = f"{sum(row.lag for row in rows):,} records behind" + (f": {parts}" if parts else "")
    if lost:
        return Finding(f"{detail}; {lost:,} were deleted by retention before it read them", "fail", fix)
    return Finding(detail)
