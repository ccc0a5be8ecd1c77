"""A sampled series has every extreme of the whole one, in bounded memory."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from stockctl.figures.sampling import Point, SeriesSampler, extremes

POINTS = st.lists(st.tuples(st.integers(0, 10**7), st.floats(-1e300, 1e300)), max_size=80)


@given(points=POINTS, most=st.integers(1, 20))
def test_the_sampler_keeps_the_ends_and_the_extremes(points: list[Point], most: int) -> None:
    sampler = SeriesSampler(most)
    for point in points:
        sampler.add(*point)
    kept = sampler.points()
    assert len(kept) <= 4 * most
    assert set(kept) <= set(points)
    assert [time for time, _ in kept] == sorted(time for time, _ in kept)
    if points:
        values = [value for _, value in kept]
        assert min(values) == min(value for _, value in points)
        assert max(values) == max(value for _, value in points)
        assert kept[0] == min(points, key=lambda point: point[0])
        assert kept[-1][0] == max(time for time, _ in points)


@given(points=POINTS.map(sorted), width=st.integers(1, 10**7))
def test_each_column_keeps_its_ends_and_its_extremes(points: list[Point], width: int) -> None:
    kept = extremes(points, lambda point: point[0] // width)
    columns = {time // width for time, _ in points}
    assert {time // width for time, _ in kept} == columns
    for column in columns:
        every, few = ([point for point in some if point[0] // width == column] for some in (points, kept))
        assert len(few) <= 4
        assert (few[0], few[-1]) == (every[0], every[-1])
        assert min(value for _, value in few) == min(value for _, value in every)
        assert max(value for _, value in few) == max(value for _, value in every)


def test_a_short_series_is_kept_whole() -> None:
    sampler = SeriesSampler()
    for index in range(100):
        sampler.add(index * 1000, float(index % 7))
    assert sampler.points() == [(index * 1000, float(index % 7)) for index in range(100)]


def test_what_is_no_number_is_left_out() -> None:
    sampler = SeriesSampler()
    for value in (math.nan, math.inf, 1.0, -math.inf):
        sampler.add(0, value)
    assert sampler.points() == [(0, 1.0)]


def test_a_spike_among_many_points_is_kept() -> None:
    points = [(index * 100, {4_321: 9.0, 6_789: -9.0}.get(index, float(index % 2))) for index in range(10_000)]
    sampler = SeriesSampler(10)
    for point in points:
        sampler.add(*point)
    for kept in (sampler.points(), extremes(points, lambda point: point[0] // 100_000)):
        assert {(432_100, 9.0), (678_900, -9.0)} <= set(kept)
        assert len(kept) <= 40
