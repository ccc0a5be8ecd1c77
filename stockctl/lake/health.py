"""The lake's rows of ``stockctl status``: how old its newest claims are and where they end."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from stockctl.clients.kafka import Admin, Committed, Partition
from stockctl.clients.store import NoLakeError, Store, existing_store
from stockctl.errors import StockctlError
from stockctl.health import PROBE_WAIT, Check, CheckResult
from stockctl.lake.format.claims import Claim, generations, newest_claim, newest_start
from stockctl.lake.format.keys import TABLES, Table, generation_folder
from stockctl.lake.writer.recovery import hinted_claim
from stockctl.settings import Settings
from stockctl.stream.lag import lake_writer
from stockctl.stream.pending import pending
from stockctl.units import counted, format_duration


def overview(settings: Settings) -> list[Check]:
    """A row for each table of the lake."""
    return [Check(f"lake {table}", partial(_newest, settings, table)) for table in TABLES]


def _newest(settings: Settings, table: Table) -> CheckResult:
    try:
        store = existing_store(settings)
    except NoLakeError as error:
        return CheckResult(str(error), "warn", error.hint)
    folders = (generation_folder(table, generation) for generation in generations(store, table))
    numbers = sorted({int(name) for folder in folders for name in store.folders(folder) if name.isdecimal()})
    topic = settings.topics.trades.name if table == "trades" else settings.topics.feed_events.name
    committed = _committed(settings, [Partition(topic, number) for number in numbers])
    claims = [
        claim for number in numbers if (claim := _newest_of(store, table, number, committed.get(Partition(topic, number))))
    ]
    if not claims:
        return _empty(settings, store, topic)
    newest = max(claims, key=lambda claim: claim.created)
    age = (datetime.now(UTC) - datetime.fromisoformat(newest.created)).total_seconds()
    ends = ", ".join(f"{claim.partition} to {claim.end}" for claim in claims)
    return CheckResult(
        f"newest claim {format_duration(max(0.0, age))} ago, {counted(newest.rows, 'row')} cut by {newest.reason}; "
        f"partitions {ends}"
    )


def _empty(settings: Settings, store: Store, topic: str) -> CheckResult:
    """Of a table without claims: a new stack's writer has cut no batch yet, and all is well."""
    with suppress(StockctlError):  # other rows report what is wrong there
        waits = pending(settings, lake_writer(settings), [topic])
        if waits.running:
            return CheckResult(f"empty so far: {waits.words}")
    return CheckResult(f"empty: {store.url}", "warn", "`stockctl consume s3` fills it")


def _newest_of(store: Store, table: Table, number: int, committed: Committed | None) -> Claim | None:
    start = newest_start(store, table, number)
    return None if start is None else newest_claim(store, start, hinted_claim(committed) if committed else None)


def _committed(settings: Settings, partitions: list[Partition]) -> dict[Partition, Committed]:
    """What the writer's group has committed. It only shortens the listing of the log, so the lake is shown without it too."""
    try:
        admin = Admin(settings)
        admin.wait(PROBE_WAIT)
        return admin.committed(settings.lake.group, partitions) if partitions else {}
    except StockctlError:
        return {}
