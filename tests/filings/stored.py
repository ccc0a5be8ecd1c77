"""Reports in a lake, as ``filings fetch`` leaves them."""

from __future__ import annotations

import json
from datetime import date

from stockctl.clients.object_store import open_store
from stockctl.filings.fundamentals.periods import Span
from stockctl.filings.repository import State, write_state
from stockctl.lake.format.keys import raw_filing_key
from stockctl.settings import Settings
from tests.filings.reports import wire


def store_report(settings: Settings, accepted: str, *stored: int | None, source: str = "finnhub") -> list[str]:
    """Put a report of AAPL into the lake for each of the times ``stored`` (ms UTC); their accession numbers."""
    span = Span(date(2026, 7, 1), date(2026, 9, 30))
    store, times = open_store(settings), dict[str, int | None]()
    for count, at in enumerate(stored, 1):
        report = wire(f"0000320193-26-{count:06}", span, {"ic": {"Revenues": 94_000}}, accepted=accepted, symbol="AAPL")
        store.put(raw_filing_key("AAPL", report["accessNumber"]), json.dumps(report).encode())
        times[report["accessNumber"]] = at
    write_state(store, State("AAPL", "2026-11-28T00:00:00+00:00", source, kept=len(times), stored=times))
    return list(times)
