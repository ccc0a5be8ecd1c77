"""Parse symbols as users write them (any case, separated by commas), and resolve them among known symbols.

All symbols of Finnhub are in capitals, also with a venue (``BINANCE:BTCUSDT``, ``OANDA:EUR_USD``, ``IC MARKETS:1``). If another
producer wrote two that differ only in case, write them exactly to query each.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from stockctl.errors import UsageError, quoted

_NEAR = 3
"""Most suggestions for an unknown symbol."""


class UnknownSymbolError(UsageError):
    """Nothing is known of the symbol: no trade, no filing, no feed event, and the setting ``symbols`` does not name it."""


class SymbolLookup(Protocol):
    """Knows which symbols exist: an engine or a store. ``place`` is its name in messages."""

    place: str

    def symbols(self) -> Collection[str]:
        """Symbols that are cheap to list, such as those of the newest date."""
        ...

    def all_symbols(self) -> Collection[str]:
        """All symbols that it can list without reading records. Suggestions come from them."""
        ...

    def has_recent_symbol(self, symbol: str) -> bool:
        """Whether the newest date has ``symbol``, if ``symbols`` may not list it."""
        return False

    def has_symbol(self, symbol: str) -> bool:
        """Whether it has any data of ``symbol``."""
        ...


def split_symbols(written: str | Iterable[str]) -> list[str]:
    """The distinct symbols in ``written``, unchanged: texts with one symbol, or several separated by commas."""
    texts = [written] if isinstance(written, str) else written
    parts = (part.strip() for text in texts for part in text.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def parse_symbols(written: str | Iterable[str]) -> list[str]:
    """As ``split_symbols``, in capitals, for the feed and the setting ``symbols``."""
    return list(dict.fromkeys(symbol.upper() for symbol in split_symbols(written)))


def require_symbols(written: str | Iterable[str]) -> list[str]:
    """As ``split_symbols``. UsageError if there is none: no symbol does not mean all symbols."""
    if not (symbols := split_symbols(written)):
        raise UsageError("there is no symbol in what was given", hint="write symbols such as AAPL, or leave them out")
    return symbols


def resolve_symbol(written: str, configured: Collection[str], lookup: SymbolLookup, *, hint: str) -> str:
    """As ``resolve_symbols``, of one. UsageError for several."""
    if len(split_symbols(written)) != 1:
        raise UsageError(f"{quoted(written)} is not one symbol", hint="name one, such as AAPL")
    return resolve_symbols(written, configured, lookup, hint=hint)[0]


def resolve_symbols(written: str | Iterable[str], configured: Collection[str], lookup: SymbolLookup, *, hint: str) -> list[str]:
    """What ``written`` means among the ``configured`` symbols and those that ``lookup`` knows.

    That is what is written exactly so, else in capitals, else the only one that differs in case alone. UnknownSymbolError
    for one that is none of these, with near ones, or else with ``hint``; UsageError where no symbol is written.
    """
    return list(dict.fromkeys(_known(symbol, configured, lookup, hint) for symbol in require_symbols(written)))


def similar_symbols(symbol: str, named: Iterable[str]) -> list[str]:
    """Those of ``named`` that ``symbol`` may be a slip for, the nearest first. Case does not count."""
    by_capitals: dict[str, list[str]] = {}
    for one in sorted(set(named)):
        by_capitals.setdefault(one.upper(), []).append(one)
    near = difflib.get_close_matches(symbol.upper(), by_capitals, n=_NEAR)
    return [one for capitals in near for one in by_capitals[capitals]][:_NEAR]


def did_you_mean(near: Sequence[str]) -> str:
    """A hint with suggestions."""
    return f"did you mean {' or '.join(near)}?"


def _known(symbol: str, configured: Collection[str], lookup: SymbolLookup, hint: str) -> str:
    if symbol in configured:
        return symbol
    capitals, named = symbol.upper(), set(lookup.symbols())
    if symbol in named:
        return symbol
    if capitals in named.union(configured):
        return symbol if symbol != capitals and lookup.has_recent_symbol(symbol) else capitals
    for candidate in dict.fromkeys((symbol, capitals)):
        if lookup.has_symbol(candidate):
            return candidate
    known = named.union(configured, lookup.all_symbols())
    same = [one for one in known if one.upper() == capitals]
    # A store may not name symbols in small letters: they share folders.
    if not same and lookup.has_symbol(symbol.lower()):
        same = [symbol.lower()]
    if len(same) == 1:
        return same[0]
    near = similar_symbols(symbol, known)
    raise UnknownSymbolError(f"there is nothing of {symbol} in {lookup.place}", hint=did_you_mean(near) if near else hint)
