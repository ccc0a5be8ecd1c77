"""The image of a figure: every point in its place, no extreme lost, no line across a gap, and text that stays text."""

from __future__ import annotations

import math
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.exchange.calendar import EXCHANGE_ZONE, to_ms
from stockctl.figures import Band, Figure, FillPoint, Line, drawdown_figure, equity_figure, price_figure, svg
from stockctl.figures.sampling import Point
from tests.figures.markup import SVG, drawn, external_references, paths, titles, vertices

HOUR = 3_600_000
OPEN = to_ms(datetime(2026, 3, 3, 9, 30, tzinfo=EXCHANGE_ZONE))
CLOSE = to_ms(datetime(2026, 3, 3, 16, tzinfo=EXCHANGE_ZONE))
NASTY = "<script>alert(1)</script>\"'&\x00\x1b[31m\u202e\ud800"
VALUES = st.floats(allow_nan=False, allow_infinity=False)


def linear(points: list[tuple[int, float | None]], **more: object) -> Figure:
    """A figure of one line, over all the time from its first to its last point."""
    times = [at for at, _ in points]
    return Figure("Line", "A line.", "money", [(min(times), max(times))], [Line("line", points)], **more)  # type: ignore[arg-type]  # fields of Figure


def test_points_are_drawn_where_they_belong() -> None:
    root = drawn(linear([(0, 0.0), (25, 100.0), (100, 50.0)]), width=900)
    [[first, second, third]] = vertices(paths(root, "line")[0])
    assert (first[1] - second[1]) == pytest.approx(2 * (third[1] - second[1]), abs=0.2)
    assert (third[0] - first[0]) == pytest.approx(4 * (second[0] - first[0]), abs=0.2)
    labels = {text.text: float(text.get("y", "")) - 4 for text in root.iter(f"{SVG}text") if text.get("class") == "value"}
    assert first[1] == pytest.approx(labels["0"], abs=0.11)
    assert second[1] == pytest.approx(labels["100"], abs=0.11)


@given(values=st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=400))
def test_extremes_are_drawn_in_however_narrow_an_image(values: list[float]) -> None:
    wide, narrow = (drawn(linear(list(enumerate(values))), width) for width in (4000, 150))
    (high, low), other = (
        (min(y for _, y in corners), max(y for _, y in corners))
        for corners in ([corner for part in vertices(paths(root, "line")[0]) for corner in part] for root in (wide, narrow))
    )
    assert other == (high, low)


@given(values=st.lists(VALUES, min_size=1, max_size=30))
def test_any_numbers_make_an_image_with_finite_places(values: list[float]) -> None:
    for figure in (equity_figure(list(enumerate(values))), drawdown_figure(list(enumerate(values)))):
        root = drawn(figure)
        corners = [corner for path in paths(root, "line") for part in vertices(path) for corner in part]
        assert all(0 <= x <= 960 and 0 <= y <= 340 for x, y in corners)
        assert all(math.isfinite(number) for corner in corners for number in corner)


@pytest.mark.parametrize(
    "values", [[], [5.0], [0.0], [-3.0, -5.0], [1e300, -1e300], [1.7e308, -1.7e308], [math.nan], [7.0] * 9]
)
def test_series_at_the_edges_are_drawn(values: list[float]) -> None:
    points = [(OPEN + index * HOUR, value) for index, value in enumerate(values)]
    for figure in (equity_figure(points), drawdown_figure(points), price_figure("AAPL", points)):
        root = drawn(figure)
        assert len(paths(root, "axis")) == 1
        assert figure.tables[0].columns[0] == "date"


def test_a_point_alone_is_a_dot() -> None:
    [line] = paths(drawn(equity_figure([(OPEN, 5.0)])), "line")
    assert line.startswith("M")
    assert line.endswith("h0")


def test_what_is_unknown_is_no_zero_and_interrupts_the_line() -> None:
    points: list[tuple[int, float | None]] = [(0, 5.0), (1, 6.0), (2, None), (3, math.nan), (4, 5.0), (5, 6.0)]
    assert [len(part) for part in vertices(paths(drawn(linear(points)), "line")[0])] == [2, 2]


def test_no_price_line_crosses_a_gap() -> None:
    prices = [(OPEN + index * 60_000, 100.0 + index % 5) for index in range(390) if not 100 <= index < 130]
    gap = Band(OPEN + 100 * 60_000, OPEN + 130 * 60_000, "the connection was lost")
    root = drawn(price_figure("AAPL", prices, gaps=[gap]))
    before, after = vertices(paths(root, "line")[0])
    shade = paths(root, "gap")[0]
    hatched = [path.get("style") for path in root.iter(f"{SVG}path") if path.get("d") == shade]
    assert hatched == [None, "fill:url(#f-gap)"]
    left, right = float(shade[1:].split(" ")[0]), float(shade.split("H")[1].split("v")[0])
    assert before[-1][0] <= left < right <= after[0][0] + 0.1
    assert "the connection was lost" in "".join(root.itertext())


