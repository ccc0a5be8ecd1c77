"""Known results: published values, and small cases computed by hand."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import stockctl
from stockctl.clients.object_store import open_store
from stockctl.errors import UsageError
from stockctl.exchange.calendar import from_ms
from stockctl.metrics import definitions
from stockctl.metrics.coverage_report import lag_ms
from stockctl.metrics.engines.base import Event
from stockctl.metrics.engines.lake import LakeEngine
from stockctl.metrics.query import Query
from stockctl.metrics.query_context import QueryContext
from stockctl.metrics.results import Result
from stockctl.records import Trade
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.conftest import examples
from tests.lakes import at, covered, lay, trade

OPEN = at("2026-11-23 09:30")


def series(prices: list[float], *, start: int = OPEN, step: int = 1000, symbol: str = "AAPL") -> list[Trade]:
    """Trades of volume 100, one every ``step`` ms."""
    return [trade(symbol, start + number * step, price) for number, price in enumerate(prices)]


def make_query(settings: Settings, *symbols: str, now: int = OPEN + 40_000_000, **named: Any) -> Query:
    """A query in the evening of 2026-11-23."""
    return replace(definitions.build_query(settings, symbols or ("AAPL",), **named), now=now)


def figures(result: Result, *names: str) -> list[tuple[Any, ...]]:
    """These columns of the result's rows."""
    return [tuple(row[name] for name in names) for row in result.rows]


@pytest.mark.parametrize(
    ("trades", "expected"),
    [
        # fincyclopedia.net, "VWAP calculation"
        ([(50.0, 1000.0), (51.5, 500.0)], 50.5),
        # pocketsense.com, "How to Calculate the Volume-Weighted Average Price"
        ([(56.0, 100.0), (58.0, 400.0), (55.0, 200.0)], 39_800 / 700),
    ],
)
def test_vwap_of_published_examples(lake_settings: Settings, trades: list[tuple[float, float]], expected: float) -> None:
    """The worked examples of two textbooks."""
    lay(lake_settings, [trade("AAPL", OPEN + i, price, volume) for i, (price, volume) in enumerate(trades)])
    result = definitions.vwap(lake_settings, make_query(lake_settings))
    assert figures(result, "vwap", "volume") == [(pytest.approx(expected, rel=1e-12), sum(volume for _, volume in trades))]


@pytest.mark.parametrize(
    ("prices", "expected", "digits"),
    [
        # The series of Wikipedia's article "Standard deviation": sample deviation sqrt(32 / 7).
        ([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], math.sqrt(32 / 7), 1e-12),
        # NIST's Statistical Reference Datasets, certified values: NumAcc1, NumAcc2, NumAcc3, NumAcc4. The last two lie so far
        # from zero that the doubles nearest to their values keep only so many digits of the deviation.
        ([10_000_001.0, 10_000_003.0, 10_000_002.0], 1.0, 1e-12),
        ([1.2, *[1.1, 1.3] * 500], 0.1, 1e-12),
        ([1_000_000.2, *[1_000_000.1, 1_000_000.3] * 500], 0.1, 1e-8),
        ([10_000_000.2, *[10_000_000.1, 10_000_000.3] * 500], 0.1, 1e-7),
    ],
)
@pytest.mark.parametrize("by_time", [False, True])
def test_deviation_of_published_series(
    lake_settings: Settings, prices: list[float], expected: float, digits: float, by_time: bool
) -> None:
    """Sample deviations of a textbook and of NIST, with a window of trades and with one of time."""
    lay(lake_settings, series(prices))
    window = definitions.Window(None, 7_200_000) if by_time else definitions.Window(5000)
    result = definitions.volatility(lake_settings, make_query(lake_settings), window)
    assert figures(result, "volatility", "trades") == [(pytest.approx(expected, rel=digits), len(prices))]


