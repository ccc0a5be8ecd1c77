"""A figure as a value: what it shows, without how it looks. ``svg`` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from stockctl.intervals import Interval

Unit = Literal["money", "percent", "price"]
"""What the values are; percent are fractions: 0.01 is 1 %."""
Shape = Literal["up", "down"]
"""Of a triangle: with its tip up, or down."""


class Line(NamedTuple):
    """A line through points by time (ms UTC); a value of None, or one that is not finite, interrupts it.

    A ``filled`` line has an area down or up to 0. One that is ``cut`` is interrupted where the feed had a gap.
    """

    name: str
    points: Sequence[tuple[int, float | None]]
    role: Literal["main", "second", "loss"] = "main"
    filled: bool = False
    cut: bool = False


class Mark(NamedTuple):
    """A point with its meaning in words."""

    time: int
    value: float
    label: str


class Marks(NamedTuple):
    """Marks of one shape, with their tips at the values."""

    name: str
    shape: Shape
    marks: Sequence[Mark]


class Band(NamedTuple):
    """Time ``[since, until)`` in ms UTC that the feed missed, for ``reason``."""

    since: int
    until: int
    reason: str


class Table(NamedTuple):
    """Numbers as text, with the names of the columns. ``note`` says what is not in it.

    The first column is one of words, and so are those named in ``words``; those in ``sentences`` have longer text.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[str] = ()
    sentences: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """Lines, marks and gaps over one time axis. ``shown`` is the time that the axis has: the rest is left out.

    ``description`` says in words what is to be seen; ``tables`` have the numbers.
    """

    title: str
    description: str
    unit: Unit
    shown: Sequence[Interval]
    lines: Sequence[Line] = ()
    marks: Sequence[Marks] = ()
    gaps: Sequence[Band] = ()
    tables: Sequence[Table] = ()
