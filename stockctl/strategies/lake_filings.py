"""The filings of a symbol as strategies see them, each with the time at which one does."""

from __future__ import annotations

from typing import Literal, NamedTuple

from stockctl.exchange.calendar import to_ms
from stockctl.filings import model
from stockctl.filings.repository import read_filings, stored_at
from stockctl.filings.standardize.statement import standardize
from stockctl.lake.store import existing_store
from stockctl.settings import Settings
from stockctl.strategies.loading import LoadedStrategy
from stockctl.strategies.strategy import Filing
from stockctl.strategies.symbol_run import SeenFiling

FilingTime = Literal["known", "stored"]
"""When a strategy sees a filing: when it was surely public, or when it was in the lake, as live."""

FILING_DELAY = 600_000
"""Milliseconds from the time at which a filing was stored until strategies see it.

The live service looks into the lake every half of it. So each filing is seen at the same trade live, in a backtest and in
verification, unless storing it took longer than the other half.
"""


class SymbolFilings(NamedTuple):
    """The filings of a symbol, and how many have no time at which they are seen and are left out."""

    seen: list[SeenFiling]
    undated: int


def sees_filings(strategy: LoadedStrategy) -> bool:
    """Whether the strategy has a handler for filings."""
    return hasattr(strategy.kind, "on_filing")


def read_symbol_filings(settings: Settings, symbol: str, strategy: LoadedStrategy, when: FilingTime) -> SymbolFilings:
    """The filings of ``symbol`` in the lake that ``strategy`` sees, with their times; none if it has no handler for them."""
    if not sees_filings(strategy):
        return SymbolFilings([], 0)
    seen, undated = [], 0
    stored = stored_at(existing_store(settings), symbol)
    for report in read_filings(settings, symbol):
        at, filing = _seen_at(report, stored.get(report.accession), when)
        if filing is None or at is None:
            undated += 1
        else:
            seen.append(SeenFiling(at, filing))
    return SymbolFilings(seen, undated)


def _seen_at(report: model.Filing, ts_stored: int | None, when: FilingTime) -> tuple[int | None, Filing | None]:
    """The time in ms UTC at which ``report`` is seen, and as what; None if nobody knows."""
    if report.known is None:
        return None, None
    figures = {
        name: figure.value for statement in model.STATEMENTS for name, figure in standardize(report, statement).figures.items()
    }
    period_end = "" if report.end is None else report.end.isoformat()
    filing = Filing(report.symbol, report.accession, report.form, period_end, to_ms(report.known), ts_stored, figures)
    if when == "known":
        return filing.ts_known, filing
    return None if ts_stored is None else ts_stored + FILING_DELAY, filing
