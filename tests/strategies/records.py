"""Records and strategies for the tests of the kernel."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stockctl.exchange.time_parsing import parse_moment
from stockctl.records import Trade
from stockctl.strategies import LoadedStrategy, load_strategy

MONDAY = parse_moment("2026-11-23 09:30:00")


def trade(number: int, at: int = MONDAY, price: float = 100.0, volume: float = 100.0, **other: Any) -> Trade:
    """The trade ``number``, received 50 ms after ``at`` (ms UTC)."""
    fields: dict[str, Any] = {"symbol": "AAPL", "conditions": "", "updates": "vhl", "source": "sim", "ts_recv": at + 50} | other
    return Trade(id=f"AAPL-{at}-test00-{number:08d}", price=price, volume=volume, ts_event=at, **fields)


def walk(count: int, *, seed: int = 1, since: int = MONDAY, step: int = 500) -> list[Trade]:
    """A random walk of prices, in order of time."""
    draw = random.Random(seed)
    price, at = 100.0, since
    trades = []
    for number in range(count):
        price = max(1.0, price * (1 + draw.gauss(0, 0.0004)))
        at += draw.randrange(1, 2 * step)
        volume = float(draw.choice((0, 1, 7, 100, 250)))
        updates = draw.choice(("vhl", "vhl", "vhl", "v", "hl", ""))
        trades.append(trade(number, at, round(price, 2), volume, updates=updates))
    return trades


def strategy_of(folder: Path, code: str, name: str = "user", **params: Any) -> LoadedStrategy:
    """The strategy in a file with ``code``, which has ``Strategy``, ``buy`` and the others imported."""
    path = folder / f"{name}.py"
    imports = "from pydantic import BaseModel\nfrom stockctl.strategies import *\n"
    path.write_text(imports + code)
    return load_strategy(str(path), params)


def batches(trades: list[Trade], sizes: Iterator[int]) -> Iterator[list[Trade]]:
    """``trades`` in batches of these sizes."""
    first = 0
    while first < len(trades):
        size = next(sizes)
        yield trades[first : first + size]
        first += size
