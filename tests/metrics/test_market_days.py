"""Metrics of market days as exchanges and venues report them: auctions, late reports, currencies, and bars in any zone."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stockctl.exchange.calendar import EXCHANGE_ZONE
from stockctl.metrics import definitions
from stockctl.metrics.coverage_report import read_coverage
from stockctl.metrics.live import MetricsAccumulator
from stockctl.metrics.query import Query
from stockctl.metrics.results import Row
from stockctl.records import Trade
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.conftest import examples
from tests.lakes import at, covered, lay, trade

DAY = "2026-11-20"
HALF_DAY = "2026-11-27"
EURO = "OANDA:EUR_USD"
NOW = at("2026-11-29 12:00")


def ask(symbol: str, day: str | None = DAY, **named: Any) -> Query:
    """A query of one symbol's regular session of a day, or of all hours."""
    query = Query((symbol,), "standard", "regular", EXCHANGE_ZONE, NOW, day=date.fromisoformat(day) if day else None)
    return replace(query, **named)


def one(answer_rows: list[Row], *names: str) -> tuple[Any, ...]:
    """These columns of the only row."""
    (row,) = answer_rows
    return tuple(row[name] for name in names)


def test_the_closing_auction_is_in_the_regular_session(lake_settings: Settings) -> None:
    """The official close is not a trade, and after-hours trades stay in the post-market."""
    lay(
        lake_settings,
        [
            trade("CLOS", f"{DAY} 09:30:00.050", 99.0, 40_000.0, "1,19"),
            trade("CLOS", f"{DAY} 15:59:59.900", 100.0, 100.0),
            trade("CLOS", f"{DAY} 16:00:00.120", 101.0, 50_000.0, "1,36"),
            trade("CLOS", f"{DAY} 16:00:00.125", 101.0, 50_000.0, "16"),
            trade("CLOS", f"{DAY} 16:00:05", 101.5, 10.0, "1,12,24"),
        ],
    )
    names = ("trades", "volume", "open", "high", "low", "close")
    rows = definitions.summary(lake_settings, ask("CLOS")).rows
    assert one(rows, *names) == (3, 90_100.0, 99.0, 101.0, 99.0, 101.0)
    assert one(rows, "vwap") == (pytest.approx((99 * 40_000 + 100 * 100 + 101 * 50_000) / 90_100, rel=1e-12),)
    assert one(definitions.summary(lake_settings, ask("CLOS", session="post")).rows, *names) == (
        1,
        10.0,
        None,
        None,
        None,
        None,
    )
    (last,) = [row for row in definitions.bars(lake_settings, ask("CLOS", every_ms=60_000)).rows if row["bar"].hour == 16]
    assert (last["bar"].minute, last["close"], last["volume"]) == (0, 101.0, 50_000.0)
    query = ask("CLOS", None, since=at(f"{DAY} 09:30"), until=at(f"{DAY} 16:00"))
    assert one(definitions.vwap(lake_settings, query).rows, "volume") == (40_100.0,), "later reports are out of bounds"


@pytest.mark.parametrize(
    ("moment", "conditions", "volume"),
    [
        (f"{HALF_DAY} 13:00:00.200", "1,36", 600.0),
        (f"{HALF_DAY} 13:07:00", "1,35", 600.0),
        (f"{HALF_DAY} 13:00:00.200", "1", 100.0),
        (f"{HALF_DAY} 13:00:00.200", "1,24,36", 100.0),
        (f"{HALF_DAY} 12:30:00", "1,24", 100.0),
        (f"{HALF_DAY} 12:30:00", "25", 100.0),
    ],
)
def test_each_session_has_its_own_trades_and_all_hours_have_each_once(
    lake_settings: Settings, moment: str, conditions: str, volume: float
) -> None:
    lay(lake_settings, [trade("AAPL", f"{HALF_DAY} 12:00", 100.0), trade("AAPL", moment, 90.0, 500.0, conditions)])
    found = {
        session: one(definitions.vwap(lake_settings, ask("AAPL", HALF_DAY, session=session)).rows, "volume")[0] or 0.0
        for session in ("pre", "regular", "post", "all")
    }
    assert found["regular"] == volume
    assert found["pre"] + found["regular"] + found["post"] == found["all"] == 600.0


