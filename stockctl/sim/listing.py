"""The list of US symbols, as ``/stock/symbol`` gives it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stockctl.exchange.venues import has_venue

FUNDS = ("IWM", "QQQ", "SPY")
"""Symbols that are funds: no company, no filings."""
_OTHERS = (("ASMLF", "OOTC", "USD", "Common Stock"), ("BABA", "XNYS", "USD", "ADR"), ("RYC", "XNYS", "CAD", "Common Stock"))
"""Symbols of the list that are no common stock of the two exchanges in dollars."""


def symbol_list(symbols: Iterable[str]) -> list[dict[str, Any]]:
    """The list of those of ``symbols`` that are listed in the US, and of a few others."""
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
