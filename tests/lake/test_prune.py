"""``lake prune``: what is dropped, what is asked first, and that it can die or be repeated at any moment."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import time
from datetime import date
from pathlib import Path

import pytest

from stockctl.clients.kafka import Admin, Producer
from stockctl.clients.object_store import Store, open_store
from stockctl.lake.format.retention import is_expired, put_floor, read_floor
from stockctl.lake.maintenance.compact import compact
from stockctl.lake.maintenance.prune import prunable, prune
from stockctl.lake.maintenance.verify import verify
from stockctl.lake.reader.events import read_events
from stockctl.lake.reader.inventory import inventory
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.trades import read_trades
from stockctl.records import encode
from stockctl.settings import Settings, env_name, load_settings
from tests.command import BIN, HANG, Command, clean_environment
from tests.faults.proxy import Action, Proxy
from tests.lakes import covered, lay, trade

FLOOR = date(2026, 11, 23)


def fill(settings: Settings) -> None:
    """Trades and events of three dates, the first two of them compacted."""
    for number, day in enumerate(("2026-11-20", "2026-11-22", "2026-11-23")):
        lay(settings, [trade("AAPL", f"{day} 10:00", number + 1.0), trade("MSFT", f"{day} 11:00", 9.0)], partition=number)
        event = covered("AAPL", f"{day} 10:00", f"{day} 10:01")
        lay(settings, [event], table="feed_events", partition=number)
    assert len(list(compact(settings, before=FLOOR))) == 2


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A lake of three dates in a folder."""
    own_settings = load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "lake").as_uri()})
    fill(own_settings)
    return own_settings


@pytest.fixture
def on_s3(s3_environment: dict[str, str], s3_bucket: str, tmp_path: Path) -> Settings:
    """A lake of three dates on the S3 server."""
    flags = {"lake.url": f"s3://{s3_bucket}/{tmp_path.parent.name}-{tmp_path.name}", "lake.cache_dir": str(tmp_path / "cache")}
    own_settings = load_settings(environ=clean_environment(**s3_environment), flags=flags)
    fill(own_settings)
    return own_settings


def keys(store: Store, floor: date = FLOOR) -> list[str]:
    """Keys of the objects below the floor."""
    return [item.key for item in store.objects() if is_expired(item.key, floor) and not item.key.startswith("_log")]


def prices(settings: Settings) -> list[float]:
    return sorted(row["price"] for row in read_trades(settings=settings).to_pylist())


