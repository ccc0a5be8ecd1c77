"""How far consumer groups are behind the ends of the pipeline's topics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from stockctl.clients.kafka import Admin, Consumer, Event, Offsets, Partition
from stockctl.errors import TimedOutError
from stockctl.health import PROBE_WAIT, Check, CheckResult
from stockctl.settings import Settings
from stockctl.units import counted, format_duration

LATE = 120.0
"""Seconds that a record may wait for longer than its batch stays open: what storing it takes, and bars and companies."""
_LOOK = 8.0
"""Seconds in which a writer that is late shows that it goes on: several times what lies between two commits of a backlog."""
_CONNECT_COMMITS = 60.0
"""Seconds between two commits of Kafka Connect, its ``offset.flush.interval.ms``."""


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


class Writer(NamedTuple):
    """A group that writes the topics into a store: what runs it, how old a record gets that waits for its batch to be cut,
    how often it does so in words, and what to do where retention was faster.
    """

    group: str
    command: str
    max_age: float
    batches: str
    if_lost: str = "a longer retention gives the writer more time"


def lake_writer(settings: Settings) -> Writer:
    """What writes the lake."""
    age, hole = settings.lake.max_age, "`stockctl lake verify` names the hole; a longer retention gives the writer more time"
    batches = f"`consume s3` cuts a batch every {format_duration(age)} (lake.max_age)"
    return Writer(settings.lake.group, "stockctl consume s3", age, batches, hole)


def mongo_writer(settings: Settings) -> Writer:
    """What writes MongoDB: the connector, where Kafka Connect has an address."""
    if settings.connect.url is not None:
        batches = f"Kafka Connect commits every {format_duration(_CONNECT_COMMITS)}"
        return Writer(settings.connect.group, "stockctl connect apply", _CONNECT_COMMITS, batches)
    age, derive = settings.mongo.max_age, settings.mongo.derive_every
    batches = f"`consume mongo` writes a batch every {format_duration(age)} (mongo.max_age)"
    return Writer(settings.mongo.group, "stockctl consume mongo", age + derive, batches)


def overview(settings: Settings) -> list[Check]:
    """The rows of ``stockctl status`` and ``stockctl doctor`` for the groups of the writers."""
    writers = [lake_writer(settings)]
    if settings.connect.url is not None or settings.mongo.url is not None:
        writers.append(mongo_writer(settings))
    return [Check(f"group {writer.group}", partial(_behind, settings, writer)) for writer in writers]


def _behind(settings: Settings, writer: Writer) -> CheckResult:
    admin = Admin(settings)
    admin.wait(PROBE_WAIT)
    rows = read_lag(admin, settings, [writer.group])
    lost = sum(row.lost for row in rows)
    parts = ", ".join(f"{row.topic}/{row.partition} {row.lag:,}" for row in rows if row.lag)
    detail = f"{counted(sum(row.lag for row in rows), 'record')} behind" + (f": {parts}" if parts else "")
    if lost:
        return CheckResult(f"{detail}; {lost:,} were deleted by retention before it read them", "fail", writer.if_lost)
    if not parts:
        return CheckResult(detail)
    since = _oldest(settings, rows)
    if since is None:
        return CheckResult(detail)  # what is left are ends of transactions, and no records
    age, bound = max(0.0, time.time() - since), writer.max_age + LATE
    overdue = age > bound
    if overdue:
        detail += f"; the oldest came {format_duration(round(age))} ago, and should be written within {format_duration(bound)}"
    if not admin.members(writer.group):
        return CheckResult(
            f"{detail}; the group has no member", "fail" if overdue else "warn", f"`{writer.command}` reads them"
        )
    if not overdue:
        return CheckResult(detail)
    if _commits(admin, rows):
        return CheckResult(f"{detail}; it is catching up", "warn", "wait, and look again")
    return CheckResult(f"{detail}; it commits nothing", "fail", _restart(settings, writer.command))


def _restart(settings: Settings, command: str) -> str:
    """What to do about a writer that commits nothing."""
    if settings.profile == "local":
        return "`stockctl local down`, then `stockctl local up`: it goes on where it stood"
    return f"see the log of `{command}`, and start it again: it goes on where it stood"


def _oldest(settings: Settings, rows: Sequence[Lag]) -> float | None:
    """When the oldest record came that the group has not committed, by Kafka's timestamp; None if there is none."""
    unread = {Partition(row.topic, row.partition): max(row.committed or 0, row.start) for row in rows if row.lag}
    found: list[int] = []
    # One record of each partition is enough, or the word that there is none.
    consumer = Consumer(settings, rows[0].group, **{"enable.partition.eof": True, "queued.min.messages": 1})
    deadline = time.monotonic() + PROBE_WAIT
    try:
        consumer.assign(unread)
        while unread:
            for message in consumer.consume(100, 0.1):
                partition = Partition(message.topic(), message.partition())
                if message.error() is None and partition in unread:
                    found.append(message.timestamp()[1])
                elif message.error() is not None and consumer.event(message, "read") is not Event.end:
                    continue
                unread.pop(partition, None)
            if unread and time.monotonic() > deadline:
                raise TimedOutError(f"no record comes from {', '.join(f'{topic}/{number}' for topic, number in unread)}")
    finally:
        consumer.close()
    return min(found) / 1000 if found else None


def _commits(admin: Admin, rows: Sequence[Lag]) -> bool:
    """Whether the group commits anything while we look."""
    behind = {Partition(row.topic, row.partition): row.committed or 0 for row in rows if row.lag}
    deadline = time.monotonic() + _LOOK
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = admin.committed(rows[0].group, list(behind))
        if any(now[partition].offset > at for partition, at in behind.items()):
            return True
    return False
