"""``lake compact``: the same trades from Parquet as from the raw objects, whatever dies and whatever comes late."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet
import pytest

from stockctl.clients.object_store import Store, open_store
from stockctl.errors import UnhealthyError
from stockctl.exchange.calendar import EXCHANGE_ZONE
from stockctl.lake.format.keys import PARQUET
from stockctl.lake.format.manifest import Manifest, decode_manifest, newest_manifests
from stockctl.lake.maintenance.compact import Compacted, Sizes, compact
from stockctl.lake.maintenance.verify import verify
from stockctl.lake.reader.duckdb_session import COLUMNS, LOG_COLUMNS
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.trades import read_trades
from stockctl.metrics import definitions
from stockctl.metrics.query import Query
from stockctl.records import Trade
from stockctl.settings import Settings, env_name, load_settings
from tests.command import HANG, Command, clean_environment
from tests.faults.proxy import Proxy
from tests.lakes import at, covered, lay, trade

DAY = date(2026, 11, 23)
SYMBOLS = ["AAPL", "BINANCE:BTCUSDT", "BINANCE_BTCUSDT", "MSFT", "日経", "é"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A fresh lake in a folder."""
    return load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "lake").as_uri()})


def some(count: int, seed: int = 1, day: str = "2026-11-23") -> list[Trade]:
    """Trades of several symbols over a day, with equal times among them, in no order."""
    chance = random.Random(seed)
    start = at(f"{day} 04:00")
    return [
        trade(
            chance.choice(SYMBOLS),
            start + chance.randrange(0, 57_600_000, 50),
            round(chance.uniform(1, 500), 2),
            float(chance.randrange(300)),
            conditions=chance.choice(["1", "1,12", "", "1,24"]),
        )
        for _ in range(count)
    ]


def run(settings: Settings, **bounds: Any) -> list[Compacted]:
    return list(compact(settings, **bounds))


def is_whole(settings: Settings) -> bool:
    report = verify(open_store(settings), deep=True)
    return not report.damage


def parquet_keys(store: Store) -> list[str]:
    return [item.key for item in store.objects(PARQUET)]


def manifest_of(settings: Settings, day: date = DAY) -> Manifest:
    store = open_store(settings)
    key = newest_manifests(store)[day]
    return decode_manifest(store.get(key), key)


@pytest.mark.parametrize("cut", ["ticker", "bucket", "both"])
def test_the_same_trades_come_from_parquet(settings: Settings, cut: str) -> None:
    """Every row with every field, of every symbol and span, however the raw objects are cut."""
    rows = some(1200)
    half = {"ticker": 1200, "bucket": 0, "both": 600}[cut]
    if half:
        lay(settings, rows[:half], batches=5)
    if half < 1200:
        lay(settings, rows[half:], start=half, batches=5, partition_by="bucket")
    questions: list[tuple[Any, ...]] = [(), ("AAPL",), (["MSFT", "日経"],), ("BINANCE:BTCUSDT",), ("TSLA",)]
    spans: list[dict[str, Any]] = [
        {},
        {"since": "2026-11-23T09:30", "until": "2026-11-23T10:00"},
        {"as_of": "2026-11-23T12:00"},
    ]
    raw = [read_trades(*asked, **span, settings=settings) for asked in questions for span in spans]
    (made,) = run(settings)
    assert (made.trade_date, made.version, made.rows) == (DAY, 1, 1200)
    with LakeReader(settings) as lake:
        assert {path.suffix for path in lake.files(lake.find("trades")).values()} == {".parquet"}
    assert [read_trades(*asked, **span, settings=settings) for asked in questions for span in spans] == raw
    assert is_whole(settings)