@pytest.mark.parametrize("lake", ["settings", "on_s3"])
def test_dates_below_the_floor_are_gone_and_verify_knows_it(lake: str, request: pytest.FixtureRequest) -> None:
    """Raw objects and Parquet of trades and events go, newer dates and the log stay, and nothing is found wrong."""
    settings: Settings = request.getfixturevalue(lake)
    store = open_store(settings)
    log = [item.key for item in store.objects("_log")]
    assert prices(settings) == [1.0, 2.0, 3.0, 9.0, 9.0, 9.0]
    dates = prunable(store, FLOOR)
    assert [(item.table, item.trade_date.day, item.objects) for item in dates] == [
        *(("trades", day, 2) for day in (20, 22)),
        *(("feed_events", day, 1) for day in (20, 22)),
        *(("parquet/trades", day, 1) for day in (20, 22)),
    ]
    assert sum(item.bytes for item in dates) == sum(item.size for item in store.objects() if item.key in keys(store))
    seen: list[tuple[int, int]] = []
    prune(store, FLOOR, dates, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (8, 8)
    assert keys(store) == []
    assert [item.key for item in store.objects("_log")] == sorted([*log, "_log/floors/2026-11-23.json"])
    assert prices(settings) == [3.0, 9.0]
    with LakeReader(settings) as reading:
        assert [event["span_end"] for event in read_events(reading)] == [
            covered("", "2026-11-23 10:00", "2026-11-23 10:01").span_end
        ]
    with LakeReader(settings) as reading:
        assert {item.trade_date for item in inventory(reading)} == {FLOOR}
    report = verify(store, deep=True)
    assert (report.issues, report.floor, report.pruned, report.rows) == ([], FLOOR, 6, 9)
    assert list(compact(settings, before=FLOOR)) == []
    assert prunable(store, FLOOR) == []


def test_a_late_row_below_the_floor_is_kept_but_not_read(settings: Settings) -> None:
    """The writer's promise is not the floor's: its claim stands, its object is left over, and the next prune drops it."""
    store = open_store(settings)
    prune(store, FLOOR, prunable(store, FLOOR))
    late = [trade("AAPL", "2026-11-20 10:00", 7.0), trade("AAPL", "2026-11-23 12:00", 8.0)]
    lay(settings, late, partition=5)
    assert prices(settings) == [3.0, 8.0, 9.0]
    report = verify(store, deep=True)
    assert [issue.kind for issue in report.issues] == ["leftover"]
    assert not report.damage
    assert list(compact(settings, before=FLOOR)) == []
    prune(store, FLOOR, prunable(store, FLOOR))
    assert keys(store) == []
    assert verify(store, deep=True).issues == []


def test_a_floor_never_sinks(settings: Settings) -> None:
    """A prune of older dates, or two at a time, leave the highest floor."""
    store = open_store(settings)
    assert read_floor(store) is None
    put_floor(store, FLOOR)
    put_floor(store, date(2026, 11, 21))
    put_floor(store, FLOOR)
    assert read_floor(store) == FLOOR


def test_damage_above_the_floor_is_still_found(settings: Settings) -> None:
    """The floor excuses nothing that lies on it or above it."""
    store = open_store(settings)
    prune(store, FLOOR, prunable(store, FLOOR))
    store.delete([item.key for item in store.objects("trades/trade_date=2026-11-23/ticker=AAPL")])
    store.put("trades/trade_date=2026-11-23/ticker=AAPL/trades-g1-002-00000000000000000077.jsonl.gz", b"")
    # Not the newest claim of its partition any more: nobody is going to put its object.
    lay(settings, [trade("MSFT", "2026-11-23 12:00", 8.0)], partition=2, start=2)
    assert {issue.kind for issue in verify(store).issues} == {"missing", "orphan"}


def command_of(settings: Settings, folder: Path) -> Command:
    return Command(folder, STOCKCTL_LAKE__URL=str(settings.lake.url))


def test_it_says_what_it_will_drop_and_refuses_without_a_yes(settings: Settings, tmp_path: Path) -> None:
    """Without a terminal only --yes drops; what goes is on stdout either way."""
    command = command_of(settings, tmp_path)
    refused = command.run("lake", "prune", "--before", "2026-11-23", "-o", "json", check=2)
    assert [row["trade_date"] for row in json.loads(refused.stdout)] == ["2026-11-20", "2026-11-22"] * 3
    assert "8 objects" in refused.stderr
    assert "--yes" in refused.stderr
    store = open_store(settings)
    assert len(keys(store)) == 8
    assert read_floor(store) is None
    assert "floor is 2026-11-23" in command.run("lake", "prune", "--before", "2026-11-23", "--yes", real=True).stderr
    assert keys(store) == []
    assert "has no data before" in command.run("lake", "prune", "--before", "2026-11-23", "--yes").stderr
    stderr_text = command.run("lake", "verify", "--deep").stderr
    assert "6 rows below the floor 2026-11-23 were deleted on purpose" in stderr_text


def test_a_dry_run_lists_the_dates_and_asks_nothing(settings: Settings, tmp_path: Path) -> None:
    store, command = open_store(settings), command_of(settings, tmp_path)
    before = keys(store)
    result = command.run("lake", "prune", "--before", "2026-11-23", "--dry-run", "-o", "json")
    assert {row["trade_date"] for row in json.loads(result.stdout)} == {"2026-11-20", "2026-11-22"}
    assert "dry run: nothing was changed" in result.stderr
    assert (keys(store), read_floor(store)) == (before, None)


def test_the_floor_is_today_at_most(settings: Settings, tmp_path: Path) -> None:
    """A floor above today would hide dates in the future."""
    command = command_of(settings, tmp_path)
    assert "in the future" in command.run("lake", "prune", "--before", "2199-01-01", "--yes", check=2).stderr
    assert "is not a date" in command.run("lake", "prune", "--before", "30d", "--yes", check=2).stderr
    assert read_floor(open_store(settings)) is None


@pytest.mark.parametrize(("answer", "code", "left"), [(b"n\n", 1, 8), (b"y\n", 0, 0)])
def test_at_a_terminal_it_asks(settings: Settings, tmp_path: Path, answer: bytes, code: int, left: int) -> None:
    """No drops nothing and leaves no floor; yes drops. What is asked about is listed whole, whatever the limit."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [BIN / "stockctl", "lake", "prune", "--before", "2026-11-23", "--limit", "1", "--fields", "trade_date", "-o", "csv"],
        env=command_of(settings, tmp_path).environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.write(ours, answer)
    listed, stderr_text = process.communicate(timeout=HANG)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code, stderr_text
    assert sorted(set(listed.split())) == [b"2026-11-20", b"2026-11-22", b"trade_date"]
    assert re.search(rb"Delete 8 objects of [\d.]+ k?B from .*\? \[y/N\]", stderr_text)
    store = open_store(settings)
    assert len(keys(store)) == left
    assert (read_floor(store) is None) is (code == 1)


@pytest.mark.parametrize(
    ("method", "pattern", "action", "promised"),
    [("PUT", "_log/floors", "hold", True), ("PUT", "_log/floors", "hold the answer", False), ("POST", "delete", "hold", False)],
)
def test_killed_at_each_step(
    on_s3: Settings,
    s3_server: str,
    s3_environment: dict[str, str],
    tmp_path: Path,
    method: str,
    pattern: str,
    action: Action,
    promised: bool,
) -> None:
    """SIGKILL around the floor and between deletions: either all is promised as before, or what is left is read by nobody."""
    store = open_store(on_s3)
    proxy = Proxy(s3_server)
    try:
        rule = proxy.rule(method, pattern, action, nth=2 if method == "POST" else 1)
        environment = s3_environment | {env_name("s3.endpoint_url"): proxy.url, env_name("lake.url"): str(on_s3.lake.url)}
        process = Command(tmp_path, **environment).start("lake", "prune", "--before", "2026-11-23", "--yes")
        rule.reached()
        process.kill()
        process.wait()
        rule.release(passes_on=False)
    finally:
        proxy.close()
    assert prices(on_s3) == ([1.0, 2.0, 3.0, 9.0, 9.0, 9.0] if promised else [3.0, 9.0])
    report = verify(store, deep=True)
    assert not report.damage, report.issues
    assert {issue.kind for issue in report.issues} == (set() if promised else {"leftover"})
    prune(store, FLOOR, prunable(store, FLOOR))
    assert keys(store) == []
    assert verify(store, deep=True).issues == []


def test_a_writer_continues_after_a_pruned_claim(settings_of_broker: Settings, command: Command) -> None:
    """Kafka has forgotten the newest claim's records and its objects were pruned: no loss is to be accepted for that."""
    topics = settings_of_broker
    admin = Admin(topics)
    for topic in (topics.topics.trades, topics.topics.feed_events, topics.topics.signals, topics.topics.dead_letters):
        admin.create_topic(topic.name, topic.partitions, 1, {})
    produce_old(topics, 3)
    command.run("consume", "s3", "--once")
    command.run("lake", "prune", "--before", "2026-01-01", "--yes")
    assert not list(open_store(topics).objects("trades"))
    offsets = admin.offsets(admin.partitions(topics.topics.trades.name))
    admin.delete_records({partition: found.end for partition, found in offsets.items() if found.end})
    command.environment["STOCKCTL_LAKE__GROUP"] += "-new"
    produce_old(topics, 2)
    assert "wrote 2 rows" in command.run("consume", "s3", "--once").stderr
    assert "leftover" in command.run("lake", "verify", "--deep").stdout


def produce_old(settings: Settings, count: int) -> None:
    """Trades of a day in 2025, received now."""
    producer = Producer(settings)
    now = int(time.time() * 1000)
    for number in range(count):
        row = trade("AAPL", "2025-11-20 10:00", 1.0 + number, ts_recv=now)
        producer.produce(settings.topics.trades.name, value=encode(row), key=b"AAPL", timestamp=now)
    assert producer.flush(30) == 0


@pytest.fixture
def settings_of_broker(broker: str, tmp_path: Path) -> Settings:
    """Settings of this test on the embedded broker."""
    from tests.conftest import own_names

    return load_settings(environ=clean_environment(), flags=own_names(broker, tmp_path))
