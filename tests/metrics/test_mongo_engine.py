"""``--engine mongo`` results as the lake does, to 1e-9 relative and 1e-12 absolute, and so do the bars that MongoDB makes."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stockctl.clients.mongo import Mongo
from stockctl.exchange.calendar import EXCHANGE_ZONE
from stockctl.metrics import definitions
from stockctl.metrics.query import SESSION_CHOICES, Query, SessionChoice
from stockctl.metrics.results import Result
from stockctl.metrics.trade_policies import POLICIES, Policy
from stockctl.mongo import schema
from stockctl.mongo.documents import ms_of
from stockctl.records import FeedEvent, Trade
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.conftest import MongoServer, examples
from tests.lakes import at, covered, lay, trade
from tests.metrics.test_definitions import CODES, near, prices, volumes
from tests.mongo.made import documents_of, refresh

OPEN, CLOSE = at("2026-11-23 09:30"), at("2026-11-23 16:00")
EDGES = [at("2026-11-23 04:00"), OPEN, CLOSE, at("2026-11-23 20:00"), at("2026-11-20 15:59")]
SUNDAY = at("2026-11-22 12:00")
EXCHANGE_DAY = date(2026, 11, 23)
SYMBOLS = ("AAPL", "MSFT", "OANDA:EUR_USD")
"""Several symbols share one database and one lake, because creating these is expensive."""
ZONES = ("UTC", "Asia/Kolkata", "Pacific/Chatham")
Measure = Callable[[Settings, Query], Result]
_numbers = itertools.count()


def make_query(policy: Policy, session: SessionChoice, symbols: tuple[str, ...] = SYMBOLS, **more: Any) -> Query:
    """A query in the day's evening."""
    return replace(Query(symbols, policy, session, EXCHANGE_ZONE, now=OPEN + 60_000_000), **more)


def _near(edge: int) -> st.SearchStrategy[int]:
    return st.integers(-70_000, 200_000).map(lambda ms: edge + ms)


@st.composite
def some_days(draw: st.DrawFn) -> list[Trade]:
    """Trades of several symbols around the edges of two dates' sessions, in the order of their receipt."""
    moments = st.sampled_from(EDGES).flatmap(_near)
    rows = []
    for number in range(draw(st.integers(1, 40 * len(SYMBOLS)))):
        symbol, ts, other = draw(st.sampled_from(SYMBOLS)), draw(moments), {"id": f"{number:x}"}
        rows.append(
            trade(symbol, ts, draw(prices), draw(volumes), draw(st.sampled_from(CODES)), ts_recv=ts + number % 2, **other)
        )
    return sorted(rows, key=lambda row: row.ts_recv)


@st.composite
def some_coverage(draw: st.DrawFn) -> list[FeedEvent]:
    """Coverage around the open, before the last trade; intervals may overlap."""
    spans = st.tuples(st.integers(-60_000, 150_000), st.integers(1, 60_000), st.permutations(SYMBOLS))
    return [
        covered(",".join(symbols[:2]), OPEN + since, OPEN + since + ms)
        for since, ms, symbols in draw(st.lists(spans, max_size=6))
    ]


def with_ends(trades: list[Trade]) -> list[Trade]:
    """``trades`` with a trade in each session, so that no session is empty, and a newest record that defines ``through``."""
    hours = [at(f"2026-11-{day} {hour}:00") for day in (20, 23) for hour in ("08", "12", "17")]
    more = [trade(symbol, ms, 5.0, 1.0) for symbol in SYMBOLS for ms in hours]
    last = [trade(symbol, at("2026-11-23 21:00"), 7.0, 1.0) for symbol in SYMBOLS]
    return sorted([*trades, *more], key=lambda row: row.ts_recv) + last


@contextmanager
def both(
    server: MongoServer, trades: list[Trade], events: list[FeedEvent], *, ends: bool = True
) -> Iterator[tuple[Settings, Mongo]]:
    """A lake and a MongoDB with the same records."""
    trades = with_ends(trades) if ends else trades
    with tempfile.TemporaryDirectory() as folder:
        flags = {
            "lake.url": (Path(folder) / "lake").as_uri(),
            "lake.max_age": "1s",
            "mongo.url": server.url,
            "mongo.database": f"engine-{next(_numbers)}",
            "mongo.retention": "3650d",
        }
        settings = load_settings(environ=clean_environment(), flags=flags)
        lay(settings, trades, batches=2)
        if events:
            lay(settings, events, table="feed_events")
        with Mongo(settings) as mongo:
            schema.apply(mongo, settings.mongo)
            assert mongo.upsert("trades", documents_of(trades)) == []
            assert mongo.upsert("coverage", documents_of(events)) == []
            yield settings, mongo


