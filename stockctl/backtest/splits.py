"""Splits: given by the user, and jumps of the price from one date to the next that look like one.

The lake has prices as they were traded. On the date of a split a position has other shares and the same value; a strategy that
is fed dates from before it sees the prices of then.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

from stockctl.errors import UnhealthyError, UsageError, quoted, unreadable
from stockctl.metrics.results import JUMP

IGNORE = "ignore"
HINT = "write SYMBOL=DATE:RATIO such as AAPL=2020-08-31:4, the name of a CSV file with symbol,date,ratio, or ignore"

_RATIO = re.compile(r"(\d+(?:\.\d+)?)(?:/(\d+(?:\.\d+)?))?", re.ASCII)

Splits = Mapping[str, Mapping[date, float]]
"""New shares for each old one, by symbol and by the first date with the new shares."""


def parse_splits(written: Iterable[str]) -> Splits | None:
    """The splits that ``written`` names, each ``SYMBOL=DATE:RATIO`` or a CSV file; None for ``ignore``.

    A ratio is 4, or 1/10 where ten old shares became one. UsageError for anything else.
    """
    texts = list(written)
    if IGNORE in texts:
        if len(texts) > 1:
            raise UsageError("--splits ignore excludes other splits", hint="leave one of them out")
        return None
    splits: dict[str, dict[date, float]] = {}
    for text in texts:
        symbol, separator, rest = text.partition("=")
        rows = [(symbol, *rest.rsplit(":", 1), text)] if separator else _file(text)
        for row in rows:
            symbol, day, ratio = _split(row)
            splits.setdefault(symbol, {})[day] = ratio
    return splits


def _file(text: str) -> list[tuple[str, ...]]:
    try:
        with Path(text).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = [(row, f"{text}, line {reader.line_num}") for row in reader]
    except OSError as error:
        raise unreadable(text, error, HINT) from error
    except (UnicodeError, csv.Error) as error:
        raise UsageError(f"{text} is no CSV file: {error}", hint=HINT) from error
    return [(*(row.get(name) or "" for name in ("symbol", "date", "ratio")), place) for row, place in rows]


def _split(row: tuple[str, ...]) -> tuple[str, date, float]:
    *values, place = row
    if len(values) == 3:
        symbol, day, ratio = (value.strip() for value in values)
        match = _RATIO.fullmatch(ratio)
        try:
            new, old = (float(match[1]), float(match[2] or 1)) if match else (0.0, 0.0)
            if symbol and new > 0 and old > 0:
                return symbol, date.fromisoformat(day), new / old
        except ValueError:
            pass
    raise UsageError(f"{quoted(place)} is no split", hint=HINT)


def check_jump(symbol: str, last: float, before: date, first: float, day: date) -> None:
    """UnhealthyError if the price jumped so far from the date ``before`` to ``day`` that it may be a split."""
    factor = last / first
    if max(factor, 1 / factor) < JUMP:
        return
    ratio = f"{round(factor)}" if factor > 1 else f"1/{round(1 / factor)}"
    raise UnhealthyError(
        f"{symbol} goes from {last:g} to {first:g} between {before} and {day}, which looks like a split",
        hint=f"if it was one, add --splits {symbol}={day}:{ratio}; --splits ignore takes the prices as they are",
    )
