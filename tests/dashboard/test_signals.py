"""Signals as markers: what ran live, from either store, and the replay of the date beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi.testclient import TestClient

from stockctl.clients.mongo import Mongo
from stockctl.dashboard import signal_replay
from stockctl.dashboard.app import create_app
from stockctl.dashboard.signal_marks import MOST, SignalMark, Store, signal_marks
from stockctl.dashboard.signal_replay import BusyError, signals_answer
from stockctl.errors import TimedOutError, UsageError
from stockctl.exchange.calendar import from_ms
from stockctl.records import SignalRecord, Trade
from stockctl.strategies import LoadedStrategy, load_strategy
from stockctl.symbols import UnknownSymbolError
from tests.conftest import MongoServer
from tests.dashboard.stores import Stores, stores
from tests.filings.stored import store_report
from tests.lakes import at, signal
from tests.mongo.made import documents_of
from tests.signals.live import published
from tests.strategies.records import strategy_of, walk

DAY = date(2026, 11, 23)
PARAMS = {"trades": 20, "enter": 1.5}
Change = Callable[[list[SignalRecord]], Sequence[SignalRecord]]


@pytest.fixture
def strategy() -> LoadedStrategy:
    """One of the built-in strategies."""
    return load_strategy("vwap-reversion", PARAMS)


def ran(folder: Path, server: MongoServer | None, strategy: LoadedStrategy, change: Change = lambda records: records) -> Stores:
    """Trades, and what the run published on them after ``change``; the lake began long enough ago that nothing is pending."""
    rows = walk(600)
    return stores(folder, server, rows, signals=change(published(strategy, rows)))


def signals_of(records: Sequence[SignalRecord]) -> list[SignalRecord]:
    """The decisions among ``records``."""
    return [record for record in records if record.kind == "signal"]


def places(marks: Sequence[SignalMark], run: str) -> list[tuple[Any, ...]]:
    """Where the markers of ``run`` are, and what they say."""
    return [(mark["at"], mark["side"], mark["price"], mark["record"], mark["n"]) for mark in marks if mark["run"] == run]


@pytest.mark.parametrize("store", ["lake", "MongoDB"])
def test_live_signals_are_markers_at_their_trades(
    mongo_server: MongoServer, tmp_path: Path, strategy: LoadedStrategy, store: Store
) -> None:
    """Time and price of the trade that was decided on, from the store that the page shows."""
    rows = walk(600)
    records = published(strategy, rows)
    own = stores(tmp_path, mongo_server, rows, signals=records)
    prices = {row.id: row.price for row in rows}
    expected = [(one.ts_event, one.side, prices[one.record], one.record, one.n) for one in signals_of(records)]
    found = signal_marks(own.settings, "AAPL", DAY, stores=[store])
    assert places(found.marks, "live") == expected != []
    assert found.notes == []
    assert found.marks[0]["text"].startswith(f"vwap-reversion: {found.marks[0]['side']} to ")
    assert not any(mark["differs"] for mark in found.marks)
    half = signals_of(records)[len(expected) // 2]
    then = signal_marks(own.settings, "AAPL", DAY, stores=[store], as_of=half.ts_recv).marks
    assert places(then, "live") == [
        place for place, one in zip(expected, signals_of(records), strict=True) if one.ts_recv <= half.ts_recv
    ]
    for other in ({"strategy": "sma-cross"}, {"day": date(2026, 11, 20)}, {"symbol": "MSFT"}):
        asked: dict[str, Any] = {"symbol": "AAPL", "day": DAY} | other
        assert signal_marks(own.settings, asked.pop("symbol"), asked.pop("day"), stores=[store], **asked).marks == []


@pytest.mark.parametrize("store", ["lake", "MongoDB"])
def test_a_decision_on_a_filing_is_at_the_trade_that_followed(mongo_server: MongoServer, tmp_path: Path, store: Store) -> None:
    """Its record is no trade; a signal whose trade is nowhere has no price."""
    rows = walk(10)
    on_filing = signal("AAPL", rows[4].ts_event, record="0000320193-26-000001", reason="")
    on_nothing = signal("AAPL", rows[4].ts_event + 1, record="gone")
    own = stores(tmp_path, mongo_server, rows, signals=[on_filing, on_nothing])
    first, second = signal_marks(own.settings, "AAPL", DAY, stores=[store]).marks
    assert (first["price"], first["text"]) == (rows[4].price, "vwap-reversion: buy to 1")
    assert second["price"] is None


def test_only_the_newest_of_many_signals_are_shown(tmp_path: Path) -> None:
    """And a note counts the others."""
    rows = walk(MOST + 3)
    own = stores(tmp_path, None, rows, signals=[signal("AAPL", row.ts_event, record=row.id) for row in rows])
    found = signal_marks(own.settings, "AAPL", DAY, stores=["lake"])
    assert (len(found.marks), found.marks[-1]["record"]) == (MOST, rows[-1].id)
    assert found.notes == [f"3 earlier signals of the date not shown: the page has at most {MOST}"]


@pytest.mark.parametrize("without", ["", "mongo", "lake"])
def test_a_snapshot_has_signals_and_filings(mongo_server: MongoServer, tmp_path: Path, without: str) -> None:
    """Those of its session, with the prices of its own trades; as of a time, what was received by then."""
    rows = [msgspec.structs.replace(row, source="finnhub") for row in walk(600)]
    on_trades = [signal("AAPL", row.ts_event, record=row.id, reason="") for row in rows[10:600:200]]
    earlier = signal("AAPL", "2026-11-23 08:00", record="x")
    both = stores(tmp_path, mongo_server, rows, signals=[earlier, *on_trades])
    store_report(both.settings, "2026-11-23 08:30:00", at("2026-11-23 08:40:00"))
    section = getattr(both.settings, without, None)
    update = {without: section.model_copy(update={"url": None})} if section is not None else {}
    client = TestClient(create_app(both.settings.model_copy(update=update)), base_url="http://localhost")
    view = {"symbol": "AAPL", "date": str(DAY), "session": "regular"}
    snapshot = client.get("/api/snapshot", params=view).json()
    expected = [(one.ts_event, row.price, row.id) for one, row in zip(on_trades, rows[10:600:200], strict=True)]
    assert [(mark["at"], mark["price"], mark["record"]) for mark in snapshot["signals"]] == expected
    flags = [flag["at"] for flag in snapshot["filings"]]
    assert flags == ([] if without == "lake" else [at("2026-11-23 08:30:00")])
    then = client.get("/api/snapshot", params=view | {"as_of": from_ms(on_trades[1].ts_recv).isoformat()}).json()
    assert [mark["record"] for mark in then["signals"]] == [record for _, _, record in expected[:2]]


def test_the_replay_of_what_ran_agrees(tmp_path: Path, mongo_server: MongoServer, strategy: LoadedStrategy) -> None:
    """Each signal twice at one place, no finding, and the command's words."""
    own = ran(tmp_path, mongo_server, strategy)
    answer = signals_answer(own.settings, "aapl", str(DAY))
    assert json.loads(json.dumps(answer)) == answer
    assert places(answer["signals"], "live") == places(answer["signals"], "replayed") != []
    assert (answer["symbol"], answer["findings"]) == ("AAPL", [])
    assert not any(mark["differs"] for mark in answer["signals"])
    written = own.command.run("signals", "verify", "AAPL", "--date", str(DAY), "-o", "json")
    assert (json.loads(written.stdout), answer["notes"]) == ([], written.stderr.splitlines())


