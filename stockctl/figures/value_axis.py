"""The value axis of a figure, and values as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

from stockctl.figures.figure import Unit
from stockctl.units import format_price

_SCALES = ((1e12, " T"), (1e9, " B"), (1e6, " M"))
_SMALLEST = 5e-324
"""The smallest float above 0."""
LARGEST = 1e300
"""What is larger is drawn as if it were not known: the axis would not end at a float."""
_FINEST = 1e-6
"""Prices that are smaller are written with an exponent."""
_LONG = 1e9
_PLAIN = 1e15
"""From here on, labels without a unit such as M, and all values, are written with an exponent."""


class ValueAxis(NamedTuple):
    """The values from ``least`` to ``greatest``, with the values that have a label, and the labels."""

    least: float
    greatest: float
    ticks: Sequence[tuple[float, str]]

    def position(self, value: float) -> float:
        """Where ``value`` lies in [0, 1], from the bottom."""
        return (value - self.least) / (self.greatest - self.least)


def is_drawable(value: float | None) -> TypeGuard[float]:
    """Whether ``value`` is a number that an axis can have."""
    return value is not None and abs(value) <= LARGEST


def value_axis(least: float, greatest: float, unit: Unit, most: int) -> ValueAxis:
    """The axis for values from ``least`` to ``greatest``, with about ``most`` labels at round values.

    Both are ``LARGEST`` at most.
    """
    if least == greatest:
        margin = abs(least) * 0.01 or (0.01 if unit == "percent" else 1.0)
        least, greatest = least - margin, greatest + margin
    step = _round_step((greatest / most) - (least / most))
    first, last = math.floor(least / step), math.ceil(greatest / step)
    if last - first > 10 * most:  # the values differ by their last digits
        return ValueAxis(least, greatest, [(each, f"{each:.3g}") for each in (least, greatest)])
    size = max(abs(first * step), abs(last * step))
    ticks = [(index * step, _tick_text(index * step, step, size, unit)) for index in range(first, last + 1)]
    return ValueAxis(min(first * step, least), max(last * step, greatest), ticks)


def _round_step(step: float) -> float:
    """The first of 1, 2 or 5 times a power of 10 that is not less than ``step``."""
    power = float(f"1e{math.floor(math.log10(max(step, _SMALLEST)))}") or _SMALLEST
    return next((power * factor for factor in (1, 2, 5) if power * factor >= step * (1 - 1e-9)), power * 10)


def _tick_text(value: float, step: float, size: float, unit: Unit) -> str:
    """``value`` with the decimals that ``step`` needs."""
    scale, letter = (0.01, "%") if unit == "percent" else (1.0, "")
    if size / scale >= (_PLAIN if unit == "money" else _LONG):
        return _minus(f"{value / scale:.3g}") + letter
    if unit == "money":
        scale, letter = next(((scale, letter) for scale, letter in _SCALES if size >= scale), (1.0, ""))
    decimals = max(-math.floor(math.log10(step / scale) + 1e-9), 0)
    if decimals > 12:
        return _minus(f"{value / scale:.3g}") + letter
    return _minus(f"{value / scale:,.{decimals}f}") + letter


def value_text(value: float, unit: Unit) -> str:
    """``value`` as text in a table: ``10,250.00``, ``-3.25%``, ``101.25``."""
    if not math.isfinite(value):
        return "–"
    scaled = value * 100 if unit == "percent" else value
    if abs(scaled) >= _PLAIN or (unit == "price" and 0 < abs(value) < _FINEST):
        return _minus(f"{scaled:.6g}") + ("%" if unit == "percent" else "")
    if unit == "percent":
        return _minus(f"{scaled:,.2f}") + "%"
    return _minus(format_price(value) if unit == "price" else f"{value:,.2f}")


def _minus(text: str) -> str:
    """``text`` with the sign for minus, and none before a zero."""
    if text.startswith("-"):
        return text[1:] if not text.strip("-0.,") else f"−{text[1:]}"
    return text
