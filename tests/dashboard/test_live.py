"""A page is kept up to date: it ends with what the metrics compute, whatever came twice, late, or while something was away."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stockctl.clients.kafka import Producer
from stockctl.clients.mongo import Mongo
from stockctl.exchange.calendar import now_ms
from stockctl.mongo import schema
from stockctl.records import Trade, encode
from stockctl.settings import Settings, env_name, load_settings
from tests.command import HANG, Command, Process
from tests.conftest import MongoServer, free_port, listening, own_names, wait_for
from tests.dashboard.page import Page, get
from tests.lakes import trade
from tests.mongo.conftest import mongo_names
from tests.mongo.made import documents_of

SYMBOL = "BINANCE:BTCUSDT"
NUMBERS = ("trades", "volume", "vwap", "open", "high", "low", "close", "volatility", "left_out", "last_trade")


class Dashboard:
    """``stockctl dashboard`` as a process, on a database of MongoDB."""

    def __init__(self, command: Command, settings: Settings) -> None:
        self.command, self.settings = command, settings
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: Process | None = None

    def start(self) -> None:
        log = self.command.folder / "dashboard.log"
        process = self.process = self.command.start("dashboard", "--port", str(self.port), log=log)
        wait_for(lambda: listening(self.port) or process.poll() is not None, "the dashboard", HANG)
        assert process.poll() is None, log.read_text()
        wait_for(self._is_live, f"the stream of changes\n{log.read_text()}", HANG)

    def _is_live(self) -> bool:
        return not str(get(self.address, "/api/snapshot", symbol=SYMBOL)["source"]["live"]).startswith("waiting")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(HANG)

    def store(self, trades: list[Trade]) -> None:
        with Mongo(self.settings) as mongo:
            assert mongo.upsert("trades", documents_of(trades)) == []

    def metrics(self, *arguments: str) -> Any:
        engine = "lake" if self.settings.mongo.url is None else "mongo"
        result = self.command.run("metrics", *arguments, SYMBOL, "--engine", engine, "-o", "json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)


def settings_of(command: Command) -> Settings:
    return load_settings(environ=command.environment)


@pytest.fixture
def dashboard(mongo_server: MongoServer, tmp_path: Path) -> Iterator[Dashboard]:
    """A dashboard on a database with a minute of trades."""
    dashboard = on_a_minute_of_trades(mongo_server, tmp_path)
    dashboard.start()
    yield dashboard
    dashboard.kill()


def on_a_minute_of_trades(server: MongoServer, folder: Path) -> Dashboard:
    """A dashboard that is to be started, on a database with a minute of trades."""
    command = Command(folder, **{env_name(name): value for name, value in mongo_names(server, folder).items()})
    dashboard = Dashboard(command, settings_of(command))
    with Mongo(dashboard.settings) as mongo:
        schema.apply(mongo, dashboard.settings.mongo)
    dashboard.store(some_trades(50, now_ms() - 60_000, 1_000))
    return dashboard


def some_trades(count: int, since: int, every_ms: int, seed: int = 1) -> list[Trade]:
    """Trades of every kind, one every ``every_ms``."""
    chance = random.Random(seed)
    return [
        trade(
            SYMBOL,
            since + number * every_ms,
            round(chance.uniform(99, 101), 2),
            chance.choice([0.0, 0.5, 100.0, 3.25]),
            chance.choice(["", "1", "10", "1,12"]),
            source="sim",
        )
        for number in range(count)
    ]


def near(value: Any) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value


def same(page: Page, dashboard: Dashboard) -> None:
    """The page shows what the metrics say: prices as they are, sums within 1e-9."""
    [expected] = dashboard.metrics("summary")
    assert {name: page.numbers[name] for name in NUMBERS} == {name: near(expected[name]) for name in NUMBERS}
    bars = {bar["bar"]: bar for bar in dashboard.metrics("bars", "--every", "1m")}
    assert len([bar for bar in page.bars.values() if bar["trades"] is not None]) == len(bars)
    for bar, wanted in zip(sorted(page.bars.values(), key=lambda bar: int(bar["bar"])), bars.values(), strict=False):
        assert {name: bar[name] for name in ("open", "high", "low", "close", "volume", "vwap", "trades")} == {
            name: near(wanted[name]) for name in ("open", "high", "low", "close", "volume", "vwap", "trades")
        }


def test_a_page_ends_with_what_the_metrics_say(dashboard: Dashboard) -> None:
    page = Page(dashboard.address, symbol=SYMBOL)
    later = some_trades(400, now_ms() - 100_000, 250, seed=2)
    late = some_trades(60, now_ms() - 1_500_000, 20_000, seed=3)
    for number in range(0, 400, 40):
        # What comes twice counts once, as after a restart of the writer.
        dashboard.store([*later[max(0, number - 10) : number + 40], *late[number // 40 :: 10]])
    [expected] = dashboard.metrics("summary")
    page.wait_for(expected["trades"])
    same(page, dashboard)
    page.close()


def test_a_killed_dashboard_comes_back_and_no_bar_is_missing_or_double(dashboard: Dashboard) -> None:
    page = Page(dashboard.address, symbol=SYMBOL)
    dashboard.store(some_trades(20, now_ms() - 20_000, 500, seed=4))
    [expected] = dashboard.metrics("summary")
    page.wait_for(expected["trades"])
    dashboard.kill()
    dashboard.store(some_trades(20, now_ms() - 9_000, 300, seed=5))
    dashboard.start()
    dashboard.store(some_trades(20, now_ms() - 2_000, 50, seed=6))
    [expected] = dashboard.metrics("summary")
    page.wait_for(expected["trades"])
    same(page, dashboard)
    assert len({id.split(":")[0] for id in page.ids}) == 2, "both dashboards sent frames"
    page.close()


def test_frames_of_another_dashboard_are_not_continued(dashboard: Dashboard) -> None:
    page = Page(dashboard.address, symbol=SYMBOL)
    page.close()
    page.id = "ffffffff:3"
    page._closed.clear()
    page._read()
    assert page.events[-1] == "resync"


def test_without_mongodb_a_page_follows_kafka(broker: str, tmp_path: Path) -> None:
    """It shows trades before the lake has them, and the same ones when it does."""
    names = own_names(broker, tmp_path) | {"symbols": SYMBOL}
    command = Command(tmp_path, **{env_name(name): value for name, value in names.items()})
    dashboard = Dashboard(command, settings_of(command))
    assert command.run("topics", "apply").returncode == 0

    def publish(trades: list[Trade]) -> None:
        producer = Producer(dashboard.settings)
        for one in trades:
            producer.produce(dashboard.settings.topics.trades.name, value=encode(one), key=SYMBOL, timestamp=one.ts_recv)
        assert producer.flush(HANG) == 0

    trades = some_trades(200, now_ms() - 190_000, 800)
    publish(trades[:150])
    assert command.run("consume", "s3", "--once").returncode == 0
    publish(trades[150:170])
    dashboard.start()
    try:
        page = Page(dashboard.address, symbol=SYMBOL)
        publish(trades[170:])
        assert command.run("consume", "s3", "--once").returncode == 0
        [expected] = dashboard.metrics("summary")
        page.wait_for(expected["trades"])
        same(page, dashboard)
        assert get(dashboard.address, "/api/snapshot", symbol=SYMBOL)["source"]["live"] == "Kafka: there is no MongoDB"
        wait_for(lambda: "overview" in page.events, "a row of all symbols", HANG)
        page.close()
    finally:
        dashboard.kill()


def test_a_mongodb_without_change_streams_is_asked_each_second(tmp_path: Path) -> None:
    """As a mongod that is no replica set; the page says so, and grows."""
    server = MongoServer(tmp_path / "server", "--standalone")
    server.start()
    dashboard = on_a_minute_of_trades(server, tmp_path)
    try:
        dashboard.start()
        source = get(dashboard.address, "/api/snapshot", symbol=SYMBOL)["source"]["live"]
        assert source == "asked each second: MongoDB is no replica set"
        page = Page(dashboard.address, symbol=SYMBOL)
        for number in range(3):
            dashboard.store(some_trades(20, now_ms() - 2_000, 100, seed=10 + number))
        [expected] = dashboard.metrics("summary")
        page.wait_for(expected["trades"])
        same(page, dashboard)
        assert "view" in page.events
        page.close()
    finally:
        dashboard.kill()
        server.stop()


def test_mongodb_away_and_back(tmp_path: Path) -> None:
    server = MongoServer(tmp_path / "server")
    server.start()
    command = Command(
        tmp_path, STOCKCTL_MONGO__URL=server.url, STOCKCTL_MONGO__CONNECT_WAIT="2s", STOCKCTL_STATE_DIR=str(tmp_path / "state")
    )
    dashboard = Dashboard(command, settings_of(command))
    try:
        with Mongo(dashboard.settings) as mongo:
            schema.apply(mongo, dashboard.settings.mongo)
        dashboard.store(some_trades(50, now_ms() - 60_000, 1_000))
        dashboard.start()
        page = Page(dashboard.address, symbol=SYMBOL)
        server.stop()
        wait_for(lambda: page.is_stale, "a page that says that its data is stale", HANG)
        server.start()
        dashboard.store(some_trades(30, now_ms() - 3_000, 100, seed=7))
        wait_for(lambda: not page.is_stale, "a page that is fresh again", HANG)
        [expected] = dashboard.metrics("summary")
        page.wait_for(expected["trades"])
        same(page, dashboard)
        page.close()
    finally:
        if dashboard.process is not None:
            dashboard.kill()
        server.stop()