def test_returns_of_a_published_example(lake_settings: Settings) -> None:
    """The closing prices 10.00, 9.50, 9.75, 9.25 of a CFA course: deviation of log returns 4.5%, annualised by the grid."""
    lay(lake_settings, series([10.0, 9.5, 9.75, 9.25], step=60_000))
    lay(lake_settings, [covered("AAPL", OPEN, OPEN + 180_001)], table="feed_events")
    moves = [math.log(later / earlier) for earlier, later in pairwise([10.0, 9.5, 9.75, 9.25])]
    mean = sum(moves) / 3
    exact = math.sqrt(sum((move - mean) ** 2 for move in moves) / 2)
    (row,) = definitions.returns(lake_settings, make_query(lake_settings)).rows
    assert row["deviation"] == pytest.approx(0.045, abs=0.0005)
    assert row["deviation"] == pytest.approx(exact, rel=1e-12)
    assert (row["volatility"], row["returns"]) == (pytest.approx(exact * math.sqrt(252 * 390), rel=1e-12), 3)


def test_windows_of_equal_prices_have_no_deviation(lake_settings: Settings) -> None:
    """Exactly 0, for large prices and for many steps."""
    lay(lake_settings, series([190_000.07] + [123_456.78] * 50))
    for window in (definitions.Window(20), definitions.Window(None, 20_000)):
        result = definitions.volatility(lake_settings, make_query(lake_settings, every="5s"), window)
        assert figures(result, "volatility")[-1] == (0.0,)


def test_a_window_of_time_is_open_at_its_start_and_closed_at_its_end(lake_settings: Settings) -> None:
    """At 09:31:00 the window (09:30:30, 09:31:00] contains the trade at its end and not the one at its start."""
    lay(lake_settings, [trade("AAPL", OPEN + ms, price) for ms, price in ((30_000, 1.0), (30_001, 2.0), (60_000, 4.0))])
    result = definitions.volatility(lake_settings, make_query(lake_settings, every="30s"), definitions.Window(None, 30_000))
    at_the_minute = [row for row in result.rows if row["at"].timestamp() * 1000 == OPEN + 60_000]
    assert [(row["trades"], row["volatility"]) for row in at_the_minute] == [(2, pytest.approx(math.sqrt(2)))]


def test_equal_times_are_ordered_by_receipt_then_id(lake_settings: Settings) -> None:
    """Open and close, and which trades are the last ones, follow ts_event, ts_recv and the id's bytes."""
    rows = [
        trade("AAPL", OPEN, 3.0, ts_recv=OPEN + 5, id="a"),
        trade("AAPL", OPEN, 7.0, ts_recv=OPEN + 9, id="Z"),
        trade("AAPL", OPEN, 1.0, ts_recv=OPEN + 5, id="B"),
        trade("AAPL", OPEN, 5.0, ts_recv=OPEN + 9, id="b"),
    ]
    lay(lake_settings, rows)
    assert figures(definitions.bars(lake_settings, make_query(lake_settings, every="1m")), "open", "close") == [(1.0, 5.0)]
    result = definitions.volatility(lake_settings, make_query(lake_settings), definitions.Window(2))
    assert figures(result, "volatility") == [(pytest.approx(math.sqrt(2)),)]


def test_policies_differ_as_documented(lake_settings: Settings) -> None:
    """An odd lot counts in standard, an average-price trade in all; volume 0 and an official close never count."""
    rows = [
        trade("AAPL", OPEN, 10.0, 100, "1"),
        trade("AAPL", OPEN + 1, 20.0, 10, "1,12"),
        trade("AAPL", OPEN + 2, 40.0, 100, "1,3"),
        trade("AAPL", OPEN + 3, 80.0, 0, "1"),
        trade("AAPL", OPEN + 4, 160.0, 100, "16"),
    ]
    lay(lake_settings, rows)
    volumes = {}
    for policy in ("standard", "all", "price-forming"):
        (row,) = definitions.vwap(lake_settings, replace(make_query(lake_settings), policy=policy)).rows
        volumes[policy] = (row["volume"], row["left_out"], row["left_out_by"])
    assert volumes == {
        "standard": (110.0, 3, "16 Market Center Official Close: 1; 3 Average Price Trade: 1; volume 0: 1"),
        "all": (210.0, 2, "16 Market Center Official Close: 1; volume 0: 1"),
        "price-forming": (
            100.0,
            4,
            "12 Odd Lot Trade: 1; 16 Market Center Official Close: 1; 3 Average Price Trade: 1; volume 0: 1",
        ),
    }


