"""The lines of one statement, and what they say of an item: a line, a sum of lines, or that they leave it unclear.

Statements reach us flat: what a report shows as a total with its parts (products and services, classes of shares) are lines of
one concept, in any order. Which of them is the total is proved by their sum or told by their labels; else it is unclear.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

from stockctl.filings.model import STATEMENTS, Filing, Item, Statement
from stockctl.filings.standardize.line_items import Figure, Source, StandardItem, digits
from stockctl.filings.standardize.rounding import adds_up, parts_of

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
_MOST_NAMED = 6


class Unclear(NamedTuple):
    """What a report leaves unclear of an item, in words."""

    words: str


class Lines:
    """The lines of one statement of a report on a period to ``end`` that have values.

    ``amended`` are earlier reports on the period of which this one gives a part anew: their other lines stand.
    """

    def __init__(self, filing: Filing, end: date, statement: Statement, amended: Sequence[Filing] = ()) -> None:
        self.filing, self.end = filing, end
        self.items: list[Item] = []
        self._of: dict[int, str] = {}
        for one in (*reversed(amended), filing):
            new = [item for item in one.statement(statement) if item.value is not None]
            self._of |= {id(item): one.accession for item in new}
            self.items = _put_into(self.items, new)
        self._by_name: dict[str, list[Item]] = {}
        for item in self.items:
            self._by_name.setdefault(item.name, []).append(item)
        self._currency = _currency(filing)

    def named(self, item: StandardItem, *concepts: str) -> list[Item]:
        """The lines of the concepts in a unit that the item can have; of several currencies in the report's own."""
        found = [line for concept in concepts for line in self._by_name.get(concept, ()) if _fits(item, line.measure)]
        return self._in_own_currency(found)

    def matching(self, item: StandardItem, pattern: re.Pattern[str] | None, without: re.Pattern[str]) -> list[Item]:
        """As ``named``, of the concepts in whose names ``pattern`` is found (None: of all) and ``without`` is not."""
        found = [
            line
            for line in self.items
            if (pattern is None or pattern.search(line.name)) and not without.search(line.name) and _fits(item, line.measure)
        ]
        return self._in_own_currency(found)

    def line(self, item: StandardItem, concept: str) -> Item | Unclear | None:
        """The line of the concept. Of several with different values the one that is proved or labelled to be their total."""
        found = self.named(item, concept)
        if len({line.value for line in found}) <= 1:
            return next(iter(found), None)
        total = None
        if item.kind != "average":
            strict = item.rule in ("revenue", "cost") or item.name == "capital_expenditure"
            total = total_of(found) if strict else whole_of(found)
        return total or Unclear(f"{item.name}: {concept} is reported more than once: {listed(found)}")

    def first(self, item: StandardItem, *concepts: str) -> Item | Unclear | None:
        """The line of the first of the concepts that the statement has."""
        return next((line for concept in concepts if (line := self.line(item, concept)) is not None), None)

    def figure(self, item: StandardItem, lines: Sequence[Item], less: Sequence[Item] = (), note: str = "") -> Figure:
        """The item as the sum of ``lines``, less those of ``less``."""
        plus, minus = ([Source(one.concept, self._of[id(one)], one.value or 0.0) for one in some] for some in (lines, less))
        words = " + ".join(source.concept for source in plus) + "".join(f" − {source.concept}" for source in minus)
        return Figure(
            item=item.name,
            value=sum(source.value for source in plus) - sum(source.value for source in minus),
            measure=self.measure(item, lines[0]),
            start=None if item.kind == "instant" else self.filing.start,
            end=self.end,
            sources=(*plus, *minus),
            derived=words if len(plus) + len(minus) > 1 else "",
            notes=(note,) if note else (),
        )

    def measure(self, item: StandardItem, line: Item) -> str:
        """The line's unit; of one that tells nothing, the item's, in the report's currency."""
        if item.amount == "shares":
            return "shares"
        currency = line.measure.removesuffix("/share") or self._currency
        return f"{currency}/share" if item.amount == "per_share" and currency else currency

    def _in_own_currency(self, found: list[Item]) -> list[Item]:
        own = [line for line in found if line.measure.removesuffix("/share") in ("", self._currency, "shares")]
        return own or found


