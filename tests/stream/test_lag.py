"""Lag by group and partition."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from stockctl.check_runner import CheckResult, run
from stockctl.clients.kafka import Admin, Consumer, Partition, Producer, TransactionalProducer
from stockctl.lake import health as lake
from stockctl.settings import Settings
from stockctl.stream import health
from stockctl.stream.health import group_checks
from stockctl.stream.lag import Lag, read_lag
from stockctl.stream.topics import apply
from stockctl.units import format_duration
from tests.command import HANG, Command
from tests.conftest import free_port, wait_for


@pytest.fixture
def admin(settings: Settings) -> Admin:
    """An admin of a cluster with the topics made and ten trades in one partition."""
    admin = Admin(settings)
    apply(admin, settings.topics)
    send(settings, 10)
    return admin


def send(settings: Settings, count: int, *, age: float = 0.0) -> None:
    """Send trades that are ``age`` seconds old, all to one partition."""
    producer = Producer(settings)
    at = round((time.time() - age) * 1000)
    producer.send(settings.topics.trades.name, [(b"{}", "AAPL")] * count, at, lambda *_: None)
    assert producer.flush(HANG) == 0


@pytest.fixture
def full(admin: Admin, settings: Settings) -> Partition:
    """The partition that holds the ten trades."""
    offsets = admin.offsets(admin.partitions(settings.topics.trades.name))
    return next(partition for partition, (_, end) in offsets.items() if end == 10)


def commit(settings: Settings, admin: Admin, group: str, partition: Partition, offset: int) -> None:
    consumer = Consumer(settings, group)
    consumer.commit(partition, offset, "")
    wait_for(lambda: admin.committed(group, [partition])[partition].offset == offset, "the commit")
    consumer.close()


def of(rows: list[Lag], partition: Partition) -> Lag:
    return next(row for row in rows if (row.topic, row.partition) == partition)


def test_a_group_without_commits_has_everything_from_the_start_to_read(
    admin: Admin, settings: Settings, full: Partition
) -> None:
    group = settings.lake.group
    rows = read_lag(admin, settings, [group])
    assert {row.topic for row in rows} == {
        settings.topics.trades.name,
        settings.topics.feed_events.name,
        settings.topics.signals.name,
    }
    assert of(rows, full) == Lag(group, full.topic, full.number, None, 0, 10, lag=10, lost=0)
    assert sum(row.lag for row in rows) == 10


def test_the_lag_is_the_distance_from_the_commit_to_the_end(admin: Admin, settings: Settings, full: Partition) -> None:
    commit(settings, admin, settings.lake.group, full, 7)
    assert of(read_lag(admin, settings, [settings.lake.group]), full)[3:] == (7, 0, 10, 3, 0)


def test_records_that_retention_deleted_unread_are_lost_and_not_lag(admin: Admin, settings: Settings, full: Partition) -> None:
    commit(settings, admin, settings.lake.group, full, 2)
    admin.delete_records({full: 6})
    assert of(read_lag(admin, settings, [settings.lake.group]), full)[3:] == (2, 6, 10, 4, 4)


def test_a_commit_beyond_the_end_is_a_lag_of_zero(admin: Admin, settings: Settings, full: Partition) -> None:
    """As after a topic was recreated."""
    commit(settings, admin, settings.lake.group, full, 99)
    assert of(read_lag(admin, settings, [settings.lake.group]), full).lag == 0


def test_without_names_every_group_of_the_pipelines_topics_is_shown(admin: Admin, settings: Settings, full: Partition) -> None:
    other = f"{settings.lake.group}-other"
    commit(settings, admin, other, full, 4)
    rows = read_lag(admin, settings)
    assert {row.group for row in rows} == {settings.lake.group, other}
    assert [row.lag for row in rows if row.group == other and row.partition == full.number] == [6]
    assert {row.topic for row in rows if row.group == other} == {settings.topics.trades.name}


def test_without_topics_there_is_no_lag(settings: Settings) -> None:
    assert read_lag(Admin(settings), settings) == []


def test_status_shows_the_connector_in_place_of_consume_mongo(admin: Admin, settings: Settings, full: Partition) -> None:
    lakes = f"group {settings.lake.group}"
    assert [check.system for check in group_checks(settings)] == [lakes]
    group = f"{settings.lake.group}-mongo"
    mongo = settings.mongo.model_copy(update={"url": "mongodb://127.0.0.1:1", "group": group})
    writing = settings.model_copy(update={"mongo": mongo})
    commit(writing, admin, group, full, 7)
    found = dict(run(group_checks(writing)))
    assert list(found) == [lakes, f"group {group}"]
    behind = found[f"group {group}"]
    assert behind.state == "warn"
    assert behind.detail == f"3 records behind: {full.topic}/{full.number} 3; the group has no member"
    admin.delete_records({full: 9})
    lost = dict(run(group_checks(writing)))[f"group {group}"]
    assert lost.state == "fail"
    assert "retention deleted 2" in lost.detail
    connect = settings.connect.model_copy(update={"url": "http://127.0.0.1:1"})
    connected = writing.model_copy(update={"connect": connect})
    assert [check.system for check in group_checks(connected)] == [lakes, "group connect-stockctl-mongo"]


@contextmanager
def member(settings: Settings, commits: Partition | None = None) -> Iterator[None]:
    """A member of the lake's group while the block runs; it commits one offset after the other of ``commits``, slowly."""
    joined, leave = threading.Event(), threading.Event()

    def assigned(partitions: list[Partition]) -> dict[Partition, int]:
        joined.set()
        return dict.fromkeys(partitions, 0)

    def run() -> None:
        with closing(Consumer(settings, settings.lake.group)) as consumer:
            consumer.subscribe([settings.topics.trades.name], on_assign=assigned, on_revoke=print, on_lost=print)
            offset = 0
            while not leave.wait(0.05):
                consumer.consume(1, 0.1)
                if commits is not None and joined.is_set() and not consumer.committing:
                    offset += 1
                    consumer.commit(commits, offset, "")

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            wait_for(joined.is_set, "the member")
            yield
        finally:
            leave.set()
        running.result()


