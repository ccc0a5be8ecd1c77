"""The list of US symbols of ``/stock/symbol``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stockctl.exchange.venues import has_venue

FUNDS = ("IWM", "QQQ", "SPY")
"""Funds: they have no company and no filings."""
_OTHERS = (("ASMLF", "OOTC", "USD", "Common Stock"), ("BABA", "XNYS", "USD", "ADR"), ("RYC", "XNYS", "CAD", "Common Stock"))
"""Listed symbols that are not common stock in dollars of the two exchanges."""


def symbol_list(symbols: Iterable[str]) -> list[dict[str, Any]]:
    """The US-listed ones of ``symbols``, and a few others."""
    stocks = [symbol for symbol in symbols if not has_venue(symbol)]
    rows = [
        (symbol, ("XNAS", "XNYS")[number % 2], "USD", "ETP" if symbol in FUNDS else "Common Stock")
        for number, symbol in enumerate(stocks)
    ]
    return [
        {
            "currency": currency,
            "description": f"{symbol} INC",
            "displaySymbol": symbol,
            "figi": "",
            "isin": None,
            "mic": mic,
            "shareClassFIGI": "",
            "symbol": symbol,
            "symbol2": "",
            "type": kind,
        }
        for symbol, mic, currency, kind in (*rows, *_OTHERS)
    ]
