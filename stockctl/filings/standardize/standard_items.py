"""Standard items, from the table ``data/standard_items.toml``, and their values with provenance."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

import msgspec

from stockctl.filings.model import Statement

Kind = Literal["flow", "instant", "average"]
Rule = Literal["revenue", "cost", "net_income", "equity", "income_tax", "debt", "liabilities", "outflow"]


class StandardItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the table; the comment at its top describes the fields."""

    name: str
    label: str
    statement: Statement
    kind: Kind
    concepts: tuple[str, ...]
    amount: Literal["money", "shares", "per_share"] = "money"
    rule: Rule | None = None
    minus: tuple[str, str] | None = None


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    version: str
    item: list[StandardItem]


class Source(NamedTuple):
    """Where a value came from: the concept as written in the report with that accession number, and its value there."""

    concept: str
    accession: str
    value: float


@dataclass(frozen=True)
class Figure:
    """The value of a standard item.

    ``start`` is None for balances. ``measure`` is as in ``stockctl.filings.model.Item``. ``derived`` is the formula, empty for
    a reported value. ``replaced`` are the values of earlier reports on the same period, the newest first. ``notes`` are for the
    user. ``proved``: other lines or its label show that it is the complete item.
    """

    item: str
    value: float
    measure: str
    start: date | None
    end: date
    sources: tuple[Source, ...]
    derived: str = ""
    replaced: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
    proved: bool = False

    def changed(self, value: float, *, derived: str, note: str = "", sources: tuple[Source, ...] | None = None) -> Figure:
        """The figure with a value that differs from the reported one, its formula and a note."""
        notes = (*self.notes, note) if note else self.notes
        return replace(self, value=value, derived=derived, notes=notes, sources=sources or self.sources)

    @property
    def concept(self) -> str:
        """The concept or concepts that the value came from."""
        return " + ".join(dict.fromkeys(source.concept for source in self.sources))

    @property
    def accession(self) -> str:
        """The accession number or numbers of the reports that the value came from."""
        return " + ".join(dict.fromkeys(source.accession for source in self.sources))


@cache
def table() -> Mapping[str, StandardItem]:
    """The standard items by name, in the order of their statements."""
    text = (files("stockctl") / "data" / "standard_items.toml").read_text(encoding="utf-8")
    return {item.name: item for item in msgspec.convert(tomllib.loads(text), _Table).item}


def items_of(statement: Statement) -> list[StandardItem]:
    """The standard items of one statement."""
    return [item for item in table().values() if item.statement == statement]


def minus(item: StandardItem, first: Figure | None, second: Figure | None) -> Figure | None:
    """The item as the first figure minus the second; None if one is missing or the currencies differ."""
    if first is None or second is None or first.measure != second.measure:
        return None
    return replace(
        first,
        item=item.name,
        value=first.value - second.value,
        sources=first.sources + second.sources,
        derived=f"{first.item} − {second.item}",
        replaced=(),
        notes=tuple(dict.fromkeys(first.notes + second.notes)),
    )


def income_to_common(found: Mapping[str, Figure]) -> Figure | None:
    """Net income to common shares, the basis of EPS; net income if the report does not have it."""
    return found.get("income_to_common") or found.get("net_income")


def digits(value: float) -> str:
    """A value as text: integers in full, other values with ten significant digits."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1e9 else f"{value:,.10g}"