def found(settings: Settings) -> tuple[str, str, str | None]:
    """State, detail and fix of the row of the lake's group."""
    [(_, finding)] = run(group_checks(settings))
    return finding.state, finding.detail, finding.fix


def test_a_lag_is_ok_while_no_record_waits_longer_than_a_batch(admin: Admin, settings: Settings) -> None:
    with member(settings):
        assert found(settings)[0] == "ok"
    assert found(settings)[0] == "warn"


def test_a_transaction_marker_is_not_an_unread_record(
    admin: Admin, settings: Settings, full: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has an offset, which stays the last one until the next record."""
    monkeypatch.setattr(health, "LATE", -1e9)
    assert found(settings)[0] == "fail"
    producer = TransactionalProducer(settings, f"{settings.lake.group}-replay")
    with producer.transaction():
        producer.produce(full.topic, value=b"{}", key="AAPL", timestamp=round(time.time() * 1000))
    commit(settings, admin, settings.lake.group, full, 11)
    assert admin.offsets([full])[full].end == 12
    assert found(settings) == ("ok", f"1 record behind: {full.topic}/{full.number} 1", None)


def test_records_that_wait_longer_fail_and_name_the_writer(
    admin: Admin, settings: Settings, full: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No member reads, or a member commits nothing; a writer that catches up is ok soon."""
    admin.delete_records({full: 10})
    commit(settings, admin, settings.lake.group, full, 10)
    assert found(settings) == ("ok", "0 records behind", None)
    bound = settings.lake.max_age + health.LATE
    send(settings, 5_000, age=3 * 86_400)
    send(settings, 5)
    state, detail, fix = found(settings)
    assert state == "fail"
    assert detail.startswith("5,005 records behind")
    assert "the oldest is 3d" in detail
    assert f"within {format_duration(bound)}; the group has no member" in detail
    assert fix == "`stockctl consume s3` reads them"
    with monkeypatch.context() as brief, member(settings):
        brief.setattr(health, "_COMMIT_WITHIN", 1.0)
        state, detail, fix = found(settings)
        assert (state, "it commits nothing" in detail) == ("fail", True)
        assert fix is not None
        assert "`stockctl local down`, then `stockctl local up`" in fix
    with member(settings, full):
        wait_for(lambda: admin.committed(settings.lake.group, [full])[full].offset > 10, "the first commits")
        state, detail, _ = found(settings)
        assert (state, "it is catching up" in detail) == ("warn", True)


def test_a_store_is_ok_while_it_is_empty_before_the_first_batch_and_answers_say_so(
    admin: Admin, settings: Settings, command: Command, tmp_path: Path
) -> None:
    """Without a member of the group the answer says that the writer is not running."""
    (tmp_path / "lake").mkdir()
    [trades, events, signals] = lake.overview(settings)

    with member(settings):
        wait = "10 records wait in Kafka; `consume s3` writes a batch every 15s (lake.max_age)"
        assert trades.probe() == CheckResult(f"empty so far: {wait}")
        for arguments in (("metrics", "rate", "AAPL"), ("lake", "read", "AAPL"), ("lake", "list"), ("lake", "gaps")):
            assert f"{wait}; try again in 15s" in command.run(*arguments).stderr
        assert "wait in Kafka" not in command.run("metrics", "rate", "AAPL", "--date", "2026-11-20").stderr
    wait_for(lambda: not admin.members(settings.lake.group), "the member to leave")
    assert [check.probe().state for check in (trades, events, signals)] == ["warn", "warn", "ok"], "most run no strategy"
    assert "10 records wait in Kafka, and `stockctl consume s3` is not running" in command.run("metrics", "vwap", "AAPL").stderr
    command.environment["STOCKCTL_KAFKA__BOOTSTRAP_SERVERS"] = f"127.0.0.1:{free_port()}"
    assert "cannot check for records that wait in Kafka: " in command.run("metrics", "vwap", "AAPL").stderr
