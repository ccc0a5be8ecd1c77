"""The tables that ``market`` draws from, with the shares of real trades.

A table's length is a power of two, so that some bits of one random draw choose an entry:

    bits 0–11 arrival · 12–21 size · 22–31 codes · 32–39 price step · 40–47 part of a cent · 48–57 lateness · 58–73 symbol
"""

from __future__ import annotations

import math
from typing import NamedTuple

from stockctl.exchange.trade_conditions import EXTENDED_HOURS, ODD_LOT

DRAW_BITS = 74
SYMBOL_RANGE = 1 << 16
ROUND_LOT = 100

BASE_PRICES: dict[str, float] = {
    "AAPL": 265.0,
    "AMD": 215.0,
    "AMZN": 225.0,
    "GOOGL": 285.0,
    "INTC": 36.0,
    "IWM": 240.0,
    "JPM": 305.0,
    "META": 610.0,
    "MSFT": 480.0,
    "NVDA": 185.0,
    "QQQ": 600.0,
    "SPY": 665.0,
    "TSLA": 400.0,
    "XOM": 117.0,
    "BINANCE:BTCUSDT": 92_000.0,
    "BINANCE:ETHUSDT": 3_000.0,
    "BINANCE:SOLUSDT": 135.0,
    "OANDA:EUR_USD": 1.155,
    "OANDA:GBP_USD": 1.31,
    "OANDA:USD_JPY": 156.0,
}
"""Base prices of well-known symbols. All others get one between 15 and 400 from their name and the seed."""


def _shared(length: int, shares: dict[int, int], rest: list[int] | int) -> tuple[int, ...]:
    """A table of ``length`` with each value as often as ``shares`` says, filled up with ``rest`` in turn."""
    table = [value for value, count in shares.items() for _ in range(count)]
    values = [rest] if isinstance(rest, int) else rest
    table += [values[i % len(values)] for i in range(length - len(table))]
    return tuple(table)


# Arrival. Trades cluster: more than six of ten directly follow another in the same symbol, mostly in the same millisecond.
NEW, FOLLOWING, EQUAL = 0, 1, 2
KINDS = _shared(4096, {NEW: 1500, EQUAL: 660}, FOLLOWING)
"""How a row arises: independent, following the row before, or as its exact repetition (a separate trade)."""


def _gaps() -> tuple[float, ...]:
    following = KINDS.count(FOLLOWING)
    spread = following // 4  # a quarter of the followers comes a moment later
    return (
        *(-math.log((i + 0.5) / 1500) for i in range(1500)),
        *(0.0 for _ in range(660 + following - spread)),
        *(-0.02 * math.log((i + 0.5) / spread) for i in range(spread)),
    )


GAPS = _gaps()
"""Time to the row before, by the same index as ``KINDS``, exponential; 1 is the mean gap between rows on their own."""

LAGS = _shared(1024, dict.fromkeys(range(10, 900, 25), 1), 0)
"""Milliseconds by which a row is reported late: rows are not sorted by time."""

STOCK_SIZES = _shared(
    1024,
    {0: 2, 1: 112, 2: 45, 3: 30, 4: 22, 5: 45, 6: 10, 7: 10, 8: 10, 9: 8, 10: 60, 11: 5, 12: 6, 13: 4, 14: 4, 15: 10, 16: 4}
    | {17: 3, 18: 3, 19: 2, 20: 24, 25: 22, 30: 14, 33: 4, 35: 4, 40: 12, 50: 34, 60: 6, 70: 3, 75: 6, 80: 5, 90: 4, 99: 6}
    | {100: 290, 200: 62, 300: 32, 400: 20, 500: 22, 600: 6, 700: 4, 800: 4, 1000: 10, 1500: 2, 2000: 4, 5000: 2, 10000: 1},
    rest=[101, 103, 107, 110, 113, 118, 120, 125, 131, 137, 140, 142, 150, 160, 173, 175, 182, 190, 225, 250],
)
"""Shares of one trade: about half are odd lots, 100 is by far the most common; 0 is a price update."""

STEPS = _shared(256, {-5: 1, -2: 6, -1: 32, 1: 32, 2: 6, 5: 1}, 0)
"""Price step in ticks: most trades repeat the last price."""

SUBPENNIES = _shared(256, {1: 12, 5: 4, 10: 6, 15: 4, 39: 2, 41: 3, 50: 18, 61: 2, 85: 4, 90: 4, 99: 6}, 0)
"""Hundredths of a cent on top: trades off the exchanges improve the price by a little."""

# Codes. In a row they stand in the tape's order: 1, how it was executed (8, 14, 41), extended hours, what kind of sale it was.
PLAIN = 0
EXTENDED = 2
_BEFORE_HOURS = ("8", "14", "41")
_AFTER_HOURS = ("10", "37")


def _codes(special: str | None, *, extended: bool, odd: bool) -> tuple[str, ...]:
    before = (special,) if special in _BEFORE_HOURS else ()
    after = (special,) if special in _AFTER_HOURS else ()
    return ("1", *before, *((EXTENDED_HOURS,) if extended else ()), *after, *((ODD_LOT,) if odd else ()))


CODES = tuple(
    _codes(special, extended=extended, odd=odd)
    for special in (None, *_BEFORE_HOURS, *_AFTER_HOURS)
    for extended in (False, True)
    for odd in (False, True)
)
"""Every combination of codes that occurs, at the index of its special code + ``EXTENDED`` + odd lot."""

_INDEX = {code: 4 * (i + 1) for i, code in enumerate((*_BEFORE_HOURS, *_AFTER_HOURS))}
SPECIALS = _shared(1024, {_INDEX["8"]: 265, _INDEX["14"]: 6, _INDEX["41"]: 6, _INDEX["37"]: 4, _INDEX["10"]: 3}, PLAIN)
"""Special codes: a quarter of all trades are intermarket sweeps, the others are rare."""

LISTED_AT_NASDAQ = 4
"""Letters of a ticker from which on it is taken for one of Nasdaq's: its crosses have other codes than those of the NYSE's."""


class Print(NamedTuple):
    """An official print some ms after the bell: its codes, and whether it is an auction with its own price."""

    codes: tuple[str, ...]
    auction: bool


def prints(session: str, ticker: str) -> tuple[Print, ...]:
    """Official prints of ``ticker`` at the start of ``session``, in order. Those after the close have no code 24."""
    opening, closing = ("19", "36") if len(ticker) >= LISTED_AT_NASDAQ else ("18", "35")
    by_session = {
        "regular": (Print(("1", opening), True), Print(("1", "20"), False)),
        "post": (Print(("1", closing), True), Print(("1", "16"), False), Print(("1", "15"), False)),
    }
    return by_session.get(session, ())
