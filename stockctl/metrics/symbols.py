"""Which symbols a question is about, and whether its engine knows them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from stockctl.lake.duck import duck
from stockctl.metrics.rows import Rows, rows_of
from stockctl.metrics.spans import day_around
from stockctl.sessions import EXCHANGE_ZONE, parse_moment
from stockctl.settings import Settings
from stockctl.symbols import known_symbols, split

_HINT = "symbols are as the feed writes them, such as AAPL or BINANCE:BTCUSDT; `stockctl lake list` names the lake's"


def asked_symbols(settings: Settings, written: Sequence[str]) -> list[str]:
    """The symbols that ``written`` means in the lake; errors as ``known_to``."""
    if set(split(written)) <= set(settings.symbols):
        return split(written)
    with rows_of(settings, "lake") as rows:
        return known_to(rows, written, settings.symbols)


def known_to(rows: Rows, written: Iterable[str], configured: Collection[str]) -> list[str]:
    """The symbols that ``written`` means. UnknownSymbolError for one that neither ``configured`` nor the engine knows."""
    return known_symbols(written, configured, _Engine(rows), hint=_HINT)


class _Engine:
    """An engine as what tells whether a symbol is known."""

    def __init__(self, rows: Rows) -> None:
        self.place = rows.place
        self.symbols = rows.symbols
        self.all_symbols = rows.all_symbols
        self._rows = rows

    def holds(self, symbol: str) -> bool:
        """As in ``Holder``: the newest date first, since most symbols have trades there."""
        newest = next(iter(self._rows.dates(symbol)), None)
        if newest is None:
            return False
        day = day_around(parse_moment(newest), EXCHANGE_ZONE)
        return self._has(symbol, *day) or self._has(symbol, None, None)

    def _has(self, symbol: str, since: int | None, until: int | None) -> bool:
        held = self._rows.find(symbol, since, until)
        if not held or "_" not in symbol or held[-1].found is None:
            return bool(held)
        # The lake's folder of BINANCE:BTCUSDT is named BINANCE_BTCUSDT.
        with duck() as connection:
            self._rows.load(connection, held, "held")
            found = connection.sql("SELECT 1 FROM held WHERE symbol = $symbol LIMIT 1", params={"symbol": symbol})
            return bool(found.fetchall())
