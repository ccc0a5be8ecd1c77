"""Values as a terminal shows them, by the kind of their column."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from stockctl.cli.output.columns import Kind, kind_of
from stockctl.exchange.venues import has_venue
from stockctl.units import format_duration, format_percent, format_price, format_quantity, format_significant, format_size

Row = Mapping[str, Any]
Number = int | float | Decimal

_MOST_DECIMALS = 10
_FAR_APART = 1e5
"""Values with so many digits before the point would be too long: they have different scales."""


def is_number(value: Any) -> bool:
    """Whether ``value`` is a number; True and False are words."""
    return isinstance(value, Number) and not isinstance(value, bool)


def is_numeric(values: Iterable[Any]) -> bool:
    """Whether a column with these ``values`` is one of numbers, to be aligned at its right."""
    known = [value for value in values if value is not None]
    return bool(known) and all(map(is_number, known))


def literal(text: str) -> str:
    r"""``text`` on one line, with every character that could steer a terminal written out, as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _written_out(char) for char in text)


def _written_out(char: str) -> str:
    if char in "\n\r\t" or unicodedata.category(char) == "Zs":
        return " "
    return char.encode("unicode_escape").decode("ascii")


def plain(value: Any) -> str:
    """A value as text, the same on a terminal and in a pipe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.10g}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds" if value.microsecond else "seconds")
    return str(value)


def cell(value: Any, kind: Kind | None, row: Row) -> str:
    """A value as a terminal shows it, by ``kind``; ``row`` is that of the value. Times are left to their column."""
    if is_number(value) and math.isfinite(value) and kind in _FORMATS:
        return _FORMATS[kind](value, row)
    return literal(plain(value))


def named(name: str, value: Any) -> str:
    """A value as a terminal shows it in the column ``name``."""
    return cell(value, kind_of(name), {})


def aligned(values: Sequence[Any]) -> list[str]:
    """The values of a column that has no kind: numbers with one number of decimals, and six digits of the smallest.

    Whole numbers of up to four digits may be years: they have no separators.
    """
    sizes = [abs(value) for value in values if is_number(value) and value and math.isfinite(value)]
    exact = max((max(-int(Decimal(str(size)).normalize().as_tuple().exponent), 0) for size in sizes), default=0)
    decimals = min(exact, max(5 - math.floor(math.log10(min(sizes))), 2)) if sizes else 0
    separator = "," if decimals or max(sizes, default=0) >= 10_000 else ""
    return [
        f"{_exact(value):{separator}.{decimals}f}"
        if is_number(value) and math.isfinite(value) and decimals <= _MOST_DECIMALS
        else literal(plain(value))
        for value in values
    ]


def _exact(value: Number) -> float | Decimal:
    """``value`` for a format with decimals, which would make a float of an integer."""
    return Decimal(value) if isinstance(value, int) else value


def sizes(values: Sequence[Any]) -> list[str]:
    """The bytes of a column in the unit of the largest, with three digits of the smallest and at most two decimals.

    Where the smallest would be nothing in that unit, each has its own.
    """
    known = [value for value in values if is_number(value) and value > 0]
    if not known:
        return [literal(plain(value)) if not is_number(value) else format_size(value) for value in values]
    units = (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1))
    unit, length = next(each for each in units if max(known) >= 0.9995 * each[1])
    decimals = min(max(2 - math.floor(math.log10(min(known) / length)), 0), 2) if length > 1 else 0
    if min(known) < 0.01 * length:
        return [format_size(value) if is_number(value) else literal(plain(value)) for value in values]
    return [f"{value / length:,.{decimals}f} {unit}" if is_number(value) else literal(plain(value)) for value in values]


def amount(value: float, unit: str) -> str:
    """A value of a filing with its unit: ``$12.3 B``, ``$6.08``, ``26.42%``, ``EUR 1.20 M``, ``15.3 B``, ``5.83x``."""
    return amounts([value], unit)[0]


def amounts(values: Sequence[float], unit: str) -> list[str]:
    """The ``values`` of one item, all in one scale and with one number of decimals, unless they are too far apart for that."""
    if unit == "%":
        return [format_percent(value) for value in values]
    sizes = [abs(value) for value in values if value]
    least, most = min(sizes, default=0), max(sizes, default=0)
    scale, letter = (1, "") if unit.endswith("/share") else _scale(most)
    if least < scale / 10:
        scale, letter = _scale(least)
    if len(values) > 1 and most >= _FAR_APART * scale:
        return [amount(value, unit) for value in values]
    if unit.endswith("/share"):
        decimals = 2
    elif letter:
        decimals = max(2 - math.floor(math.log10(least / scale * 1.00005)), 1)
    elif unit not in ("x", "") and all(size == int(size) for size in sizes):
        decimals = 0
    else:
        decimals = max(2 - math.floor(math.log10(least)), 2) if least else 2
    return [_with_unit(value, f"{abs(value) / scale:,.{decimals}f}{letter}", unit) for value in values]


def _scale(size: float) -> tuple[float, str]:
    """What to divide ``size`` by for a few digits before the point, and the letter of that."""
    for scale, letter in ((1e12, " T"), (1e9, " B"), (1e6, " M")):
        if size >= scale * 0.99995:
            return scale, letter
    return (1e3, " K") if size >= 1000 else (1, "")


def _with_unit(value: float, text: str, unit: str) -> str:
    currency = unit.partition("/")[0].upper()
    if unit == "x":
        text += unit
    elif currency == "USD":
        text = f"${text}"
    elif len(currency) == 3 and currency.isupper():
        text = f"{currency} {text}"
    return f"-{text}" if value < 0 else text


def _price(value: Number, row: Row) -> str:
    return format_price(float(value), fine=has_venue(str(row.get("symbol", ""))))


def _exact_price(value: Number, row: Row) -> str:
    """By the tick, with more digits where the trade had more."""
    text = _price(value, row)
    exact = format(Decimal(str(value)), ",f")
    return exact if len(exact.partition(".")[2].rstrip("0")) > len(text.partition(".")[2]) else text


def _seconds(value: Number) -> str:
    seconds = float(value)
    if seconds < 0:
        return f"-{_seconds(-seconds)}"
    return f"{seconds * 1000:.1f}ms" if 0 < seconds < 0.01 else format_duration(seconds) if seconds else "0s"


def _milliseconds(value: Number) -> str:
    return "unlimited" if value == -1 else _seconds(float(value) / 1000) if value else "0ms"


def _count(value: Number) -> str:
    return f"{value:,.10g}" if isinstance(value, float) else f"{Decimal(value):,f}"


_FORMATS: dict[Kind | None, Callable[[Any, Row], str]] = {
    Kind.count: lambda value, _: _count(value),
    Kind.quantity: lambda value, _: format_quantity(float(value)),
    Kind.price: _price,
    Kind.exact_price: _exact_price,
    Kind.money: lambda value, _: f"{value:,.2f}",
    Kind.figure: lambda value, _: format_significant(float(value), 4),
    Kind.percent: lambda value, _: format_percent(float(value)),
    Kind.fraction: lambda value, _: format_percent(100 * float(value)),
    Kind.bytes: lambda value, _: format_size(float(value)),
    Kind.seconds: lambda value, _: _seconds(value),
    Kind.milliseconds: lambda value, _: _milliseconds(value),
}
