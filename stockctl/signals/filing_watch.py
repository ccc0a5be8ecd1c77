"""The filings of the symbols while a strategy runs, looked for in the lake so often that each is seen at its time.

A filing is seen when the time of the log reaches ``ts_stored`` + ``FILING_DELAY``. That time is never later than the receipt of
the newest trade. A look every half of the delay leaves the other half for storing a filing and for clocks that differ.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from stockctl.exchange.calendar import now_ms
from stockctl.filings.repository import stored_at
from stockctl.lake.store import NoLakeError, existing_store
from stockctl.settings import Settings
from stockctl.strategies.lake_filings import FILING_DELAY, read_symbol_filings, sees_filings
from stockctl.strategies.loading import LoadedStrategy
from stockctl.strategies.symbol_run import SeenFiling

log = logging.getLogger("stockctl.signals")


class FilingWatch:
    """Finds filings for ``strategy``; none if it has no handler for them. Times are in ms UTC."""

    def __init__(self, settings: Settings, strategy: LoadedStrategy, now: Callable[[], int] = now_ms) -> None:
        self._settings, self._strategy, self._now = settings, strategy, now
        self._is_on = sees_filings(strategy)
        if self._is_on and settings.lake.url is None:
            self._is_on = False
            log.warning("%s gets no filings: they are in the lake, and lake.url is not set", strategy.name)
        self._looked: dict[str, int] = {}
        self._stored: dict[str, dict[str, int | None]] = {}
        self._given: dict[str, set[str]] = {}

    def new(self, symbol: str, received: int) -> list[SeenFiling]:
        """The filings of ``symbol`` that were not given before, if a trade that was ``received`` then needs another look."""
        if not self._is_on or received < self._looked.get(symbol, 0) + FILING_DELAY // 2:
            return []
        looked = self._now()
        found = self._changed(symbol)
        given = self._given.setdefault(symbol, set())
        new = [one for one in found if one.filing.accession not in given]
        given.update(one.filing.accession for one in new)
        self._looked[symbol] = looked
        return new

    def _changed(self, symbol: str) -> list[SeenFiling]:
        """All filings of ``symbol``, if the lake has others than at the look before."""
        try:
            stored = stored_at(existing_store(self._settings), symbol)
        except NoLakeError:
            return []  # one that is made later is found then
        if stored == self._stored.get(symbol, {}):
            return []
        found = read_symbol_filings(self._settings, symbol, self._strategy, "stored").seen
        self._stored[symbol] = stored
        return found
