"""The company document in MongoDB: last trade, session, newest filing, KPIs, and the figures that combine them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from stockctl.clients.mongo import Document, Mongo
from stockctl.errors import UsageError
from stockctl.mongo.schema import COMPANIES
from stockctl.settings import Settings
from stockctl.stream.lag import mongo_writer
from stockctl.stream.waiting_records import next_batch
from stockctl.symbols import SymbolLookup, resolve_symbol

DATE_FIELDS = frozenset(("period_start", "period_end", "filed", "flows_from", "flows_to", "balances_at"))
"""Fields that are dates. MongoDB has no type for them, so they are stored as midnights in UTC."""
INTERNAL_FIELDS = frozenset(("_id", "symbol", "figures"))
"""Fields that are not shown as stored; ``figures`` are the inputs of ``together``."""
_HINT = "`stockctl consume mongo` stores trades, `stockctl filings fetch` filings; write symbols as the feed does"


class CompanySymbols(SymbolLookup):
    """The symbols of MongoDB's company documents."""

    def __init__(self, mongo: Mongo) -> None:
        self.place = f"MongoDB at {mongo.place}"
        self._mongo = mongo

    def symbols(self) -> list[str]:
        """The symbol of every company document."""
        return [document["_id"] for document in self._mongo.find(COMPANIES, {}, [])]

    all_symbols = symbols

    def has_symbol(self, symbol: str) -> bool:
        """Whether ``symbol`` has a company document."""
        return self._mongo.get(COMPANIES, symbol) is not None


def resolve_company(mongo: Mongo, settings: Settings, written: str) -> str:
    """The symbol that ``written`` means. UnknownSymbolError if neither the setting nor MongoDB knows it."""
    return resolve_symbol(written, settings.symbols, CompanySymbols(mongo), hint=_HINT)


def company(mongo: Mongo, settings: Settings, symbol: str) -> Document:
    """The company document, with times in the settings' timezone. UsageError if MongoDB has none of that symbol."""
    return _shown(mongo, settings, symbol, mongo.get(COMPANIES, symbol))


def changes(mongo: Mongo, settings: Settings, symbol: str, stop: Callable[[], bool]) -> Iterator[Document]:
    """The company document, and again after each change, from MongoDB's change stream, until ``stop()`` is true."""
    for document in mongo.watch(COMPANIES, symbol, stop):
        yield _shown(mongo, settings, symbol, document)


def _shown(mongo: Mongo, settings: Settings, symbol: str, document: Document | None) -> Document:
    """The document for display: the symbol first, dates as dates, times in the settings' timezone."""
    if document is None:
        raise UsageError(
            f"MongoDB at {mongo.place} knows no company {symbol}",
            hint=next_batch(settings, mongo_writer(settings)) or _HINT,
        )
    shown = {name: value for name, value in document.items() if name not in INTERNAL_FIELDS}
    return _localized({"symbol": document["_id"]} | shown, ZoneInfo(settings.timezone))


def flatten(document: Document, prefix: str = "") -> Document:
    """The document in one level: the nested field ``vwap`` of ``session`` becomes ``session.vwap``."""
    flat: Document = {}
    for name, value in document.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _localized(document: Document, zone: ZoneInfo) -> Document:
    return {name: item.date() if item and name in DATE_FIELDS else _local(item, zone) for name, item in document.items()}


def _local(value: Any, zone: ZoneInfo) -> Any:
    if isinstance(value, dict):
        return _localized(value, zone)
    return value.astimezone(zone) if isinstance(value, datetime) else value
