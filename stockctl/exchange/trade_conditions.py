"""Trade conditions: which statistics a trade with these condition codes may update, and of which hours it is.

The table ``data/trade_conditions.csv`` holds Finnhub's codes 1–41 with their CTS and UTP letters. A trade updates a statistic
only if all its codes allow it. "First of the day only" rules (N1) count as not allowed, because a stream that may start late
cannot know what was first; Y2 counts as allowed; an empty cell means that no rule is known, and allows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

TABLE_VERSION = "2026-11"
"""Version of the condition table; a change of any cell changes it."""

ODD_LOT = "12"
EXTENDED_HOURS = "24"

NEVER_PRICE_FORMING = frozenset({"3", "5", "10", "16", "17", "20", "21", "22", "26", "27", "32", "37", "38", "39"})
"""Codes whose price was not made by that moment's market: average-price, cash, next-day, seller, contingent,
derivatively priced trades and the official open and close reports."""

LATE_EXTENDED = frozenset({EXTENDED_HOURS, "25"})
"""Codes of trades outside regular hours; where the time is within them, of ones that are reported late."""
LATE_REGULAR = frozenset({"15", "30", "35", "36", "39"})
"""Codes of trades in regular hours that a report after the close may bring: the closing auction and a correction of its price,
the last sale, and a sale out of sequence (outside regular hours that one is 25)."""

Told = Literal["plain", "regular", "extended"]
"""Of which hours a trade is by its codes: ``plain`` where they do not tell, so that its time decides."""


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


@cache
def told_of(joined: str) -> Told:
    """Of which hours a trade with the comma-joined codes is: of extended ones if a code says so, whatever the others say."""
    codes = frozenset(joined.split(","))
    return "extended" if codes & LATE_EXTENDED else "regular" if codes & LATE_REGULAR else "plain"


def unknown_codes(codes: Iterable[str]) -> set[str]:
    """Those of ``codes`` that the table doesn't know: they allow everything, and the caller reports them."""
    return {code for code in codes if code and code not in table()}
