"""Whatever a file or an object holds that is read back: the answer is words, or a finding, and names what is damaged.

Each group takes its share of the mutations: some in the normal suite, thousands with ``HYPOTHESIS_PROFILE=thorough``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from obstore.store import MemoryStore

from stockctl.clients.kafka import Committed, Offsets, TopicInfo
from stockctl.clients.object_store import Store, open_store
from stockctl.errors import StockctlError
from stockctl.feed.event_outbox import EventOutbox
from stockctl.filings.catalog import list_filings
from stockctl.filings.collect.filing_document import document_of, filing_of
from stockctl.filings.fundamentals import identities, kpis
from stockctl.filings.fundamentals.statements import view_of
from stockctl.filings.model import parse_filing
from stockctl.filings.repository import Links, State, read_filings, read_state, write_state
from stockctl.lake import health
from stockctl.lake.format import claims
from stockctl.lake.format.claims import Start
from stockctl.lake.format.keys import LOG, raw_filing_key
from stockctl.lake.format.retention import put_floor
from stockctl.lake.maintenance.compact import compact
from stockctl.lake.maintenance.prune import prunable
from stockctl.lake.maintenance.verify import verify
from stockctl.lake.reader.inventory import inventory
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.trades import read_trades
from stockctl.lake.writer.recovery import BrokerState, Recovery, commit_metadata, hinted_claim
from stockctl.local.files import StackFiles, file_errors
from stockctl.local.ports import choose_ports
from stockctl.local.serve import to_toml
from stockctl.local.status import current_state, status
from stockctl.local.stop import stop, stop_leftovers
from stockctl.records import encode
from stockctl.settings import Settings, load_settings
from stockctl.warehouse.partitions import lake_partitions
from stockctl.warehouse.redshift_on_duckdb.session import query
from tests.command import clean_environment
from tests.conftest import examples
from tests.damage import Tree, damaged, value_of
from tests.filings.reports import tesla
from tests.lakes import covered, lay, trade

SHARE = 0.5
"""Mutations of a group, by the examples that the profile gives a property: 50 in the gate, 2,500 for hours of searching."""

Reader = Callable[[Random], Any]


def damages(seed: str) -> Iterator[Random]:
    """A source of chance for each mutation; what fails can be repeated by the seed that the failure shows."""
    for number in range(examples(SHARE)):
        random = Random(f"{seed} {number}")
        try:
            yield random
        except BaseException:
            print(f"the mutation {number} of {seed!r}")
            raise


def in_words(reader: Reader, random: Random, named: Iterable[str]) -> None:
    """What ``reader`` raises is words that name one of what is ``named``."""
    try:
        reader(random)
    except StockctlError as error:
        words = f"{error} {error.hint}"
        assert not re.search(r"unexpected \w+(Error|Exception)|Traceback", words)
        assert any(name in words for name in named), f"{words!r} names nothing of {sorted(named)[:3]}"


def settings_in(folder: Path, **flags: str) -> Settings:
    return load_settings(
        environ=clean_environment(),
        stack=False,
        flags={
            "lake.url": (folder / "lake").as_uri(),
            "lake.cache_dir": str(folder / "cache"),
            "state_dir": str(folder / "state"),
        }
        | flags,
    )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder for everything; nothing comes to lie beside it, or beside what it holds."""
    folder = tmp_path / "a" / "b" / "home"
    folder.mkdir(parents=True)
    yield folder
    assert {path.name for path in tmp_path.rglob("*escape*")} == set()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert {path.name for path in folder.iterdir()} <= {"lake", "cache", "state"}


@pytest.fixture
def lake(home: Path) -> Settings:
    """A lake that has everything: two tables, two generations, what is lost, a floor, a compacted date, a claim behind it."""
    settings = settings_in(home)
    store = open_store(settings)
    claims.lake_source(store, "sim")
    rows = [
        trade(symbol, f"2026-11-2{day} 1{hour}:00", 1.0) for day in (2, 3) for hour in range(3) for symbol in ("AAPL", "MSFT")
    ]
    made = lay(settings, rows, batches=3)
    lay(settings, [covered("AAPL", "2026-11-23 10:00", "2026-11-23 11:00")], table="feed_events")
    assert len(list(compact(settings))) == 2
    lay(settings, [trade("AAPL", "2026-11-23 15:00", 1.0)], start=12, compression="zstd", partition_by="bucket")
    (gone,) = lay(settings, [trade("AAPL", "2026-11-24 10:00", 1.0)], start=13, leave_out=["AAPL"])
    claims.put_lost(store, gone, [gone.objects[0].key])
    opens = Start(
        cluster_id="test",
        topic_id="new",
        topic="trades",
        table="trades",
        generation=2,
        partition=0,
        start=0,
        reason="new topic",
    )
    closed = msgspec.structs.replace(
        made[0], start=14, end=14, rows=0, objects=[], last=None, reason="closed", opens=opens, nonce="closed"
    )
    claims.put_claim(store, closed)
    claims.put_start(store, opens)
    last = lay(settings, [trade("AAPL", "2026-11-25 10:00", 1.0)], partition=1)
    claims.put_claim(store, msgspec.structs.replace(last[0], generation=2, partition=0, objects=[], rows=0, gaps=1, last=None))
    put_floor(store, date(2026, 11, 1))
    assert verify(store, deep=True).issues != []
    assert read_trades(settings=settings).num_rows == 14
    return settings


