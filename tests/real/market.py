"""A made-up market as captured frames, and its VWAP computed straight from them."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
DAYS = (date(2023, 3, 30), date(2023, 3, 31))
SYMBOLS = [f"SYM{chr(65 + number)}" for number in range(20)]
CODES = [["1"], ["1", "12"], ["1", "8"], ["1", "8", "12"], ["1", "16"], ["1", "37"], None]
WEIGHTS = [30, 40, 10, 10, 1, 1, 8]
OUT_OF_VWAP = {"16", "37"}
"""Of the codes above: the official close updates no volume, a contingent trade's price is not the market's."""


class Trade(NamedTuple):
    """One trade of the market."""

    symbol: str
    day: date
    price: float
    volume: float
    codes: list[str] | None


class Market(NamedTuple):
    """A file of frames, how many trades it holds, and each day's VWAP by symbol over what counts."""

    file: Path
    trades: int
    vwap: dict[tuple[str, str], float]


def make(file: Path, count: int, seed: int) -> Market:
    """Write ``count`` trades to ``file``: ten a frame, symbols mixed, in no order, some of them equal, with pings between."""
    weighted: dict[tuple[str, str], float] = defaultdict(float)
    volumes: dict[tuple[str, str], float] = defaultdict(float)
    with file.open("w") as out:
        for trade, line in _trades(count, random.Random(seed)):
            if line:
                out.write(line)
            if trade.volume and not OUT_OF_VWAP & set(trade.codes or ()):
                key = (trade.symbol, trade.day.isoformat())
                weighted[key] += trade.price * trade.volume
                volumes[key] += trade.volume
    return Market(file, count, {key: weighted[key] / volumes[key] for key in volumes})


def _trades(count: int, chance: random.Random) -> Iterator[tuple[Trade, str]]:
    opens = [int(datetime(day.year, day.month, day.day, 9, 30, tzinfo=NEW_YORK).timestamp() * 1000) for day in DAYS]
    prices = {symbol: chance.uniform(5, 500) for symbol in SYMBOLS}
    rows: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        if rows and chance.random() < 0.15:
            row = dict(rows[-1])  # a real trade, equal to the one before
        else:
            symbol = chance.choice(SYMBOLS)
            prices[symbol] *= 1 + chance.gauss(0, 0.0002)
            which = int(number > count // 2)
            row = {
                "c": chance.choices(CODES, WEIGHTS)[0],
                "p": round(prices[symbol], 4),
                "s": symbol,
                "t": opens[which] + chance.randrange(6 * 3600 * 1000),
                "v": chance.choice([0, 1, 5, 20, 99, 100, 300, 0.5]),
            }
        rows.append(row)
        line = ""
        if len(rows) == 10 or number == count:
            line = json.dumps({"data": rows, "type": "trade"}, separators=(",", ":")) + "\n"
            if number % 1000 == 0:
                line += '{"type":"ping"}\n'
            rows = []
        day = DAYS[int(row["t"] >= opens[1])]
        yield Trade(row["s"], day, row["p"], row["v"], row["c"]), line