def changed(field: str, value: Any) -> Change:
    """The sixth signal, with another value of ``field``."""

    def change(records: list[SignalRecord]) -> Sequence[SignalRecord]:
        sixth = signals_of(records)[5]
        return [msgspec.structs.replace(one, **{field: value}) if one is sixth else one for one in records]

    return change


def lost(records: list[SignalRecord]) -> Sequence[SignalRecord]:
    """All but the sixth signal."""
    sixth = signals_of(records)[5]
    return [one for one in records if one is not sixth]


def repeated(records: list[SignalRecord]) -> Sequence[SignalRecord]:
    """One signal more, on the trade of the sixth."""
    sixth = signals_of(records)[5]
    return [*records, msgspec.structs.replace(sixth, n=sixth.n + 1, id="0" * 32)]


@pytest.mark.parametrize(
    ("change", "finding", "runs"),
    [
        (lost, "missing", ["replayed"]),
        (repeated, "extra", ["live"]),
        (changed("target", 0.25), "different", ["live", "replayed"]),
    ],
)
def test_differences_are_marked(
    tmp_path: Path, strategy: LoadedStrategy, change: Change, finding: str, runs: list[str]
) -> None:
    """On the markers that differ, with what ran and what the replay decides."""
    own = ran(tmp_path, None, strategy, change)
    answer = signals_answer(own.settings, "AAPL", str(DAY), "vwap-reversion")
    written = own.command.run("signals", "verify", "AAPL", "--date", str(DAY), "-o", "json", check=10)
    assert answer["findings"] == json.loads(written.stdout)
    assert [one["finding"] for one in answer["findings"]] == [finding]
    differing = [mark for mark in answer["signals"] if mark["differs"]]
    assert sorted(mark["run"] for mark in differing) == runs
    assert all(f"; {finding}: live " in mark["text"] and mark["price"] for mark in differing)


