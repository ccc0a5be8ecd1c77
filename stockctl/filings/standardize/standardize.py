"""Standard items of one report: its revenue, equity or operating cash flow, whatever its company calls them.

What a report does not say is missing, never 0. What it leaves unclear is missing as well, with words that say why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from stockctl.filings.model import Filing, Item, Statement
from stockctl.filings.standardize.cost_of_revenue import cost_of_revenue, outflow
from stockctl.filings.standardize.debt import debts
from stockctl.filings.standardize.line_items import Figure, Source, StandardItem, items_of, minus, table
from stockctl.filings.standardize.net_income import equity, income_tax, net_income
from stockctl.filings.standardize.revenue import revenue, sales_of
from stockctl.filings.standardize.statement_lines import Lines, Unclear, listed, whole_of
from stockctl.filings.standardize.unit_corrections import mended

_BOTH_SIDES = "LiabilitiesAndStockholdersEquity"
_ALL_EQUITY = "StockholdersEquityIncludingPortionAttributableToNoncontrollingInterest"
_BESIDE_EQUITY = re.compile(r"^(Minority|Noncontrolling)Interests?$|TemporaryEquity|Mezzanine|Redeemable\w*(Equity|Interest)")
_TEMPORARY = re.compile(r"TemporaryEquity|Mezzanine|Redeemable\w*(Equity|Interest)")
_CAPITAL = re.compile(r"^PaymentsToAcquire\w*(Property|Productive|Machinery|Equipment|Buildings|Mining|RealEstate)")
_NO_CAPITAL = re.compile(r"Business|Securities|Interest|Intangible|Affiliate|Subsidiar|Investments")
_NEVER = re.compile(r"Shares|ParValue|Dividend")


_DEBTS = ("short_term_debt", "long_term_debt", "total_debt")
_NEAR = 0.25  # how far an amendment's figure may be from what it amends, to be the same item by another concept


class Reading(NamedTuple):
    """What a statement says: figures by item, and words on the items that it leaves unclear."""

    figures: dict[str, Figure]
    unclear: dict[str, str]


def figures(filing: Filing, statement: Statement) -> dict[str, Figure]:
    """What the statement says of each standard item that it has; empty where it tells no period."""
    return read(filing, statement).figures


def read(filing: Filing, statement: Statement, amended: Sequence[Filing] = ()) -> Reading:
    """What the statement says of each standard item; empty where it tells no period.

    ``amended`` are earlier reports on the period of which this one gives a part anew, the newest first.
    """
    found: dict[str, Figure] = {}
    unclear: dict[str, str] = {}
    lines = _lines(filing, statement, amended)
    if lines is None:
        return Reading(found, unclear)
    if statement == "bs":
        for name, figure in debts(lines).items():
            if isinstance(figure, Unclear):
                unclear[name] = figure.words
            else:
                found[name] = figure
    for item in items_of(statement):
        one = _item(lines, item, found)
        if isinstance(one, Unclear):
            unclear[item.name] = one.words
        elif one is not None:
            found[item.name] = one
    if statement == "ic":
        found = mended(lines, found, unclear)
    return Reading(found, {name: words for name, words in unclear.items() if name not in found})


def amended(old: Reading, alone: Reading, together: Reading, accession: str) -> Reading:
    """What an amendment of a part makes of a statement: ``old`` before it, read ``alone``, and ``together`` with the rest.

    It may name an item by another concept than the original: near what that said it is the item, else a part of it.
    """
    found: dict[str, Figure] = {}
    for name in table():
        one, both, before = (reading.figures.get(name) for reading in (alone, together, old))
        figure = both or before
        if one is not None and (figure is None or accession not in {source.accession for source in figure.sources}):
            near = figure is None or abs(one.value - figure.value) <= _NEAR * abs(figure.value)
            if near and name not in _DEBTS:
                figure = one
        if figure is not None:
            found[name] = figure
    for name in ("gross_profit", "free_cash_flow"):
        item = table()[name]
        parts = [found.get(one) for one in item.minus or ()]
        told = {source.accession for part in parts if part is not None for source in part.sources}
        made = minus(item, *parts)
        if made is not None and accession in told and (name not in alone.figures or alone.figures[name].derived):
            found[name] = made
    return Reading(found, {name: words for name, words in together.unclear.items() if name not in found})


def concept_figure(filing: Filing, item: StandardItem, concept: str) -> Figure | None:
    """What the report says of the item by this one of its concepts; None if it does not use it, or leaves it unclear."""
    lines = _lines(filing, item.statement)
    line = lines.line(item, concept) if lines else None
    if lines is None or not isinstance(line, Item):
        return None
    figure = lines.figure(item, [line])
    return outflow(figure) if item.rule in ("outflow", "cost") else figure


def value_in(filing: Filing, statement: Statement, *concepts: str) -> Source | None:
    """The first of ``concepts`` that the statement has a value of, of several its total if one is told, else the first."""
    for concept in concepts:
        found = [item for item in filing.statement(statement) if item.name == concept and item.value is not None]
        if found:
            item = (whole_of(found) if len(found) > 1 else None) or found[0]
            return Source(item.concept, filing.accession, item.value or 0.0)
    return None


def _lines(filing: Filing, statement: Statement, amended: Sequence[Filing] = ()) -> Lines | None:
    """The lines of the statement; None if nothing tells its period."""
    if filing.end is None or (statement != "bs" and (filing.start is None or filing.start > filing.end)):
        return None
    return Lines(filing, filing.end, statement, amended)


def _item(lines: Lines, item: StandardItem, found: Mapping[str, Figure]) -> Figure | Unclear | None:
    """The item by its rule or its concepts, else by its difference."""
    match item.rule:
        case "revenue":
            return revenue(lines, item)
        case "cost":
            return cost_of_revenue(lines, item, found.get("revenue"), partial(sales_of, lines, item))
        case "net_income":
            return net_income(lines, item)
        case "equity":
            return equity(lines, item)
        case "income_tax":
            return income_tax(lines, item, found.get("pretax_income"))
        case "debt":
            return found.get(item.name)
    line = lines.first(item, *item.concepts)
    if isinstance(line, Unclear) and item.name == "assets":
        # Assets are what the other side of the balance sheet is.
        both = lines.line(item, _BOTH_SIDES)
        fitting = [one for one in lines.named(item, *item.concepts) if isinstance(both, Item) and one.value == both.value]
        line = fitting[0] if fitting else line
    if isinstance(line, Unclear):
        return line
    if line is not None:
        others = lines.matching(item, _CAPITAL, _NO_CAPITAL) if item.name == "capital_expenditure" else []
        beside = [one for one in others if one.name != line.name and one.value and abs(one.value) != abs(line.value or 0.0)]
        note = f"{item.name}: {listed([line])}; the report also names {listed(beside)}" if beside else ""
        figure = lines.figure(item, [line], note=note)
        return outflow(figure) if item.rule == "outflow" else figure
    if item.rule == "liabilities":
        return _liabilities(lines, item)
    return minus(item, *(found.get(name) for name in item.minus)) if item.minus else None


def _liabilities(lines: Lines, item: StandardItem) -> Figure | None:
    """What is left of the balance sheet's total without equity, minorities and temporary equity."""
    total, whole, own = (lines.line(item, name) for name in (_BOTH_SIDES, _ALL_EQUITY, "StockholdersEquity"))
    held = whole if isinstance(whole, Item) else own
    if not isinstance(total, Item) or not isinstance(held, Item):
        return None
    beside = lines.matching(item, _TEMPORARY if held is whole else _BESIDE_EQUITY, _NEVER)
    return lines.figure(item, [total], less=[held, *(line for line in beside if line.value)])
