"""The close before a session, from which its change is counted: that of the regular session, where a market has one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Literal

from stockctl.clients.mongo import Mongo
from stockctl.exchange.calendar import Hours, calendar_of, trade_date
from stockctl.exchange.trade_sessions import hours_on
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.store import NoLakeError
from stockctl.metrics import definitions
from stockctl.metrics.query import Span
from stockctl.mongo.allowed_sources import begun_with
from stockctl.mongo.documents import date_of, ms_of
from stockctl.mongo.schema import BARS
from stockctl.settings import Settings

_MOST = 1500
"""Minutes that are searched: a day of them, and the gap of a session."""
_MOST_DATES = 10
"""Dates before the session that are searched in the lake."""
_LAST_PART_MS = 1_800_000
"""The end of a session that is searched first: most have a trade there."""


def previous_close(settings: Settings, span: Span, as_of: int | None, *, in_bars: bool) -> float | None:
    """The last price before ``span``; None if no earlier date has one.

    With ``in_bars`` from MongoDB's bars, which do not know ``as_of`` (ms UTC); else, or if they have none, from the lake.
    """
    close = None
    if in_bars and as_of is None:
        with Mongo(settings) as mongo:
            close = close_in_bars(mongo, span.symbol, span.since)
    if close is not None or settings.lake.url is None:
        return close
    try:
        lake = LakeReader(settings)
    except NoLakeError:
        return None
    with lake:
        earlier = [day for day in lake.dates() if day < span.parts[0].trade_date][-_MOST_DATES:]
    return next((close for day in reversed(earlier) if (close := _close_on(settings, span, day, as_of)) is not None), None)


def close_in_bars(mongo: Mongo, symbol: str, since: int) -> float | None:
    """The last price before ``since`` (ms UTC) in MongoDB's minute bars."""
    hours = calendar_of(begun_with(mongo)).hours(symbol)
    earlier = mongo.find(
        BARS, {"symbol": symbol, "bar": {"$lt": date_of(since)}}, ["bar", "close"], sort=[("bar", -1)], limit=_MOST
    )
    for bar in earlier:
        at = ms_of(bar["bar"])
        if bar["close"] is not None and _counts(at, hours, since):
            return float(bar["close"])
    return None


def _counts(at: int, hours: Hours, since: int) -> bool:
    """Whether a price at ``at`` is of a regular session, on a date before ``since``."""
    if trade_date(at) >= trade_date(since):
        return False
    regular = hours_on(trade_date(at), "regular", hours) if hours == "exchange" else (at, at + 1)
    return regular is not None and regular[0] <= at < regular[1]


def _close_on(settings: Settings, span: Span, day: date, as_of: int | None) -> float | None:
    session: Literal["regular", "all"] = "regular" if span.hours == "exchange" else "all"
    hours = hours_on(day, session, span.hours)
    if hours is None:
        return None
    query = definitions.build_query(settings, [span.symbol], every="1d")
    query = replace(query, session=session, as_of=as_of)
    for since in (max(hours[0], hours[1] - _LAST_PART_MS), hours[0]):
        rows = definitions.bars(settings, replace(query, since=since, until=hours[1])).rows
        closes = [row["close"] for row in rows if row["close"] is not None]
        if closes:
            return float(closes[-1])
    return None
