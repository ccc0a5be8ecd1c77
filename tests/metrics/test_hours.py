"""Which hours count: the exchange's, or all of them where trades are simulated; and since when, and which by default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import pytest

import stockctl
from stockctl.clients.mongo import Mongo
from stockctl.clients.object_store import open_store
from stockctl.lake.format.claims import lake_source
from stockctl.metrics import definitions, lake_query
from stockctl.metrics.coverage_report import read_coverage
from stockctl.metrics.query import Query
from stockctl.metrics.results import Result
from stockctl.mongo import schema
from stockctl.records import FeedEvent, Trade
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.conftest import MongoServer
from tests.lakes import at, covered, lay, trade
from tests.mongo.made import documents_of, refresh

FRIDAY, SUNDAY = date(2026, 11, 20), date(2026, 11, 22)
NIGHT = at("2026-11-22 03:00")
"""A Sunday's night, at which the exchange is closed since Friday."""
MINUTE, HOUR = 60_000, 3_600_000

Engine = Literal["lake", "mongo"]
Fill = Callable[..., Settings]
"""Makes a store that was begun with a source and holds these trades and feed events; the settings that lead to it."""


@pytest.fixture(params=["lake", "mongo"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """The engine."""
    chosen: Engine = request.param
    return chosen


@pytest.fixture
def fill(engine: Engine, lake_settings: Settings, request: pytest.FixtureRequest) -> Iterator[Fill]:
    """Fills the engine's store."""

    def fill_lake(source: str, trades: list[Trade], events: list[FeedEvent]) -> Settings:
        lake_source(open_store(lake_settings), source)
        lay(lake_settings, trades)
        if events:
            lay(lake_settings, events, table="feed_events")
        return lake_settings

    if engine == "lake":
        yield fill_lake
        return
    server: MongoServer = request.getfixturevalue("mongo_server")
    flags = {"mongo.url": server.url, "mongo.database": f"hours-{abs(hash(request.node.name))}", "mongo.retention": "3650d"}
    settings = load_settings(environ=clean_environment(), flags=flags)
    with Mongo(settings) as mongo:
        schema.apply(mongo, settings.mongo)

        def fill_mongo(source: str, trades: list[Trade], events: list[FeedEvent]) -> Settings:
            mongo.add("meta", {"_id": "source", "source": source})
            assert mongo.upsert("trades", documents_of(trades)) == []
            assert mongo.upsert("coverage", documents_of(events)) == []
            refresh(mongo, settings, {"AAPL": {row.ts_event // MINUTE * MINUTE for row in trades}})
            return settings

        yield fill_mongo


def by_default(settings: Settings, engine: Engine, now: int, **named: Any) -> Query:
    """The query of ``stockctl metrics`` for AAPL without options, at this time."""
    return replace(definitions.build_query(settings, ["AAPL"], **named), now=now, engine=engine, fall_back=True)


def company(settings: Settings) -> dict[str, Any]:
    """The session of AAPL's document in MongoDB."""
    with Mongo(settings) as mongo:
        document = mongo.get("companies", "AAPL")
    assert document is not None
    session: dict[str, Any] = document["session"]
    return session


def ticks(since: int, source: str, count: int = 60, **more: Any) -> list[Trade]:
    """One trade per second."""
    return [trade("AAPL", since + number * 1000, 100.0, source=source, **more) for number in range(count)]


def whole(result: Result) -> None:
    """The only row has every value, and its time was covered."""
    (row,) = result.rows
    assert [name for name in result.columns if row[name] is None] == []
    assert row["coverage"] == 100.0


def test_simulated_stocks_trade_at_any_hour(engine: Engine, fill: Fill) -> None:
    """On a Sunday night every value is present, and the feed covered all time since it was connected."""
    settings = fill("sim", ticks(NIGHT, "sim", 300), [covered("AAPL", NIGHT, NIGHT + 5 * MINUTE)])
    result = definitions.summary(settings, by_default(settings, engine, NIGHT + 5 * MINUTE))
    whole(result)
    (row,) = result.rows
    assert (row["session"], row["trade_date"], row["trades"], row["high"]) == ("all", SUNDAY, 300, 100.0)
    assert not any("no trade" in line for line in result.notes)
    if engine == "mongo":
        session = company(settings)
        assert (session["name"], session["trades"], session["coverage"]) == ("all", 300, 100.0)
        return
    assert stockctl.read_bars("AAPL", settings=settings).column("session").to_pylist() == ["all"] * 5
    assert read_coverage(settings.model_copy(update={"symbols": ["AAPL"]})).totals[0][:2] == ("AAPL", SUNDAY)
    assert lake_query.query(settings, "SELECT count(*) AS n FROM coverage WHERE covered").to_pylist() == [{"n": 1}]


@pytest.mark.parametrize("begun", ["finnhub", "replay"])
@pytest.mark.parametrize("source", ["finnhub", "replay", "sim"])
def test_other_stores_keep_the_exchanges_hours(engine: Engine, fill: Fill, begun: str, source: str) -> None:
    """Even if simulated trades were added: the source with which the store began decides."""
    friday = at("2026-11-20 10:00")
    settings = fill(begun, [*ticks(friday, source), *ticks(NIGHT, source)], [covered("AAPL", friday, friday + MINUTE)])
    (row,) = definitions.vwap(settings, by_default(settings, engine, NIGHT + HOUR)).rows
    assert (row["session"], row["trade_date"], row["trades"]) == ("regular", FRIDAY, 60)
    assert row["coverage"] == pytest.approx(100 / 360), "from 10:00, when the feed was first connected, to 16:00"


def test_other_trades_in_a_simulated_store_have_its_hours(engine: Engine, fill: Fill) -> None:
    """A capture that is replayed into the demo."""
    settings = fill("sim", ticks(NIGHT, "replay"), [covered("AAPL", NIGHT, NIGHT + MINUTE)])
    (row,) = definitions.vwap(settings, by_default(settings, engine, NIGHT + MINUTE)).rows
    assert (row["session"], row["trade_date"], row["trades"]) == ("all", SUNDAY, 60)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ([], 50.0),
        # Connected on the day before; only another symbol; or this symbol, but refused.
        ([covered("MSFT,AAPL", "2026-11-19 10:00", "2026-11-19 10:01")], 25.0),
        ([covered("AAPL", "2026-11-19 10:00", "2026-11-19 10:00", kind="subscribed")], 25.0),
        ([covered("AAPL", "2026-11-09 10:00", "2026-11-09 10:01")], 25.0),
        ([covered("MSFT,AAPL.B", "2026-11-19 10:00", "2026-11-19 10:01")], 50.0),
        ([covered("AAPL", "2026-11-19 10:00", "2026-11-19 10:00", kind="refused")], 50.0),
    ],
)
def test_coverage_counts_since_the_feed_was_first_connected(
    engine: Engine, fill: Fill, before: list[FeedEvent], expected: float
) -> None:
    """Connected in the middle of the session, for half of the rest: 50%, unless the feed was there before."""
    middle, three = at("2026-11-20 12:45"), at("2026-11-20 14:22:30")
    events = [*before, covered("AAPL", middle, middle, kind="connected"), covered("AAPL", middle, three)]
    trades = [*ticks(middle, "finnhub"), trade("AAPL", "2026-11-20 18:00", 100.0)]
    settings = fill("finnhub", trades, events)
    (row,) = definitions.vwap(settings, by_default(settings, engine, NIGHT)).rows
    assert (row["session"], row["coverage"]) == ("regular", expected)
    if engine == "mongo":
        assert company(settings)["coverage"] == (100.0 if expected == 50.0 else pytest.approx(100 / 3, abs=0.1))
        return
    query = settings.model_copy(update={"symbols": ["AAPL"]})
    since, until = at("2026-11-20"), at("2026-11-21")
    late = ("AAPL", at("2026-11-20 09:30"))
    for found in (read_coverage(query), read_coverage(query, since, until)):
        assert (late in [(gap.symbol, gap.since) for gap in found.gaps]) == (expected == 25.0)
        assert three in [gap.since for gap in found.gaps]
    assert late in [(gap.symbol, gap.since) for gap in read_coverage(query, since, until, whole=True).gaps]


def test_time_after_a_feed_died_is_missed_on_its_first_day_too(engine: Engine, fill: Fill) -> None:
    """Time after the first connection counts, regardless of later connections."""
    hours = [at(f"2026-11-20 {hour}:00") for hour in (10, 11, 12, 13)]
    events = [covered("AAPL", hours[0], hours[1]), covered("AAPL", hours[2], hours[3], kind="connected")]
    settings = fill("finnhub", [*ticks(hours[0], "finnhub"), trade("AAPL", hours[3], 100.0)], events)
    (row,) = definitions.vwap(settings, by_default(settings, engine, NIGHT)).rows
    assert row["coverage"] == pytest.approx(100 / 6)


def test_trades_that_are_stored_before_their_coverage_are_not_missed(engine: Engine, fill: Fill) -> None:
    """The feed reports coverage some seconds later."""
    settings = fill("sim", ticks(NIGHT, "sim"), [covered("AAPL", NIGHT, NIGHT + 50_000)])
    (row,) = definitions.vwap(settings, by_default(settings, engine, NIGHT + 61_000)).rows
    assert row["coverage"] == 100.0


POST, PRE = ticks(at("2026-11-20 17:00"), "finnhub"), ticks(at("2026-11-20 08:00"), "finnhub")
REGULAR, EARLIER = ticks(at("2026-11-20 10:00"), "finnhub"), ticks(at("2026-11-19 10:00"), "finnhub")
NO_FRIDAY = "no trade of AAPL in the regular session of 2026-11-20: their newest session that has trades is shown"


@pytest.mark.parametrize(
    ("trades", "now", "session", "day", "words"),
    [
        (PRE + REGULAR + POST, "2026-11-22 03:00", "regular", FRIDAY, None),
        (PRE + REGULAR + POST, "2026-11-23 09:00", "regular", FRIDAY, None),
        (REGULAR, "2026-11-23 09:31", "regular", FRIDAY, NO_FRIDAY.replace("20:", "23:")),
        (EARLIER + POST, "2026-11-22 03:00", "regular", date(2026, 11, 19), NO_FRIDAY),
        (POST, "2026-11-22 03:00", "post", FRIDAY, NO_FRIDAY),
        # In one object, which begins before the regular session and ends after it.
        (PRE + POST, "2026-11-22 03:00", "post", FRIDAY, NO_FRIDAY),
        (PRE, "2026-11-22 03:00", "pre", FRIDAY, NO_FRIDAY),
        (ticks(NIGHT - HOUR, "finnhub"), "2026-11-22 03:00", "all", SUNDAY, NO_FRIDAY),
    ],
    ids=["Sunday", "Monday before the open", "at the open", "the date before", "post", "pre and post", "pre", "no session"],
)
def test_by_default_the_newest_session_with_trades_is_used(
    engine: Engine, fill: Fill, trades: list[Trade], now: str, session: str, day: date, words: str | None
) -> None:
    """The newest regular session with trades; if there is none, the newest of all. A note names an older one."""
    settings = fill("finnhub", trades, [])
    query = by_default(settings, engine, at(now))
    result = definitions.summary(settings, query)
    (row,) = result.rows
    assert (row["session"], row["trade_date"], row["trades"]) == (session, day, 60)
    assert row["vwap"] is not None
    assert [line for line in result.notes if line.startswith("no trade")] == ([words] if words else [])
    if engine == "lake":
        table = stockctl.read_bars("AAPL", settings=settings)
        assert set(table.column("session").to_pylist()) == {session}
        assert set(table.column("trade_date").to_pylist()) == {day}


def test_an_explicit_session_does_not_fall_back(engine: Engine, fill: Fill) -> None:
    """No other session replaces it."""
    settings = fill("finnhub", POST, [])
    named = replace(by_default(settings, engine, NIGHT), fall_back=False)
    (row,) = definitions.vwap(settings, named).rows
    assert (row["trade_date"], row["vwap"]) == (None, None)
    if engine == "lake":
        chosen: list[dict[str, Any]] = [{"session": "regular"}, {"since": "2026-11-20"}, {"until": "2026-11-21"}]
        for bounds in chosen:
            assert stockctl.read_bars("AAPL", settings=settings, **bounds).num_rows == 0


def test_one_note_names_all_symbols_that_fall_back(lake_settings: Settings) -> None:
    """One note for any number of symbols."""
    lay(lake_settings, [trade(symbol, "2026-11-20 17:00", 1.0) for symbol in ("AAPL", "MSFT", "NVDA")])
    query = replace(by_default(lake_settings, "lake", NIGHT), symbols=("AAPL", "MSFT", "NVDA"))
    words = [line for line in definitions.vwap(lake_settings, query).notes if line.startswith("no trade")]
    assert words == [NO_FRIDAY.replace("AAPL", "AAPL, MSFT, NVDA")]


def test_gaps_are_by_default_of_the_newest_trading_date(lake_settings: Settings) -> None:
    """For a feed that runs through the weekend: Friday's session."""
    events = [covered("AAPL", f"2026-11-{day} 12:00", f"2026-11-{day} 13:00") for day in (20, 21, 22)]
    lay(lake_settings, events, table="feed_events")
    found = read_coverage(lake_settings.model_copy(update={"symbols": ["AAPL"]}))
    assert found.totals == [("AAPL", FRIDAY, HOUR, 4 * HOUR)]


def test_a_simulated_market_that_is_stopped_is_not_missed_and_one_that_died_is(engine: Engine, fill: Fill) -> None:
    """It has no trades before the first run, between runs and after the last. Time after a kill is missed."""
    starts = [at("2026-11-21 22:00"), *(NIGHT + hour * HOUR for hour in (0, 1, 2, 4))]
    events = []
    for start, end in zip(starts, ("stopped", "stopped", "killed", "connection reset", "stopped"), strict=True):
        events += [covered("AAPL", start, start + HOUR // 2)]
        if end != "killed":
            end_of = (start + HOUR // 2, start + HOUR // 2)
            events += [covered("AAPL", *end_of, kind="disconnected", reason=end)]
    trades = [*ticks(starts[0], "sim"), *(row for start in starts[1:] for row in ticks(start, "sim"))]
    settings = fill("sim", [*trades, trade("AAPL", starts[-1] + HOUR // 2, 100.0, source="sim")], events)
    (row,) = definitions.vwap(settings, by_default(settings, engine, NIGHT + 9 * HOUR)).rows
    # Half an hour was missed when it was killed, and an hour and a half when the connection broke.
    assert (row["trade_date"], row["coverage"]) == (SUNDAY, pytest.approx(50.0))
    if engine == "mongo":
        assert company(settings)["coverage"] == pytest.approx(50.0)
        return
    found = read_coverage(settings.model_copy(update={"symbols": ["AAPL"]}))
    assert [(gap.since - NIGHT, gap.until - NIGHT) for gap in found.gaps] == [
        (HOUR * 3 // 2, 2 * HOUR),
        (HOUR * 5 // 2, 4 * HOUR),
    ]