def test_returns_do_not_cross_a_gap_or_a_sessions_edge(lake_settings: Settings) -> None:
    """The jumps across the gap and across the open are in no return: each segment starts again."""
    before = series([50.0, 50.0], start=OPEN - 120_000, step=60_000)
    first = series([100.0, 101.0, 100.0], step=60_000)
    second = series([200.0, 202.0, 200.0], start=OPEN + 600_000, step=60_000)
    lay(lake_settings, [*before, *first, *second])
    intervals = [(OPEN - 300_000, OPEN + 120_001), (OPEN + 600_000, OPEN + 720_001)]
    lay(lake_settings, [covered("AAPL", *interval) for interval in intervals], table="feed_events")
    (row,) = definitions.returns(lake_settings, replace(make_query(lake_settings), session="all")).rows
    up = math.log(1.01)
    # Before the open: one return of 0, to the edge at the open. Then up and down, twice.
    moves = [0.0, 0.0, up, -up, up, -up]
    mean = sum(moves) / len(moves)
    assert row["returns"] == len(moves)
    assert row["deviation"] == pytest.approx(math.sqrt(sum((move - mean) ** 2 for move in moves) / (len(moves) - 1)), rel=1e-9)


def test_crypto_counts_at_all_hours_and_its_year_has_365_days(lake_settings: Settings) -> None:
    """A symbol with a venue ignores the session, and is annualised around the clock."""
    night = at("2026-11-22 03:00")
    lay(lake_settings, series([100.0, 101.0, 100.0], start=night, step=60_000, symbol="BINANCE:BTCUSDT"))
    lay(lake_settings, [covered("BINANCE:BTCUSDT", night, night + 120_001)], table="feed_events")
    (row,) = definitions.returns(lake_settings, make_query(lake_settings, "BINANCE:BTCUSDT")).rows
    assert (row["session"], row["trade_date"]) == ("all", date(2026, 11, 22))
    assert row["volatility"] == pytest.approx(math.log(1.01) * math.sqrt(2) * math.sqrt(365 * 1440), rel=1e-9)


def test_the_latest_regular_session_with_data_is_used(lake_settings: Settings) -> None:
    """Not one that has not begun, not one without trades of the symbol, and no hours outside it."""
    lay(lake_settings, series([1.0], start=at("2026-11-20 10:00")))
    lay(lake_settings, series([2.0], start=at("2026-11-23 08:00")), partition=1)
    lay(lake_settings, series([3.0], start=at("2026-11-23 10:00"), symbol="MSFT"), partition=2)
    early = make_query(lake_settings, "AAPL", now=at("2026-11-23 09:00"))
    late = make_query(lake_settings, "AAPL", "MSFT")
    assert figures(definitions.vwap(lake_settings, early), "vwap", "trade_date") == [(1.0, date(2026, 11, 20))]
    assert figures(definitions.vwap(lake_settings, late), "vwap", "trade_date") == [
        (1.0, date(2026, 11, 20)),
        (3.0, date(2026, 11, 23)),
    ]


def test_each_date_has_its_own_row_unless_across(lake_settings: Settings) -> None:
    """One row per date; with across, one row with the VWAP of all dates."""
    lay(lake_settings, [*series([10.0], start=at("2026-11-20 10:00")), *series([20.0, 20.0, 20.0], start=OPEN)])
    span: dict[str, Any] = {"since": "2026-11-20", "until": "2026-11-24"}
    daily = definitions.vwap(lake_settings, make_query(lake_settings, **span))
    assert figures(daily, "trade_date", "vwap") == [(date(2026, 11, 20), 10.0), (date(2026, 11, 23), 20.0)]
    assert figures(definitions.vwap(lake_settings, make_query(lake_settings, across=True, **span)), "trade_date", "vwap") == [
        (None, 17.5)
    ]


@pytest.mark.parametrize(("factor", "warned"), [(0.25, True), (2.0, True), (1.1, False)])
def test_a_split_like_jump_warns(lake_settings: Settings, factor: float, warned: bool) -> None:
    """Between one date's last price and the next date's first."""
    lay(lake_settings, [*series([100.0], start=at("2026-11-20 10:00")), *series([100.0 * factor], start=OPEN)])
    result = definitions.vwap(lake_settings, make_query(lake_settings, since="2026-11-20", across=True))
    assert any("a split?" in line for line in result.notes) == warned