class NoTopic:
    """Stands in for the probe of a topic that holds nothing, and for the dead letters of one that does not answer."""

    def first(self, *_: Any) -> None:
        return None

    def records(self, *_: Any) -> Iterator[Any]:
        return iter(())

    def send_rejected(self, *_: Any) -> None:
        return None


def plan(store: Store, random: Random) -> None:
    """A writer begins in a partition; twice, since the first may have closed a generation."""
    seen = BrokerState(
        "test", TopicInfo("trades", random.choice(["", "new"]), 1, 1, None), Offsets(0, random.choice([0, 12, 14, 10**6]))
    )
    recovery = Recovery(store, NoTopic(), NoTopic(), writer="test", accept_loss=True)  # type: ignore[arg-type]
    for _ in range(2):
        recovery.plan("trades", random.randrange(2), lambda: seen, Committed(-1, ""))


def read_on(settings: Settings, *symbols: str) -> None:
    with LakeReader(settings) as lake:
        lake.through("AAPL", lake.find("trades", symbols=symbols or None, exact=bool(symbols)))
        lake.find("feed_events", since=0, until=2**41)


def list_all(settings: Settings) -> None:
    with LakeReader(settings) as lake:
        inventory(lake)


def lake_readers(settings: Settings) -> list[tuple[float, Reader]]:
    store = open_store(settings)
    return [
        (3, lambda random: verify(store, deep=random.random() < 0.5)),
        (3, lambda _: read_on(settings, "AAPL")),
        (3, lambda _: read_on(settings)),
        (2, lambda random: plan(store, random)),
        (1, lambda _: list_all(settings)),
        (1, lambda _: lake_partitions(store, settings.lake.url or "", date(2026, 11, 23))),
        (1, lambda _: (claims.lake_source(store, "sim"), claims.lake_id(store), prunable(store, date(2026, 11, 23)))),
        (0.4, lambda _: read_trades("AAPL", settings=settings)),
        (0.4, lambda _: list(compact(settings))),
    ]


@pytest.mark.parametrize("part", [LOG, "trades", "parquet"])
def test_a_damaged_lake_is_a_finding_or_words(lake: Settings, part: str) -> None:
    """Claims, starts, the source, losses, floors, manifests, objects: for everyone who reads the lake."""
    tree = Tree(Path(open_store(lake).folder or ""))
    targets = [path for path in tree.files if path.relative_to(tree.folder).parts[0] == part]
    weights, readers = zip(*lake_readers(lake), strict=True)
    keys = [path.relative_to(tree.folder).as_posix() for path in tree.files]
    for random in damages(f"lake {part}"):
        path = random.choice(targets)
        tree.apply(path, random)
        for reader in random.choices(readers, weights, k=2):
            in_words(reader, random, [*keys, f"{LOG}/", "trades/"])
        tree.restore()


JUNK = (
    "trades/trade_date=junk/x.jsonl.gz",
    "trades/trade_date=__HIVE_DEFAULT_PARTITION__/ticker=AAPL/trades-g1-000-00000000000000000000.jsonl.gz",
    "trades/trade_date=2026-13-45/ticker=AAPL/trades-g1-000-00000000000000000000.jsonl.gz",
    "trades/trade_date=2026-11-23/junk/x",
    "trades/trade_date=20261123/x",
    "feed_events/trade_date=2026-02-30/feed_events-g1-000-00000000000000000000.jsonl.gz",
    "parquet/trades/trade_date=2026-13-45/v0001-00/00000.parquet",
    "parquet/trades/trade_date=junk/x.parquet",
    f"{LOG}/trades/junk/x.json",
    f"{LOG}/trades/g²/000/start.json",
    f"{LOG}/trades/g1/junk/start.json",
    f"{LOG}/trades/g9/000/x.json",
    f"{LOG}/floors/2026-13-45.json",
    f"{LOG}/floors/junk",
    f"{LOG}/parquet/trades/2026-13-45/0001.json",
    f"{LOG}/parquet/trades/junk/0001.json",
)


