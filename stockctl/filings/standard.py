"""Standard items of one report: its revenue, equity or operating cash flow, whatever its company calls them.

What a report does not say is missing, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date

from stockctl.filings.filing import STATEMENTS, Filing, Item, Statement
from stockctl.filings.items import Figure, Source, StandardItem, items_of, minus
from stockctl.filings.per_share import mended


def figures(filing: Filing, statement: Statement) -> dict[str, Figure]:
    """What the statement says of each standard item that it has; empty where it tells no period."""
    reader = _reader(filing, statement)
    found: dict[str, Figure] = {}
    if reader is None:
        return found
    for item in items_of(statement):
        figure = reader.read(item, found)
        if figure is not None:
            found[item.name] = figure
    return mended(found)


def concept_figure(filing: Filing, item: StandardItem, concept: str) -> Figure | None:
    """What the report says of the item by this one of its concepts; None if it does not use it."""
    reader = _reader(filing, item.statement)
    return reader.by_concept(item, concept) if reader else None


def value_in(filing: Filing, statement: Statement, *concepts: str) -> Source | None:
    """The first of ``concepts`` that the statement has a value of, whether or not it is a standard item's."""
    for concept in concepts:
        for item in filing.statement(statement):
            if item.name == concept and item.value is not None:
                return Source(item.concept, filing.accession, item.value)
    return None


def _reader(filing: Filing, statement: Statement) -> _Reader | None:
    """A reader of the statement; None if nothing tells its period."""
    if filing.end is None or (statement != "bs" and (filing.start is None or filing.start > filing.end)):
        return None
    return _Reader(filing, filing.end, filing.statement(statement))


class _Reader:
    """Reads standard items out of one statement."""

    def __init__(self, filing: Filing, end: date, items: tuple[Item, ...]) -> None:
        self._filing, self._end = filing, end
        self._by_name: dict[str, list[Item]] = {}
        for item in items:
            if item.value is not None:
                self._by_name.setdefault(item.name, []).append(item)
        self._currency = _currency(filing)

    def read(self, item: StandardItem, found: Mapping[str, Figure]) -> Figure | None:
        """The item by its concepts, else by its sum, else by its difference."""
        for concept in item.concepts:
            if (figure := self.by_concept(item, concept)) is not None:
                return figure
        lines = [line for concept in item.any_of if (line := self._line(item, concept)) is not None]
        # Amounts in two currencies have no sum.
        if lines and len({self._measure(item, line) for line in lines}) == 1:
            return self._figure(item, lines)
        return minus(item, *(found.get(name) for name in item.minus)) if item.minus else None

    def by_concept(self, item: StandardItem, concept: str) -> Figure | None:
        """The item by one of its concepts."""
        line = self._line(item, concept)
        return None if line is None else self._figure(item, [line])

    def _line(self, item: StandardItem, concept: str) -> Item | None:
        """The first line of the concept with a value in a unit that the item can have."""
        return next((line for line in self._by_name.get(concept, ()) if _fits(item, line.measure)), None)

    def _figure(self, item: StandardItem, lines: list[Item]) -> Figure:
        sources = tuple(Source(line.concept, self._filing.accession, line.value or 0.0) for line in lines)
        return Figure(
            item=item.name,
            value=sum(source.value for source in sources),
            measure=self._measure(item, lines[0]),
            start=None if item.kind == "instant" else self._filing.start,
            end=self._end,
            sources=sources,
            derived=" + ".join(source.concept for source in sources) if len(sources) > 1 else "",
        )

    def _measure(self, item: StandardItem, line: Item) -> str:
        """The line's unit; of one that tells nothing, the item's, in the report's currency."""
        if item.amount == "shares":
            return "shares"
        currency = line.measure.removesuffix("/share") or self._currency
        return f"{currency}/share" if item.amount == "per_share" and currency else currency


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
