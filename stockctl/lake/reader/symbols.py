"""Which symbols the lake knows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from stockctl.lake.format.keys import span_around, ticker_slug
from stockctl.lake.reader.duckdb_session import duck
from stockctl.symbols import resolve_symbols, split_symbols

if TYPE_CHECKING:
    from stockctl.lake.reader.object_selection import LakeReader

HINT = "symbols are as the feed writes them, such as AAPL or BINANCE:BTCUSDT; `stockctl lake list` names the lake's"


def resolve_lake_symbols(lake: LakeReader, written: str | Iterable[str]) -> list[str]:
    """Resolve symbols as users write them. UnknownSymbolError for a symbol in neither the setting ``symbols`` nor the lake.

    It reads the store only for symbols that are not in the setting.
    """
    return resolve_symbols(written, lake.settings.symbols, LakeSymbols(lake), hint=HINT)


class LakeSymbols:
    """Looks up symbols in the trades of the lake, and in the feed events of the newest date."""

    place = "the lake"

    def __init__(self, lake: LakeReader) -> None:
        self._lake = lake

    def symbols(self) -> set[str]:
        """Symbols in the folders of the newest date, which a query lists anyway."""
        days = self._lake.dates()
        return self._lake.symbols_of(days[-1]) if days else set()

    def all_symbols(self) -> set[str]:
        """Symbols in the folders of all dates, in the manifests of compacted dates, and in feed events."""
        return self._subscribed | self._lake.symbols()

    def has_recent_symbol(self, symbol: str) -> bool:
        """Whether ``symbol`` has trades on the newest date. Most often the folder names decide it."""
        days = self._lake.dates()
        return bool(days) and self._lake.may_contain(days[-1], symbol) and self._has(symbol, span_around(days[-1])[0])

    def has_symbol(self, symbol: str) -> bool:
        """Whether ``symbol`` has trades: first on the newest date, since most symbols have trades there."""
        if symbol in self._subscribed:
            return True
        days = self._lake.dates()
        return bool(days) and (self._has(symbol, span_around(days[-1])[0]) or self._has(symbol, None))

    @cached_property
    def _subscribed(self) -> set[str]:
        """Symbols in the feed events of the newest date."""
        days = self._lake.dates("feed_events")
        if not days:
            return set()
        with duck() as connection:
            self._lake.view(connection, "feed_events", self._lake.find("feed_events", since=span_around(days[-1])[0]))
            rows = connection.sql("SELECT DISTINCT symbols FROM feed_events WHERE symbols IS NOT NULL").fetchall()
        return set(split_symbols(names for (names,) in rows))

    def _has(self, symbol: str, since: int | None) -> bool:
        files = self._lake.find("trades", symbols=[symbol], since=since, exact=True)
        if not files or "_" not in ticker_slug(symbol):
            return bool(files)
        # Several symbols may share a folder: BINANCE_BTCUSDT may contain BINANCE:BTCUSDT.
        with duck() as connection:
            self._lake.view(connection, "trades", files)
            rows = connection.sql("SELECT 1 FROM trades WHERE symbol = $symbol LIMIT 1", params={"symbol": symbol})
            return bool(rows.fetchall())
