"""Fewer points of a long series, so that a chart of them shows the same: no extreme is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from math import isfinite

Point = tuple[int, float]
"""A time in ms UTC, and a value."""

_MOST_SPANS = 4096
_NARROWEST = 1000
"""ms of the first spans."""


class _Span:
    """The first, least, greatest and last point of a span of time. Of equal ones, the one that came first."""

    __slots__ = ("first", "greatest", "last", "least")

    def __init__(self, point: Point) -> None:
        self.first = self.least = self.greatest = self.last = point

    def add(self, other: _Span) -> None:
        """Take the points of ``other`` in, which came later."""
        if other.first[0] < self.first[0]:
            self.first = other.first
        if other.last[0] >= self.last[0]:
            self.last = other.last
        if other.least[1] < self.least[1]:
            self.least = other.least
        if other.greatest[1] > self.greatest[1]:
            self.greatest = other.greatest

    def points(self) -> list[Point]:
        """The first point, the extremes and the last one, by time."""
        between = sorted({self.least, self.greatest} - {self.first, self.last})
        return [self.first, *between, *([self.last] if self.last != self.first else [])]


class SeriesSampler:
    """A series of any length as it comes, in bounded memory: the extremes of at most ``most`` spans of equal time.

    Spans are a second long at first, and are joined in pairs when there are too many. Times may come in any order.
    """

    def __init__(self, most: int = _MOST_SPANS) -> None:
        self._most = most
        self._width = _NARROWEST
        self._spans: dict[int, _Span] = {}

    def add(self, time: int, value: float) -> None:
        """Take a point in; a value that is not finite is none."""
        if not isfinite(value):
            return
        point = (time, value)
        key = time // self._width
        span = self._spans.get(key)
        if span is None:
            self._spans[key] = _Span(point)
            while len(self._spans) > self._most:
                self._join()
        elif time >= span.last[0] and span.least[1] <= value <= span.greatest[1]:
            span.last = point
        else:
            span.add(_Span(point))

    def points(self) -> list[Point]:
        """The points that are kept, by time."""
        return [point for _, span in sorted(self._spans.items()) for point in span.points()]

    def _join(self) -> None:
        """Make the spans twice as long."""
        self._width *= 2
        joined: dict[int, _Span] = {}
        for key, span in sorted(self._spans.items()):
            half = joined.get(key // 2)
            if half is None:
                joined[key // 2] = span
            else:
                half.add(span)
        self._spans = joined


def extremes(points: Iterable[Point], column_of: Callable[[Point], int]) -> list[Point]:
    """Of the ``points`` in the order of time, the first, least, greatest and last of each column of a chart."""
    kept: list[Point] = []
    for _, group in groupby(points, key=column_of):
        span: _Span | None = None
        for point in group:
            if span is None:
                span = _Span(point)
            else:
                span.add(_Span(point))
        kept += span.points() if span else []
    return kept