def test_a_session_with_only_its_auction_is_found(lake_settings: Settings) -> None:
    lay(lake_settings, [trade("AAPL", f"{DAY} 16:00:00.3", 101.0, 500.0, "1,36"), trade("AAPL", f"{DAY} 17:00", 99.0)])
    row = definitions.vwap(lake_settings, ask("AAPL", None, fall_back=True)).rows
    assert one(row, "session", "vwap") == ("regular", 101.0)


@pytest.mark.parametrize("first", [0, 50, 20_000, 700_000])
def test_a_session_begins_with_its_opening_price_and_ends_with_its_auction(lake_settings: Settings, first: int) -> None:
    """All 78 five-minute returns, even without trades in the first minutes."""
    opens, closes = at(f"{DAY} 09:30"), at(f"{DAY} 16:00")
    times = [opens + first, *range(opens + 1_000_000, closes, 120_000)]
    rows = [trade("AAPL", ms, 100 + number % 7) for number, ms in enumerate(times)]
    lay(lake_settings, [*rows, trade("AAPL", closes + 120, 110.0, 500.0, "1,36"), trade("AAPL", closes + 5000, 1.0)])
    lay(lake_settings, [covered("AAPL", opens, closes + 10_000)], table="feed_events")
    edges = [opens + 300_000 * number for number in range(79)]
    prices = [([row.price for row in rows if row.ts_event <= edge] or [rows[0].price])[-1] for edge in edges[:-1]] + [110.0]
    moves = [math.log(later / earlier) for earlier, later in pairwise(prices)]
    mean = sum(moves) / 78
    deviation = math.sqrt(sum((move - mean) ** 2 for move in moves) / 77)
    found = definitions.returns(lake_settings, ask("AAPL"), 300_000).rows
    assert one(found, "returns", "deviation") == (78, pytest.approx(deviation, rel=1e-9))


def test_a_capture_of_a_session_has_all_its_returns(lake_settings: Settings) -> None:
    """It covers the time from its first trade, ms after the open, to its last. An interval with a gap has no return."""
    opens, closes = at(f"{DAY} 09:30") + 500, at(f"{DAY} 15:59:59")
    spans = {"AAPL": [(opens, closes)], "MSFT": [(opens, closes - 120_000), (closes - 60_000, closes)]}
    trades = [trade(symbol, ms, 100 + ms % 7) for symbol in spans for ms in range(opens, closes, 29_000)]
    lay(lake_settings, [*trades, trade("LATE", f"{DAY} 19:00", 1.0)])
    events = [covered(symbol, *span) for symbol, intervals in spans.items() for span in intervals]
    lay(lake_settings, events, table="feed_events")
    found = {symbol: one(definitions.returns(lake_settings, ask(symbol), 300_000).rows, "returns") for symbol in spans}
    assert found == {"AAPL": (78,), "MSFT": (77,)}


def test_an_unfinished_session_has_no_closing_price_yet(lake_settings: Settings) -> None:
    opens, last = at(f"{DAY} 09:30"), at(f"{DAY} 15:57")
    lay(lake_settings, [trade("AAPL", ms, 100 + ms % 7) for ms in range(opens, last, 29_000)])
    lay(lake_settings, [covered("AAPL", opens, last)], table="feed_events")
    assert one(definitions.returns(lake_settings, ask("AAPL", now=last), 300_000).rows, "returns") == (77,)


def euros(*, volume: float = 0.0) -> list[Trade]:
    """A currency's prices of a Friday afternoon and of the following Sunday, every 10 s."""
    starts = (at(f"{DAY} 16:58"), at("2026-11-22 17:05"))
    return [
        trade(EURO, start + 10_000 * number, 1.05 + 0.0001 * (number + number % 2), volume, "")
        for start in starts
        for number in range(6)
    ]