def test_what_is_no_part_of_a_lake_changes_no_answer(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tools make folders as they like: readers ignore what no writer of ours makes."""
    monkeypatch.setattr(health, "_committed", lambda *_: {})  # there is no Kafka to ask
    store = open_store(lake)
    before = read_trades(settings=lake)
    for key in JUNK:
        store.put(key, b"junk")
        for _, reader in lake_readers(lake):
            reader(Random(key))
        assert "newest claim" in health._newest(lake, "trades").detail
        store.delete([key])
    for key in JUNK:
        store.put(key, b"junk")
    assert read_trades(settings=lake) == before


def test_a_claim_that_names_what_lies_outside_reads_and_writes_nothing_there(lake: Settings, tmp_path: Path) -> None:
    """Neither in its objects nor in its own key; a manifest, and a generation that is opened, alike."""
    store = open_store(lake)
    outside = tmp_path / "a" / "b" / "home" / "state"
    outside.mkdir()
    key = next(item.key for item in store.objects(f"{LOG}/trades") if item.key.endswith("0.json"))
    whole = json.loads(store.get(key))
    target = whole["objects"][0]["key"]
    (outside / "x").write_bytes(store.get(target))
    for changes in (
        {"objects": [whole["objects"][0] | {"key": "../state/x"}]},
        {"objects": [whole["objects"][0] | {"key": str(outside / "x")}]},
        {"objects": [whole["objects"][0] | {"key": target.replace("trades/", "trades/../../state/", 1)}]},
        {"table": "../../state"},
        {"layout": whole["layout"] | {"timezone": "../../state/x"}},
        {"opens": json.loads(store.get(f"{LOG}/trades/g2/000/start.json")) | {"table": "../../state"}},
    ):
        store.put(key, json.dumps(whole | changes).encode())
        for _, reader in lake_readers(lake):
            in_words(reader, Random(1), [key])
        assert key in [finding.key for finding in verify(store).issues if finding.kind == "unreadable"]
        assert [path.name for path in outside.iterdir()] == ["x"]
    (outside / "x").unlink()


def test_committed_metadata_is_only_a_hint(lake: Settings) -> None:
    """Whatever stands there, the newest claim is found; a hint that is none costs a longer listing."""
    store = open_store(lake)
    start = claims.start_of(store, "trades", 1, 0)
    assert start is not None
    newest = claims.newest_claim(store, start)
    assert newest is not None
    for random in damages("committed"):
        text = damaged(commit_metadata(newest).encode(), random).decode(errors=random.choice(["replace", "surrogateescape"]))
        assert claims.newest_claim(store, start, hinted_claim(Committed(random.randrange(20), text))) == newest


def test_a_damaged_cache_changes_no_answer(home: Path) -> None:
    """What was fetched is compared with the hash in its name: a file that is not that is fetched again."""
    folder = settings_in(home)
    store = Store(MemoryStore(), "memory:///lake")  # stands in for S3
    lay(folder, [trade(symbol, "2026-11-23 10:00", 1.0) for symbol in ("AAPL", "MSFT")], batches=2)
    assert len(list(compact(folder))) == 1
    lay(folder, [trade("AAPL", "2026-11-24 10:00", 1.0)], start=2)
    for item in open_store(folder).objects():
        store.put(item.key, open_store(folder).get(item.key))

    def read() -> list[tuple[str, bytes]]:
        with LakeReader(folder, store) as lake:
            found = lake.find("trades")
            return [(key, path.read_bytes()) for key, path in sorted(lake.files(found).items())]

    answer = read()
    tree = Tree(home / "cache")
    for random in damages("cache"):
        tree.apply(random.choice(list(tree.files)), random)
        with suppress(StockctlError):
            assert read() == answer
        in_words(lambda _: read(), random, [str(home / "cache")])
        tree.restore()


def test_damaged_filings_are_named(home: Path) -> None:
    """Reports and the state of the last fetch, in the lake, and reports in MongoDB."""
    settings = settings_in(home)
    store = open_store(settings)
    report = tesla()
    key = raw_filing_key("TSLA", report["accessNumber"])
    store.put(key, json.dumps(report).encode())
    links = {report["accessNumber"]: Links("https://a", "https://b")}
    write_state(store, State("TSLA", "2026-11-23T10:00:00+00:00", "sim", "2020-01-01", "2020-12-31", 1, links))
    document = document_of(parse_filing(json.dumps(report).encode()), "sim", Links())

    def read() -> None:
        state = read_state(store, "TSLA")
        assert state is None or state.at is not None
        known = view_of(read_filings(settings, "TSLA"), "TSLA")
        kpis.rows(kpis.kpis(known, settings.valuation)[0], "TSLA", explain=True)
        identities.rows(identities.check(known), "TSLA")
        list_filings(settings, "TSLA")

    def read_document(random: Random) -> None:
        changed = value_of(document, random)
        filing_of(changed if isinstance(changed, dict) else {"_id": document["_id"]})

    tree = Tree(Path(store.folder or ""))
    for random in damages("filings"):
        path = random.choice(list(tree.files))
        tree.apply(path, random)
        in_words(lambda _: read(), random, ["raw/filings", f"{LOG}/filings", "TSLA"])
        in_words(read_document, random, ["the collection filings"])
        if random.random() < 0.05:
            in_words(lambda _: list(query_rows(settings)), random, ["filings"])
        tree.restore()


def query_rows(settings: Settings) -> Iterable[Any]:
    with query(settings, "SELECT count(*) FROM lake.filings") as found:
        yield from found.rows


class Sent:
    """Stands in for the producer: takes every event."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.producer = self

    def send(self, _topic: str, messages: Iterable[tuple[bytes, str]], timestamp: int, on_delivery: Any) -> int:
        assert 0 <= timestamp < 2**63
        self.events += [value for value, key in messages if key.encode() is not None]
        on_delivery(None, None)
        return 1

    def record_failure(self, *_: Any) -> None: ...
    def poll(self, _seconds: float) -> None: ...


def test_damaged_waiting_events_keep_no_producer_from_sending_the_others(home: Path) -> None:
    """What cannot be read is left out, and the file goes once all others are sent."""
    settings = settings_in(home)
    folder = home / "state" / "feed-events" / settings.profile / settings.topics.feed_events.name
    folder.mkdir(parents=True)
    waiting = [encode(covered("AAPL", f"2026-11-23 1{hour}:00", f"2026-11-23 1{hour}:10")) for hour in range(5)]
    (folder / "1-1.jsonl").write_bytes(b"".join(line + b"\n" for line in waiting))
    tree = Tree(home / "state")
    for random in damages("outbox"):
        lines = list(waiting)
        lines[random.randrange(5)] = damaged(random.choice(waiting), random)
        (folder / "1-1.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        sent = Sent()
        outbox = EventOutbox(settings, sent)  # type: ignore[arg-type]
        assert outbox.drain(10) == 0
        outbox.close()
        assert len(set(waiting) & set(sent.events)) >= 4
        assert not list(folder.glob("*.jsonl"))
        tree.restore()


def test_a_damaged_local_stack_is_looked_at_stopped_and_started(home: Path) -> None:
    """Its state, its ports, its lock and the settings that it left."""
    settings = settings_in(home, symbols="AAPL")
    files = StackFiles(home / "state" / "local")
    shared: dict[str, str | list[str]] = {
        "kafka.bootstrap_servers": "127.0.0.1:19092",
        "kafka.security_protocol": "PLAINTEXT",
        "finnhub.url": "ws://127.0.0.1:1",
        "finnhub.rest_url": "http://127.0.0.1:1",
        "lake.url": "file:///nowhere",
        "mongo.url": "mongodb://127.0.0.1:1",
        "symbols": ["AAPL"],
    }
    part = {
        "name": "broker",
        "state": "running",
        "detail": "",
        "pid": 1,
        "identity": "another boot/1",
        "address": "",
        "restarts": 0,
    }
    state = {"pid": 1, "identity": "another boot/1", "started": 1.5, "mode": "sim", "notes": [], "settings": shared}
    state |= {"phase": "running", "trouble": [], "parts": [part | {"started": 1.5}]}
    with files.hold():
        files.write(files.state, json.dumps(state))
        files.write(files.ports, json.dumps({"broker": 19_092, "sim": 19_093}))
        files.write(files.folder / "settings.toml", to_toml(shared))
        files.log("broker").write_text("a line\n")

    @file_errors()
    def start(_: Random) -> None:
        with files.hold() as mine:
            assert mine
            stop_leftovers(files, words.append)
            choose_ports(files, ["broker", "sim", "produce"])
            files.write(files.folder / "settings.toml", to_toml(shared))

    def configure(_: Random) -> None:
        load_settings(environ=clean_environment(STOCKCTL_STATE_DIR=str(home / "state")))

    words: list[str] = []
    tree = Tree(home / "state")
    readers: list[Reader] = [
        lambda _: status(settings),
        lambda _: current_state(files),
        lambda _: stop(settings, notify=words.append),
        configure,
        start,
    ]
    for random in damages("stack"):
        path = random.choice(list(tree.files))
        tree.apply(path, random)
        for reader in readers:
            in_words(reader, random, [str(files.folder)])
        tree.restore()
    assert not re.search("stopping .* left running by", " ".join(words))
