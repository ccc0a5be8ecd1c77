"""Standard items of one statement of one report: revenue, equity or operating cash flow, under whatever concept.

An item that the report lacks is missing, never 0. An item that the report leaves unclear is missing too, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from stockctl.filings.model import Filing, Item, Statement
from stockctl.filings.standardize.cost_of_revenue import cost_of_revenue, outflow
from stockctl.filings.standardize.debt import debts
from stockctl.filings.standardize.equity import LIABILITIES_AND_EQUITY, equity, liabilities_by_difference
from stockctl.filings.standardize.net_income import income_tax, net_income
from stockctl.filings.standardize.reported_lines import StatementLines, Unclear, describe, likely_total_of
from stockctl.filings.standardize.revenue import revenue, revenue_lines
from stockctl.filings.standardize.standard_items import Figure, Source, StandardItem, items_of, minus, table
from stockctl.filings.standardize.unit_corrections import correct_units

_CAPITAL = re.compile(r"^PaymentsToAcquire\w*(Property|Productive|Machinery|Equipment|Buildings|Mining|RealEstate)")
_NOT_CAPITAL = re.compile(r"Business|Securities|Interest|Intangible|Affiliate|Subsidiar|Investments")

_DEBTS = ("short_term_debt", "long_term_debt", "total_debt")
_NEAR = 0.25  # the largest relative change by an amendment that uses another concept for the same item


class StandardStatement(NamedTuple):
    """The standard items of a statement, and why others are unclear, by item."""

    figures: dict[str, Figure]
    unclear: dict[str, str]


def standardize(filing: Filing, statement: Statement, amended: Sequence[Filing] = ()) -> StandardStatement:
    """The standard items of a statement; empty if the report has no period.

    ``amended`` are earlier reports on the period, the newest first, of which this one restates a part.
    """
    figures: dict[str, Figure] = {}
    unclear: dict[str, str] = {}
    lines = _lines(filing, statement, amended)
    if lines is None:
        return StandardStatement(figures, unclear)
    if statement == "bs":
        for name, debt in debts(lines).items():
            if isinstance(debt, Unclear):
                unclear[name] = debt.reason
            else:
                figures[name] = debt
    for item in items_of(statement):
        one = _item(lines, item, figures)
        if isinstance(one, Unclear):
            unclear[item.name] = one.reason
        elif one is not None:
            figures[item.name] = one
    if statement == "ic":
        figures = correct_units(lines, figures, unclear)
    return StandardStatement(figures, {name: reason for name, reason in unclear.items() if name not in figures})


def merge_amendment(
    original: StandardStatement, alone: StandardStatement, merged: StandardStatement, accession: str
) -> StandardStatement:
    """The statement after an amendment of a part of it.

    ``original`` is the statement before, ``alone`` the amendment read by itself, ``merged`` read with the lines that it leaves
    unchanged. An amendment may use another concept than the original: a value near the original's is the same item, any other
    value is a part of it.
    """
    figures: dict[str, Figure] = {}
    for name in table():
        one, both, before = (statement.figures.get(name) for statement in (alone, merged, original))
        figure = both or before
        if one is not None and (figure is None or accession not in {source.accession for source in figure.sources}):
            near = figure is None or abs(one.value - figure.value) <= _NEAR * abs(figure.value)
            if near and name not in _DEBTS:
                figure = one
        if figure is not None:
            figures[name] = figure
    for name in ("gross_profit", "free_cash_flow"):
        item = table()[name]
        terms = [figures.get(one) for one in item.minus or ()]
        accessions = {source.accession for term in terms if term is not None for source in term.sources}
        difference = minus(item, *terms)
        if difference is not None and accession in accessions and (name not in alone.figures or alone.figures[name].derived):
            figures[name] = difference
    return StandardStatement(figures, {name: reason for name, reason in merged.unclear.items() if name not in figures})


def concept_figure(filing: Filing, item: StandardItem, concept: str) -> Figure | None:
    """The item by this one of its concepts; None if the report does not use the concept, or leaves it unclear."""
    lines = _lines(filing, item.statement)
    line = lines.line(item, concept) if lines else None
    if lines is None or not isinstance(line, Item):
        return None
    figure = lines.figure(item, [line])
    return outflow(figure) if item.rule in ("outflow", "cost") else figure


def value_in(filing: Filing, statement: Statement, *concepts: str) -> Source | None:
    """The value of the first of ``concepts`` in the statement. Of several lines the total if there is one, else the first."""
    for concept in concepts:
        items = [item for item in filing.statement(statement) if item.name == concept and item.value is not None]
        if items:
            item = (likely_total_of(items) if len(items) > 1 else None) or items[0]
            return Source(item.concept, filing.accession, item.value or 0.0)
    return None


def _lines(filing: Filing, statement: Statement, amended: Sequence[Filing] = ()) -> StatementLines | None:
    """The lines of the statement; None if the report has no period."""
    if filing.end is None or (statement != "bs" and (filing.start is None or filing.start > filing.end)):
        return None
    return StatementLines(filing, filing.end, statement, amended)


def _item(lines: StatementLines, item: StandardItem, figures: Mapping[str, Figure]) -> Figure | Unclear | None:
    """The item by its rule; without a rule by its concepts, else as a difference of other items."""
    match item.rule:
        case "revenue":
            return revenue(lines, item)
        case "cost":
            return cost_of_revenue(lines, item, figures.get("revenue"), partial(revenue_lines, lines, item))
        case "net_income":
            return net_income(lines, item)
        case "equity":
            return equity(lines, item)
        case "income_tax":
            return income_tax(lines, item, figures.get("pretax_income"))
        case "debt":
            return figures.get(item.name)
    figure = _by_concepts(lines, item)
    if figure is not None:
        return figure
    if item.rule == "liabilities":
        return liabilities_by_difference(lines, item)
    return minus(item, *(figures.get(name) for name in item.minus)) if item.minus else None


def _by_concepts(lines: StatementLines, item: StandardItem) -> Figure | Unclear | None:
    line = lines.first(item, *item.concepts)
    if isinstance(line, Unclear) and item.name == "assets":
        # Of several lines of assets, the total is the one that equals the other side of the balance sheet.
        both = lines.line(item, LIABILITIES_AND_EQUITY)
        equal = [one for one in lines.named(item, *item.concepts) if isinstance(both, Item) and one.value == both.value]
        line = equal[0] if equal else line
    if line is None or isinstance(line, Unclear):
        return line
    others = lines.matching(item, _CAPITAL, _NOT_CAPITAL) if item.name == "capital_expenditure" else []
    uncounted = [one for one in others if one.name != line.name and one.value and abs(one.value) != abs(line.value or 0.0)]
    note = f"{item.name}: {describe([line])}; the report also has {describe(uncounted)}" if uncounted else ""
    figure = lines.figure(item, [line], note=note)
    return outflow(figure) if item.rule == "outflow" else figure