def test_prices_of_currencies_count_without_volume(lake_settings: Settings) -> None:
    """Bars, volatility, returns and the last time come from them. Values that need volume are null, with a note."""
    rows = euros()
    lay(lake_settings, rows)
    lay(lake_settings, [covered(EURO, f"{DAY} 16:58", f"{DAY} 17:02")], table="feed_events")
    result = definitions.summary(lake_settings, ask(EURO))
    prices = [row.price for row in rows[:6]]
    mean = sum(prices) / 6
    deviation = math.sqrt(sum((price - mean) ** 2 for price in prices) / 5)
    assert one(result.rows, "open", "close", "trades", "left_out") == (prices[0], prices[-1], 0, 0)
    assert one(result.rows, "vwap", "volume", "rate") == (None, None, None)
    assert one(result.rows, "volatility") == (pytest.approx(deviation, rel=1e-9),)
    assert one(result.rows, "last_trade") == (datetime.fromtimestamp(rows[5].ts_event / 1000, EXCHANGE_ZONE),)
    assert "6 price updates, whose prices count: without volume there is no VWAP and no trade rate" in result.notes[0]
    found = definitions.returns(lake_settings, ask(EURO), 10_000).rows
    assert one(found, "returns") == (12,), "none after 17:00"
    ((annual, spread),) = [(row["volatility"], row["deviation"]) for row in found]
    assert annual == pytest.approx(spread * math.sqrt(260 * 86_400 / 10), rel=1e-12)


def test_a_note_says_that_the_market_is_closed(lake_settings: Settings) -> None:
    lay(lake_settings, [trade(EURO, "2026-11-21 12:00", 1.05, 0.0, ""), trade(EURO, "2026-11-21 12:01", 1.06, 0.0, "")])
    words = definitions.summary(lake_settings, ask(EURO, "2026-11-21", session="all")).notes[0]
    assert "2 price updates" in words
    assert "the market is closed at this time; data through 2026-11-21 12:01:00 EST" in words


@pytest.mark.parametrize(
    ("minutes", "last"),
    [(1, (f"{DAY} 16:01", 3)), (60, (f"{DAY} 17:00", 3)), (90, (f"{DAY} 16:30", 3)), (1440, ("2026-11-21", 3))],
)
def test_the_closing_auction_is_in_the_row_of_the_next_edge(
    lake_settings: Settings, minutes: int, last: tuple[str, int]
) -> None:
    rows = [
        trade("CLOS", f"{DAY} 09:30:00.050", 99.0, 40_000.0, "1,19"),
        trade("CLOS", f"{DAY} 15:59:59.900", 100.0, 100.0),
        trade("CLOS", f"{DAY} 16:00:00.120", 101.0, 50_000.0, "1,36"),
    ]
    lay(lake_settings, rows)
    lay(lake_settings, [covered("CLOS", f"{DAY} 09:30", f"{DAY} 16:00")], table="feed_events")
    query = ask("CLOS", every_ms=minutes * 60_000)
    found = definitions.volatility(lake_settings, query, definitions.Window(10)).rows
    assert (found[-1]["at"].timestamp() * 1000, found[-1]["trades"]) == (at(last[0]), last[1])
    # Until the minute is over, it has no row.
    early = replace(query, now=at(f"{DAY} 16:00:30"))
    assert all(
        row["at"] is None or row["at"].timestamp() * 1000 <= at(f"{DAY} 16:00")
        for row in definitions.volatility(lake_settings, early, definitions.Window(10)).rows
    )


def test_one_return_is_counted_and_has_no_deviation(lake_settings: Settings) -> None:
    lay(
        lake_settings,
        [trade("AAPL", f"{DAY} {hour}", 100.0 + n) for n, hour in enumerate(("10:10", "10:40", "11:40", "12:05"))],
    )
    lay(lake_settings, [covered("AAPL", f"{DAY} 10:00", f"{DAY} 12:00")], table="feed_events")
    query = ask("AAPL", None, since=at(f"{DAY} 10:00"), until=at(f"{DAY} 12:00"))
    found = definitions.returns(lake_settings, query, 90 * 60_000).rows
    assert one(found, "returns", "volatility", "deviation") == (1, None, None)


def test_a_price_update_of_a_stock_does_not_count(lake_settings: Settings) -> None:
    lay(lake_settings, [trade("AAPL", f"{DAY} 10:00", 100.0), trade("AAPL", f"{DAY} 10:01", 300.0, 0.0)])
    assert one(definitions.volatility(lake_settings, ask("AAPL")).rows, "volatility", "left_out") == (None, 1)


def test_live_metrics_of_currencies_equal_the_lakes() -> None:
    accumulator, stocks = MetricsAccumulator(quotes=True), MetricsAccumulator()
    for row in euros():
        accumulator.add(row, "standard")
        stocks.add(row, "standard")
    metrics = accumulator.metrics(EURO, NOW, NOW - 1000)
    assert (metrics.last, metrics.vwap, metrics.volume, metrics.rate) == (euros()[-1].price, None, None, None)
    assert metrics.volatility is not None
    assert (metrics.trades, metrics.left_out) == (0, 0)
    assert stocks.metrics(EURO, NOW, NOW - 1000).last is None


