"""A company as MongoDB holds it: its last trade, its session's figures, its newest filing, and what both give together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from stockctl.clients.mongo import Mongo
from stockctl.errors import StockctlError
from stockctl.mongo.schema import COMPANIES
from stockctl.settings import Settings
from stockctl.stream.lag import mongo_writer
from stockctl.stream.pending import next_batch
from stockctl.symbols import SymbolLookup, resolve_symbol

Document = dict[str, Any]

DAYS = frozenset(("period_start", "period_end", "filed", "flows_from", "flows_to", "balances_at"))
"""Fields that tell a day; MongoDB knows moments alone, so they are midnights in UTC there."""
_HINT = "`stockctl consume mongo` brings trades, `stockctl filings fetch` filings; symbols are as the feed has them"
HELD = frozenset(("_id", "symbol", "figures"))
"""Fields that are not shown as they are held; ``figures`` are what ``together`` is computed from."""


class _Companies(SymbolLookup):
    """MongoDB's companies as what tells whether a symbol is known: there is one for each symbol."""

    def __init__(self, mongo: Mongo) -> None:
        self.place = f"MongoDB at {mongo.place}"
        self._mongo = mongo

    def symbols(self) -> list[str]:
        """As in ``SymbolLookup``."""
        return [document["_id"] for document in self._mongo.find(COMPANIES, {}, [])]

    all_symbols = symbols

    def has_symbol(self, symbol: str) -> bool:
        """As in ``SymbolLookup``."""
        return self._mongo.get(COMPANIES, symbol) is not None


def asked_symbol(mongo: Mongo, settings: Settings, written: str) -> str:
    """The symbol that ``written`` means. UnknownSymbolError where neither the setting nor MongoDB knows it."""
    return resolve_symbol(written, settings.symbols, _Companies(mongo), hint=_HINT)


def company(mongo: Mongo, settings: Settings, symbol: str) -> Document:
    """The company's document, times in the settings' timezone. StockctlError if MongoDB knows none of that symbol."""
    return _shown(mongo, settings, symbol, mongo.get(COMPANIES, symbol))


def changes(mongo: Mongo, settings: Settings, symbol: str, stop: Callable[[], bool]) -> Iterator[Document]:
    """As ``company``, and anew after each change, told by MongoDB's change stream, until ``stop()``."""
    for document in mongo.watch(COMPANIES, symbol, stop):
        yield _shown(mongo, settings, symbol, document)


def _shown(mongo: Mongo, settings: Settings, symbol: str, document: Document | None) -> Document:
    """The document with the symbol first, its days as dates, and its times in the settings' timezone."""
    if document is None:
        raise StockctlError(
            f"MongoDB at {mongo.place} knows no company {symbol}",
            hint=next_batch(settings, mongo_writer(settings)) or _HINT,
        )
    rest = {name: value for name, value in document.items() if name not in HELD}
    local: Document = _local({"symbol": document["_id"]} | rest, ZoneInfo(settings.timezone))
    return local


def flat(document: Document, prefix: str = "") -> Document:
    """The document in one level: ``session.vwap`` for the field of a field."""
    one: Document = {}
    for name, value in document.items():
        one |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return one


def _local(value: Any, zone: ZoneInfo) -> Any:
    if isinstance(value, dict):
        return {name: item.date() if item and name in DAYS else _local(item, zone) for name, item in value.items()}
    return value.astimezone(zone) if isinstance(value, datetime) else value
