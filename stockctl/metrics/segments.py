"""Segments: covered time of one session, in which returns lie on a grid of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from stockctl.exchange.calendar import day_bounds, trade_date
from stockctl.exchange.trade_sessions import Slot
from stockctl.intervals import Interval, intersect
from stockctl.metrics.query import SessionRange, Span


class Segment(NamedTuple):
    """A row of the relation ``segments``: covered time ``[since_ms, until_ms)`` of ``session``, and the edges of its grid.

    Edge n is ``origin_ms`` + n steps. The session's opening price stands at ``opening_edge``, None where the segment does not
    begin with the session. Trades of the session from ``until_ms`` to ``late_until_ms`` are told after its close.
    """

    segment: int
    span: int
    session: str
    since_ms: int
    until_ms: int
    late_until_ms: int
    origin_ms: int
    opening_edge: int | None
    last_edge: int


def segments(watched: Iterable[tuple[Span, Sequence[Interval], int]], zone: ZoneInfo, grid_ms: int) -> list[Segment]:
    """The segments of each span, given the time that the feed covered of it, and up to when its trades are stored (ms UTC).

    The grid starts at midnight of ``zone``.
    """
    found: list[Segment] = []
    for span, covered, through in watched:
        for part in span.parts:
            for slot in part.slots:
                if "plain" in slot.kinds:
                    found += _of(len(found), span.number, part, slot, covered, through, zone, grid_ms)
    return found


def _of(
    number: int,
    span: int,
    part: SessionRange,
    slot: Slot,
    covered: Sequence[Interval],
    through: int,
    zone: ZoneInfo,
    grid_ms: int,
) -> Iterator[Segment]:
    opens, closes = max(slot.since, part.since), min(slot.until, part.until)
    late_until = max((late.until for late in part.slots if late.kinds == ("regular",) and late.since == closes), default=closes)
    stretches = intersect(covered, [(opens, closes)]) if opens < closes else []
    for since, until in stretches:
        origin = day_bounds(trade_date(since, zone), zone)[0]
        begins = (opens - origin) % grid_ms == 0 and since == stretches[0][0] < opens + grid_ms
        ends = (closes - origin) % grid_ms == 0 and until == stretches[-1][1] > closes - grid_ms and through >= closes
        yield Segment(
            number,
            span,
            slot.session,
            since,
            until,
            late_until if ends and until == closes else until,
            origin,
            (opens - origin) // grid_ms if begins else None,
            ((closes if ends else until) - origin) // grid_ms,
        )
        number += 1