def test_currencies_miss_nothing_at_the_weekend(lake_settings: Settings) -> None:
    lay(lake_settings, [covered(EURO, f"{DAY} 16:00", f"{DAY} 16:30")], table="feed_events")
    query = lake_settings.model_copy(update={"symbols": [EURO]})
    gaps = read_coverage(query, at(f"{DAY} 16:00"), at("2026-11-22 18:00")).gaps
    assert [(gap.since, gap.until) for gap in gaps] == [
        (at(f"{DAY} 16:30"), at(f"{DAY} 17:00")),
        (at("2026-11-22 17:00"), at("2026-11-22 18:00")),
    ]


ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Chatham", "Australia/Lord_Howe", "Asia/Tokyo", "America/Havana")
# Both clock changes of New York, Havana, Chatham and Lord Howe are near one of these.
DATES = ("2026-03-08", "2026-04-04", "2026-09-26", "2026-10-03", "2026-11-01")
STEPS = {"1d": 86_400_000, "6h": 21_600_000, "90m": 5_400_000, "1h": 3_600_000}


def bar_of(ms: int, zone: ZoneInfo, step: int) -> int:
    """Start of the bar that contains ``ms``: counted from midnight of its date in ``zone``, up to the date's end."""
    day = datetime.fromtimestamp(ms / 1000, zone).date()
    midnight = round(datetime.combine(day, time(), zone).astimezone(UTC).timestamp() * 1000)
    return midnight if step == STEPS["1d"] else midnight + (ms - midnight) // step * step


@hypothesis_settings(max_examples=examples(0.15), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    data=st.lists(st.tuples(st.integers(-50, 70), st.integers(0, 3_599_999), st.integers(1, 9)), min_size=1, max_size=40),
    zone=st.sampled_from(ZONES),
    step=st.sampled_from(sorted(STEPS)),
    day=st.sampled_from(DATES),
    symbol=st.sampled_from(["BINANCE:BTCUSDT", "AAPL"]),
)
def test_each_bar_appears_once_in_any_zone(
    data: list[tuple[int, int, int]], zone: str, step: str, day: str, symbol: str
) -> None:
    """Across clock changes too, and if New York's midnight lies within a bar."""
    rows = [trade(symbol, at(day) + 3_600_000 * hour + ms, float(price), float(price)) for hour, ms, price in data]
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(environ=clean_environment(), flags={"lake.url": (Path(folder) / "lake").as_uri()})
        lay(settings, rows)
        query = ask(symbol, None, since=0, session="all", every_ms=STEPS[step], zone=ZoneInfo(zone))
        found = definitions.bars(settings, query).rows
        vwaps = definitions.vwap(settings, query).rows
    by_bar: dict[int, list[Trade]] = {}
    for row in sorted(rows, key=lambda row: (row.ts_event, row.ts_recv, row.id)):
        by_bar.setdefault(bar_of(row.ts_event, ZoneInfo(zone), STEPS[step]), []).append(row)
    expected = [(ms, held[0].price, held[-1].price, len(held)) for ms, held in sorted(by_bar.items())]
    bars = [(round(row["bar"].timestamp() * 1000), row["open"], row["close"], row["trades"]) for row in found]
    assert bars == expected
    assert [round(row["bar"].timestamp() * 1000) for row in vwaps] == [ms for ms, *_ in expected]


def test_each_edge_of_a_window_appears_once_in_any_zone(lake_settings: Settings) -> None:
    rows = [trade("BINANCE:BTCUSDT", at("2026-11-20") + 1_800_000 * number, 100.0 + number % 5) for number in range(80)]
    lay(lake_settings, rows)
    query = ask("BINANCE:BTCUSDT", None, since=0, every_ms=86_400_000, zone=ZoneInfo("UTC"))
    found = definitions.volatility(lake_settings, query, definitions.Window(10)).rows
    edges = [row["at"] for row in found]
    assert edges == sorted(set(edges))
    assert {row["trade_date"] for row in found} <= {date(2026, 11, 19) + timedelta(number) for number in range(4)}
