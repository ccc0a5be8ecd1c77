"""Arithmetic of spans of time, as sets of milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Span = tuple[int, int]
"""``[since, until)`` in ms UTC."""


def merge(spans: Iterable[Span], slack: int = 0) -> list[Span]:
    """The union of ``spans``, in order and disjoint; those at most ``slack`` ms apart become one. Empty ones vanish."""
    merged: list[Span] = []
    for since, until in sorted(span for span in spans if span[0] < span[1]):
        if merged and since <= merged[-1][1] + slack:
            merged[-1] = (merged[-1][0], max(until, merged[-1][1]))
        else:
            merged.append((since, until))
    return merged


def intersect(one: Sequence[Span], other: Sequence[Span]) -> list[Span]:
    """What is in both of two merged lists of spans."""
    common: list[Span] = []
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


def subtract(spans: Sequence[Span], taken: Sequence[Span]) -> list[Span]:
    """What of the merged ``spans`` is not in the merged ``taken``."""
    if not spans:
        return []
    left: list[Span] = []
    since = spans[0][0]
    for taken_since, taken_until in taken:
        left.append((since, taken_since))
        since = max(since, taken_until)
    left.append((since, max(since, spans[-1][1])))
    return intersect(spans, merge(left))


def length(spans: Iterable[Span]) -> int:
    """Milliseconds of disjoint spans together."""
    return sum(until - since for since, until in spans)
