"""Venues, as Finnhub names them before the colon of a symbol: which trade currencies, and which never close.

``BINANCE:BTCUSDT`` is traded at ``BINANCE``; a symbol without a venue is a US stock.
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
"""Venues of currencies that Finnhub lists: they send prices, no trades."""

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
"""Venues of cryptocurrencies: they never close, also where they trade euros for dollars."""

_CURRENCY = (
    "USD|EUR|JPY|GBP|CHF|AUD|CAD|NZD|SEK|NOK|DKK|CZK|HUF|PLN|RON|BGN|ISK|TRY|RUB|UAH|ILS|ZAR|MXN|BRL|CLP|COP|ARS|PEN|CNY|CNH|HKD"
    "|SGD|KRW|TWD|THB|INR|IDR|MYR|PHP|VND|AED|SAR|KWD|BHD|QAR|OMR|JOD|EGP|MAD|KES|NGN|KZT|GEL|PKR|XAU|XAG|XPT|XPD"
)
_PAIR = re.compile(rf"(?:{_CURRENCY})[^A-Z0-9]?(?:{_CURRENCY})")
"""Two of ISO 4217's codes that are traded against each other, metals among them: ``EUR_USD``, ``XAU/USD``, ``USDJPY``."""


def has_venue(symbol: str) -> bool:
    """Whether ``symbol`` names a venue, and so is no US stock."""
    return ":" in symbol


@lru_cache(maxsize=4096)
def is_currency(symbol: str) -> bool:
    """Whether ``symbol`` is traded by the hours of the currency market.

    Its venue tells: a known one, or one that calls itself so (``FX``, ``FXOPEN``, ``OCTAFX``); at any other venue that is none
    of cryptocurrencies, a pair of two currencies (``SAXO:EUR/USD``).
    """
    venue, colon, name = symbol.upper().partition(":")
    if not colon or venue in CRYPTO_VENUES:
        return False
    names_itself = venue.startswith(("FX", "FOREX")) or venue.endswith(("FX", "FOREX"))
    return names_itself or venue in CURRENCY_VENUES or _PAIR.fullmatch(name) is not None
