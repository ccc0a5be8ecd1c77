"""Which symbols to fetch filings of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stockctl.clients.finnhub.responses import Listed
from stockctl.errors import ConfigError, UsageError
from stockctl.exchange.venues import has_venue
from stockctl.settings import Settings, require

_EXCHANGES = ("XNYS", "XNAS")


class SymbolSelection(NamedTuple):
    """The named symbols, else with ``all_us`` all common stock of the US exchanges, else the configured symbols."""

    symbols: Sequence[str] = ()
    all_us: bool = False


def named_stocks(symbols: Sequence[str]) -> list[str]:
    """``symbols`` without duplicates. UsageError for a symbol that cannot have filings."""
    for symbol in symbols:
        if has_venue(symbol):
            raise UsageError(f"{symbol} has no filings", hint="name US stocks, such as AAPL")
    return list(dict.fromkeys(symbols))


def configured_stocks(settings: Settings) -> list[str]:
    """The configured symbols that may have filings. ConfigError if there is none."""
    stocks = [symbol for symbol in dict.fromkeys(require(settings, "symbols")) if not has_venue(symbol)]
    if not stocks:
        raise ConfigError("none of the configured symbols is a stock", hint="`stockctl filings fetch AAPL`")
    return stocks


def us_common_stocks(listed: Sequence[Listed]) -> list[str]:
    """The common stock of NYSE and Nasdaq that trades in dollars."""
    return sorted(
        {one.symbol for one in listed if one.type == "Common Stock" and one.mic in _EXCHANGES and one.currency == "USD"}
    )
