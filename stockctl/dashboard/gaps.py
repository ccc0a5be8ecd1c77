"""Time that the feed missed: of a running query's spans, and as ``stockctl lake gaps`` lists it."""

from __future__ import annotations

from typing import Any, TypedDict
from zoneinfo import ZoneInfo

from stockctl.exchange.time_parsing import parse_as_of, parse_date
from stockctl.json_values import json_values
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.symbols import resolve_lake_symbols
from stockctl.metrics.coverage_report import read_coverage
from stockctl.metrics.query import SessionChoice, bounds
from stockctl.metrics.query_context import QueryContext
from stockctl.settings import Settings


class MissedTime(TypedDict):
    """A gap ``[since, until)`` in ms UTC, and why; ``no feed events`` if no event says."""

    since: int
    until: int
    reason: str


def gaps_of(context: QueryContext) -> list[list[MissedTime]]:
    """The gaps of each of ``context.spans``, in order, as ``stockctl lake gaps`` lists them for its symbol, date and session.

    They come from the feed events of the query's own engine, received by ``query.as_of``. An open ``execute(…)`` is needed.
    """
    return [
        [MissedTime(since=gap.since, until=gap.until, reason=gap.reason or "") for gap in context.gaps(span)]
        for span in context.spans
    ]


def gaps_answer(
    settings: Settings,
    symbol: str | None = None,
    date: str | None = None,
    session: SessionChoice | None = None,
    as_of: str | None = None,
) -> dict[str, Any]:
    """``gaps`` as the rows of ``stockctl lake gaps SYMBOL --date … -o json``, and ``notes`` as it prints them.

    Parameters are as its options take them. UsageError for a date or time that is none, UnknownSymbolError for a symbol that
    neither the setting ``symbols`` nor the lake knows.
    """
    zone = ZoneInfo(settings.timezone)
    span = bounds(zone, None, None, None if date is None else parse_date(date))
    then = None if as_of is None else parse_as_of(as_of, zone)
    if session is not None:
        settings = settings.model_copy(update={"metrics": settings.metrics.model_copy(update={"session": session})})
    if symbol is not None:
        with LakeReader(settings) as lake:
            settings = settings.model_copy(update={"symbols": resolve_lake_symbols(lake, [symbol])})
    found = read_coverage(settings, *span, fall_back=session is None, as_of=then)
    return {
        "gaps": [json_values(row) for row in found.rows(zone)],
        "notes": found.notes(settings.metrics.session, session),
    }
