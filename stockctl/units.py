"""Durations and sizes as people write them, and as they are shown, with percentages, prices and counts: ``1h30m``, ``64MB``."""

from __future__ import annotations

import math
import re
from typing import TypeGuard

from stockctl.errors import quoted

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KIB": 1024, "MIB": 1024**2, "GIB": 1024**3}
DURATIONS = "write 90s, 5m, 1h30m or 7d"
"""Hint for an invalid duration."""
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w)\s*)+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)", re.ASCII)


def _is_number(value: object) -> TypeGuard[float]:
    # In Python, true is 1, but nobody means a number of seconds or bytes by it.
    return isinstance(value, int | float) and not isinstance(value, bool)


def parse_duration(text: str | float) -> float:
    """Seconds of ``text``: ``"5m"``, ``"1h 30m"``, ``"250ms"``, or a bare number of seconds. ValueError otherwise."""
    if _is_number(text):
        seconds = float(text)
    elif not isinstance(text, str):
        raise ValueError(f"{quoted(text)} is not a duration: {DURATIONS}")
    elif _DURATION.fullmatch(text.strip()):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    else:
        try:
            seconds = float(text)
        except ValueError:
            raise ValueError(f"{quoted(text)} is not a duration: {DURATIONS}") from None
    if not 0 <= seconds < 1e10:
        raise ValueError(f"{quoted(text)} is not a duration: it must be 0 or more and finite")
    return seconds


def parse_size(text: str | float) -> int:
    """Bytes of ``text``: ``"64MB"`` (10⁶), ``"64MiB"`` (2²⁰), or a bare number of bytes. ValueError otherwise."""
    if _is_number(text):
        size = float(text)
    else:
        match = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
        unit = (match[2] or "B").upper() if match else ""
        if match is None or unit not in _BYTES:
            raise ValueError(f"{quoted(text)} is not a size: write 64MB, 2GiB or a number of bytes")
        size = float(match[1]) * _BYTES[unit]
    if not 0 <= size < 1e18:
        raise ValueError(f"{quoted(text)} is not a size: it must be 0 or more and finite")
    return int(size)


def counted(number: int, one: str, many: str | None = None) -> str:
    """``number`` and what it counts: ``1 record``, ``2 records``; with ``many``, ``1 record waits``, ``2 records wait``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def format_duration(seconds: float) -> str:
    """``seconds`` in at most two units: ``1h 30m``, ``12.5s``, ``40ms``."""
    if (milliseconds := round(seconds * 1000)) < 1000:
        return f"{milliseconds}ms"
    if float(digits := f"{seconds:.3g}") < 60:
        return f"{digits}s"
    whole = round(seconds)
    parts = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, length)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def format_size(size: float) -> str:
    """``size`` bytes in decimal units with three significant digits: ``1.23 MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} EB"


def exact_duration(seconds: float) -> str:
    """``seconds`` as a setting is written, without loss: ``30m``, ``1h30m``, ``250ms``."""
    text = format_duration(seconds).replace(" ", "")
    return text if parse_duration(text) == seconds else str(seconds)


def exact_size(size: int) -> str:
    """``size`` bytes as a setting is written, without loss: ``64MB``, ``2GiB``, ``1048588``."""
    units = (("", 1), ("kB", 1000), ("MB", 1000**2), ("GB", 1000**3), ("KiB", 1024), ("MiB", 1024**2), ("GiB", 1024**3))
    return min((f"{size // length}{unit}" for unit, length in units if size % length == 0), key=len)


def format_significant(number: float, digits: int, least: int = 0) -> str:
    """``number`` without an exponent: its first ``digits`` digits, all before the point, and ``least`` decimals or more."""
    if not number or not math.isfinite(number):
        return f"{number:,.{least}f}"
    decimals = digits - 1 - math.floor(math.log10(abs(number)))
    return f"{number:,.{max(decimals, least)}f}"


def format_percent(number: float) -> str:
    """``number`` percent with two decimals: ``51.84%``.

    Only all is ``100%``, and only nothing ``0%``: what is nearly so is ``>99.99%``, ``<0.01%``.
    """
    if number in (0, 100):
        return f"{number:.0f}%"
    text = f"{number:,.2f}"
    if text == "100.00":
        return ">99.99%" if number < 100 else ">100%"
    return {"0.00": "<0.01%", "-0.00": ">-0.01%"}.get(text, f"{text}%")


def format_price(price: float, *, fine: bool = False) -> str:
    """``price`` by its tick: two decimals from 1 on, four below, more for what is smaller.

    With ``fine``, as for crypto and currencies, six digits count.
    """
    if fine:
        return format_significant(price, 6, least=2)
    return f"{price:,.2f}" if abs(price) >= 1 else format_significant(price, 4, least=4)


def format_quantity(quantity: float) -> str:
    """Shares or coins: whole from 10,000 on, with five digits that count below."""
    if abs(quantity) >= 10_000 or quantity == int(quantity):
        return f"{quantity:,.0f}"
    text = format_significant(quantity, 5)
    return text.rstrip("0").rstrip(".") if "." in text else text
