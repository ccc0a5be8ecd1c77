"""A sweep of 200 sets of parameters over 5 symbols and a month of bars of a minute, against the library ``backtesting``.

    python benchmarks/sweep.py --sets 200 --workers 2

Both run the same crossing of two averages on the same bars with orders at the next open, in as many processes. Prints the
seconds of each and their ratio. The library runs a ``--share`` of the sets, since it takes long; its time for all is computed.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover

from stockctl.backtest.bars_run import Terms
from stockctl.backtest.sweep.grid import Grid
from stockctl.backtest.sweep.sweep import Span, bars_data, run_here, sweep
from stockctl.exchange.time_parsing import parse_moment
from stockctl.strategies import Bar, load_strategy

SYMBOLS = ("AAPL", "MSFT", "NVDA", "TSLA", "AMZN")
DAYS, MINUTES = 21, 390
OPEN = parse_moment("2026-11-02T09:30")


def month(symbol: str) -> list[Bar]:
    """A month of bars of a minute."""
    draw = random.Random(symbol)
    bars, close = [], 100.0
    for number in range(DAYS * MINUTES):
        start = OPEN + number // MINUTES * 86_400_000 + number % MINUTES * 60_000
        opened = close
        close = opened * math.exp(draw.gauss(0, 0.0005))
        low, high = sorted((opened, close))
        bars.append(Bar(symbol, start, start + 60_000, opened, high, low, close, 1000.0, close, 10))
    return bars


def sets(count: int) -> list[dict[str, str]]:
    """Pairs of a fast and a slower average."""
    pairs = [(fast, slow) for fast in range(5, 25) for slow in range(30, 130, 10)]
    return [{"fast": str(fast), "slow": str(slow)} for fast, slow in pairs[:count]]


class Cross(Strategy):  # type: ignore[misc]  # the library ships no types
    """The same crossing for the library."""

    fast, slow = 10, 30

    def init(self) -> None:
        """Compute both averages."""
        close = pd.Series(self.data.Close)
        self.one = self.I(lambda: close.rolling(self.fast).mean())
        self.other = self.I(lambda: close.rolling(self.slow).mean())

    def next(self) -> None:
        """Reverse the position where they cross."""
        if crossover(self.one, self.other):
            self.position.close()
            self.buy()
        elif crossover(self.other, self.one):
            self.position.close()
            self.sell()


def run_library(work: tuple[str, list[dict[str, str]]]) -> int:
    """Run the sets on one symbol; the number of trades."""
    symbol, chosen = work
    bars = month(symbol)
    columns = {name.capitalize(): [getattr(bar, name) for bar in bars] for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame(columns, index=pd.to_datetime([bar.start for bar in bars], unit="ms"))
    test = Backtest(frame, Cross, cash=10_000, finalize_trades=True)
    return sum(int(test.run(fast=int(one["fast"]), slow=int(one["slow"]))["# Trades"]) for one in chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--share", type=float, default=0.1, help="share of the sets that the library runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    chosen = sets(options.sets)
    bars = {symbol: month(symbol) for symbol in SYMBOLS}
    strategy = load_strategy("sma-cross", chosen[0])

    start = time.perf_counter()
    data = bars_data(bars, Terms(), Span("all", None, None))
    rows = sweep(strategy, Grid(chosen), data, "all", run_here(options.workers), workers=options.workers)
    own = time.perf_counter() - start
    trips = sum(row.statistics.round_trips for row in rows)

    few = chosen[:: max(1, round(1 / options.share))]
    work = [(symbol, few[part :: options.workers]) for symbol in SYMBOLS for part in range(options.workers)]
    start = time.perf_counter()
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        trades = sum(pool.map(run_library, work))
    measured = time.perf_counter() - start
    library = measured * len(chosen) / len(few)

    print(f"{len(chosen)} sets x {len(SYMBOLS)} symbols x {DAYS * MINUTES:,} bars, {options.workers} processes")
    print(f"stockctl backtest sweep: {own:.1f} s, {trips:,} round trips")
    print(f"backtesting: {library:.1f} s ({measured:.1f} s for {len(few)} sets, {trades:,} trades)")
    print(f"ratio: {library / own:.2f}")


if __name__ == "__main__":
    main()
