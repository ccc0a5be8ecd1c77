"""Set arithmetic on time intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Interval = tuple[int, int]
"""``[since, until)`` in ms UTC."""


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """The union of ``intervals``, sorted and disjoint, without empty ones."""
    merged: list[Interval] = []
    for since, until in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if merged and since <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(until, merged[-1][1]))
        else:
            merged.append((since, until))
    return merged


def intersect(one: Sequence[Interval], other: Sequence[Interval]) -> list[Interval]:
    """The intersection of two merged lists of intervals."""
    common: list[Interval] = []
    i = j = 0
    while i < len(one) and j < len(other):
        since, until = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if since < until:
            common.append((since, until))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return common


def subtract(intervals: Sequence[Interval], removed: Sequence[Interval]) -> list[Interval]:
    """The merged ``intervals`` without the merged ``removed``."""
    if not intervals:
        return []
    left: list[Interval] = []
    since = intervals[0][0]
    for removed_since, removed_until in removed:
        left.append((since, removed_since))
        since = max(since, removed_until)
    left.append((since, max(since, intervals[-1][1])))
    return intersect(intervals, merge(left))


def length(intervals: Iterable[Interval]) -> int:
    """Total milliseconds of disjoint intervals."""
    return sum(until - since for since, until in intervals)
