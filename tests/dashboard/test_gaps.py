"""Gaps of a view are those that ``stockctl lake gaps`` lists for it, from either store, now and as of a time."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stockctl.dashboard.gaps import gaps_answer, gaps_of
from stockctl.exchange.calendar import EXCHANGE_ZONE, now_ms
from stockctl.exchange.time_parsing import parse_moment
from stockctl.metrics.query import Query, SessionChoice
from stockctl.metrics.query_context import execute
from tests.conftest import MongoServer
from tests.dashboard.stores import Stores, stores
from tests.lakes import at, covered, trade

DAY = date(2026, 11, 20)
CRYPTO = "BINANCE:BTCUSDT"
MOMENTS = ("2026-11-20 09:45", "2026-11-20 12:00", "2026-11-20 16:30")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, mongo_server: MongoServer) -> Stores:
    """A day with a late start, a break with its reason, an unexplained one and an event that starts at the close."""
    names = f"AAPL,{CRYPTO}"
    events = [
        covered(names, "2026-11-19 15:00", "2026-11-19 15:01", kind="connected"),
        covered(names, "2026-11-20 08:00", "2026-11-20 09:30:05"),
        covered(names, "2026-11-20 09:40", "2026-11-20 11:00"),
        covered(names, "2026-11-20 11:00", "2026-11-20 11:30", kind="disconnected", reason="connection reset"),
        covered(names, "2026-11-20 11:30", "2026-11-20 15:00"),
        covered(names, "2026-11-20 16:00", "2026-11-20 16:10", reason="12 messages lost"),
    ]
    trades = [trade(symbol, f"2026-11-20 {hour}:00", 100.0) for hour in (10, 14, 17) for symbol in ("AAPL", CRYPTO)]
    return stores(tmp_path_factory.mktemp("gaps"), mongo_server, trades, events)


def listed(command_of: Stores, *options: str) -> list[dict[str, Any]]:
    """What the command lists."""
    rows: list[dict[str, Any]] = json.loads(command_of.command.run("lake", "gaps", *options, "-o", "json").stdout)
    return rows


def query(symbol: str, session: SessionChoice, as_of: int | None, engine: str) -> Query:
    """The view's query, now."""
    return Query((symbol,), "standard", session, EXCHANGE_ZONE, now=now_ms(), day=DAY, as_of=as_of, engine=engine)


@pytest.mark.parametrize("engine", ["lake", "mongo"])
@pytest.mark.parametrize("moment", [None, *MOMENTS])
@pytest.mark.parametrize(("symbol", "session"), [("AAPL", "regular"), ("AAPL", "all"), ("AAPL", "pre"), (CRYPTO, "regular")])
def test_gaps_of_a_query_are_those_of_the_command(
    both: Stores, engine: str, moment: str | None, symbol: str, session: SessionChoice
) -> None:
    """From the events of the query's own store: the same edges and reasons."""
    as_of = None if moment is None else at(moment)
    with execute(both.settings, query(symbol, session, as_of, engine)) as context:
        [found] = gaps_of(context)
    options = [] if moment is None else ["--as-of", moment.replace(" ", "T")]
    rows = listed(both, symbol, "--date", str(DAY), "--session", session, *options)
    expected = [(parse_moment(row["since"]), parse_moment(row["until"]), row["reason"]) for row in rows]
    assert [(gap["since"], gap["until"], gap["reason"]) for gap in found] == expected


def test_gaps_of_a_query_are_clipped_to_its_bounds(both: Stores) -> None:
    """A span of half an hour has the part of the gap that lies within it."""
    bounded = Query(
        ("AAPL",),
        "standard",
        "regular",
        EXCHANGE_ZONE,
        now=now_ms(),
        since=at("2026-11-20 10:50"),
        until=at("2026-11-20 11:20"),
    )
    with execute(both.settings, bounded) as context:
        [found] = gaps_of(context) or [[]]
    assert found == [{"since": at("2026-11-20 11:00"), "until": at("2026-11-20 11:20"), "reason": "connection reset"}]


@pytest.mark.parametrize("moment", [None, *MOMENTS])
@pytest.mark.parametrize("session", [None, "regular", "all"])
def test_the_answer_is_that_of_the_command(both: Stores, moment: str | None, session: SessionChoice | None) -> None:
    """Rows and notes, with every value as the command writes it."""
    as_of = None if moment is None else moment.replace(" ", "T")
    answer = gaps_answer(both.settings, "aapl", str(DAY), session, as_of)
    options = (["--session", session] if session else []) + (["--as-of", as_of] if as_of else [])
    written = both.command.run("lake", "gaps", "AAPL", "--date", str(DAY), *options, "-o", "json")
    assert answer["gaps"] == json.loads(written.stdout)
    assert answer["notes"] == written.stderr.splitlines()
    assert json.loads(json.dumps(answer)) == answer


def test_a_gap_is_known_only_once_it_was_reported(both: Stores) -> None:
    """As of the middle of the break, the feed had reported it up to nothing: its event came at its end."""
    before, after = (
        gaps_answer(both.settings, "AAPL", str(DAY), "regular", moment)["gaps"]
        for moment in ("2026-11-20T11:00:05", "2026-11-20T11:30:00")
    )
    assert [row["reason"] for row in before] == ["no feed events"]
    assert [row["reason"] for row in after] == ["no feed events", "connection reset"]


def test_an_empty_lake_says_so(tmp_path: Path) -> None:
    """No gap, and a note."""
    (tmp_path / "lake").mkdir()
    answer = gaps_answer(stores(tmp_path, None).settings, date=str(DAY))
    assert (answer["gaps"], answer["notes"]) == ([], ["the period has no session time, or the lake has no feed events"])