def same(one: Result, other: Result) -> None:
    """Both results are equal."""
    assert one.columns == other.columns
    assert len(one.rows) == len(other.rows)
    for row, expected in zip(one.rows, other.rows, strict=True):
        figures = {name: near(value) if isinstance(value, float) else value for name, value in expected.items()}
        assert row == figures
    assert [line.replace("MongoDB holds", "the lake holds") for line in one.notes] == other.notes


@st.composite
def some_queries(draw: st.DrawFn) -> list[tuple[Measure, Query]]:
    """Each metric of the newest session, a date, or all dates, separately or together; with any policy, session and window,
    some as of a time before all was received.
    """
    since = at("2026-11-20")
    spans: list[dict[str, Any]] = [{}, {"day": EXCHANGE_DAY}, {"since": since}, {"since": since, "across": True}]
    measure: Measure
    query: list[tuple[Measure, Query]] = []
    for measure, every_ms in (
        *((measure, None) for measure in (definitions.vwap, definitions.rate, definitions.returns, definitions.summary)),
        *((definitions.volatility, every_ms) for every_ms in (None, 60_000)),
        (definitions.bars, 60_000),
        (definitions.bars, draw(st.sampled_from([5_400_000, 86_400_000]))),
        (definitions.rate, 3_600_000),
    ):
        if measure is definitions.volatility:
            windows = [definitions.Window(2), definitions.Window(100), definitions.Window(None, 60_000)]
            measure = partial(measure, window=draw(st.sampled_from(windows)))
        span = draw(st.sampled_from(spans))
        policy, session = draw(st.sampled_from(POLICIES)), draw(st.sampled_from(SESSION_CHOICES))
        span = span | {"as_of": draw(st.none() | st.sampled_from(EDGES).flatmap(_near))}
        zone = ZoneInfo(draw(st.sampled_from(ZONES))) if every_ms else EXCHANGE_ZONE
        query.append((measure, replace(make_query(policy, session), every_ms=every_ms, zone=zone, **span)))
    return query


# Each example creates a database: shrinking a failing one would take minutes.
few = hypothesis_settings(max_examples=examples(0.04), phases=[Phase.explicit, Phase.reuse, Phase.generate])


@few
@given(trades=some_days(), events=some_coverage(), query=some_queries())
def test_every_measure(
    mongo_server: MongoServer, trades: list[Trade], events: list[FeedEvent], query: list[tuple[Measure, Query]]
) -> None:
    """Of several symbols at once."""
    with both(mongo_server, trades, events) as (settings, _):
        for measure, one in query:
            same(measure(settings, replace(one, engine="mongo")), measure(settings, one))


LATE = [
    covered("AAPL", OPEN, OPEN + 60_000),
    msgspec.structs.replace(covered("AAPL", OPEN + 60_000, OPEN + 120_000), ts_recv=OPEN + 300_000),
]
"""The feed reported the second minute three minutes late, and an earlier connection even later."""
LATE_CONNECTED = [
    msgspec.structs.replace(covered("AAPL", OPEN - 86_400_000, OPEN - 86_400_000, "connected"), ts_recv=OPEN + 300_000),
    covered("AAPL", OPEN + 30_000, OPEN + 30_000, "connected"),
    covered("AAPL", OPEN + 30_000, OPEN + 60_000),
]


def as_known(engine: Literal["mongo", "redshift"], settings: Settings, as_of: int) -> list[tuple[Any, ...]]:
    """Covered seconds and coverage as of then; equal in the lake and in ``engine``."""
    query = replace(make_query("standard", "regular", ("AAPL",)), as_of=as_of, engine=engine)
    result = definitions.rate(settings, query)
    same(result, definitions.rate(settings, replace(query, engine="lake")))
    return [(row["covered_seconds"], row["coverage"]) for row in result.rows]


