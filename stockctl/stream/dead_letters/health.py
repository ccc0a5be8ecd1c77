"""The health check of dead letters: a feed whose records are all rejected must not look healthy."""

from __future__ import annotations

from itertools import islice

from stockctl.check_runner import PROBE_WAIT, Check, CheckResult
from stockctl.clients.kafka import Admin, Consumer
from stockctl.exchange.calendar import now_ms
from stockctl.settings import Settings
from stockctl.settings.kafka_names import DEAD_LETTERS_GROUP
from stockctl.stream.dead_letters.reader import marks, read
from stockctl.stream.dead_letters.record import FOREIGN
from stockctl.stream.topics import table_topics
from stockctl.units import counted, format_duration

RECENT = 300.0
"""Age in seconds up to which dead letters count."""
MANY = 3
"""The least dead letters that fail the check, however few records arrived meanwhile."""
_SAMPLE = 2_000
"""The most letters that are read; all are counted."""


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
    open_letters = [letter for digest, letter in sample.items() if digest not in replayed]
    detail = f"{letters:,} {within}"
    if not open_letters:
        return CheckResult(f"{detail}, replayed since")
    detail += f", such as: {open_letters[-1].reason}"
    if foreign := [letter for letter in open_letters if letter.reason.startswith(FOREIGN)]:
        return CheckResult(
            f"{letters:,} {within}; {foreign[-1].reason}",
            "fail",
            f"stop the producer that sends them to {topics.trades.name}; or add their source to lake.extra_sources and "
            f"mongo.extra_sources, restart the writers, and run `stockctl dlq replay --reason '{FOREIGN}'`",
        )
    records = _count(settings, admin, [*table_topics(topics).values()], since)
    if len(open_letters) >= MANY and letters >= records / 2:
        return CheckResult(
            f"{detail}; {counted(records, 'record')} arrived", "fail", "`stockctl dlq list --by-reason` shows what is wrong"
        )
    return CheckResult(detail, "warn", "`stockctl dlq list --by-reason`")


def _count(settings: Settings, admin: Admin, topics: list[str], since: int) -> int:
    """Offsets of ``topics`` with a timestamp of ``since`` (ms UTC) or later, transaction markers included."""
    partitions = [partition for topic in topics for partition in admin.partitions(topic)]
    if not partitions:
        return 0
    with Consumer(settings, DEAD_LETTERS_GROUP) as consumer:
        starts = consumer.offsets_since(partitions, since)
    ends = admin.offsets(partitions)
    return sum(max(0, ends[partition].end - start) for partition, start in starts.items())
