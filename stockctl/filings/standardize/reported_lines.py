"""The lines of one statement, and finding the value of an item in them: one line, a sum of lines, or unclear.

Finnhub's statements are flat. A total and its parts (products and services, classes of shares) are lines of one concept, in any
order. The total is found by the sum of the others or by its label; otherwise it is unclear.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

from stockctl.filings.model import STATEMENTS, Filing, Item, Statement
from stockctl.filings.standardize.rounding import adds_up, parts_of
from stockctl.filings.standardize.standard_items import Figure, Source, StandardItem, digits

_TOTAL = re.compile(r"\btotals?\b", re.IGNORECASE)
_WHOLE = re.compile(
    r"((total|net|operating|consolidated|reported) )*"
    r"(total|(revenues?|sales|turnover)( and (revenues?|sales|other( operating)?( income| revenues?)?))?|"
    r"costs? of (revenues?|sales|goods sold|goods and services sold|products and services)|"
    r"net (income|earnings|loss|profit)( \(loss\))?)"
    r"(,? net of interest expense|,? net)?\W*",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\s*\([^)]*\)")
_GOODS = re.compile(r"\b(goods|products?|equipment|hardware|merchandise)\b", re.IGNORECASE)
_SERVICES = re.compile(r"\b(services?|subscriptions?|maintenance|support)\b", re.IGNORECASE)
_MAX_NAMED = 6


class Unclear(NamedTuple):
    """The report does not show what the value of an item is; ``reason`` is for the user."""

    reason: str


class StatementLines:
    """The lines with values of one statement, of a report on a period to ``end``.

    ``amended`` are earlier reports on the period of which this one restates a part; their other lines still count.
    """

    def __init__(self, filing: Filing, end: date, statement: Statement, amended: Sequence[Filing] = ()) -> None:
        self.filing, self.end = filing, end
        self.items: list[Item] = []
        self._accessions: dict[int, str] = {}
        for one in (*reversed(amended), filing):
            new = [item for item in one.statement(statement) if item.value is not None]
            self._accessions |= {id(item): one.accession for item in new}
            self.items = _amended(self.items, new)
        self._by_name: dict[str, list[Item]] = {}
        for item in self.items:
            self._by_name.setdefault(item.name, []).append(item)
        self._currency = _currency(filing)

    def named(self, item: StandardItem, *concepts: str) -> list[Item]:
        """The lines of the concepts in a unit that fits the item. Of several currencies only those in the report's own."""
        lines = [line for concept in concepts for line in self._by_name.get(concept, ()) if _fits(item, line.measure)]
        return self._in_own_currency(lines)

    def matching(self, item: StandardItem, pattern: re.Pattern[str] | None, without: re.Pattern[str]) -> list[Item]:
        """The lines as by ``named`` of the concepts that match ``pattern`` (None: any) and do not match ``without``."""
        lines = [
            line
            for line in self.items
            if (pattern is None or pattern.search(line.name)) and not without.search(line.name) and _fits(item, line.measure)
        ]
        return self._in_own_currency(lines)

    def line(self, item: StandardItem, concept: str) -> Item | Unclear | None:
        """The line of the concept. Of several with different values, their total by sum or label; Unclear without one."""
        lines = self.named(item, concept)
        if len({line.value for line in lines}) <= 1:
            return next(iter(lines), None)
        total = None
        if item.kind != "average":
            strict = item.rule in ("revenue", "cost") or item.name == "capital_expenditure"
            total = total_of(lines) if strict else likely_total_of(lines)
        return total or Unclear(f"{item.name}: the report has {concept} more than once: {describe(lines)}")

    def first(self, item: StandardItem, *concepts: str) -> Item | Unclear | None:
        """The line of the first of the concepts that the statement has."""
        return next((line for concept in concepts if (line := self.line(item, concept)) is not None), None)

    def figure(self, item: StandardItem, lines: Sequence[Item], less: Sequence[Item] = (), note: str = "") -> Figure:
        """The item as the sum of ``lines``, minus those of ``less``."""
        plus, minus = (
            [Source(one.concept, self._accessions[id(one)], one.value or 0.0) for one in some] for some in (lines, less)
        )
        formula = " + ".join(source.concept for source in plus) + "".join(f" − {source.concept}" for source in minus)
        return Figure(
            item=item.name,
            value=sum(source.value for source in plus) - sum(source.value for source in minus),
            measure=self.measure(item, lines[0]),
            start=None if item.kind == "instant" else self.filing.start,
            end=self.end,
            sources=(*plus, *minus),
            derived=formula if len(plus) + len(minus) > 1 else "",
            notes=(note,) if note else (),
        )

    def measure(self, item: StandardItem, line: Item) -> str:
        """The line's unit. If it is meaningless, the unit that the item needs, in the report's currency."""
        if item.amount == "shares":
            return "shares"
        currency = line.measure.removesuffix("/share") or self._currency
        return f"{currency}/share" if item.amount == "per_share" and currency else currency

    def _in_own_currency(self, lines: list[Item]) -> list[Item]:
        own = [line for line in lines if line.measure.removesuffix("/share") in ("", self._currency, "shares")]
        return own or lines