def test_later_feed_events_were_not_known(mongo_server: MongoServer) -> None:
    trades = [trade("AAPL", OPEN + 500 * n, 1.0) for n in range(240)]
    with both(mongo_server, trades, LATE) as (settings, _):
        assert as_known("mongo", settings, OPEN + 130_000) == [(60.0, 50.0)]
        assert as_known("mongo", settings, OPEN + 300_000) == [(120.0, near(100 * 120 / 290))]
    with both(mongo_server, trades, LATE_CONNECTED) as (settings, _):
        assert as_known("mongo", settings, OPEN + 70_000) == [(30.0, 100.0)]
        assert as_known("mongo", settings, OPEN + 310_000) == [(30.0, 10.0)]


def test_a_replay_whose_times_run_ahead_has_the_same_rate(mongo_server: MongoServer) -> None:
    """Also for a symbol without newer trades than others of its partition; the company's document has the same rate."""
    quiet = [trade("X:QUIET", OPEN + ms, 10.0, ts_recv=OPEN + 1) for ms in (0, 1000)]
    busy = [trade("X:BUSY", OPEN + 1000 * n, 1.0, ts_recv=OPEN + n) for n in range(2, 602)]
    early = covered("X:QUIET,X:BUSY", OPEN, OPEN + 1001)
    with both(mongo_server, [*quiet, *busy], [early], ends=False) as (settings, mongo):
        query = make_query("standard", "all", ("X:QUIET", "X:BUSY"))
        one, other = (definitions.rate(settings, replace(query, engine=engine)) for engine in ("lake", "mongo"))
        assert [(row["trades"], row["rate"]) for row in one.rows] == [(2, near(2 / 1.001)), (None, None)]
        assert [(row["trades"], row["rate"]) for row in other.rows] == [(2, near(2 / 1.001)), (None, None)]
        refresh(mongo, settings, {"X:QUIET": [OPEN], "X:BUSY": []})
        company = mongo.get("companies", "X:QUIET")
        assert company is not None
        assert company["session"]["rate"] == near(2 / 1.001)


def test_an_earlier_date_is_complete_to_its_end(mongo_server: MongoServer) -> None:
    """A trade on a later date proves that an earlier date had no more trades."""
    watched = covered("AAPL", at("2026-11-20 09:30"), at("2026-11-20 20:00"))
    query = make_query("standard", "all", symbols=("AAPL",), day=date(2026, 11, 20))
    with both(mongo_server, [], [watched]) as (settings, _):
        result = definitions.rate(settings, replace(query, engine="mongo"))
        assert [row["covered_seconds"] for row in result.rows] == [10.5 * 3600]
        same(result, definitions.rate(settings, query))


