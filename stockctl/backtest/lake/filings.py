"""The filings of a symbol as strategies see them, each with the time at which a backtest shows it."""

from __future__ import annotations

from typing import NamedTuple

from stockctl.backtest.lake.terms import FilingTime
from stockctl.exchange.calendar import to_ms
from stockctl.filings import model
from stockctl.filings.repository import read_filings, stored_at
from stockctl.filings.standardize.statement import standardize
from stockctl.lake.store import existing_store
from stockctl.settings import Settings
from stockctl.strategies import Filing


class SeenFiling(NamedTuple):
    """A filing, and when it is seen in ms UTC."""

    at: int
    filing: Filing


class SymbolFilings(NamedTuple):
    """The filings of a symbol in the order in which they are seen, and how many have no such time and are left out."""

    seen: list[SeenFiling]
    undated: int


def read_symbol_filings(settings: Settings, symbol: str, when: FilingTime) -> SymbolFilings:
    """The filings of ``symbol`` in the lake, seen when they were surely public, or when they were stored."""
    seen, undated = [], 0
    stored = stored_at(existing_store(settings), symbol)
    for report in read_filings(settings, symbol):
        filing = kernel_filing(report, stored.get(report.accession))
        at = None if filing is None else filing.ts_known if when == "known" else filing.ts_stored
        if filing is None or at is None:
            undated += 1
        else:
            seen.append(SeenFiling(at, filing))
    return SymbolFilings(sorted(seen, key=lambda one: (one.at, one.filing.accession)), undated)


def kernel_filing(report: model.Filing, ts_stored: int | None = None) -> Filing | None:
    """``report`` as strategies see it, with the standard items of its statements; None if nobody knows when it was public."""
    if report.known is None:
        return None
    figures = {
        name: figure.value for statement in model.STATEMENTS for name, figure in standardize(report, statement).figures.items()
    }
    period_end = "" if report.end is None else report.end.isoformat()
    return Filing(report.symbol, report.accession, report.form, period_end, to_ms(report.known), ts_stored, figures)
