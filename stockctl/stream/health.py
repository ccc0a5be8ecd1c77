"""Whether dead letters come in now: a feed that lands there whole must not look healthy."""

from __future__ import annotations

from itertools import islice

from stockctl.clients.kafka import Admin, Consumer
from stockctl.exchange.calendar import now_ms
from stockctl.health import PROBE_WAIT, Check, CheckResult
from stockctl.settings import Settings
from stockctl.settings.distinct_names import DEAD_LETTERS_GROUP
from stockctl.stream.dead_letters import FOREIGN
from stockctl.stream.dlq import marks, read
from stockctl.units import counted, format_duration

RECENT = 300.0
"""Seconds in which a dead letter says something of how the pipeline does now."""
MANY = 3
"""So few dead letters are no sign, however few records came beside them."""
_SAMPLE = 2_000
"""Letters that are looked at; their number is known without reading them."""


def checks(settings: Settings) -> list[Check]:
    """The check of the newest dead letters."""
    return [Check("dead letters", lambda: _probe(settings))]


def _probe(settings: Settings) -> CheckResult:
    admin = Admin(settings)
    admin.wait(PROBE_WAIT)
    topics, since = settings.topics, now_ms() - round(RECENT * 1000)
    within = f"in the last {format_duration(RECENT)}"
    letters = _count(settings, admin, [topics.dead_letters.name], since)
    if not letters:
        return CheckResult(f"none {within}")
    sample = {item.digest: item.letter for item in islice(read(settings, since), _SAMPLE)}
    replayed = marks(settings)
    left = [letter for digest, letter in sample.items() if digest not in replayed]
    detail = f"{letters:,} {within}"
    if not left:
        return CheckResult(f"{detail}, and those looked at were replayed")
    detail += f", such as: {left[-1].reason}"
    if foreign := [letter for letter in left if letter.reason.startswith(FOREIGN)]:
        return CheckResult(
            f"{letters:,} {within}; {foreign[-1].reason}",
            "fail",
            f"stop what sends them to {topics.trades.name}; or name their source in lake.extra_sources and "
            f"mongo.extra_sources, start the writers again, and run `stockctl dlq replay --reason '{FOREIGN}'`",
        )
    records = _count(settings, admin, [topics.trades.name, topics.feed_events.name], since)
    if len(left) >= MANY and letters >= records / 2:
        return CheckResult(
            f"{detail}; {counted(records, 'record')} came", "fail", "`stockctl dlq list --by-reason` shows what is wrong"
        )
    return CheckResult(detail, "warn", "`stockctl dlq list --by-reason`")


def _count(settings: Settings, admin: Admin, topics: list[str], since: int) -> int:
    """Records of ``topics`` with a timestamp of ``since`` (ms UTC) or later, ends of transactions among them."""
    partitions = [partition for topic in topics for partition in admin.partitions(topic)]
    if not partitions:
        return 0
    consumer = Consumer(settings, DEAD_LETTERS_GROUP)
    try:
        starts = consumer.offsets_since(partitions, since)
    finally:
        consumer.close()
    ends = admin.offsets(partitions)
    return sum(max(0, ends[partition].end - start) for partition, start in starts.items())
