"""What waits in Kafka for a writer's next batch: why a store has nothing yet, in a stack that has just begun."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from stockctl.clients.kafka import Admin
from stockctl.errors import StockctlError
from stockctl.health import PROBE_WAIT
from stockctl.settings import Settings
from stockctl.stream.lag import Writer, read_lag
from stockctl.units import counted, format_duration


class Pending(NamedTuple):
    """Records that wait in Kafka for a writer, whether it runs, and both in words."""

    records: int
    running: bool
    words: str


def pending(settings: Settings, writer: Writer, topics: Collection[str] = ()) -> Pending:
    """What waits for ``writer`` in ``topics`` (none: in all that it reads). Errors of Kafka after ``PROBE_WAIT`` seconds."""
    admin = Admin(settings)
    admin.wait(PROBE_WAIT)
    rows = read_lag(admin, settings, [writer.group])
    records = sum(row.lag for row in rows if not topics or row.topic in topics)
    running = bool(admin.members(writer.group))
    words = f"{counted(records, 'record waits', 'records wait')} in Kafka" if records else "no record waits in Kafka"
    return Pending(records, running, f"{words}; {writer.batches}" if running else f"{words}, and no `{writer.command}` runs")


def next_batch(settings: Settings, writer: Writer) -> str | None:
    """What an answer without data says of records that are on their way; None where none are, or no Kafka is set."""
    if settings.origin("kafka.bootstrap_servers") == "default":
        return None
    try:
        waits = pending(settings, writer)
    except StockctlError as error:
        return f"whether records wait in Kafka is unknown: {error}"
    if not waits.records:
        return None
    return f"{waits.words}; " + (f"ask again in {format_duration(writer.max_age)}" if waits.running else "`stockctl status`")
