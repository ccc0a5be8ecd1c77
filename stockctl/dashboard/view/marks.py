"""What stands on a view's time axis besides trades: flags of filings, and markers of signals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stockctl.dashboard.signal_marks import Store, view_marks
from stockctl.dashboard.stored_filings import filing_flags
from stockctl.dashboard.view.combined_engine import CombinedEngine
from stockctl.errors import StockctlError
from stockctl.exchange.venues import has_venue
from stockctl.metrics.engines.base import Engine
from stockctl.metrics.engines.lake import LakeEngine
from stockctl.metrics.engines.mongo import MongoEngine
from stockctl.metrics.query_context import QueryContext
from stockctl.settings import Settings

if TYPE_CHECKING:
    from stockctl.dashboard.view.day import Day

STORES: dict[type[Engine], tuple[Store, ...]] = {
    LakeEngine: ("lake",),
    MongoEngine: ("MongoDB",),
    CombinedEngine: ("lake", "MongoDB"),
}


def add_marks(settings: Settings, day: Day, context: QueryContext, engine: type[Engine]) -> None:
    """Give ``day`` the filings and signals of its view. A store that fails is a note: the trades are there."""
    span, as_of = context.spans[0], context.query.received_by
    with _noting(day, "signals"):
        marks = view_marks(settings, context, STORES[engine])
        day.signals = [dict(mark) for mark in marks.marks]
        day.notes = [*day.notes, *marks.notes]
    if settings.lake.url is None or engine is MongoEngine or has_venue(span.symbol):
        return
    with _noting(day, "filings"):
        day.filings = [dict(flag) for flag in filing_flags(settings, span.symbol, span.parts[0].trade_date, as_of)]


@contextmanager
def _noting(day: Day, part: str) -> Iterator[None]:
    try:
        yield
    except StockctlError as error:
        day.notes = [*day.notes, f"{part}: {error}"]
