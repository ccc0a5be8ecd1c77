"""Which symbols a question to the lake is about, and whether the lake knows them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from stockctl.lake.format.keys import span_around, ticker_slug
from stockctl.lake.reader.duckdb_session import duck
from stockctl.symbols import resolve_symbols, split_symbols

if TYPE_CHECKING:
    from stockctl.lake.reader.catalog import LakeReader

HINT = "symbols are as the feed writes them, such as AAPL or BINANCE:BTCUSDT; `stockctl lake list` names the lake's"


def asked_symbols(lake: LakeReader, written: str | Iterable[str]) -> list[str]:
    """The symbols that ``written`` means. UnknownSymbolError for one that neither the setting ``symbols`` nor the lake knows.

    The store is asked only for what the setting does not name.
    """
    return resolve_symbols(written, lake.settings.symbols, LakeSymbols(lake), hint=HINT)


class LakeSymbols:
    """The lake as what tells whether a symbol is known: by its trades, or by the feed events of the newest date."""

    place = "the lake"

    def __init__(self, lake: LakeReader) -> None:
        self._lake = lake

    def symbols(self) -> set[str]:
        """As in ``SymbolLookup``: those of the newest date's folders, which a query lists anyway."""
        days = self._lake.dates()
        return self._lake.named(days[-1]) if days else set()

    def all_symbols(self) -> set[str]:
        """As in ``SymbolLookup``: the folders of every date, the manifests of compacted ones, and feed events."""
        return self._heard | self._lake.symbols()

    def has_recent_symbol(self, symbol: str) -> bool:
        """As in ``SymbolLookup``. Folders that were listed anyway mostly answer it."""
        days = self._lake.dates()
        return bool(days) and self._lake.may_hold(days[-1], symbol) and self._has(symbol, span_around(days[-1])[0])

    def has_symbol(self, symbol: str) -> bool:
        """As in ``SymbolLookup``: the newest date first, since most symbols have trades there."""
        if symbol in self._heard:
            return True
        days = self._lake.dates()
        return bool(days) and (self._has(symbol, span_around(days[-1])[0]) or self._has(symbol, None))

    @cached_property
    def _heard(self) -> set[str]:
        """The symbols that the feed events of the newest date name."""
        days = self._lake.dates("feed_events")
        if not days:
            return set()
        with duck() as connection:
            self._lake.view(connection, "feed_events", self._lake.find("feed_events", since=span_around(days[-1])[0]))
            rows = connection.sql("SELECT DISTINCT symbols FROM feed_events WHERE symbols IS NOT NULL").fetchall()
        return set(split_symbols(names for (names,) in rows))

    def _has(self, symbol: str, since: int | None) -> bool:
        found = self._lake.find("trades", symbols=[symbol], since=since, exact=True)
        if not found or "_" not in ticker_slug(symbol):
            return bool(found)
        # A folder's name may stand for several symbols: BINANCE_BTCUSDT holds BINANCE:BTCUSDT.
        with duck() as connection:
            self._lake.view(connection, "trades", found)
            rows = connection.sql("SELECT 1 FROM trades WHERE symbol = $symbol LIMIT 1", params={"symbol": symbol})
            return bool(rows.fetchall())
