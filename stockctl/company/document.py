"""A company as MongoDB holds it: its last trade, its session's figures; its filings when they have been fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from stockctl.clients.mongo import Mongo
from stockctl.errors import StockctlError
from stockctl.mongo.schema import COMPANIES
from stockctl.settings import Settings

Document = dict[str, Any]


def company(mongo: Mongo, settings: Settings, symbol: str) -> Document:
    """The company's document, times in the settings' timezone. StockctlError if MongoDB knows none of that symbol."""
    found = mongo.get(COMPANIES, symbol)
    if found is None:
        raise StockctlError(
            f"MongoDB at {mongo.place} knows no company {symbol}",
            hint="`stockctl consume mongo` brings trades there; symbols are as the feed writes them",
        )
    return shown(found, settings)


def changes(mongo: Mongo, settings: Settings, symbol: str, stop: Callable[[], bool]) -> Iterator[Document]:
    """The company's document anew after each change, told by MongoDB's change stream, until ``stop()``."""
    for document in mongo.watch(COMPANIES, symbol, stop):
        yield shown(document, settings)


def shown(document: Document, settings: Settings) -> Document:
    """The document with the symbol first, and its times in the settings' timezone."""
    rest = {name: value for name, value in document.items() if name not in ("_id", "symbol")}
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
        return {name: _local(item, zone) for name, item in value.items()}
    return value.astimezone(zone) if isinstance(value, datetime) else value