def test_coverage_is_the_share_of_session_time_that_the_feed_covered(lake_settings: Settings) -> None:
    """Half of a session is 50 %. The rate's seconds are the covered ones, and its trades are those in covered time."""
    half = OPEN + 11_700_000
    lay(lake_settings, [*series([1.0] * 234, step=50_000), trade("AAPL", half + 60_000, 1.0)])
    lay(lake_settings, [trade("MSFT", OPEN + 23_400_000, 1.0)], start=235)
    lay(lake_settings, [covered("AAPL,MSFT", OPEN - 60_000, half), covered("MSFT", half, half + 60_000)], table="feed_events")
    (row,) = definitions.rate(lake_settings, make_query(lake_settings)).rows
    assert (row["coverage"], row["covered_seconds"], row["trades"]) == (50.0, 11_700.0, 234)
    assert row["rate"] == pytest.approx(0.02)


def test_time_that_the_lake_has_no_trades_of_yet_is_not_covered(lake_settings: Settings) -> None:
    """The feed continued, but trades are stored only through 09:31: the rate is that of the first minute.

    However far ahead the feed is, only a later record of the trades' own partition, of any symbol, proves a silence.
    """
    lay(lake_settings, [*series([1.0] * 60), trade("AAPL", OPEN + 59_999, 1.0, ts_recv=OPEN + 60_000)])
    lay(lake_settings, [covered("AAPL", OPEN, OPEN + 80_000)], table="feed_events")
    (row,) = definitions.rate(lake_settings, make_query(lake_settings, now=OPEN + 85_000)).rows
    assert (row["covered_seconds"], row["trades"]) == (60.0, 61)
    assert row["through"].timestamp() * 1000 == OPEN + 60_000
    assert row["coverage"] == 100.0
    lay(lake_settings, [covered("AAPL", OPEN + 80_000, OPEN + 600_000)], table="feed_events", start=1)
    (row,) = definitions.rate(lake_settings, make_query(lake_settings, now=OPEN + 605_000)).rows
    assert (row["covered_seconds"], row["trades"], row["coverage"]) == (60.0, 61, 100.0)
    assert row["through"].timestamp() * 1000 == OPEN + 60_000
    lay(lake_settings, [trade("MSFT", OPEN + 500_000, 1.0, ts_recv=OPEN + 500_000)], start=61)
    (row,) = definitions.rate(lake_settings, make_query(lake_settings, now=OPEN + 605_000)).rows
    assert (row["covered_seconds"], row["trades"], row["coverage"]) == (500.0, 61, 100.0)


def test_through_is_never_in_the_future_even_if_a_producers_clock_is_ahead(lake_settings: Settings) -> None:
    lay(lake_settings, [*series([1.0] * 60), trade("AAPL", OPEN + 59_999, 1.0, ts_recv=OPEN + 86_400_000)])
    (row,) = definitions.vwap(lake_settings, make_query(lake_settings, now=OPEN + 85_000)).rows
    assert row["through"].timestamp() * 1000 == OPEN + 85_000


def test_values_too_large_to_compute_are_null_with_a_note(lake_settings: Settings) -> None:
    """Other symbols, and values that can be computed, have results."""
    lay(lake_settings, [*series([1e308, 1.5e308] * 2), *series([1.0, 2.0] * 2, symbol="MSFT")])
    result = definitions.summary(lake_settings, make_query(lake_settings, "AAPL", "MSFT"))
    huge, plain = result.rows
    assert (huge["vwap"], huge["volatility"], huge["high"], huge["volume"]) == (None, None, 1.5e308, 400.0)
    assert "AAPL: no vwap, volatility: prices and volumes are too large to compute with" in result.notes
    assert (plain["vwap"], len([line for line in result.notes if "too large" in line])) == (1.5, 1)


