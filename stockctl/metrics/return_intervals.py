"""Segments: covered time within one session, with the grid on which its returns are computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from stockctl.exchange.trade_sessions import Slot
from stockctl.intervals import Interval, intersect
from stockctl.metrics.query import SessionRange, Span, midnight_before


class Segment(NamedTuple):
    """A row of the relation ``segments``: covered time ``[since_ms, until_ms)`` of ``session``, and the edges of its grid.

    Edge n is at ``origin_ms`` + n steps. The session's opening price is the price at ``opening_edge``; None if the segment does
    not begin with the session. Trades of the session from ``until_ms`` to ``late_until_ms`` are reported after its close.
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


def segments(coverage: Iterable[tuple[Span, Sequence[Interval], int]], zone: ZoneInfo, grid_ms: int) -> list[Segment]:
    """The segments of each span, from the time that the feed covered and the time up to which trades are stored (ms UTC).

    The grid starts at midnight of ``zone``.
    """
    rows: list[Segment] = []
    for span, covered, through in coverage:
        for part in span.parts:
            for slot in part.slots:
                if "plain" in slot.kinds:
                    rows += _of_slot(len(rows), span.number, part, slot, covered, through, zone, grid_ms)
    return rows


def _of_slot(
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
    intervals = intersect(covered, [(opens, closes)]) if opens < closes else []
    for since, until in intervals:
        origin = midnight_before(since, zone)
        begins = (opens - origin) % grid_ms == 0 and since == intervals[0][0] < opens + grid_ms
        ends = (closes - origin) % grid_ms == 0 and until == intervals[-1][1] > closes - grid_ms and through >= closes
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
