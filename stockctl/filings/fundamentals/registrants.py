"""Which company a report belongs to. Tickers are reused, so one ticker may have reports of several companies (CIKs).

Figures of two companies are never added. A successor (a new holding company of the same business) continues its predecessor's
books, and the reports prove it: both report the same period alike, or the successor's cash at the start of a period equals
that of the predecessor's balance sheet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from stockctl.filings.model import Filing, Item, Statement

_LEAST = 100.0  # sums of smaller amounts match by chance
_CASH = ("CashCashEquivalentsRestrictedCashAndRestrictedCashEquivalents", "CashAndCashEquivalentsAtCarryingValue")
_ALIKE: tuple[tuple[Statement, str], ...] = (
    ("ic", "NetIncomeLoss"),
    ("ic", "ProfitLoss"),
    ("cf", "NetCashProvidedByUsedInOperatingActivities"),
    ("bs", "Assets"),
)


def cik_of(filing: Filing) -> str:
    """The report's CIK without leading zeros; empty if it has none."""
    return filing.cik.strip().lstrip("0")


def companies(filings: Sequence[Filing]) -> list[list[Filing]]:
    """The reports by company, the company with the newest period last. A successor is the same company.

    Reports without a CIK belong to the company of the report before them. The order within a company stays.
    """
    groups: dict[str, list[Filing]] = {}
    last = next((cik for one in filings if (cik := cik_of(one))), "")
    for filing in filings:
        last = cik_of(filing) or last
        groups.setdefault(last, []).append(filing)
    # The last period decides which company is the newest, not a late amendment.
    ordered = sorted(groups.values(), key=lambda group: (_last(group), filings.index(group[-1])))
    joined: list[list[Filing]] = []
    for group in ordered:
        before = next((other for other in joined if _continues(other, group) or _continues(group, other)), None)
        if before is not None:
            joined.remove(before)
            group = sorted([*before, *group], key=filings.index)
        joined.append(group)
    return sorted(joined, key=_last)


def _last(group: Iterable[Filing]) -> date:
    return max((one.end for one in group if one.end is not None), default=date.min)


def named(filings: Iterable[Filing]) -> str:
    """The CIKs of reports and their first and last period end, as text."""
    reports = list(filings)
    ciks = " and ".join(dict.fromkeys(cik_of(one) or "none" for one in reports))
    ends = sorted(one.end for one in reports if one.end is not None)
    period_ends = dict.fromkeys(map(str, (ends[0], ends[-1]))) if ends else {}
    return f"CIK {ciks}" + (f" (to {' … '.join(period_ends)})" if period_ends else "")


def _continues(before: Sequence[Filing], after: Sequence[Filing]) -> bool:
    """Whether the books of ``after`` continue those of ``before``."""
    balances = {one.end: one for one in before if one.end is not None and one.bs}
    periods = {(one.start, one.end): one for one in before}
    for filing in after:
        same = periods.get((filing.start, filing.end))
        if same is not None and _alike(same, filing):
            return True
        if filing.start is not None:
            old = balances.get(filing.start - timedelta(days=1))
            if old is not None and _continues_cash(old, filing):
                return True
    return False


def _alike(one: Filing, other: Filing) -> bool:
    """Whether two reports on one period agree in at least two of the amounts that every report has."""
    pairs = [(_values(one, *amount), _values(other, *amount)) for amount in _ALIKE]
    both = [(first, second) for first, second in pairs if first and second]
    return len(both) > 1 and all(first & second for first, second in both)


def _continues_cash(old: Filing, new: Filing) -> bool:
    """Whether cash at the start of the new report's period equals the old report's balance sheet."""
    changes = [
        item.value or 0.0
        for item in new.cf
        if "PeriodIncreaseDecrease" in item.name
        and item.name.startswith("Cash")
        and "Excluding" not in item.name
        and item.value
    ]
    return any(
        first >= _LEAST and last == first + change
        for name in _CASH
        for last in _values(new, "bs", name)
        for first in _values(old, "bs", name)
        for change in changes
    )


def _values(filing: Filing, statement: Statement, name: str) -> set[float]:
    items: tuple[Item, ...] = filing.statement(statement)
    return {item.value for item in items if item.name == name and item.value is not None}
