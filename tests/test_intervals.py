"""Intervals behave like sets of milliseconds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stockctl.intervals import Interval, intersect, length, merge, subtract

INTERVALS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def moments(intervals: list[Interval]) -> set[int]:
    return {moment for since, until in intervals for moment in range(since, until)}


def in_order_and_disjoint(intervals: list[Interval]) -> bool:
    edges = [edge for interval in intervals for edge in interval]
    return edges == sorted(set(edges))


@given(INTERVALS)
def test_merge_keeps_every_moment_once(intervals: list[Interval]) -> None:
    merged = merge(intervals)
    assert moments(merged) == moments(intervals)
    assert in_order_and_disjoint(merged)
    assert length(merged) == len(moments(intervals))


@given(INTERVALS, INTERVALS)
def test_intersect_and_subtract_match_set_operations(one: list[Interval], other: list[Interval]) -> None:
    one, other = merge(one), merge(other)
    assert moments(intersect(one, other)) == moments(one) & moments(other)
    assert moments(subtract(one, other)) == moments(one) - moments(other)
    assert in_order_and_disjoint(intersect(one, other))
    assert in_order_and_disjoint(subtract(one, other))
