"""A figure as SVG: an image that scales, with its title, its description, and the label of each mark in words.

Colours and fonts are those of ``page.STYLE``. The same figure gives the same text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from stockctl.figures.figure import Band, Figure, Line, Mark, Marks
from stockctl.figures.markup import Markup, tag
from stockctl.figures.sampling import extremes
from stockctl.figures.time_axis import TimeAxis, time_text
from stockctl.figures.value_axis import ValueAxis, is_drawable, value_axis

_TOP, _RIGHT = 12, 16
_ONE_ROW, _TWO_ROWS = 28, 44
"""px below the plot, for one row of labels and for two."""
_DIGIT = 7.2
"""px of a digit of a label."""
_LABEL = 76
"""px between the labels of times."""
_MARK = 5
_MOST_BREAKS = 40


class _Plot(NamedTuple):
    """The inner rectangle of a chart, with its axes."""

    left: float
    width: float
    height: float
    times: TimeAxis
    values: ValueAxis

    def x(self, at: int) -> float:
        """Pixels from the left of the image."""
        return self.left + self.times.position(at) * self.width

    def y(self, value: float) -> float:
        """Pixels from the top of the image."""
        return _TOP + (1 - self.values.position(value)) * self.height


def svg(figure: Figure, name: str, width: int = 960, height: int = 340) -> Markup:
    """``figure`` as an image of ``width`` × ``height`` px. ``name`` is unique in the page: ids begin with it."""
    plot = _plot(figure, width, height)
    content = (
        *(tag("title", figure.title, id=f"{name}-title"), tag("desc", figure.description, id=f"{name}-desc")),
        _hatch(name),
        *_axes(plot),
        *(_band(band, plot, name) for band in _merged(figure.gaps, plot)),
        *(part for line in figure.lines for part in _line(line, plot, figure.gaps)),
        *(part for marks in figure.marks for part in _marks(marks, plot)),
    )
    return tag(
        "svg",
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def _plot(figure: Figure, width: int, height: int) -> _Plot:
    values = [value for line in figure.lines for _, value in line.points if is_drawable(value)]
    values += [mark.value for marks in figure.marks for mark in marks.marks if is_drawable(mark.value)]
    values += [0.0] * any(line.filled for line in figure.lines)
    times = TimeAxis(figure.shown)
    has_two_rows = any(tick.below for tick in times.ticks(_most_ticks(width - 6 * _DIGIT)))
    inner = height - _TOP - (_TWO_ROWS if has_two_rows else _ONE_ROW)
    axis = value_axis(min(values, default=0.0), max(values, default=1.0), figure.unit, max(inner // 60, 2))
    left = max(len(label) for _, label in axis.ticks) * _DIGIT + 14
    return _Plot(left, width - left - _RIGHT, inner, times, axis)


def _most_ticks(width: float) -> int:
    return max(int(width / _LABEL), 2)


def _hatch(name: str) -> Markup:
    line = tag("path", d="M0 0V6", class_="hatch")
    turned = "rotate(45)"
    pattern = tag("pattern", line, id=f"{name}-gap", width=6, height=6, patternUnits="userSpaceOnUse", patternTransform=turned)
    return tag("defs", pattern)


def _axes(plot: _Plot) -> Iterator[Markup]:
    right, bottom = plot.left + plot.width, _TOP + plot.height
    for value, label in plot.values.ticks:
        y = plot.y(value)
        kind = "zero" if value == 0 and plot.values.least < 0 else "grid"
        yield tag("path", d=f"M{plot.left:.1f} {y:.1f}H{right:.1f}", class_=kind)
        yield tag("text", label, x=f"{plot.left - 8:.1f}", y=f"{y + 4:.1f}", class_="value")
    if len(plot.times.breaks) <= _MOST_BREAKS:
        for place in plot.times.breaks:
            yield tag("path", d=f"M{plot.left + place * plot.width:.1f} {_TOP}V{bottom:.1f}", class_="break")
    for tick in plot.times.ticks(_most_ticks(plot.width)):
        x = plot.left + tick.position * plot.width
        yield tag("path", d=f"M{x:.1f} {bottom:.1f}v5", class_="tick")
        yield tag("text", tick.label, x=f"{x:.1f}", y=f"{bottom + 19:.1f}", class_="time")
        if tick.below:
            yield tag("text", tick.below, x=f"{x:.1f}", y=f"{bottom + 35:.1f}", class_="time below")
    yield tag("path", d=f"M{plot.left:.1f} {bottom:.1f}H{right:.1f}", class_="axis")


class _Shade(NamedTuple):
    """Gaps that lie so near that they are drawn as one, from ``x`` px on."""

    x: float
    end: float
    label: str
    number: int


def _merged(gaps: Sequence[Band], plot: _Plot) -> list[_Shade]:
    """The gaps that lie in shown time, each at least 2 px wide. What touches is one."""
    shades: list[_Shade] = []
    for gap in sorted(gaps):
        x, end = plot.x(gap.since), plot.x(gap.until)
        if x == end:
            continue
        before = shades[-1] if shades else None
        if before and x < before.end + 1:
            shades[-1] = _Shade(before.x, max(end, before.end), before.label, before.number + 1)
        else:
            shades.append(_Shade(x, max(end, x + 2), f"{time_text(gap.since)} to {time_text(gap.until)}: {gap.reason}", 1))
    return shades


def _band(shade: _Shade, plot: _Plot, name: str) -> Markup:
    more = f", and {shade.number - 1:,} more" if shade.number > 1 else ""
    path = f"M{shade.x:.1f} {_TOP}H{shade.end:.1f}v{plot.height:.1f}H{shade.x:.1f}Z"
    shapes = (tag("path", d=path, class_="gap"), tag("path", d=path, style=f"fill:url(#{name}-gap)"))
    return tag("g", tag("title", f"Gap {shade.label}{more}"), *shapes)


def _line(line: Line, plot: _Plot, gaps: Sequence[Band]) -> Iterator[Markup]:
    cuts = [(gap.since, gap.until) for gap in sorted(gaps) if plot.x(gap.until) - plot.x(gap.since) >= 1] if line.cut else []
    paths: list[str] = []
    areas: list[str] = []
    zero = plot.y(0.0)
    for part in _parts(line.points, cuts):
        points = [(plot.x(at), plot.y(value)) for at, value in extremes(part, lambda point: int(plot.x(point[0])))]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        # A line of no length has round ends: a point that is alone is a dot.
        paths.append(f"M{path}" + ("h0" if len(points) == 1 else ""))
        areas.append(f"M{points[0][0]:.1f} {zero:.1f}L{path}L{points[-1][0]:.1f} {zero:.1f}Z")
    if line.filled and areas:
        yield tag("path", d="".join(areas), class_=f"area {line.role}")
    if paths:
        yield tag("path", d="".join(paths), class_=f"line {line.role}")


def _parts(points: Sequence[tuple[int, float | None]], cuts: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, float]]]:
    """The runs of points between which nothing interrupts the line."""
    part: list[tuple[int, float]] = []
    following = iter(cuts)
    cut = next(following, None)
    for at, value in points:
        while cut is not None and cut[1] <= (part[-1][0] if part else at):
            cut = next(following, None)
        is_cut = cut is not None and part and cut[0] < at
        if part and (is_cut or not is_drawable(value)):
            yield part
            part = []
        if is_drawable(value):
            part.append((at, value))
    if part:
        yield part


def _marks(marks: Marks, plot: _Plot) -> Iterator[Markup]:
    """A triangle for each mark, its tip at the value. What would lie on another one is drawn once."""
    height = 2 * _MARK if marks.shape == "up" else -2 * _MARK
    for (x, y), label in _distinct(marks.marks, plot):
        triangle = f"M{x:.1f} {y:.1f}l{_MARK} {height}h{-2 * _MARK}Z"
        yield tag("path", tag("title", label), d=triangle, class_=f"mark {marks.shape}")


def _distinct(marks: Iterable[Mark], plot: _Plot) -> Iterator[tuple[tuple[float, float], str]]:
    """The places of the marks, 2 px apart at least, with their labels."""
    cells: dict[tuple[int, int], list[Mark]] = {}
    for mark in marks:
        if is_drawable(mark.value):
            cells.setdefault((int(plot.x(mark.time) / 2), int(plot.y(mark.value) / 2)), []).append(mark)
    for same in cells.values():
        more = f"; and {len(same) - 1:,} more" if len(same) > 1 else ""
        yield (plot.x(same[0].time), plot.y(same[0].value)), same[0].label + more