def test_time_after_the_feed_ended_counts_against_coverage(lake_settings: Settings) -> None:
    """Time without coverage is missed, even after the stored trades; covered time there is neither covered nor missed."""
    lay(lake_settings, [trade("AAPL", OPEN + 59_999, 1.0, ts_recv=OPEN + 60_000)])
    lay(lake_settings, [covered("AAPL", OPEN, OPEN + 80_000)], table="feed_events")
    lag = lag_ms(lake_settings.lake.max_age)
    (row,) = definitions.rate(lake_settings, make_query(lake_settings, now=OPEN + 140_000 + lag)).rows
    assert (row["covered_seconds"], row["coverage"]) == (60.0, 50.0)


def test_coverage_that_was_received_later_is_not_known_yet(lake_settings: Settings) -> None:
    """As of 09:32 the feed has reported only the first minute; it reported the second one later."""
    lay(lake_settings, [*series([1.0] * 120), trade("AAPL", OPEN + 400_000, 1.0)])
    minutes = [covered("AAPL", OPEN + n * 60_000, OPEN + (n + 1) * 60_000) for n in range(2)]
    late = msgspec.structs.replace(minutes[1], ts_recv=OPEN + 300_000)
    lay(lake_settings, [minutes[0], late], table="feed_events")
    query = make_query(lake_settings, now=OPEN + 400_000)
    for as_of, seconds, trades in ((OPEN + 120_000, 60.0, 60), (OPEN + 300_000, 120.0, 120)):
        (row,) = definitions.rate(lake_settings, replace(query, as_of=as_of)).rows
        assert (row["covered_seconds"], row["trades"]) == (seconds, trades)


def test_as_of_a_time_the_newest_session_is_that_of_then(lake_settings: Settings) -> None:
    """Friday's, although Monday's is stored now; without the trade that was reported late, and nothing after it is missed."""
    friday = at("2026-11-20 09:30")
    late = trade("AAPL", friday + 30_000, 900.0, ts_recv=OPEN + 1)
    lay(lake_settings, [*series([1.0, 3.0], start=friday, step=60_000), late, *series([5.0, 7.0])])
    lay(lake_settings, [covered("AAPL", friday, friday + 70_000), covered("AAPL", OPEN, OPEN + 70_000)], table="feed_events")

    def known(as_of: str | int | None) -> list[tuple[Any, ...]]:
        query = make_query(lake_settings)
        moment = at(as_of) if isinstance(as_of, str) else as_of
        result = definitions.summary(lake_settings, replace(query, as_of=moment, fall_back=True))
        assert not any("newest session that has trades is shown" in line for line in result.notes)
        return figures(result, "trade_date", "vwap", "trades", "close", "through", "coverage")

    of_friday = (date(2026, 11, 20), 2.0, 2, 3.0)
    assert known(friday + 80_000) == [(*of_friday, from_ms(friday + 80_000), 100.0)]
    assert known("2026-11-22") == [(*of_friday, from_ms(at("2026-11-20 16:00")), pytest.approx(100 * 70 / 23_400))]
    assert [row[:4] for row in known(OPEN - 1)] == [of_friday]
    assert [row[:4] for row in known(OPEN + 50)] == [(date(2026, 11, 23), 5.0, 1, 5.0)]
    assert known(OPEN + 41_000_000) == known(None)
    assert known(friday) == [(None, None, None, None, None, None)]


def test_as_of_a_time_a_session_that_had_not_begun_is_not_used(lake_settings: Settings) -> None:
    """Even if a replay with shifted times had added trades of it."""
    received = at("2026-11-23 09:00")
    rows = [trade("AAPL", f"2026-11-23 {hour}:00", float(hour), ts_recv=received) for hour in ("08", "17")]
    lay(lake_settings, rows)
    query = replace(make_query(lake_settings), fall_back=True)
    assert figures(definitions.vwap(lake_settings, replace(query, as_of=received + 1)), "session", "vwap") == [("pre", 8.0)]
    assert figures(definitions.vwap(lake_settings, query), "session", "vwap") == [("post", 17.0)]