@pytest.mark.parametrize("cut", ["ticker", "bucket"])
def test_the_same_metrics_come_from_parquet(settings: Settings, cut: Literal["ticker", "bucket"]) -> None:
    """With all that is said beside it, also for the latest session of a symbol that did not trade on the newest date."""
    first, second = some(600, day="2026-11-23"), [row for row in some(600, seed=2, day="2026-11-24") if row.symbol != "MSFT"]
    lay(settings, first + second, batches=4, partition_by=cut)
    events = [covered(",".join(SYMBOLS), f"2026-11-{day} 04:00", f"2026-11-{day} 20:00") for day in (23, 24)]
    lay(settings, events, table="feed_events")
    now = at("2026-11-25 12:00")
    latest = Query(tuple(SYMBOLS), "standard", "all", EXCHANGE_ZONE, now)
    hours = replace(latest, session="regular", day=DAY, every_ms=3_600_000)
    across = replace(latest, symbols=("MSFT", "AAPL"), since=at("2026-11-23 12:00"), until=at("2026-11-24 12:00"))

    def answers() -> list[dict[str, object]]:
        # Sums of floats depend on the order of the rows, in the last digits.
        asked = [
            *(definitions.vwap(settings, question) for question in (latest, hours, across)),
            definitions.volatility(settings, latest, definitions.Window(20)),
            definitions.rate(settings, hours),
            definitions.bars(settings, hours),
            definitions.summary(settings, latest),
        ]
        return [
            {name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value for name, value in row.items()}
            for answer in asked
            for row in answer.rows
        ]

    raw = answers()
    assert [row["trade_date"] for row in definitions.vwap(settings, latest).rows if row["symbol"] == "MSFT"] == [DAY]
    assert len(run(settings, since=DAY, before=date(2026, 11, 24))) == 1
    half = answers()
    assert len(run(settings)) == 1
    assert answers() == half == raw


def test_objects_are_sorted_and_show_where_a_symbol_is(settings: Settings) -> None:
    """Rows come by symbol, time, receipt and id; row groups and objects name their symbols: one is read without the rest."""
    lay(settings, some(3000), batches=3)
    (made,) = compact(settings, sizes=Sizes(object_rows=1000, group_rows=200))
    assert made.objects == 3
    manifest = manifest_of(settings)
    store = open_store(settings)
    tables = [pyarrow.parquet.read_table(pa.BufferReader(store.get(item.key))) for item in manifest.objects]
    rows = pa.concat_tables(tables).to_pylist()
    assert rows == sorted(rows, key=lambda row: (row["symbol"].encode(), row["ts_event"], row["ts_recv"], row["id"]))
    assert tables[0].column_names == [*COLUMNS["trades"], *LOG_COLUMNS]
    for item, table in zip(manifest.objects, tables, strict=True):
        symbols = [row["symbol"] for row in table.to_pylist()]
        assert (item.rows, item.first_symbol, item.last_symbol) == (len(symbols), min(symbols), max(symbols))
    assert {symbol: extent.rows for symbol, extent in manifest.symbols.items()} == {
        symbol: sum(row["symbol"] == symbol for row in rows) for symbol in SYMBOLS
    }
    group = pyarrow.parquet.ParquetFile(pa.BufferReader(store.get(manifest.objects[0].key))).metadata.row_group(0)
    assert group.num_rows == 200
    statistics = group.column(list(COLUMNS["trades"]).index("symbol")).statistics
    assert statistics is not None
    assert statistics.max is not None
    with LakeReader(settings) as lake:
        found = lake.find("trades", symbols=["日経"])
    times = [row["ts_event"] for row in rows if row["symbol"] == "日経"]
    assert {(item.claimed.ts_min, item.claimed.ts_max) for item in found} == {(min(times), max(times))}


def test_a_second_run_has_nothing_to_do(settings: Settings) -> None:
    """What is held stays as it is."""
    lay(settings, some(100))
    assert len(run(settings)) == 1
    keys = parquet_keys(open_store(settings))
    assert run(settings) == []
    assert parquet_keys(open_store(settings)) == keys


def test_a_late_claim_reopens_its_date(settings: Settings) -> None:
    """It is read from raw at once, and held by the next version; the version before goes in the run after that."""
    lay(settings, some(500), batches=2)
    lay(settings, some(10, seed=2, day="2026-11-24"), partition=1)
    assert [(made.trade_date.day, made.version) for made in run(settings)] == [(23, 1), (24, 1)]
    late = [trade("AAPL", "2026-11-23 10:00", 7.0), trade("MSFT", "2026-11-24 10:00", 8.0)]
    lay(settings, late[:1], start=500)
    assert read_trades(settings=settings).num_rows == 511
    assert is_whole(settings)
    first = parquet_keys(open_store(settings))
    (made,) = run(settings)
    assert (made.trade_date, made.version, made.rows, made.claims) == (DAY, 2, 501, 3)
    assert set(first) < set(parquet_keys(open_store(settings))), "readers of the first version can finish"
    assert read_trades(settings=settings).num_rows == 511
    assert is_whole(settings)
    assert run(settings) == []
    assert len(set(first) & set(parquet_keys(open_store(settings)))) == 1
    assert is_whole(settings)