def test_signals_that_the_lake_does_not_have_yet_come_from_mongodb(
    mongo_server: MongoServer, tmp_path: Path, strategy: LoadedStrategy
) -> None:
    """Each once."""
    rows = walk(600)
    records = published(strategy, rows)
    own = stores(tmp_path, mongo_server, rows, signals=records[:-1])
    with Mongo(own.settings) as mongo:
        assert mongo.upsert("signals", documents_of([*records, signal("AAPL", rows[-1].ts_event)])) == []
    live = places(signals_answer(own.settings, "AAPL", str(DAY))["signals"], "live")
    assert len(live) == len(set(live)) == len(signals_of(records)) + 1


def test_a_date_without_a_run_says_so(tmp_path: Path) -> None:
    """No error: there is nothing to replay."""
    own = stores(tmp_path, None, walk(10))
    answer = signals_answer(own.settings, "AAPL", str(DAY))
    assert (answer["signals"], answer["findings"]) == ([], [])
    assert answer["notes"][0].startswith("no replay: the lake has no signals on 2026-11-23; ")


def test_one_replay_at_a_time(tmp_path: Path, strategy: LoadedStrategy) -> None:
    """The second is refused at once, and the next one after the first is not."""
    own = ran(tmp_path, None, strategy)
    client = TestClient(create_app(own.settings), base_url="http://localhost")
    asked = {"symbol": "AAPL", "date": str(DAY)}
    with signal_replay._one:
        with pytest.raises(BusyError):
            signals_answer(own.settings, "AAPL", str(DAY))
        busy = client.get("/api/signals", params=asked)
        assert (busy.status_code, busy.json()["error"]) == (503, "another replay of signals is running")
    assert client.get("/api/signals", params=asked).json() == signals_answer(own.settings, "AAPL", str(DAY))


def test_a_strategy_that_never_ends_is_ended(tmp_path: Path) -> None:
    """The replay is a process of its own."""
    endless = "class Endless(Strategy):\n    def on_trade(self, trade):\n        yield buy()\n"
    strategy = strategy_of(tmp_path, endless)
    rows: list[Trade] = walk(50)
    own = stores(tmp_path, None, rows, signals=published(strategy, rows))
    path = tmp_path / "user.py"
    path.write_text(
        path.read_text().replace("        yield buy()", "        while True:\n            pass\n        yield buy()")
    )
    with pytest.raises(TimedOutError, match="did not end within"):
        signals_answer(own.settings, "AAPL", str(DAY), seconds=8)
    path.write_text(path.read_text().replace("while True:", "import os; os._exit(3)\n        while True:"))
    assert "no replay: its process ended with exit code 3; " in signals_answer(own.settings, "AAPL", str(DAY))["notes"][0]


def test_unknown_symbols_and_dates_are_refused(tmp_path: Path) -> None:
    """As by the command."""
    own = stores(tmp_path, None, walk(10))
    with pytest.raises(UnknownSymbolError):
        signals_answer(own.settings, "AAPLE", str(DAY))
    with pytest.raises(UsageError):
        signals_answer(own.settings, "AAPL", "noon")
