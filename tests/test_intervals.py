"""Spans of time are sets of milliseconds."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from stockctl.intervals import Span, intersect, length, merge, subtract

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def moments(spans: list[Span]) -> set[int]:
    return {moment for since, until in spans for moment in range(since, until)}


def in_order_and_disjoint(spans: list[Span]) -> bool:
    edges = [edge for span in spans for edge in span]
    return edges == sorted(set(edges))


@given(SPANS)
def test_merging_keeps_every_moment_once(spans: list[Span]) -> None:
    merged = merge(spans)
    assert moments(merged) == moments(spans)
    assert in_order_and_disjoint(merged)
    assert length(merged) == len(moments(spans))


@given(SPANS, st.integers(0, 10))
def test_slack_closes_small_gaps_alone(spans: list[Span], slack: int) -> None:
    merged = merge(spans, slack)
    closed = subtract(merged, merge(spans))
    assert all(until - since <= slack for since, until in closed)
    assert all(after[0] - before[1] > slack for before, after in itertools.pairwise(merged))


@given(SPANS, SPANS)
def test_intersecting_and_subtracting_are_those_of_sets(one: list[Span], other: list[Span]) -> None:
    one, other = merge(one), merge(other)
    assert moments(intersect(one, other)) == moments(one) & moments(other)
    assert moments(subtract(one, other)) == moments(one) - moments(other)
    assert in_order_and_disjoint(intersect(one, other))
    assert in_order_and_disjoint(subtract(one, other))
