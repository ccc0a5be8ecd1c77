"""``stockctl company show`` on the stand-in: readable, as JSON, and again after each change."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from stockctl.clients.mongo import Mongo
from stockctl.mongo import schema
from stockctl.settings import Settings, load_settings
from tests.command import HANG, Command, clean_environment
from tests.conftest import MongoServer, wait_for
from tests.lakes import at, covered, trade
from tests.mongo.made import documents_of, refresh

OPEN = at("2026-11-23 09:30")


@pytest.fixture
def settings(mongo_server: MongoServer, tmp_path: Path) -> Settings:
    """A database with two trades of AAPL, and the minute around them covered, by two spans that overlap."""
    flags = {"mongo.url": mongo_server.url, "mongo.database": f"company-{tmp_path.name}", "mongo.retention": "3650d"}
    found = load_settings(environ=clean_environment(), flags=flags)
    with Mongo(found) as mongo:
        schema.apply(mongo, found.mongo)
        trades = [trade("AAPL", OPEN + 1_000, 10.0, 1.0), trade("AAPL", OPEN + 2_000, 20.0, 3.0)]
        events = [covered("MSFT,AAPL", OPEN, OPEN + 40_000), covered("AAPL", OPEN + 20_000, OPEN + 60_000)]
        assert mongo.upsert("trades", documents_of(trades)) == []
        assert mongo.upsert("coverage", documents_of(events)) == []
        refresh(mongo, found, {"AAPL": {OPEN}})
    return found


@pytest.fixture
def command(settings: Settings, tmp_path: Path) -> Command:
    """The command with that database."""
    return Command(tmp_path, STOCKCTL_MONGO__URL=str(settings.mongo.url), STOCKCTL_MONGO__DATABASE=settings.mongo.database)


def test_the_last_trade_and_the_sessions_figures(command: Command) -> None:
    document = json.loads(command.run("company", "show", "AAPL", "-o", "json").stdout)
    assert document["symbol"] == "AAPL"
    assert (document["last"]["price"], document["last"]["ts_event"]) == (20.0, "2026-11-23T09:30:02-05:00")
    session = document["session"]
    assert (session["name"], session["trade_date"], session["trades"]) == ("regular", "2026-11-23", 2)
    assert session["vwap"] == 17.5
    assert session["volatility"] == pytest.approx(50**0.5)
    # As far as trades are known to be stored: the newest was received 50 ms after it was made.
    assert session["rate"] == pytest.approx(2 / 2.05)
    assert session["coverage"] == pytest.approx(100.0)
    table = command.run("company", "show", "AAPL").stdout
    assert "session.vwap" in table
    assert "17.5" in table


def test_an_unknown_company_is_reported(command: Command) -> None:
    for more in ((), ("--watch",)):
        result = command.run("company", "show", "AAPLE", *more, check=2)
        assert re.search(r"there is nothing of AAPLE in MongoDB at .*\n  try: did you mean AAPL\?", result.stderr)
        assert "watching" not in result.stderr


def test_a_company_of_the_setting_may_have_nothing_yet_and_any_case_will_do(command: Command) -> None:
    command.environment["STOCKCTL_SYMBOLS"] = "NVDA"
    assert "knows no company NVDA" in command.run("company", "show", "nvda", check=2).stderr
    assert json.loads(command.run("company", "show", "aapl", "-o", "json").stdout)["symbol"] == "AAPL"


def test_watch_shows_the_company_and_each_change(command: Command, settings: Settings) -> None:
    log = command.folder / "company.log"
    process = command.start("company", "show", "AAPL", "--watch", "-o", "jsonl", log=log)
    try:
        wait_for(lambda: "watching" in log.read_text(), "the start")
        assert '"price": 20.0' in log.read_text()
        with Mongo(settings) as mongo:

            def trades_on() -> bool:
                row = trade("AAPL", OPEN + 3_000, 30.0, 1.0)
                mongo.upsert("trades", documents_of([row]))
                refresh(mongo, settings, {"AAPL": {OPEN}})
                return '"price": 30.0' in log.read_text()

            wait_for(trades_on, "the change")
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG) == 0
    finally:
        process.kill()
        process.wait()
