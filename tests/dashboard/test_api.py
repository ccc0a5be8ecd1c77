"""The API's answers: views, bars, trades, all symbols, the pipeline."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from stockctl.clients.mongo import Mongo
from stockctl.dashboard.app import create_app
from stockctl.dashboard.live.hub import Hub
from stockctl.dashboard.live.overview import Overview, newest_session
from stockctl.dashboard.view.previous_close import close_in_bars
from stockctl.dashboard.view.views import parse_view
from stockctl.mongo.schema import COMPANIES
from stockctl.records import Trade
from tests.conftest import MongoServer
from tests.dashboard.stores import Stores, stores
from tests.lakes import at, covered, trade
from tests.mongo.made import refresh

DAY = "2026-11-23"
OPEN = at(f"{DAY} 09:30")
TRADES = [trade("AAPL", OPEN + number * 1_000, 100 + number / 100) for number in range(300)]
FRIDAY = [trade("AAPL", "2026-11-20 15:59:58", 99.5), trade("AAPL", "2026-11-20 17:00", 50.0, conditions="24")]
EVENTS = [covered("AAPL", OPEN, OPEN + 200_000), covered("AAPL", OPEN + 260_000, OPEN + 300_000)]


@pytest.fixture
def two_days(tmp_path: Path) -> Stores:
    """A lake with two dates."""
    return stores(tmp_path, None, [*FRIDAY, *TRADES], EVENTS, symbols="AAPL")


@pytest.fixture
def client(two_days: Stores) -> TestClient:
    return TestClient(create_app(two_days.settings), base_url="http://127.0.0.1:8765")


def answer(client: TestClient, path: str, **values: Any) -> Any:
    response = client.get(path, params=values)
    assert response.status_code == 200, response.text
    return response.json()


def test_a_snapshot_has_the_numbers_of_the_summary(client: TestClient, two_days: Stores) -> None:
    snapshot = answer(client, "/api/snapshot", symbol="aapl", date=DAY)
    [expected] = json.loads(two_days.command.run("metrics", "summary", "AAPL", "--date", DAY, "-o", "json").stdout)
    assert {name: snapshot["numbers"][name] for name in expected} == expected
    assert snapshot["resolved"]["session"] == "regular"
    assert snapshot["source"]["store"] == "the lake"
    assert not snapshot["view"]["live"]


def test_the_change_is_from_the_close_of_the_regular_session_before(client: TestClient) -> None:
    numbers = answer(client, "/api/snapshot", symbol="AAPL", date=DAY)["numbers"]
    assert numbers["change_from"] == "previous close"
    assert numbers["change"] == pytest.approx(102.99 - 99.5)
    assert numbers["change_percent"] == pytest.approx(100 * (102.99 - 99.5) / 99.5)


def test_without_an_earlier_date_the_change_is_from_the_open(client: TestClient) -> None:
    numbers = answer(client, "/api/snapshot", symbol="AAPL", date="2026-11-20")["numbers"]
    assert (numbers["change_from"], numbers["change"]) == ("open", 0.0)


def test_bars_carry_rate_and_volatility_and_gaps_have_reasons(client: TestClient) -> None:
    snapshot = answer(client, "/api/snapshot", symbol="AAPL", date=DAY, every="1m")
    bars = snapshot["bars"]
    assert [bar["bar"] for bar in bars] == [OPEN + 60_000 * number for number in range(5)]
    assert bars[0]["rate"] == 1.0
    assert bars[1]["volatility"] == pytest.approx(0.29011491975882)
    assert snapshot["gaps"][0] == {"since": OPEN + 200_000, "until": OPEN + 260_000, "reason": "no feed events"}
    assert answer(client, "/api/bars", symbol="AAPL", date=DAY)["bars"] == bars


def test_as_of_a_time_later_trades_are_left_out(client: TestClient) -> None:
    snapshot = answer(client, "/api/snapshot", symbol="AAPL", as_of=f"{DAY}T09:31:00")
    assert snapshot["numbers"]["trades"] == 60
    assert any("as received by" in note for note in snapshot["notes"])


def test_a_date_without_trades_says_so(client: TestClient) -> None:
    snapshot = answer(client, "/api/snapshot", symbol="AAPL", date="2026-11-19")
    assert snapshot["figure"] is None
    assert "no trades" in snapshot["empty"]


@pytest.mark.parametrize(
    ("values", "status", "words"),
    [
        ({"symbol": "NOPE"}, 404, "NOPE"),
        ({"symbol": "AAPL", "every": "2m"}, 400, "10s, 30s, 1m, 5m, 15m, 1h"),
        ({"symbol": "AAPL", "session": "night"}, 400, "regular, pre, post, all"),
        ({"symbol": "AAPL", "policy": "some"}, 400, "standard, all, price-forming"),
        ({"symbol": "AAPL", "date": "23.11.2026"}, 400, "2026-11-23"),
        ({"symbol": "AAPL", "as_of": "soon"}, 400, "soon"),
        ({"symbol": " "}, 400, "no symbol"),
        ({}, 400, "symbol"),
    ],
)
def test_what_is_no_view_is_refused_with_a_hint(client: TestClient, values: dict[str, str], status: int, words: str) -> None:
    response = client.get("/api/snapshot", params=values)
    assert response.status_code == status
    problem = response.json()
    assert words in problem["error"] + problem["hint"]


def test_trades_as_json_and_as_arrow(client: TestClient) -> None:
    span = {"symbol": "AAPL", "since": f"{DAY}T09:30", "until": f"{DAY}T09:31"}
    rows = answer(client, "/api/trades", **span)["trades"]
    assert [row["id"] for row in rows] == [one.id for one in TRADES[:60]]
    response = client.get("/api/trades", params=span, headers={"Accept": "application/vnd.apache.arrow.stream"})
    table = pa.ipc.open_stream(response.content).read_all()
    assert table.column("price").to_pylist() == [row["price"] for row in rows]
    assert str(table.schema.field("ts_event").type) == "timestamp[ms, tz=UTC]"


def test_too_many_trades_are_refused(tmp_path: Path) -> None:
    small = stores(tmp_path, None, TRADES, dashboard__max_trades="100")
    client = TestClient(create_app(small.settings), base_url="http://127.0.0.1:8765")
    response = client.get("/api/trades", params={"symbol": "AAPL", "since": DAY, "until": "2026-11-24"})
    assert response.status_code == 400
    assert "300 trades" in response.json()["error"]


def test_without_any_store_the_answer_says_what_to_set(tmp_path: Path) -> None:
    empty = stores(tmp_path, None)
    client = TestClient(create_app(empty.settings), base_url="http://127.0.0.1:8765")
    response = client.get("/api/snapshot", params={"symbol": "AAPL"})
    assert response.status_code in (404, 503)
    assert response.json()["hint"]


def test_all_symbols_at_a_glance(mongo_server: MongoServer, tmp_path: Path) -> None:
    settings = stores(tmp_path, mongo_server, [*FRIDAY, *TRADES], EVENTS, symbols="AAPL").settings
    with Mongo(settings) as mongo:
        minutes = {one.ts_event // 60_000 * 60_000 for one in [*FRIDAY, *TRADES]}
        refresh(mongo, settings, {"AAPL": minutes})
        assert close_in_bars(mongo, "AAPL", OPEN) == 99.5
        document = mongo.get(COMPANIES, "AAPL")
        assert document is not None
        overview = Overview()
        overview.on_company(document)
        for symbol, day in overview.due(is_seen=True):
            overview.set_line(symbol, day, overview.read_line(mongo, symbol, day))
        [row] = overview.changed()
    assert (row["symbol"], row["trades"], row["vwap"]) == ("AAPL", 300, document["session"]["vwap"])
    assert (row["last"], row["change_from"]) == (102.99, "previous close")
    assert row["change"] == pytest.approx(102.99 - 99.5)
    assert row["spark"] == [100.59, 101.19, 101.79, 102.39, 102.99]
    later = Trade(**{**_fields(TRADES[-1]), "id": "later", "ts_event": OPEN + 400_000, "price": 104.0})
    overview.on_trade(later)
    assert overview.changed()[0]["last"] == 104.0
    # A trade that does not set the last price, as an average of trades.
    overview.on_trade(Trade(**{**_fields(later), "id": "average", "ts_event": OPEN + 410_000, "price": 90.0, "updates": "v"}))
    assert overview.changed() == []


def test_all_symbols_of_a_lake_alone(two_days: Stores) -> None:
    """With the line of its minutes, and the change from the close of the regular session before."""
    hub = Hub(two_days.settings)
    found = newest_session(two_days.settings, "AAPL", {})
    assert found is not None
    hub.set_session(found)
    assert newest_session(two_days.settings, "NVDA", {}) is None
    [row] = json.loads(hub.overview_answer())["rows"]
    assert (row["last"], row["change_from"]) == (102.99, "previous close")
    assert row["change"] == pytest.approx(102.99 - 99.5)
    assert row["spark"] == [100.59, 101.19, 101.79, 102.39, 102.99]


def test_the_lines_are_there_for_the_first_browser(mongo_server: MongoServer, tmp_path: Path) -> None:
    settings = stores(tmp_path, mongo_server, TRADES, EVENTS, symbols="AAPL").settings
    with Mongo(settings) as mongo:
        refresh(mongo, settings, {"AAPL": {one.ts_event // 60_000 * 60_000 for one in TRADES}})
        hub = Hub(settings)
        for document in mongo.find(COMPANIES, {}):
            hub.overview.on_company(document)
        hub.send_overview(mongo)
    [row] = json.loads(hub.overview_answer())["rows"]
    assert len(row["spark"]) == 5
    numbers = json.loads(hub.snapshot(parse_view(settings, "AAPL")))["numbers"]
    assert [row[name] for name in ("last", "change", "change_from")] == [
        numbers[name] for name in ("close", "change", "change_from")
    ]


def _fields(one: Trade) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


def test_the_pipeline_is_what_status_shows(client: TestClient) -> None:
    parts = {part["part"]: part["state"] for part in answer(client, "/api/health")["parts"]}
    assert parts["lake trades"] == "ok"
    assert {"feed", "topic trades", "dead letters"} <= parts.keys()


def test_symbols_and_what_a_view_can_be(client: TestClient) -> None:
    known = answer(client, "/api/symbols")
    assert known["symbols"] == [{"symbol": "AAPL", "name": None}]
    assert known["default"]["every"] == "1m"
    assert known["sessions"] == ["regular", "pre", "post", "all"]


def test_more_views_than_allowed_are_refused(mongo_server: MongoServer, tmp_path: Path) -> None:
    """Those that a browser looks at; another one makes room."""
    settings = stores(tmp_path, mongo_server, TRADES, symbols="AAPL", dashboard__max_views="1").settings
    hub = Hub(settings)
    client = TestClient(create_app(settings, hub), base_url="http://127.0.0.1:8765")
    answer(client, "/api/snapshot", symbol="AAPL", every="1m")
    answer(client, "/api/snapshot", symbol="AAPL", every="5m")
    assert hub.views == 1

    async def look() -> None:
        hub.subscribe(parse_view(settings, "AAPL", every="5m"), None)

    asyncio.run(look())
    response = client.get("/api/snapshot", params={"symbol": "AAPL", "every": "1m"})
    assert response.status_code == 400
    assert "dashboard.max_views" in response.json()["hint"]
