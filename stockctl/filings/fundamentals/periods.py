"""Period arithmetic: which reported periods add up to a wanted one, added or taken away.

A 10-Q reports from the start of the fiscal year, so a quarter is a difference of two such periods, the fourth quarter the
year less its nine months, and twelve months to a quarter's end the last year, less its part, plus this year's. All of these are
paths between two days, each reported period a step forwards or backwards; so are those through transition periods and around
missing reports. Only dates count, never the form or the quarter that a report names.

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
MOST_PARTS = 4
"""The most periods that are put together: twelve months over a transition period take four."""


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
        """Whether the period is as long as a quarter or a year is."""
        least, most = QUARTER_DAYS if length == "quarter" else YEAR_DAYS
        return least <= self.days <= most


class Part(NamedTuple):
    """A reported period that is added (``sign`` 1) or taken away (-1)."""

    sign: int
    span: Span


def add_up(known: Iterable[Span], wanted: Span) -> tuple[Part, ...] | None:
    """The fewest of ``known`` that add up to ``wanted``, of several ways that of the fewest days; None if there is none.

    Those added come first. A way of more than ``MOST_PARTS`` is none.
    """
    steps: dict[int, list[tuple[int, Part]]] = {}
    for span in sorted(set(known)):
        first, after = span.start.toordinal(), span.end.toordinal() + 1
        steps.setdefault(first, []).append((after, Part(1, span)))
        steps.setdefault(after, []).append((first, Part(-1, span)))
    goal = wanted.end.toordinal() + 1
    # Cheapest first, so the first arrival is the answer. Numbers break ties, so that spans are never compared.
    waiting: list[tuple[int, int, int, int, tuple[Part, ...]]] = [(0, 0, 0, wanted.start.toordinal(), ())]
    reached: set[int] = set()
    number = 0
    while waiting:
        count, days, _, place, parts = heappop(waiting)
        if place == goal:
            return tuple(sorted(parts, key=lambda part: (-part.sign, part.span)))
        if place in reached or count == MOST_PARTS:
            continue
        reached.add(place)
        for next_place, part in steps.get(place, ()):
            if next_place not in reached:
                number += 1
                heappush(waiting, (count + 1, days + part.span.days, number, next_place, (*parts, part)))
    return None


def ending(known: Iterable[Span], end: date, length: Length) -> Span | None:
    """The quarter, or the twelve months, to ``end`` that the known periods add up to; None if there is none.

    Of several the one of the fewest parts, then that which is nearest to 13 or 52 weeks and a day.
    """
    spans = set(known)
    days = {span.start for span in spans} | {span.end + timedelta(days=1) for span in spans}
    usual = 91 if length == "quarter" else 365
    candidates = [span for day in days if (span := Span(day, end)).lasts(length)]
    found = [(len(parts), abs(span.days - usual), span) for span in candidates if (parts := add_up(spans, span)) is not None]
    return min(found)[2] if found else None
