"""Bars for tests: a wave, random walks, and the daily bars of GOOG that the package ``backtesting`` ships."""

from __future__ import annotations

import math
from importlib.metadata import distribution
from pathlib import Path
from random import Random

from stockctl.strategies import Bar

DAY = 86_400_000
START = 1_764_046_800_000
"""2025-11-25 00:00 in New York."""


def goog() -> Path:
    """2,148 daily bars of GOOG. A file of the wheel: nothing of the package is imported."""
    return Path(str(distribution("backtesting").locate_file("backtesting/test/GOOG.csv")))


def bar(index: int, opened: float, close: float, *, symbol: str = "AAPL", volume: float = 1000.0) -> Bar:
    """The bar number ``index`` of a day each."""
    start = START + index * DAY
    return Bar(symbol, start, start + DAY, opened, max(opened, close), min(opened, close), close, volume, close, 10)


def wave(count: int = 120, *, symbol: str = "AAPL") -> list[Bar]:
    """Prices that rise and fall around 100."""
    prices = [100 + 10 * math.sin(index / 5) for index in range(count + 1)]
    return [bar(index, prices[index], prices[index + 1], symbol=symbol) for index in range(count)]


def walk(seed: int, count: int = 400) -> list[Bar]:
    """A random walk, with gaps between a close and the next open."""
    random = Random(seed)
    bars: list[Bar] = []
    close = random.uniform(20, 200)
    for index in range(count):
        opened = close * math.exp(random.gauss(0, 0.005))
        close = opened * math.exp(random.gauss(0, 0.02))
        bars.append(bar(index, opened, close))
    return bars
