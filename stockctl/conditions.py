"""Trade conditions: which statistics a trade with these condition codes may update.

The table ``data/trade_conditions.csv`` holds Finnhub's codes 1–41 with their CTS and UTP letters. A trade updates a statistic
only if all its codes allow it. "First of the day only" rules (N1) count as not allowed, because a stream that may start late
cannot know what was first; Y2 counts as allowed; an empty cell means that no rule is known, and allows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

TABLE_VERSION = "2026-11"
"""Version of the condition table; a change of any cell changes it."""

ODD_LOT = "12"
EXTENDED_HOURS = "24"

NEVER_PRICE_FORMING = frozenset({"3", "5", "10", "16", "17", "20", "21", "22", "26", "27", "32", "37", "38", "39"})
"""Codes whose price was not made by that moment's market: average-price, cash, next-day, seller, contingent,
derivatively priced trades and the official open and close reports."""


class Condition(NamedTuple):
    """One row of the table; each flag tells whether the code allows a trade to update that statistic."""

    code: str
    name: str
    high_low: bool
    last: bool
    volume: bool


def _allows(cell: str) -> bool:
    return cell in ("", "Y", "Y2")


@cache
def table() -> dict[str, Condition]:
    """The condition table by code, as strings (that is how Finnhub sends them)."""
    text = (files("stockctl") / "data" / "trade_conditions.csv").read_text(encoding="utf-8")
    return {
        row["code"]: Condition(
            row["code"],
            row["name"],
            _allows(row["updates_high_low"]),
            _allows(row["updates_last"]),
            _allows(row["updates_volume"]),
        )
        for row in csv.DictReader(text.splitlines())
    }


@cache
def updates_of(joined: str) -> str:
    """What a trade with the comma-joined codes may update: letters of ``vhl`` (volume, high/low, last).

    No codes allow all, and so does a code that the table doesn't know (see ``unknown_codes``).
    """
    rows = [row for code in joined.split(",") if (row := table().get(code)) is not None]
    return "".join(
        letter
        for letter, allowed in (
            ("v", all(row.volume for row in rows)),
            ("h", all(row.high_low for row in rows)),
            ("l", all(row.last for row in rows)),
        )
        if allowed
    )


def unknown_codes(codes: Iterable[str]) -> set[str]:
    """Those of ``codes`` that the table doesn't know: they allow everything, and the caller reports them."""
    return {code for code in codes if code and code not in table()}