@few
@given(trades=some_days(), events=some_coverage(), policy=st.sampled_from(POLICIES))
def test_bars_and_companies(mongo_server: MongoServer, trades: list[Trade], events: list[FeedEvent], policy: Policy) -> None:
    """MongoDB's aggregations equal the SQL over the lake; running them again changes nothing."""
    with both(mongo_server, trades, events) as (settings, mongo):
        settings = settings.model_copy(update={"metrics": settings.metrics.model_copy(update={"policy": policy})})
        minutes: dict[str, set[int]] = {}
        for document in mongo.find("trades", {}):
            minutes.setdefault(document["symbol"], set()).add(ms_of(document["ts_event"]) // 60_000 * 60_000)
        refresh(mongo, settings, minutes)
        before = [list(mongo.find(name, {})) for name in ("bars_1m", "companies")]
        refresh(mongo, settings, minutes)
        assert [list(mongo.find(name, {})) for name in ("bars_1m", "companies")] == before
        rows = definitions.bars(settings, make_query(policy, "all", since=0, every_ms=60_000)).rows
        bars = sorted(before[0], key=lambda bar: (SYMBOLS.index(bar["symbol"]), bar["bar"]))
        names = ("open", "high", "low", "close", "volume", "vwap", "trades")
        assert [(bar["symbol"], bar["bar"], *(bar[name] for name in names)) for bar in bars] == [
            (row["symbol"], row["bar"], *(near(row[name]) if row[name] is not None else None for name in names))
            for row in sorted(rows, key=lambda row: (SYMBOLS.index(row["symbol"]), row["bar"]))
        ]
        companies = {company["_id"]: company for company in before[1]}
        assert companies.keys() == set(SYMBOLS)
        query = make_query(policy, "regular", day=EXCHANGE_DAY)
        results = [measure(settings, query).rows for measure in (definitions.vwap, definitions.volatility, definitions.rate)]
        for vwap, volatility, rate in zip(*results, strict=True):
            company = companies[vwap["symbol"]]
            assert vwap["symbol"] == volatility["symbol"] == rate["symbol"]
            assert company["last"]["price"] == 7.0
            session = company["session"]
            assert session["rate"] == (None if rate["rate"] is None else near(rate["rate"]))
            assert (session["vwap"], session["volume"]) == (near(vwap["vwap"]), near(vwap["volume"]))
            assert session["volatility"] == near(volatility["volatility"])
            assert session["trades"] == (vwap["trades"] or 0)


@pytest.mark.parametrize(("session", "counted", "seconds"), [("regular", 3, 210.0), ("all", 4, 240.05)])
def test_the_rate_of_a_company(mongo_server: MongoServer, session: SessionChoice, counted: int, seconds: float) -> None:
    """A gap between the middles of two minutes, overlapping and adjacent intervals, and time that is not stored yet."""
    moments = [OPEN + 15_000, OPEN + 45_000, OPEN + 90_000, OPEN + 120_000, OPEN + 165_000, OPEN + 185_000]
    newest = at("2026-11-23 21:00")
    spans = [(0, 30_000), (150_000, 170_000), (160_000, 180_000), (180_000, 330_000)]
    events = [covered("MSFT,AAPL", OPEN + since, OPEN + until) for since, until in spans]
    events += [covered("AAPL", newest - 30_000, newest + 60_000), covered("MSFT", OPEN, CLOSE)]
    query = make_query("standard", session, symbols=("AAPL",), day=EXCHANGE_DAY)
    with both(mongo_server, [trade("AAPL", moment, 5.0, 1.0) for moment in moments], events) as (own, mongo):
        settings = own.model_copy(update={"metrics": own.metrics.model_copy(update={"session": session})})
        refresh(mongo, settings, {"AAPL": {ms_of(one["ts_event"]) // 60_000 * 60_000 for one in mongo.find("trades", {})}})
        (company,) = mongo.find("companies", {})
        (rate,) = definitions.rate(settings, query).rows
    assert (rate["trades"], rate["covered_seconds"]) == (counted, near(seconds))
    assert company["session"]["rate"] == near(rate["rate"]) == near(counted / seconds)


@pytest.mark.parametrize("symbol", ["AAPL", "MSFT"])
def test_the_command_uses_mongodb(mongo_server: MongoServer, tmp_path: Path, symbol: str) -> None:
    """The option selects the engine. A symbol of the settings without trades is a note and exit code 0."""
    from tests.command import Command

    with both(mongo_server, [trade("AAPL", SUNDAY, 10.0, 2.0), trade("AAPL", SUNDAY + 2, 20.0, 2.0)], []) as (settings, _):
        command = Command(
            tmp_path, STOCKCTL_MONGO__URL=str(settings.mongo.url), STOCKCTL_MONGO__DATABASE=settings.mongo.database
        )
        result = command.run(
            "metrics", "vwap", symbol, "--engine", "mongo", "--session", "all", "--date", "2026-11-22", "-o", "json"
        )
    (row,) = msgspec.json.decode(result.stdout)
    assert row["vwap"] == (15.0 if symbol == "AAPL" else None)
    assert ("no trades" in result.stderr) == (symbol == "MSFT")


def test_a_note_says_that_only_filings_of_a_symbol_exist(mongo_server: MongoServer) -> None:
    with both(mongo_server, [trade("AAPL", OPEN, 10.0)], []) as (settings, mongo):
        mongo.set_fields("companies", "IBM", {"symbol": "IBM", "filing": {"accession": "1"}})
        query = make_query("standard", "all", symbols=("ibm", "AAPL"), configured=frozenset(), engine="mongo")
        result = definitions.vwap(settings, query)
    assert {row["symbol"]: row["vwap"] is None for row in result.rows} == {"AAPL": False, "IBM": True}
    assert "IBM: MongoDB holds filings of it, and no trades" in result.notes