def test_a_claim_that_is_still_written_is_left_to_the_next_run(settings: Settings) -> None:
    """A claim some of whose objects are not there yet is held when they are, never before."""
    lay(settings, [trade("AAPL", "2026-11-23 10:00", 1.0), trade("MSFT", "2026-11-23 10:00", 2.0)])
    late = [trade("AAPL", "2026-11-23 11:00", 3.0), trade("MSFT", "2026-11-23 11:00", 4.0)]
    (claim,) = lay(settings, late, start=2, leave_out=["MSFT"])
    assert [made.claims for made in run(settings)] == [1]
    assert sorted(row["price"] for row in read_trades(settings=settings).to_pylist()) == [1.0, 2.0, 3.0]
    assert run(settings) == []
    lay(settings, [trade("X", "2026-11-23 11:00", 9.0)], partition=1, leave_out=["X"])
    assert run(settings) == []
    assert claim.key not in manifest_of(settings).claims


@pytest.mark.parametrize("damage", ["changed", "removed after it was held"])
def test_damaged_raw_objects_are_refused(settings: Settings, damage: str) -> None:
    """Nothing gets into Parquet that was not claimed, and nothing leaves it because a raw object is gone."""
    first, second = lay(settings, some(200), batches=2)
    store = open_store(settings)
    if damage == "changed":
        other = next(item for item in second.objects if item.rows)
        store.put(first.objects[0].key, store.get(other.key))
    else:
        run(settings)
        store.delete([first.objects[0].key])
        lay(settings, [trade("AAPL", "2026-11-23 10:00", 7.0)], start=200)
        assert read_trades(settings=settings).num_rows == 201
    with pytest.raises(UnhealthyError, match=r"does not match its claim|is missing"):
        run(settings)


def test_only_the_dates_asked_for(settings: Settings, tmp_path: Path) -> None:
    """By default the dates before today; --date, --before and --keep-days choose others, and only one of them."""
    for number, day in enumerate(("2026-11-20", "2026-11-23", "2026-11-24")):
        lay(settings, some(10, day=day), partition=number)
    command = Command(tmp_path, STOCKCTL_LAKE__URL=str(settings.lake.url))

    def made(*arguments: str) -> list[str]:
        return [row["trade_date"] for row in json.loads(command.run("lake", "compact", "-o", "json", *arguments).stdout)]

    assert made("--keep-days", "10000") == []
    planned = json.loads(command.run("lake", "compact", "--before", "2026-11-24", "--dry-run", "-o", "json").stdout)
    assert [(row["trade_date"], row["rows"], row["objects"]) for row in planned] == [
        ("2026-11-20", 10, None),
        ("2026-11-23", 10, None),
    ]
    assert not list(open_store(settings).objects(PARQUET))
    assert made("--before", "2026-11-23") == ["2026-11-20"]
    assert made("--date", "2026-11-24") == ["2026-11-24"]
    assert "exclude each other" in command.run("lake", "compact", "--date", "2026-11-24", "--keep-days", "1", check=2).stderr
    assert "is not a date" in command.run("lake", "compact", "--date", "tomorrow", check=2).stderr
    assert made("--before", "2030-01-01") == ["2026-11-23"]
    assert "nothing to compact" in command.run("lake", "compact", "--before", "2030-01-01").stderr


def test_two_at_once_make_one_version(settings: Settings, tmp_path: Path) -> None:
    """Two runs at the same time: one manifest wins, the other's objects go, and each row is there once."""
    lay(settings, some(6000), batches=10)
    command = Command(tmp_path, STOCKCTL_LAKE__URL=str(settings.lake.url))
    logs = [tmp_path / f"{number}.log" for number in range(3)]
    runs = [command.start("lake", "compact", "--before", "2030-01-01", "-o", "jsonl", log=log) for log in logs]
    outputs = [log.read_text() for process, log in zip(runs, logs, strict=True) if process.wait(HANG) == 0]
    assert len(outputs) == 3, [log.read_text() for log in logs]
    assert sum(line.startswith("{") for output in outputs for line in output.splitlines()) == 1, outputs
    run(settings)
    assert set(parquet_keys(open_store(settings))) == manifest_of(settings).keys
    assert read_trades(settings=settings).num_rows == 6000
    assert is_whole(settings)


