"""A backtest whose figures are known, and the same strategy in another library: equal trades and equity."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import stockctl
from stockctl.backtest import statistics
from stockctl.backtest.bars_file import read_bars_file
from stockctl.backtest.bars_run import Terms, run_bars
from stockctl.backtest.result import BacktestResult
from stockctl.strategies import Bar
from stockctl.strategies.indicators import RollingMean
from stockctl.strategies.loading import load_strategy
from tests.backtest.waves import goog, walk

CLOSED = Terms(close_at_end=True)


@pytest.fixture(scope="module")
def bars() -> list[Bar]:
    return read_bars_file(goog(), ["GOOG"])["GOOG"]


@pytest.fixture(scope="module")
def result(bars: list[Bar]) -> BacktestResult:
    """Moving averages of 10 and 30 closes, 10,000 in cash, no fees; what is open is closed at the last open."""
    return run_bars(load_strategy("sma-cross", {"fast": 10, "slow": 30}), {"GOOG": bars}, CLOSED)


def test_figures_of_goog(result: BacktestResult) -> None:
    """To the last digit."""
    (symbol,) = result.symbols
    figures = result.statistics
    assert len(symbol.equity) == 2148
    assert figures.round_trips == 66
    assert figures.final_equity == 51422.98999999996
    assert figures.max_drawdown * 100 == -47.98012705007588
    assert (figures.annual_return or 0) * 100 == 21.191099249053224
    assert (figures.win_rate or 0) * 100 == 46.96969696969697
    returns = statistics.returns_of([point.equity for point in symbol.equity])
    assert (statistics.compounded_volatility(returns, 252) or 0) * 100 == 36.49716090702389
    assert statistics.compounded_sharpe(returns, 252) == 0.5806232244485349
    assert statistics.profit_factor([trip.price_return for trip in symbol.round_trips]) == 2.167945974262033
    assert {decision.position >= 30 for decision in symbol.decisions} == {True}


def test_a_change_of_any_decision_or_fill_changes_the_hash(result: BacktestResult) -> None:
    """The hash is pinned: a change of results must be made here too."""
    assert result.hash == PINNED
    (symbol,) = result.symbols
    first, *others = symbol.fills
    for changed in (
        symbol._replace(fills=[first._replace(price=first.price + 1e-13), *others]),
        symbol._replace(fills=[first._replace(quantity=first.quantity + 1), *others]),
        symbol._replace(decisions=[symbol.decisions[0]._replace(target=0.5), *symbol.decisions[1:]]),
        symbol._replace(decisions=symbol.decisions[1:]),
    ):
        assert changed.hash != symbol.hash
    assert symbol._replace(decisions=[one._replace(reason="other") for one in symbol.decisions]).hash == symbol.hash


PINNED = "34f9ce9e0b024a49ea296e90fc8d69bdedae98ddbf359d7c044167e08d59bc00"


def other_library(bars: Sequence[Bar], fast: int, slow: int) -> Any:
    """The result of the package ``backtesting`` for the same strategy: whole shares, no commission, orders at the next open."""
    with warnings.catch_warnings():
        # Its warnings, and those of what it imports, are not ours.
        warnings.simplefilter("ignore")
        import pandas
        from backtesting import Backtest, Strategy
        from backtesting.lib import crossover

        frame = pandas.DataFrame(
            [(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars],
            columns=["Open", "High", "Low", "Close", "Volume"],
            index=pandas.to_datetime([bar.start for bar in bars], unit="ms"),
        )

        class Cross(Strategy):  # type: ignore[misc]  # the package has no types
            def init(self) -> None:
                self.fast, self.slow = self.I(mean, fast), self.I(mean, slow)

            def next(self) -> None:
                if crossover(self.fast, self.slow):
                    self.position.close()
                    self.buy()
                elif crossover(self.slow, self.fast):
                    self.position.close()
                    self.sell()

        def mean(size: int) -> list[float]:
            rolling = RollingMean(size)
            return [float("nan") if (value := rolling.add(bar.close)) is None else value for bar in bars]

        return Backtest(frame, Cross, cash=10_000, commission=0, trade_on_close=False, finalize_trades=True).run()


def in_common(bars: list[Bar], fast: int, slow: int) -> tuple[list[Bar], BacktestResult]:
    """The bars up to one without a decision, and their backtest: the other library fills a last order in the past."""
    strategy = load_strategy("sma-cross", {"fast": fast, "slow": slow})
    decided = {decision.position for decision in run_bars(strategy, {"AAPL": bars}).symbols[0].decisions}
    end = next(end for end in range(len(bars), 0, -1) if end - 1 not in decided)
    return bars[:end], run_bars(strategy, {"AAPL": bars[:end]}, CLOSED)


def assert_equal(bars: Sequence[Bar], result: BacktestResult, other: Any) -> int:
    """The trades and the equity of both are equal, to the last digit; the number of trades."""
    starts = [bar.start for bar in bars]
    (symbol,) = result.symbols
    trips = sorted(
        (trip.shares, starts.index(trip.opened), starts.index(trip.closed), trip.entry_price, trip.exit_price, trip.profit)
        for trip in symbol.round_trips
    )
    columns = ["Size", "EntryBar", "ExitBar", "EntryPrice", "ExitPrice", "PnL"]
    assert trips == sorted(map(tuple, other["_trades"][columns].to_numpy().tolist()))
    assert [point.equity for point in symbol.equity] == other["_equity_curve"]["Equity"].tolist()
    assert symbol.round_trips
    return len(trips)


def test_random_walks_give_the_trades_and_the_equity_of_another_library() -> None:
    trades = 0
    for seed in range(20):
        fast, slow = (2, 5) if seed % 2 else (5, 20)
        bars, result = in_common(walk(seed), fast, slow)
        trades += assert_equal(bars, result, other_library(bars, fast, slow))
    assert trades > 500


def test_goog_gives_the_figures_of_another_library(bars: list[Bar], result: BacktestResult) -> None:
    other = other_library(bars, 10, 30)
    assert_equal(bars, result, other)
    figures = result.statistics
    assert (figures.annual_return or 0) * 100 == other["Return (Ann.) [%]"]
    assert (figures.calmar or 0) == pytest.approx(other["Calmar Ratio"], rel=1e-12)
    assert figures.max_drawdown * 100 == other["Max. Drawdown [%]"]


def test_only_tests_import_the_other_library() -> None:
    """Its licence is the AGPL."""
    modules = list(Path(stockctl.__file__).parent.rglob("*.py"))
    imported = {
        name.partition(".")[0]
        for path in modules
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    assert len(modules) > 100
    assert "pyarrow" in imported
    assert "backtesting" not in imported
