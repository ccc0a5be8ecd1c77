"""Period arithmetic: which reported periods, added or subtracted, give a wanted period.

A 10-Q reports from the start of the fiscal year. So a quarter is the difference of two such periods, the fourth quarter is the
year minus its nine months, and twelve months to a quarter's end are the last year, minus its part, plus this year's. All of
these are paths between two days in which each reported period is a step forwards or backwards; this also covers transition
periods and missing reports. Only dates count, never the form or the quarter of a report.

    >>> year, nine = Span(date(2022, 9, 25), date(2023, 9, 30)), Span(date(2022, 9, 25), date(2023, 7, 1))
    >>> add_up([year, nine], Span(date(2023, 7, 2), date(2023, 9, 30)))
    (Part(sign=1, span=2022-09-25…2023-09-30), Part(sign=-1, span=2022-09-25…2023-07-01))
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from heapq import heappop, heappush
from typing import Literal, NamedTuple

Length = Literal["quarter", "year"]

QUARTER_DAYS = (80, 122)
"""Days of a quarter: 12 weeks at least, 17 weeks (of the calendars 12-12-12-16 in a long year) at most."""
YEAR_DAYS = (350, 380)
"""Days of a year: 52 weeks, 365, 366 days or 53 weeks; transition periods are shorter."""
MAX_PARTS = 4
"""The most periods to combine: twelve months over a transition period take four."""


class Span(NamedTuple):
    """A period, first and last day included."""

    start: date
    end: date

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.end - self.start).days + 1

    def __repr__(self) -> str:
        return f"{self.start}…{self.end}"

    def lasts(self, length: Length) -> bool:
        """Whether the period has the length of a quarter or of a year."""
        least, most = QUARTER_DAYS if length == "quarter" else YEAR_DAYS
        return least <= self.days <= most


class Part(NamedTuple):
    """A reported period that is added (``sign`` 1) or subtracted (-1)."""

    sign: int
    span: Span


def formula(parts: Iterable[Part]) -> str:
    """The parts as text: ``2022-09-25…2023-09-30 − 2022-09-25…2023-07-01``."""
    return "".join(f" {'+' if part.sign > 0 else '−'} {part.span}" for part in parts).removeprefix(" + ")


def add_up(known: Iterable[Span], wanted: Span) -> tuple[Part, ...] | None:
    """The fewest of ``known`` that give ``wanted``, at most ``MAX_PARTS``; None if they do not give it.

    Of several solutions with as many parts, the one with the fewest days. Added parts come first.
    """
    steps: dict[int, list[tuple[int, Part]]] = {}
    for span in sorted(set(known)):
        first, after = span.start.toordinal(), span.end.toordinal() + 1
        steps.setdefault(first, []).append((after, Part(1, span)))
        steps.setdefault(after, []).append((first, Part(-1, span)))
    goal = wanted.end.toordinal() + 1
    # Cheapest first, so the first arrival is the answer. The number breaks ties, so that parts are never compared.
    waiting: list[tuple[int, int, int, int, tuple[Part, ...]]] = [(0, 0, 0, wanted.start.toordinal(), ())]
    reached: set[int] = set()
    number = 0
    while waiting:
        count, days, _, place, parts = heappop(waiting)
        if place == goal:
            return tuple(sorted(parts, key=lambda part: (-part.sign, part.span)))
        if place in reached or count == MAX_PARTS:
            continue
        reached.add(place)
        for next_place, part in steps.get(place, ()):
            if next_place not in reached:
                number += 1
                heappush(waiting, (count + 1, days + part.span.days, number, next_place, (*parts, part)))
    return None


def ending(known: Iterable[Span], end: date, length: Length) -> Span | None:
    """The quarter or the twelve months to ``end`` that the known periods give; None if they give none.

    Of several, the one with the fewest parts, then the one nearest to 91 or 365 days.
    """
    spans = set(known)
    days = {span.start for span in spans} | {span.end + timedelta(days=1) for span in spans}
    usual = 91 if length == "quarter" else 365
    candidates = [span for day in days if (span := Span(day, end)).lasts(length)]
    ranked = [(len(parts), abs(span.days - usual), span) for span in candidates if (parts := add_up(spans, span)) is not None]
    return min(ranked)[2] if ranked else None
