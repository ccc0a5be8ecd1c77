"""What decides where a record is stored: its symbol, and the date of its time."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from stockctl.exchange.calendar import day_bounds, trade_date
from stockctl.records import MAX_MS

_Millis = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]


class ClaimedRecord(msgspec.Struct, gc=False):
    """The fields that place a trade or a signal of an existing claim.

    The claim accepted it, maybe by older rules than today's.
    """

    symbol: str
    ts_event: _Millis
    source: str = ""


class ClaimedEvent(msgspec.Struct, gc=False):
    """The fields that place a feed event of an existing claim."""

    ts_event: _Millis = msgspec.field(name="span_end")
    source: str = "finnhub"
    symbol = ""


@lru_cache(maxsize=4096)
def _bounds(day: date, zone: str) -> tuple[int, int]:
    return day_bounds(day, ZoneInfo(zone))


def day_of(ms: int, zone: str) -> tuple[date, int, int]:
    """The date of ``ms`` in ``zone``, and the span ``[since, until)`` of that date in ms."""
    day = trade_date(ms, ZoneInfo(zone))
    return (day, *_bounds(day, zone))
