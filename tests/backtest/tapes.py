"""Tapes for tests of backtests: the same trades each time, on every Python."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from stockctl.records import FeedEvent, Trade
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.lakes import at, covered, lay
from tests.lakes import trade as any_trade


def fresh(folder: Path, **flags: object) -> Settings:
    """Settings with a fresh lake in ``folder``."""
    return load_settings(environ=clean_environment(), flags={"lake.url": (folder / "lake").as_uri(), **flags})


def trade(
    symbol: str, moment: str | int, price: float, volume: float = 10_000.0, conditions: str = "1", **other: object
) -> Trade:
    """A trade whose id depends on its symbol and time alone, so that hashes over ids can be pinned."""
    ts = at(moment) if isinstance(moment, str) else moment
    return any_trade(symbol, ts, price, volume, conditions, **{"id": f"{symbol}-{ts}-test00-00000000"} | other)


def day(symbol: str, text: str, count: int = 600, price: float = 100.0, seed: int = 1) -> list[Trade]:
    """A date's trades as they came: pre-market, the regular session, a closing auction, late rows and odd lots among them."""
    draw = random.Random(f"{symbol} {text} {seed}").random
    start, close = at(f"{text} 09:00"), at(f"{text} 16:00")
    trades = []
    for number in range(count):
        moment = start + (close - start) * number // count
        price = max(1.0, round(price * (1 + (draw() - 0.5) / 500), 2))
        kind = draw()
        codes = "24" if moment < at(f"{text} 09:30") else "12" if kind < 0.2 else "1"
        late = int(draw() * 60_000) if kind > 0.97 else 0
        volume = float(1 + int(draw() * 2000))
        trades.append(
            trade(symbol, moment - late, price, volume, codes, ts_recv=moment + 50, id=f"{symbol}-{moment}-test00-{number:08d}")
        )
    trades.append(trade(symbol, close + 500, price, 50_000.0, "1,36"))
    return trades


def cover(settings: Settings, symbols: str, days: Iterable[str], gaps: Sequence[tuple[str, str]] = ()) -> None:
    """Feed events that cover the regular sessions of ``days`` but for ``gaps``, each of two exchange times."""
    events: list[FeedEvent] = []
    for text in days:
        since = at(f"{text} 09:30")
        events.append(covered(symbols, since - 60_000, since - 60_000, "connected"))
        for first, last in [*((at(a), at(b)) for a, b in gaps if a.startswith(text)), (at(f"{text} 16:00"), 0)]:
            while since < first:
                until = min(first, since + 3_600_000)
                events.append(covered(symbols, since, until))
                since = until
            since = last
    lay(settings, events, table="feed_events")