def _put_into(items: list[Item], new: list[Item]) -> list[Item]:
    """The lines with new ones in the place of those of their concepts, the others behind."""
    named = {item.name for item in new}
    # Gross profit of before goes with neither another revenue nor another cost.
    stale = {"GrossProfit"} if any(re.search("Revenue|Sales|Cost", name) for name in named) else set()
    made: list[Item] = []
    for item in items:
        if item.name not in named | stale:
            made.append(item)
        elif item.name in named:
            made += [one for one in new if one.name == item.name and not any(one is other for other in made)]
    return made + [one for one in new if not any(one is other for other in made)]


def total_of(lines: Sequence[Item]) -> Item | None:
    """The line that is the total of the others, by its sum or by its label; None if nothing tells."""
    values = [line.value or 0.0 for line in lines]
    for place in sorted(range(len(lines)), key=lambda one: -abs(values[one])):
        others = [value for other, value in enumerate(values) if other != place and value != values[place]]
        if len(others) > 1 and adds_up(values[place], others):
            return lines[place]
    most = max(lines, key=lambda line: abs(line.value or 0.0))
    if parts_of(most.value or 0.0, [value for value in values if value != most.value]) is not None:
        return most
    # A label may speak of a part's total (total services): the whole is no less than any part.
    for is_it in (is_total, is_whole):
        told = [line for line in lines if is_it(line.label)]
        if told and {line.value for line in told} == {most.value}:
            return told[0]
    return None


def whole_of(lines: Sequence[Item]) -> Item | None:
    """As ``total_of``; else the largest line, if it alone is labelled as its concept is named: the others are of segments."""
    total = total_of(lines)
    if total is not None:
        return total
    told = [line for line in lines if is_total(line.label)]
    if told and len({line.value for line in told}) == 1:
        return told[0]
    named = [line for line in lines if words_of(line.name) & words_of(line.label)]
    most = max(lines, key=lambda line: abs(line.value or 0.0))
    return most if named and {line.value for line in named} == {most.value} else None


def words_of(text: str) -> set[str]:
    """The words of a label, or of a concept, without endings."""
    return {word[:6].lower() for word in re.findall(r"[A-Za-z][a-z]{3,}", text)}


def is_total(label: str) -> bool:
    """Whether the label says that its line is a total."""
    return bool(_TOTAL.search(label))


def is_whole(label: str) -> bool:
    """Whether the label names the whole of revenue, cost or net income, and no part of it: ``Net sales``."""
    return bool(_WHOLE.fullmatch(_ASIDE.sub("", label).strip()))


def is_labelled_total(line: Item) -> bool:
    """Whether the label says that its line is the total of revenue, cost or net income."""
    return is_total(line.label) and is_whole(line.label)


def is_unlabelled(line: Item) -> bool:
    """Whether the label tells no more than the concept."""
    return line.label in ("", line.name)


def goods_and_services(one: Item, other: Item) -> bool:
    """Whether one of two lines is of goods and the other of services, by their labels or their concepts."""
    return {_kind(one), _kind(other)} == {"goods", "services"}


def _kind(line: Item) -> str:
    for text in (line.label, re.sub(r"(?<=[a-z])(?=[A-Z])", " ", line.name)):
        goods, services = bool(_GOODS.search(text)), bool(_SERVICES.search(text))
        if goods != services:
            return "goods" if goods else "services"
    return ""


def distinct(lines: Iterable[Item]) -> list[Item]:
    """The lines, each once: two of one concept with one amount are two if the labels of both name parts, and different ones."""
    found: dict[tuple[str, float | None], dict[str, Item]] = {}
    for line in lines:
        found.setdefault((line.name, line.value), {}).setdefault(line.label.casefold(), line)
    made: list[Item] = []
    for same in found.values():
        whole = next((line for line in same.values() if is_unlabelled(line) or is_whole(line.label)), None)
        made += [whole] if whole else same.values()
    return made


def listed(lines: Iterable[Item]) -> str:
    """Lines in words, each by its label or concept, with its value."""
    named = [f"{line.label or line.name} {digits(line.value or 0.0)}" for line in lines]
    return ", ".join(named[:_MOST_NAMED]) + (f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else "")


def _fits(item: StandardItem, measure: str) -> bool:
    """Whether the item can be in this unit. A currency does for amounts per share: the wire is not strict about them."""
    if not measure:
        return True
    if item.amount == "shares":
        return measure == "shares"
    if measure in ("shares", "pure"):
        return False
    return item.amount == "per_share" or not measure.endswith("/share")


def _currency(filing: Filing) -> str:
    """The currency of most of the report's lines; empty if none tells one."""
    told = Counter(line.measure for name in STATEMENTS for line in filing.statement(name) if len(line.measure) == 3)
    return told.most_common(1)[0][0] if told else ""