def _amended(items: list[Item], new: list[Item]) -> list[Item]:
    """The lines with those of an amendment in place of the lines of the same concepts; other new ones come last."""
    names = {item.name for item in new}
    # The earlier gross profit does not fit a changed revenue or cost.
    stale = {"GrossProfit"} if any(re.search("Revenue|Sales|Cost", name) for name in names) else set()
    lines: list[Item] = []
    for item in items:
        if item.name not in names | stale:
            lines.append(item)
        elif item.name in names:
            lines += [one for one in new if one.name == item.name and not any(one is other for other in lines)]
    return lines + [one for one in new if not any(one is other for other in lines)]


def total_of(lines: Sequence[Item]) -> Item | None:
    """The line that is the total of the others, by their sum or by its label; None if neither shows one."""
    values = [line.value or 0.0 for line in lines]
    for place in sorted(range(len(lines)), key=lambda one: -abs(values[one])):
        others = [value for other, value in enumerate(values) if other != place and value != values[place]]
        if len(others) > 1 and adds_up(values[place], others):
            return lines[place]
    most = max(lines, key=lambda line: abs(line.value or 0.0))
    if parts_of(most.value or 0.0, [value for value in values if value != most.value]) is not None:
        return most
    # A label may name the total of a part (total services), but the complete total is not less than any part.
    for is_labelled in (names_total, names_complete_item):
        labelled = [line for line in lines if is_labelled(line.label)]
        if labelled and {line.value for line in labelled} == {most.value}:
            return labelled[0]
    return None


def likely_total_of(lines: Sequence[Item]) -> Item | None:
    """The line of ``total_of``, else the only one labelled a total, else the largest line.

    The latter only if no other line's label resembles the name of the concept: the others are then of segments.
    """
    total = total_of(lines)
    if total is not None:
        return total
    labelled = [line for line in lines if names_total(line.label)]
    if labelled and len({line.value for line in labelled}) == 1:
        return labelled[0]
    similar = [line for line in lines if words_of(line.name) & words_of(line.label)]
    most = max(lines, key=lambda line: abs(line.value or 0.0))
    return most if similar and {line.value for line in similar} == {most.value} else None


def words_of(text: str) -> set[str]:
    """The words of a label or a concept, each cut to six letters so that endings do not matter."""
    return {word[:6].lower() for word in re.findall(r"[A-Za-z][a-z]{3,}", text)}


def names_total(label: str) -> bool:
    """Whether the label names a total."""
    return bool(_TOTAL.search(label))


def names_complete_item(label: str) -> bool:
    """Whether the label names all of revenue, cost or net income rather than a part of it: ``Net sales``."""
    return bool(_WHOLE.fullmatch(_ASIDE.sub("", label).strip()))


def is_labelled_total(line: Item) -> bool:
    """Whether the label names the total of revenue, cost or net income."""
    return names_total(line.label) and names_complete_item(line.label)


def is_unlabelled(line: Item) -> bool:
    """Whether the label is empty or only repeats the concept."""
    return line.label in ("", line.name)


def goods_and_services(one: Item, other: Item) -> bool:
    """Whether one line is of goods and the other of services, by their labels or their concepts."""
    return {_kind(one), _kind(other)} == {"goods", "services"}


def _kind(line: Item) -> str:
    for text in (line.label, re.sub(r"(?<=[a-z])(?=[A-Z])", " ", line.name)):
        goods, services = bool(_GOODS.search(text)), bool(_SERVICES.search(text))
        if goods != services:
            return "goods" if goods else "services"
    return ""


def distinct(lines: Iterable[Item]) -> list[Item]:
    """The lines without duplicates. Two of one concept and one amount are different if their labels name different parts."""
    groups: dict[tuple[str, float | None], dict[str, Item]] = {}
    for line in lines:
        groups.setdefault((line.name, line.value), {}).setdefault(line.label.casefold(), line)
    unique: list[Item] = []
    for same in groups.values():
        complete = next((line for line in same.values() if is_unlabelled(line) or names_complete_item(line.label)), None)
        unique += [complete] if complete else same.values()
    return unique


def describe(lines: Iterable[Item]) -> str:
    """Lines as text, each with its label or concept and its value."""
    named = [f"{line.label or line.name} {digits(line.value or 0.0)}" for line in lines]
    return ", ".join(named[:_MAX_NAMED]) + (f" and {len(named) - _MAX_NAMED} more" if len(named) > _MAX_NAMED else "")


def _fits(item: StandardItem, measure: str) -> bool:
    """Whether the item can have this unit. Amounts per share may have a plain currency: Finnhub is not strict about them."""
    if not measure:
        return True
    if item.amount == "shares":
        return measure == "shares"
    if measure in ("shares", "pure"):
        return False
    return item.amount == "per_share" or not measure.endswith("/share")


def _currency(filing: Filing) -> str:
    """The currency of most of the report's lines; empty if none has one."""
    currencies = Counter(line.measure for name in STATEMENTS for line in filing.statement(name) if len(line.measure) == 3)
    return currencies.most_common(1)[0][0] if currencies else ""