@hypothesis_settings(max_examples=examples(0.05))
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 400), st.integers(0, 900)), min_size=1, max_size=20),
    st.integers(0, 1300),
    st.sampled_from(
        [(definitions.vwap, None), (definitions.bars, 60_000), (definitions.volatility, None), (definitions.vwap, 60_000)]
    ),
)
def test_as_of_a_time_the_result_is_that_of_a_lake_without_later_records(
    rows: list[tuple[int, int, int]], second: int, query: tuple[Any, int | None]
) -> None:
    """With any later records in any objects: trades of several dates, received minutes late, in any order of time."""
    trades = [
        trade("AAPL", OPEN - 86_400_000 * (day // 3 * 3) + 1000 * at, 1.0 + at, ts_recv=OPEN + 1000 * (at + late))
        for day, at, late in rows
    ]
    trades.sort(key=lambda row: row.ts_recv)
    measure, every = query
    with tempfile.TemporaryDirectory() as folder:
        whole, early = (
            load_settings(environ=clean_environment(), flags={"lake.url": (Path(folder) / name).as_uri()})
            for name in ("whole", "early")
        )
        as_of = OPEN + 1000 * second
        lay(whole, trades, batches=3)
        lay(early, [row for row in trades if row.ts_recv <= as_of] or series([1.0], start=OPEN + 10**9))
        one = measure(whole, replace(make_query(whole), every_ms=every, as_of=as_of))
        other = measure(early, replace(make_query(early), every_ms=every, now=as_of))
    beside = ("coverage", "through")
    assert [row | dict.fromkeys(beside) for row in one.rows] == [row | dict.fromkeys(beside) for row in other.rows]


def test_without_coverage_there_is_no_rate_and_no_return(lake_settings: Settings) -> None:
    """Null with a note, never 0."""
    lay(lake_settings, series([1.0, 2.0, 3.0]))
    result = definitions.summary(lake_settings, make_query(lake_settings))
    assert figures(result, "vwap", "rate", "annual_volatility", "coverage") == [(2.0, None, None, 0.0)]
    assert "no coverage known" in result.notes[0]


def test_without_data_values_are_null_with_a_note(lake_settings: Settings) -> None:
    """An empty lake, a symbol without trades, a session without counted trades: one row of nulls each."""
    open_store(lake_settings)
    query = make_query(lake_settings, "NVDA")
    assert figures(definitions.vwap(lake_settings, query), "symbol", "vwap", "volume", "trades") == [("NVDA", None, None, None)]
    lay(lake_settings, [trade("AAPL", OPEN, 1.0, 0)])
    for measure in (
        definitions.vwap,
        definitions.bars,
        definitions.rate,
        definitions.volatility,
        definitions.returns,
        definitions.summary,
    ):
        result = measure(lake_settings, make_query(lake_settings, "NVDA", "AAPL"))
        assert {row["symbol"] for row in result.rows} == {"NVDA", "AAPL"}
        for row in result.rows:
            assert row.get("vwap") is row.get("volatility") is row.get("rate") is None
        assert any("NVDA: the lake holds no trades" in line for line in result.notes)


def test_one_trade_has_no_deviation(lake_settings: Settings) -> None:
    """A sample deviation needs two values: null, not 0."""
    lay(lake_settings, series([5.0]))
    for window in (definitions.Window(100), definitions.Window(None, 60_000)):
        assert figures(definitions.volatility(lake_settings, make_query(lake_settings), window), "volatility", "trades") == [
            (None, 1)
        ]


def test_bars_start_at_midnight_of_the_zone(lake_settings: Settings) -> None:
    """One-hour bars in a zone with a half-hour offset, and one-day bars in Tokyo, whose midnight divides New York's session."""
    lay(lake_settings, series([1.0, 2.0], start=at("2026-11-23 09:31"), step=3_600_000))
    lay(lake_settings, series([3.0], start=at("2026-11-23 10:15")), partition=1)
    kolkata = replace(make_query(lake_settings, every="1h"), zone=ZoneInfo("Asia/Kolkata"))
    assert [f"{row['bar']:%H:%M %Z}" for row in definitions.bars(lake_settings, kolkata).rows] == ["20:00 IST", "21:00 IST"]
    tokyo = replace(make_query(lake_settings, every="1d"), zone=ZoneInfo("Asia/Tokyo"))
    rows = definitions.bars(lake_settings, tokyo).rows
    assert [(f"{row['bar']:%m-%d %H:%M}", row["trades"]) for row in rows] == [("11-23 00:00", 1), ("11-24 00:00", 2)]


def test_a_day_of_25_hours_is_one_bar(lake_settings: Settings) -> None:
    """Clocks go back on 2026-11-01: the day's bar contains all 25 hours."""
    hours = series([float(hour + 1) for hour in range(25)], start=at("2026-11-01"), step=3_600_000, symbol="BINANCE:BTCUSDT")
    lay(lake_settings, hours)
    query = make_query(lake_settings, "BINANCE:BTCUSDT", every="1d")
    assert figures(definitions.bars(lake_settings, query), "open", "close", "trades") == [(1.0, 25.0, 25)]


@pytest.mark.parametrize("every", ["7s", "0.5s", "2d", "soon", "25h"])
def test_a_step_must_divide_the_day_evenly(lake_settings: Settings, every: str) -> None:
    """Bars that would shift from day to day are a usage error."""
    with pytest.raises(UsageError, match="--every"):
        make_query(lake_settings, every=every)


@pytest.mark.parametrize("text", ["1", "0", "-5", "five", "0s", "2000000"])
def test_impossible_windows_are_a_usage_error(text: str) -> None:
    """One trade has no deviation, and an empty time has no trades."""
    with pytest.raises(UsageError, match="--window"):
        definitions.parse_window(text)


def test_a_window_with_too_many_steps_is_a_usage_error(lake_settings: Settings) -> None:
    """A window of 61 minutes every 59 seconds would be aggregated by second."""
    with pytest.raises(UsageError, match="--window"):
        definitions.volatility(lake_settings, make_query(lake_settings, every="1s"), definitions.Window(None, 3_600_000))


def test_each_feed_event_is_parsed_once_for_any_number_of_symbols(lake_settings: Settings) -> None:
    """Symbols × symbols × events would take hours for a full market."""
    splits: list[str] = []

    class Named(str):
        def split(self, *arguments: Any) -> list[str]:
            splits.append(str(self))
            return super().split(*arguments)

    class CountingEngine(LakeEngine):
        def events(self, since: int, until: int) -> list[Event]:
            return [event | {"symbols": Named(event["symbols"])} for event in super().events(since, until)]

    symbols = [f"S{number}" for number in range(20)]
    lay(lake_settings, [trade(symbol, OPEN + 120_000, 1.0) for symbol in symbols])
    minutes = [covered(",".join(symbols[n:]), OPEN + n * 60_000, OPEN + (n + 1) * 60_000) for n in range(2)]
    lay(lake_settings, minutes, table="feed_events")
    with CountingEngine.connect(lake_settings) as engine:
        contexts = QueryContext(make_query(lake_settings, *symbols), engine).contexts
    assert [context.covered for context in contexts] == [[(OPEN, OPEN + 60_000)], *[[(OPEN, OPEN + 120_000)]] * 19]
    assert len(splits) == len(minutes)


@pytest.mark.parametrize("wrong", [{"policy": "prices"}, {"session": "Regular"}, {"policy": ""}])
def test_read_bars_rejects_an_unknown_policy_or_session(lake_settings: Settings, wrong: dict[str, Any]) -> None:
    """Python does not check types at run time."""
    lay(lake_settings, [trade("AAPL", "2026-11-23 09:30", 1.0)])
    (name,) = wrong
    with pytest.raises(UsageError, match=f"no {name}") as raised:
        stockctl.read_bars("AAPL", settings=lake_settings, **wrong)
    assert "all" in str(raised.value.hint)


def test_read_bars_returns_arrow(lake_settings: Settings) -> None:
    """Typed columns, bars in the settings' zone, and only trades received by ``as_of``."""
    lay(lake_settings, [*series([1.0, 2.0], step=60_000), trade("AAPL", OPEN + 1, 9.0, ts_recv=OPEN + 500_000)])
    table = stockctl.read_bars("AAPL", "2026-11-23", settings=lake_settings)
    assert table.schema.field("bar").type == pa.timestamp("ms", "America/New_York")
    assert table.column("close").to_pylist() == [9.0, 2.0]
    assert table.schema.metadata == {b"policy": b"standard", b"session": b"regular"}
    early = stockctl.read_bars(["AAPL"], as_of="2026-11-23T09:35", settings=lake_settings)
    assert early.column("close").to_pylist() == [1.0, 2.0]
    assert stockctl.read_bars("NVDA", settings=lake_settings).schema == table.schema
