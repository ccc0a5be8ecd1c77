"""Bars and indicators: equal to the metrics over the same trades, by exact arithmetic and by SQL."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.errors import UsageError
from stockctl.exchange.time_parsing import parse_moment
from stockctl.metrics import definitions
from stockctl.settings import load_settings
from stockctl.strategies import Bar, Trade
from stockctl.strategies.bars import BarBuilder, bar_length
from stockctl.strategies.indicators import RollingDeviation, RollingMean, RollingVwap, RunningVwap, TradeRate
from tests.command import clean_environment
from tests.lakes import lay
from tests.metrics import plain
from tests.strategies.records import MONDAY, trade, walk

PRICES = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=200)


def close_to(value: float | None, exact: float | None, scale: float = 1.0) -> bool:
    """Equal to 1e-9 of the value, or of ``scale`` where the value is small beside what it was computed from."""
    if value is None or exact is None:
        return value is exact
    return math.isclose(value, exact, rel_tol=1e-9, abs_tol=1e-9 * scale + 1e-12)


@given(PRICES, st.integers(2, 40))
def test_rolling_mean_and_deviation(prices: list[float], size: int) -> None:
    mean, deviation = RollingMean(size), RollingDeviation(size)
    for number, price in enumerate(prices, 1):
        window = prices[max(0, number - size) : number]
        exact = float(sum(map(Fraction, window)) / size) if len(window) == size else None
        assert close_to(mean.add(price), exact)
        # A deviation that is small beside the range of the prices has fewer digits.
        assert close_to(deviation.add(price), plain.deviation(window), scale=max(prices) - min(prices))


@given(PRICES, st.integers(1, 40))
def test_sums_are_rounded_once(prices: list[float], size: int) -> None:
    """So every Python computes the same bits; the built-in sum would round otherwise from 3.12 on."""
    mean, vwap = RollingMean(size), RollingVwap(len(prices) + 1)
    for number, price in enumerate(prices, 1):
        window = prices[max(0, number - size) : number]
        assert mean.add(price) == (float(sum(map(Fraction, window))) / size if len(window) == size else None)
        differences = float(sum(Fraction(one - prices[0]) for one in prices[:number]))
        assert vwap.add(number, price, 1.0) == prices[0] + differences / number


def test_a_long_walk_keeps_its_digits() -> None:
    trades = walk(50_000)
    deviation = RollingDeviation(100)
    values = [deviation.add(row.price) for row in trades]
    for number in range(100, len(trades), 997):
        exact = plain.deviation([row.price for row in trades[number - 99 : number + 1]])
        assert values[number] == pytest.approx(exact, rel=1e-9)


@given(st.lists(st.tuples(st.floats(0.01, 1e5), st.floats(0.01, 1e6)), min_size=1, max_size=100))
def test_running_vwap(trades: list[tuple[float, float]]) -> None:
    vwap = RunningVwap()
    for price, volume in trades:
        vwap.add(price, volume)
    total = sum(Fraction(volume) for _, volume in trades)
    exact = sum(Fraction(price) * Fraction(volume) for price, volume in trades) / total
    assert close_to(vwap.value, float(exact), scale=max(price for price, _ in trades))
    spread = sum((Fraction(price) - exact) ** 2 * Fraction(volume) for price, volume in trades) / total
    prices = [price for price, _ in trades]
    if len(trades) > 1 and math.sqrt(spread) > (max(prices) - min(prices)) / 100:
        assert vwap.deviation == pytest.approx(math.sqrt(spread), rel=1e-6)


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(1, 1000), st.floats(0.1, 1000)), min_size=1, max_size=60))
def test_windows_of_time(steps: list[tuple[int, float, float]]) -> None:
    vwap, rate = RollingVwap(1000), TradeRate(1000)
    at, seen = 0, []
    for step, price, volume in steps:
        at += step
        seen.append((at, price, volume))
        window = [row for row in seen if at - 1000 < row[0] <= at]
        exact = sum(Fraction(p) * Fraction(v) for _, p, v in window) / sum(Fraction(v) for _, _, v in window)
        assert close_to(vwap.add(at, price, volume), float(exact), scale=1000)
        assert rate.add(at) == len(window)


def bars_of(trades: list[Trade], every: str) -> list[Bar]:
    builder = BarBuilder("AAPL", bar_length(every))
    return [bar for row in trades if (bar := builder.add(row)) is not None]


@pytest.mark.parametrize("every", ["1s", "30s", "5m", "1h"])
def test_bars_equal_the_metric(tmp_path: Path, every: str) -> None:
    trades = walk(4000, since=parse_moment("2026-11-23 09:30:00"))
    flags = {"lake.url": (tmp_path / "lake").as_uri(), "lake.extra_sources": ["sim"], "metrics.session": "all"}
    settings = load_settings(environ=clean_environment(), flags=flags)
    lay(settings, trades)
    query = definitions.build_query(settings, ["AAPL"], day="2026-11-23", every=every)
    rows = [row for row in definitions.bars(settings, query).rows if row["close"] is not None]
    names = ("open", "high", "low", "close", "volume", "vwap", "trades")

    found = bars_of(trades, every)

    assert len(found) == len(rows) - 1 > 0  # no later trade closes the last one
    for bar, row in zip(found, rows, strict=False):
        assert bar.start == int(row["bar"].timestamp() * 1000)
        assert (bar.open, bar.close) == (row["open"], row["close"])
        if bar.trades:
            assert [getattr(bar, name) for name in names[4:]] == pytest.approx([row[name] for name in names[4:]], rel=1e-9)
        if row["high"] is not None:
            assert (bar.high, bar.low) == (row["high"], row["low"])


def test_a_late_trade_is_in_no_bar() -> None:
    rows = [trade(0), trade(1, MONDAY + 60_000, 101.0), trade(2, MONDAY + 1, 500.0, ts_recv=MONDAY + 60_001)]
    bars = bars_of([*rows, trade(3, MONDAY + 120_000)], "1m")

    assert [(bar.high, bar.trades) for bar in bars] == [(100.0, 1), (101.0, 1)]


def test_a_trade_dated_in_the_future_closes_no_bar() -> None:
    rows = [trade(0), trade(1, MONDAY + 86_400_000, 101.0, ts_recv=MONDAY + 10), trade(2, MONDAY + 20, 102.0)]
    assert bars_of(rows, "1m") == []

    (bar,) = bars_of([*rows, trade(3, MONDAY + 60_000)], "1m")
    assert (bar.open, bar.close, bar.trades) == (100.0, 102.0, 3)


def test_a_bar_of_a_day_is_as_long_as_its_day() -> None:
    noon = parse_moment("2026-11-01 12:00:00")  # clocks go back on this day
    (bar,) = bars_of([trade(0, noon), trade(1, noon + 86_400_000)], "1d")

    assert bar.end - bar.start == 25 * 3_600_000


@pytest.mark.parametrize("every", ["7m", "0s", "2d", "soon"])
def test_bars_divide_a_day(every: str) -> None:
    with pytest.raises(UsageError, match="bars"):
        bar_length(every)
