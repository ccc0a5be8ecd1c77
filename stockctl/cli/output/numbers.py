"""Values as a terminal shows them, by the kind of their column."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from stockctl.cli.output.columns import Kind
from stockctl.exchange.venues import has_venue
from stockctl.units import format_duration, format_price, format_quantity, format_significant, format_size

Row = Mapping[str, Any]
Number = int | float | Decimal


def is_number(value: Any) -> bool:
    """Whether ``value`` is a number; True and False are words."""
    return isinstance(value, Number) and not isinstance(value, bool)


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


def amount(value: float, unit: str) -> str:
    """A value of a filing with its unit: ``$12.3 B``, ``$6.08``, ``26.42%``, ``EUR 1.20 M``, ``15.3 B``."""
    size = abs(value)
    if size >= 1000:
        for scale, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
            if size >= scale * 0.99995 or letter == "K":
                text = f"{format_significant(size / scale, 3, least=1)} {letter}"
                break
    else:
        text = f"{size:.0f}" if size == int(size) else format_significant(size, 3, least=2)
    currency = unit.partition("/")[0].upper()
    if unit in ("%", "x"):
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


def _percent(value: Number) -> str:
    number = float(value)
    for decimals in range(1, 4):
        text = f"{number:.{decimals}f}"
        # 99.97 is not all, and 0.03 is not nothing.
        if (float(text) != 100 or number == 100) and (float(text) != 0 or number == 0):
            break
    return f"{text.removesuffix('.0')}%" if number in (0, 100) else f"{text}%"


def _seconds(value: Number) -> str:
    seconds = float(value)
    if seconds < 0:
        return f"-{_seconds(-seconds)}"
    return f"{seconds * 1000:.1f}ms" if 0 < seconds < 0.01 else format_duration(seconds) if seconds else "0s"


def _milliseconds(value: Number) -> str:
    return "unlimited" if value == -1 else _seconds(float(value) / 1000)


def _count(value: Number) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.10g}"


_FORMATS: dict[Kind | None, Callable[[Any, Row], str]] = {
    Kind.count: lambda value, _: _count(value),
    Kind.quantity: lambda value, _: format_quantity(float(value)),
    Kind.price: _price,
    Kind.exact_price: _exact_price,
    Kind.figure: lambda value, _: format_significant(float(value), 4),
    Kind.percent: lambda value, _: _percent(value),
    Kind.fraction: lambda value, _: _percent(100 * float(value)),
    Kind.bytes: lambda value, _: format_size(float(value)),
    Kind.seconds: lambda value, _: _seconds(value),
    Kind.milliseconds: lambda value, _: _milliseconds(value),
}