def test_what_may_still_be_committed_is_not_dropped(settings: Settings) -> None:
    """Objects of a version to come are another run's work, those of a version that stands without them are dead."""
    lay(settings, some(10))
    run(settings)
    store = open_store(settings)
    keys = [f"{PARQUET}/trade_date=2026-11-23/v{version:04d}-00000000/00000.parquet" for version in (1, 2)]
    for key in keys:
        store.put_new(key, b"")
    assert run(settings) == []
    assert set(parquet_keys(store)) == {*manifest_of(settings).keys, keys[1]}


@pytest.fixture
def on_s3(s3_environment: dict[str, str], s3_bucket: str, tmp_path: Path) -> Settings:
    """A fresh lake on the S3 server, with a cache of its own."""
    flags = {"lake.url": f"s3://{s3_bucket}/{tmp_path.parent.name}-{tmp_path.name}", "lake.cache_dir": str(tmp_path / "cache")}
    return load_settings(environ=clean_environment(**s3_environment), flags=flags)


@pytest.mark.parametrize(
    ("method", "pattern", "action"),
    [
        ("PUT", r"/parquet/.*00000\.parquet", "hold"),
        ("PUT", r"/parquet/.*00000\.parquet", "hold the answer"),
        ("PUT", r"_log/parquet/.*\.json", "hold"),
        ("PUT", r"_log/parquet/.*\.json", "hold the answer"),
        ("POST", r"delete", "hold"),
    ],
)
def test_killed_at_each_step(
    on_s3: Settings, s3_server: str, s3_environment: dict[str, str], tmp_path: Path, method: str, pattern: str, action: str
) -> None:
    """SIGKILL before and after each put: readers see all trades once at any time, and the next run finishes and cleans up."""
    lay(on_s3, some(300), batches=2)
    run(on_s3)
    lay(on_s3, [trade("AAPL", "2026-11-23 10:00", 7.0)], start=300)
    if method == "POST":
        # Only a run after the second version has something to drop.
        run(on_s3)
        lay(on_s3, [trade("AAPL", "2026-11-23 10:01", 7.0)], start=301)
    whole = read_trades(settings=on_s3)
    proxy = Proxy(s3_server)
    try:
        rule = proxy.rule(method, pattern, action)  # type: ignore[arg-type]  # one of its actions
        environment = s3_environment | {env_name("s3.endpoint_url"): proxy.url, env_name("lake.url"): str(on_s3.lake.url)}
        environment[env_name("lake.cache_dir")] = str(on_s3.lake.cache_dir)
        process = Command(tmp_path, **environment).start("lake", "compact", "--before", "2030-01-01")
        rule.reached()
        process.kill()
        process.wait()
        rule.release(passes_on=False)
    finally:
        proxy.close()
    assert read_trades(settings=on_s3) == whole
    report = verify(open_store(on_s3), deep=True)
    assert not report.damage, report.issues
    run(on_s3)
    run(on_s3)
    assert read_trades(settings=on_s3) == whole
    assert set(parquet_keys(open_store(on_s3))) == manifest_of(on_s3).keys
    report = verify(open_store(on_s3), deep=True)
    assert report.issues == []


def test_a_lost_answer_to_the_manifest_is_no_lost_race(
    on_s3: Settings, s3_server: str, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    """The manifest itself shows which run wrote it."""
    lay(on_s3, some(300))
    proxy = Proxy(s3_server)
    try:
        proxy.rule("PUT", r"_log/parquet/.*\.json", "lose the answer")
        flags = {"lake.url": str(on_s3.lake.url), "lake.cache_dir": str(on_s3.lake.cache_dir), "s3.endpoint_url": proxy.url}
        (made,) = run(load_settings(environ=clean_environment(**s3_environment), flags=flags))
    finally:
        proxy.close()
    assert made.rows == 300
    assert is_whole(on_s3)
