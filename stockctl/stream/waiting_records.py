"""The records that wait in Kafka for a writer's next batch: why a store is still empty after a start."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from stockctl.check_runner import PROBE_WAIT
from stockctl.clients.kafka import Admin
from stockctl.errors import StockctlError
from stockctl.settings import Settings
from stockctl.stream.lag import Writer, read_lag
from stockctl.units import counted, format_duration


class Pending(NamedTuple):
    """The records that wait in Kafka for a writer, whether the writer runs, and both as a message."""

    records: int
    running: bool
    message: str


def pending(settings: Settings, writer: Writer, topics: Collection[str] = ()) -> Pending:
    """The records that wait for ``writer`` in ``topics`` (empty: all). Errors of Kafka after ``PROBE_WAIT`` seconds."""
    admin = Admin(settings)
    admin.wait(PROBE_WAIT)
    rows = read_lag(admin, settings, [writer.group])
    records = sum(row.lag for row in rows if not topics or row.topic in topics)
    running = bool(admin.members(writer.group))
    message = f"{counted(records, 'record waits', 'records wait')} in Kafka" if records else "no record waits in Kafka"
    message += f"; {writer.batches}" if running else f", and `{writer.command}` is not running"
    return Pending(records, running, message)


def next_batch(settings: Settings, writer: Writer) -> str | None:
    """A message about records that wait for ``writer``; None if none wait, or Kafka is not set."""
    if settings.origin("kafka.bootstrap_servers") == "default":
        return None
    try:
        waiting = pending(settings, writer)
    except StockctlError as error:
        return f"cannot check for records that wait in Kafka: {error}"
    if not waiting.records:
        return None
    return f"{waiting.message}; " + (
        f"try again in {format_duration(writer.max_age)}" if waiting.running else "`stockctl status`"
    )
