"""Venues, as Finnhub names them before the colon of a symbol: which ones trade currencies, and which never close.

``BINANCE:BTCUSDT`` trades at ``BINANCE``. A symbol without a venue is a US stock.
"""

from __future__ import annotations

import re
from functools import lru_cache

CURRENCY_VENUES = (
    "OANDA",
    "FXCM",
    "FOREX.COM",
    "FOREX",
    "IC MARKETS",
    "ICM TRADER",
    "OCTAFX",
    "FXPIG",
    "FXPRO",
    "PEPPERSTONE",
)
"""Currency venues that Finnhub lists. They send prices without volume."""

CRYPTO_VENUES = (
    "BINANCE",
    "BINANCEUS",
    "BITFINEX",
    "BITMEX",
    "BITSTAMP",
    "BITTREX",
    "BYBIT",
    "COINBASE",
    "GEMINI",
    "HITBTC",
    "HUOBI",
    "KRAKEN",
    "KUCOIN",
    "OKEX",
    "OKX",
    "POLONIEX",
)
"""Cryptocurrency venues. They never close, not even for pairs such as EUR/USD."""

_CURRENCY = (
    "USD|EUR|JPY|GBP|CHF|AUD|CAD|NZD|SEK|NOK|DKK|CZK|HUF|PLN|RON|BGN|ISK|TRY|RUB|UAH|ILS|ZAR|MXN|BRL|CLP|COP|ARS|PEN|CNY|CNH|HKD"
    "|SGD|KRW|TWD|THB|INR|IDR|MYR|PHP|VND|AED|SAR|KWD|BHD|QAR|OMR|JOD|EGP|MAD|KES|NGN|KZT|GEL|PKR|XAU|XAG|XPT|XPD"
)
_PAIR = re.compile(rf"(?:{_CURRENCY})[^A-Z0-9]?(?:{_CURRENCY})")
"""A pair of ISO 4217 codes, metals included: ``EUR_USD``, ``XAU/USD``, ``USDJPY``."""


def has_venue(symbol: str) -> bool:
    """Whether ``symbol`` names a venue. If not, it is a US stock."""
    return ":" in symbol


@lru_cache(maxsize=4096)
def is_currency(symbol: str) -> bool:
    """Whether ``symbol`` trades by the hours of the currency market.

    True at the known currency venues, at venues whose names start or end with FX or FOREX (``FXOPEN``, ``OCTAFX``), and for
    a pair of currencies at any other venue that is not a cryptocurrency venue (``SAXO:EUR/USD``).
    """
    venue, colon, name = symbol.upper().partition(":")
    if not colon or venue in CRYPTO_VENUES:
        return False
    named_fx = venue.startswith(("FX", "FOREX")) or venue.endswith(("FX", "FOREX"))
    return named_fx or venue in CURRENCY_VENUES or _PAIR.fullmatch(name) is not None
