"""Trade conditions: which statistics a trade with these condition codes updates, and which trading hours they name.

The table ``data/trade_conditions.csv`` lists Finnhub's codes 1–41 with their CTS and UTP letters. A trade updates a statistic
only if all its codes allow it. "First of the day only" rules (N1) count as not allowed, because a stream that starts late
cannot know which trade was first. Y2 counts as allowed, and so does an empty cell: no rule is known.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

TABLE_VERSION = "2026-11"
"""Version of the condition table and of the code sets below; metrics report it. Change it when any of them changes."""

ODD_LOT = "12"
EXTENDED_HOURS = "24"

NEVER_PRICE_FORMING = frozenset({"3", "5", "10", "16", "17", "20", "21", "22", "26", "27", "32", "37", "38", "39"})
"""Codes of prices that the market did not form at that time: average-price, cash, next-day, seller, contingent and derivatively
priced trades, and the official open and close."""

LATE_EXTENDED = frozenset({EXTENDED_HOURS, "25"})
"""Codes of extended-hours trades. Within regular hours they mark late reports."""
LATE_REGULAR = frozenset({"15", "30", "35", "36", "39"})
"""Codes of regular-hours trades that may be reported after the close: the closing auction, corrections of its price, sold last,
and sold out of sequence (25 outside regular hours)."""

OPENING_AUCTION = frozenset({"18", "19"})
CLOSING_AUCTION = frozenset({"35", "36"})
"""Codes of an auction's trades. The official open and close (20, 16) repeat their price, and move no shares."""

TradeKind = Literal["plain", "regular", "extended"]
"""The trading hours that a trade's codes name: regular, extended, or neither (``plain``): then its time decides."""


class Condition(NamedTuple):
    """One row of the table. Each flag is true if the code allows a trade to update that statistic."""

    code: str
    name: str
    high_low: bool
    last: bool
    volume: bool


def _allows(cell: str) -> bool:
    return cell in ("", "Y", "Y2")


@cache
def table() -> dict[str, Condition]:
    """The condition table by code. Codes are strings, as Finnhub sends them."""
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
    """The statistics that a trade with these comma-joined codes updates: letters of ``vhl`` (volume, high/low, last).

    A trade without codes updates all. A code that is not in the table allows all (see ``unknown_codes``).
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
def trade_kind(joined: str) -> TradeKind:
    """The kind of a trade with these comma-joined codes. An extended-hours code wins over a regular-hours code."""
    codes = frozenset(joined.split(","))
    return "extended" if codes & LATE_EXTENDED else "regular" if codes & LATE_REGULAR else "plain"


def unknown_codes(codes: Iterable[str]) -> set[str]:
    """The ``codes`` that are not in the table. They allow every update; callers report them."""
    return {code for code in codes if code and code not in table()}
