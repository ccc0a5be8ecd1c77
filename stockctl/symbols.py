"""Symbols as people write them: in any case, several joined by commas; and what of them a store knows.

Every symbol of Finnhub is in capitals, those of other venues too (``BINANCE:BTCUSDT``, ``OANDA:EUR_USD``, ``IC MARKETS:1``).
Where somebody else's producer wrote one otherwise, a query finds it by writing it exactly so.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Protocol

from stockctl.errors import UsageError, quoted


class UnknownSymbolError(UsageError):
    """Nothing is known of the symbol: no trade, no filing, no feed event, and the setting ``symbols`` does not name it."""


class Holder(Protocol):
    """What tells whether a symbol is known: an engine, or a store. ``place`` is its name in words."""

    place: str

    def symbols(self) -> Collection[str]:
        """The symbols that it can name at once, such as those of its newest date."""
        ...

    def all_symbols(self) -> Collection[str]:
        """Every symbol that it can name without reading a record: near ones of an unknown symbol are looked for there."""
        ...

    def holds(self, symbol: str) -> bool:
        """Whether it holds anything of ``symbol``, however old."""
        ...


def split(written: str | Iterable[str]) -> list[str]:
    """The symbols in ``written``, each once and as it stands there: texts with one symbol, or several joined by commas."""
    texts = [written] if isinstance(written, str) else written
    parts = (part.strip() for text in texts for part in text.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def parse_symbols(written: str | Iterable[str]) -> list[str]:
    """As ``split``, in capitals: what the feed is asked for, and what the setting ``symbols`` holds."""
    return list(dict.fromkeys(symbol.upper() for symbol in split(written)))


def known_symbol(written: str, configured: Collection[str], holder: Holder, *, hint: str) -> str:
    """As ``known_symbols``, of one. UsageError for several."""
    found = known_symbols([written], configured, holder, hint=hint)
    if len(found) != 1:
        raise UsageError(f"{quoted(written)} is not one symbol", hint="name one, such as AAPL")
    return found[0]


def known_symbols(written: Iterable[str], configured: Collection[str], holder: Holder, *, hint: str) -> list[str]:
    """What ``written`` means among the ``configured`` symbols and those that ``holder`` knows: exactly so, else in capitals.

    UnknownSymbolError for one that is neither, with near ones, or else with ``hint``.
    """
    return list(dict.fromkeys(_known(symbol, configured, holder, hint) for symbol in split(written)))


def _known(symbol: str, configured: Collection[str], holder: Holder, hint: str) -> str:
    if symbol in configured:
        return symbol
    capitals, named = symbol.upper(), set(holder.symbols())
    if symbol in named:
        return symbol
    if capitals in named.union(configured):
        return capitals
    for candidate in dict.fromkeys((symbol, capitals)):
        if holder.holds(candidate):
            return candidate
    near = difflib.get_close_matches(capitals, sorted(named.union(configured, holder.all_symbols())), n=3)
    raise UnknownSymbolError(
        f"{holder.place} holds nothing of {symbol}", hint=f"did you mean {' or '.join(near)}?" if near else hint
    )