def test_gaps_that_touch_are_shaded_once_and_none_is_too_thin_to_see() -> None:
    prices = [(OPEN, 1.0), (CLOSE, 2.0)]
    gaps = [Band(OPEN + index * 2000, OPEN + index * 2000 + 500, "slow") for index in range(1000)]
    root = drawn(price_figure("AAPL", prices, gaps=[*gaps, Band(CLOSE - HOUR, CLOSE - HOUR + 1, "short")]))
    shades = paths(root, "gap")
    assert len(shades) == 2
    assert "and 999 more" in "".join(root.itertext())
    assert all(float(shade.split("H")[1].split("v")[0]) - float(shade[1:].split(" ")[0]) >= 2 for shade in shades)


def test_fills_have_their_direction_place_and_words() -> None:
    trades = [FillPoint(OPEN + HOUR, 50, 101.25), FillPoint(OPEN + 2 * HOUR, -50, 99.5, gap=True)]
    figure = price_figure("AAPL", [(OPEN, 100.0), (CLOSE, 100.0)], trades)
    root = drawn(figure)
    assert titles(root, "mark up") == ["bought 50 at 101.25, 2026-03-03 10:30:00"]
    assert titles(root, "mark down") == ["sold 50 at 99.50, 2026-03-03 11:30:00, beside a gap"]
    [[(bought, _)]], [[(sold, _)]] = ([[vertex(path)]] for path in (*paths(root, "mark up"), *paths(root, "mark down")))
    [[(since, _), (until, _)]] = vertices(paths(root, "line")[0])
    assert (bought - since) / (until - since) == pytest.approx(2 / 13, abs=1e-3)
    assert (sold - since) / (until - since) == pytest.approx(4 / 13, abs=1e-3)


def vertex(path: str) -> tuple[float, float]:
    """The tip of a triangle."""
    x, y = path[1:].partition("l")[0].split(" ")
    return float(x), float(y)


def test_a_million_points_and_fills_make_a_small_image() -> None:
    count = 100_000
    step = (CLOSE - OPEN) / count
    prices = [(OPEN + int(index * step), 100 + math.sin(index / 7)) for index in range(count)]
    trades = [FillPoint(at, 1 if index % 2 else -1, price) for index, (at, price) in enumerate(prices)]
    assert len(svg(price_figure("AAPL", prices), "f")) < 60_000
    assert len(svg(price_figure("AAPL", prices, trades), "f")) < 12_000_000


def test_all_text_is_escaped() -> None:
    points: list[Point] = [(OPEN, 1.0), (CLOSE, 2.0)]
    figure = price_figure(NASTY, points, [FillPoint(OPEN, 1, 1.0)], gaps=[Band(OPEN, OPEN + HOUR, NASTY)])
    text = svg(figure, "f")
    assert drawn(figure).findtext(f"{SVG}title") == (
        "<script>alert(1)</script>\"'&\\x00\\x1b[31m\\u202e\\ud800: price and fills"
    )
    assert "<script" not in text
    assert external_references(text) == []
    text.encode("utf-8")


def test_an_image_says_what_it_is_to_those_who_do_not_see_it() -> None:
    root = drawn(equity_figure([(OPEN, 10_000.0), (CLOSE, 10_250.5)]))
    assert root.get("role") == "img"
    ids = {element.get("id"): element.text for element in root.iter() if element.get("id")}
    assert [ids[name] for name in (root.get("aria-labelledby") or "").split()] == [
        "Equity",
        "From 10,000.00 on 2026-03-03 to 10,250.50 on 2026-03-03; "
        "lowest 10,000.00 on 2026-03-03, highest 10,250.50 on 2026-03-03.",
    ]


@given(points=st.lists(st.tuples(st.integers(OPEN, CLOSE), st.floats(-1e9, 1e9)), min_size=1, max_size=50))
def test_the_same_figure_is_the_same_text(points: list[Point]) -> None:
    assert svg(equity_figure(sorted(points)), "f") == svg(equity_figure(sorted(points)), "f")


def test_drawdown_of_negative_equity_is_more_than_all() -> None:
    figure = drawdown_figure([(OPEN, 100.0), (OPEN + HOUR, 120.0), (CLOSE, -60.0)])
    assert figure.lines[0].points == [(OPEN, 0.0), (OPEN + HOUR, 0.0), (CLOSE, -1.5)]
    assert figure.description.startswith("Deepest −150.00% on 2026-03-03")
