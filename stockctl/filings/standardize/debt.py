"""Debt of a balance sheet: every line of debt, each amount counted once.

Lines are parts of total debt unless one is the total of others, by its sum, its concept or its label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from stockctl.filings.model import Item
from stockctl.filings.standardize.debt_lines import DebtLine, Due, debt_lines, possible_debt
from stockctl.filings.standardize.reported_lines import StatementLines, Unclear, describe, names_total
from stockctl.filings.standardize.rounding import adds_up, parts_of
from stockctl.filings.standardize.standard_items import Figure, digits, table

_DEDUCTION = re.compile(r"Unamortized|IssuanceCost|IssuanceExpense|FinancingCosts|Discount|LessCurrent")
"""Lines that are deducted from debt before its total."""

_TOTALS: dict[Due, re.Pattern[str]] = {
    "current": re.compile(r"^DebtCurrent$|^ShortTerm(Borrowings|Debt)$"),
    "noncurrent": re.compile(r"^LongTermDebt(Noncurrent|AndCapitalLeaseObligations)$|^DebtNoncurrent$"),
    "long_term": re.compile(r"Debt"),
}
"""Concepts that may be the total of others."""
_PARTS: tuple[tuple[Due, tuple[Due, ...]], ...] = (
    ("current", ("current", "unknown")),
    ("noncurrent", ("noncurrent", "unknown")),
    ("long_term", ("current", "noncurrent", "unknown")),
)
"""A total, and what its parts may be."""


def debts(lines: StatementLines) -> dict[str, Figure | Unclear]:
    """``short_term_debt``, ``long_term_debt`` and ``total_debt`` of a balance sheet, as far as it reports them."""
    short_term, long_term, total = (table()[name] for name in ("short_term_debt", "long_term_debt", "total_debt"))
    every = debt_lines(lines, total)
    if not every or len({lines.measure(total, line.item) for line in every}) > 1:
        # Amounts in two currencies have no sum.
        return {}
    parts, notes = _parts(every, [abs(line.value or 0.0) for line in lines.items if _DEDUCTION.search(line.name)])
    figures: dict[str, Figure | Unclear] = {}
    current, noncurrent = _items(parts, "current") or _items(every, "current"), _items(parts, "noncurrent")
    including_current = _items(every, "long_term")
    if current:
        figures["short_term_debt"] = lines.figure(short_term, current)
    if noncurrent or including_current:
        figures["long_term_debt"] = lines.figure(long_term, noncurrent or including_current[:1])
    figure = lines.figure(total, [line.item for line in parts])
    liabilities = max((line.value or 0.0 for line in lines.items if line.name == "Liabilities"), default=None)
    if liabilities is not None and liabilities < figure.value:
        reason = f"total_debt: {describe(line.item for line in parts)} is more than liabilities {digits(liabilities)}"
        return figures | {"total_debt": Unclear(reason)}
    notes += _coverage_notes(lines, every, parts, list(figures))
    return figures | {"total_debt": replace(figure, notes=tuple(notes))}


def _coverage_notes(
    lines: StatementLines, every: Sequence[DebtLine], parts: Sequence[DebtLine], kinds: Sequence[str]
) -> list[str]:
    """Notes on what total debt may lack: possible debt, only one kind of debt, unknown due dates."""
    notes = []
    uncounted = possible_debt(lines, every)
    if uncounted:
        notes.append(f"total_debt does not include {describe(uncounted)}")
    if len(kinds) == 1 and not uncounted and len(parts) == len(_items(parts, "current") or _items(parts, "noncurrent")):
        notes.append(f"total_debt is {kinds[0]} alone: the report has no other debt")
    undated = _items(parts, "unknown")
    if undated:
        notes.append(f"total_debt includes {describe(undated)}; the report does not say when it is due")
    return notes


def _parts(every: Sequence[DebtLine], deductions: Sequence[float]) -> tuple[list[DebtLine], list[str]]:
    """The lines of which none is a part of another, and notes on doubts. ``deductions`` are amounts deducted from debt."""
    notes: list[str] = []
    parts = _without_repetitions(every)
    for due, of in _PARTS:
        parts = _without_totals(parts, due, of, deductions)
    for due in ("current", "noncurrent"):
        parts = _labelled_total(parts, due)
    current = [line for line in parts if line.due == "current"]
    debt_current = next((line for line in current if line.item.name == "DebtCurrent"), None)
    if debt_current is not None and 0 < sum(line.value for line in current if line is not debt_current) <= debt_current.value:
        # DebtCurrent is all debt due within a year, by its definition.
        parts = [line for line in parts if line.due != "current" or line is debt_current]
    long_term = [line for line in parts if line.due == "long_term"]
    if long_term:
        parts, more = _count_long_term_once(parts, long_term)
        notes += more
    total = next((line for line in parts if line.due == "total"), None)
    if total is None:
        return parts, notes
    rest = [line for line in parts if line is not total]
    if rest and not adds_up(total.value, [line.value for line in rest]):
        described = describe(line.item for line in rest)
        if sum(line.value for line in rest) > total.value:
            return rest, [*notes, f"total_debt: {described} is more than {describe([total.item])}"]
        return [total], [*notes, f"total_debt: {describe([total.item])}, of which the report itemizes only {described}"]
    return rest or [total], notes


def _without_repetitions(every: Sequence[DebtLine]) -> list[DebtLine]:
    """The lines without long-term debt that is repeated under another of its concepts with the same amount."""
    unique: list[DebtLine] = []
    for line in every:
        is_repeated = any(
            (one.due, one.value) == (line.due, line.value)
            and one.item.name != line.item.name
            and "LongTermDebt" in one.item.name
            for one in unique
        )
        if not is_repeated or line.due == "long_term" or "LongTermDebt" not in line.item.name:
            unique.append(line)
    return unique


def _without_totals(parts: Sequence[DebtLine], due: Due, of: Sequence[Due], deductions: Sequence[float]) -> list[DebtLine]:
    """The lines without totals: those that are the sum of others, and the parts of a total that is net of a deduction.

    Sums of few amounts match by chance, so only a line whose name or label can be a total is taken for one.
    """
    rest = list(parts)
    for line in sorted(parts, key=lambda one: -one.value):
        if line.due != due or line not in rest or not (_TOTALS[due].search(line.item.name) or names_total(line.item.label)):
            continue
        is_short_term = line.item.name.startswith("ShortTerm")
        others = [one for one in rest if one is not line and one.due in of and (due != "long_term" or _is_long_term(one))]
        others = [one for one in others if not is_short_term or "LongTerm" not in one.item.name]
        if parts_of(line.value, [one.value for one in others if one.value < line.value], exact=True) is not None:
            rest.remove(line)
        for deduction in deductions:
            gross = parts_of(line.value + deduction, [one.value for one in others], 1, exact=True)
            if deduction > 0 and gross is not None and line in rest:
                rest = [one for one in rest if one not in [others[place] for place in gross]]
    return rest


def _is_long_term(line: DebtLine) -> bool:
    return line.due != "current" or "LongTerm" in line.item.name


def _labelled_total(parts: Sequence[DebtLine], due: str) -> list[DebtLine]:
    """The lines with the one that is labelled a total in place of the others due then, even if those are not complete."""
    same = [line for line in parts if line.due == due]
    total = next((line for line in same if names_total(line.item.label)), None)
    if total is None or sum(line.value for line in same if line is not total) > total.value:
        return list(parts)
    return [line for line in parts if line.due != due or line is total]


def _count_long_term_once(parts: Sequence[DebtLine], long_term: Sequence[DebtLine]) -> tuple[list[DebtLine], list[str]]:
    """The lines without parts of long-term debt, which includes its current portion."""
    inside = [line for line in parts if line.due in ("current", "noncurrent") and "LongTerm" in line.item.name]
    amount = sum(line.value for line in long_term)
    noncurrent = [line.value for line in inside if line.due == "noncurrent"]
    if noncurrent and sum(noncurrent) > amount:
        return [line for line in parts if line not in long_term], []
    rest = [line for line in parts if line not in inside or (line.due == "current" and line.value > amount)]
    has_debt_current = any(line.item.name == "DebtCurrent" for line in rest)
    note = "total_debt: long-term debt may include debt due within a year that is counted a second time"
    return rest, [note] if has_debt_current else []


def _items(parts: Sequence[DebtLine], due: Due) -> list[Item]:
    return [line.item for line in parts if line.due == due]
