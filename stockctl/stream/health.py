"""Health of the brokers: the cluster, the topics, and the lag of the writers' groups."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from stockctl.check_runner import PROBE_WAIT, Check, CheckResult
from stockctl.clients.kafka import Admin, Consumer, Event, Partition
from stockctl.errors import RefusedError, TimedOutError
from stockctl.settings import Settings
from stockctl.stream.lag import Lag, Writer, lag_summary, lake_writer, mongo_writer, read_lag
from stockctl.stream.topics import APPLY, TopicSpec, compare_existing, topic_specs
from stockctl.units import counted, format_duration

REQUIRED_OPERATIONS = frozenset({"READ", "WRITE"})
"""ACL operations on its topics that the pipeline needs."""
RATE_SPAN = 1.0
"""Seconds over which the growth of a topic is measured."""
LATE = 120.0
"""Seconds that a record may wait longer than its batch stays open: for the write, and for bars and companies."""
_COMMIT_WITHIN = 8.0
"""Seconds in which a late writer must commit to count as catching up: several times its commit interval in a backlog."""


def checks(settings: Settings) -> list[Check]:
    """The cluster, the topics, and the lag of the writers' groups."""
    return [Check("kafka", partial(_cluster, settings)), *topic_checks(settings), *group_checks(settings)]


def overview(settings: Settings) -> list[Check]:
    """The records and the growth of each topic; each group's lag."""
    topics = [Check(f"topic {topic.name}", partial(_growth, settings, topic)) for topic in topic_specs(settings.topics)]
    return [*topics, *group_checks(settings)]


def topic_checks(settings: Settings) -> list[Check]:
    """Each topic exists, matches the settings, and this client may read and write it."""
    return [Check(f"topic {topic.name}", partial(_topic, settings, topic)) for topic in topic_specs(settings.topics)]


def group_checks(settings: Settings) -> list[Check]:
    """The lag of the groups of the writers."""
    writers = [lake_writer(settings.lake)]
    if settings.connect.url is not None or settings.mongo.url is not None:
        writers.append(mongo_writer(settings))
    return [Check(f"group {writer.group}", partial(_group, settings, writer)) for writer in writers]


def _cluster(settings: Settings) -> CheckResult:
    admin = Admin(settings)
    # The first request includes connecting and authentication.
    admin.wait(PROBE_WAIT)
    latency = admin.wait(PROBE_WAIT)
    brokers = admin.brokers()
    return CheckResult(f"cluster {admin.cluster_id()}, {len(brokers)} of its brokers up: {', '.join(brokers)}", latency=latency)


def _topic(settings: Settings, topic: TopicSpec) -> CheckResult:
    admin = Admin(settings)
    latency = admin.wait(PROBE_WAIT)
    existing = admin.topic(topic.name)
    if existing is None:
        return CheckResult("absent", "fail", APPLY, latency)
    if existing.rights is not None and (missing := REQUIRED_OPERATIONS - existing.rights):
        raise RefusedError(
            f"permission denied: {', '.join(sorted(missing))}",
            hint=f"grant {settings.kafka.username or 'this client'} these operations on the topic",
        )
    differing = list(compare_existing(admin, topic, existing))
    if differing:
        detail = ", ".join(f"{one.field} {one.actual} and not {one.wanted}" for one in differing)
        return CheckResult(detail, "warn", differing[0].fix, latency)
    return CheckResult(
        f"{counted(existing.partitions, 'partition')}, replication {existing.replication}, matches the settings",
        latency=latency,
    )


def _growth(settings: Settings, topic: TopicSpec) -> CheckResult:
    admin = Admin(settings)
    admin.wait(PROBE_WAIT)
    partitions = admin.partitions(topic.name)
    if not partitions:
        return CheckResult("absent", "fail", APPLY)
    before, started = admin.offsets(partitions), time.monotonic()
    time.sleep(RATE_SPAN)
    after, seconds = admin.offsets(partitions), time.monotonic() - started
    records = sum(end - start for start, end in after.values())
    grown = sum(after[partition].end - before[partition].end for partition in partitions)
    ends = ", ".join(f"{partition.number} at {after[partition].end}" for partition in partitions)
    return CheckResult(f"{counted(records, 'record')}, {grown / seconds:,.0f} per second; end offsets: {ends}")


def _group(settings: Settings, writer: Writer) -> CheckResult:
    admin = Admin(settings)
    admin.wait(PROBE_WAIT)
    rows = read_lag(admin, settings, [writer.group])
    detail = lag_summary(rows)
    if any(row.lost for row in rows):
        return CheckResult(detail, "fail", writer.if_lost)
    if not any(row.lag for row in rows):
        return CheckResult(detail)
    oldest = _oldest_unread(settings, rows)
    if oldest is None:
        return CheckResult(detail)  # transaction markers have offsets too
    age, limit = max(0.0, time.time() - oldest), writer.max_age + LATE
    overdue = age > limit
    if overdue:
        detail += f"; the oldest is {format_duration(round(age))} old, and should be written within {format_duration(limit)}"
    if not admin.members(writer.group):
        return CheckResult(
            f"{detail}; the group has no member", "fail" if overdue else "warn", f"`{writer.command}` reads them"
        )
    if not overdue:
        return CheckResult(detail)
    if _commits(admin, rows):
        return CheckResult(f"{detail}; it is catching up", "warn", "wait, then check again")
    return CheckResult(f"{detail}; it commits nothing", "fail", _restart(settings, writer.command))


def _restart(settings: Settings, command: str) -> str:
    """What to do about a writer that commits nothing."""
    if settings.profile == "local":
        return "`stockctl local down`, then `stockctl local up`: it continues from its last commit"
    return f"see the log of `{command}`, and restart it: it continues from its last commit"


def _oldest_unread(settings: Settings, rows: Sequence[Lag]) -> float | None:
    """The Kafka timestamp, in seconds, of the oldest record that the group has not committed; None if there is none."""
    unread = {Partition(row.topic, row.partition): max(row.committed or 0, row.start) for row in rows if row.lag}
    timestamps: list[int] = []
    # One record or the end of each partition is enough.
    deadline = time.monotonic() + PROBE_WAIT
    with Consumer(settings, rows[0].group, **{"enable.partition.eof": True, "queued.min.messages": 1}) as consumer:
        consumer.assign(unread)
        while unread:
            for message in consumer.consume(100, 0.1):
                partition = Partition(message.topic(), message.partition())
                if message.error() is None and partition in unread:
                    timestamps.append(message.timestamp()[1])
                elif message.error() is not None and consumer.event(message, "read") is not Event.end:
                    continue
                unread.pop(partition, None)
            if unread and time.monotonic() > deadline:
                raise TimedOutError(f"no record comes from {', '.join(f'{topic}/{number}' for topic, number in unread)}")
    return min(timestamps) / 1000 if timestamps else None


def _commits(admin: Admin, rows: Sequence[Lag]) -> bool:
    """Whether the group commits an offset within ``_COMMIT_WITHIN`` seconds."""
    before = {Partition(row.topic, row.partition): row.committed or 0 for row in rows if row.lag}
    deadline = time.monotonic() + _COMMIT_WITHIN
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = admin.committed(rows[0].group, list(before))
        if any(now[partition].offset > offset for partition, offset in before.items()):
            return True
    return False
