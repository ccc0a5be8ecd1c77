"""Which company a report is of: tickers are used again, so that one may stand for two companies, by their CIKs.

Figures of two companies are never added up. A successor (a new holding company of the same business) goes on with its
predecessor's books, and they prove it: both report the same period alike, or the successor's cash at the start of a period is
what the predecessor's balance sheet says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from stockctl.filings.model import Filing, Item, Statement

_LEAST = 100.0  # of smaller amounts, sums are right by chance
_CASH = ("CashCashEquivalentsRestrictedCashAndRestrictedCashEquivalents", "CashAndCashEquivalentsAtCarryingValue")
_ALIKE: tuple[tuple[Statement, str], ...] = (
    ("ic", "NetIncomeLoss"),
    ("ic", "ProfitLoss"),
    ("cf", "NetCashProvidedByUsedInOperatingActivities"),
    ("bs", "Assets"),
)


def cik_of(filing: Filing) -> str:
    """The report's CIK without leading zeros; empty if it tells none."""
    return filing.cik.strip().lstrip("0")


def companies(filings: Sequence[Filing]) -> list[list[Filing]]:
    """The reports by company, in the order given, the company of the newest period last; a successor is the same company.

    Reports without a CIK are of the company whose reports are the newest before them.
    """
    groups: dict[str, list[Filing]] = {}
    last = next((cik for one in filings if (cik := cik_of(one))), "")
    for filing in filings:
        last = cik_of(filing) or last
        groups.setdefault(last, []).append(filing)
    # A late amendment makes no company the newest: the last period does.
    ordered = sorted(groups.values(), key=lambda group: (_last(group), filings.index(group[-1])))
    joined: list[list[Filing]] = []
    for group in ordered:
        before = next((other for other in joined if _goes_on(other, group) or _goes_on(group, other)), None)
        if before is not None:
            joined.remove(before)
            group = sorted([*before, *group], key=filings.index)
        joined.append(group)
    return sorted(joined, key=_last)


def _last(group: Iterable[Filing]) -> date:
    return max((one.end for one in group if one.end is not None), default=date.min)


def named(filings: Iterable[Filing]) -> str:
    """The CIKs of reports, and of when they are, in words."""
    held = list(filings)
    ciks = " and ".join(dict.fromkeys(cik_of(one) or "none" for one in held))
    ends = sorted(one.end for one in held if one.end is not None)
    told = dict.fromkeys(map(str, (ends[0], ends[-1]))) if ends else {}
    return f"CIK {ciks}" + (f" (to {' … '.join(told)})" if told else "")


def _goes_on(before: Sequence[Filing], after: Sequence[Filing]) -> bool:
    """Whether the books of ``after`` go on with those of ``before``."""
    balances = {one.end: one for one in before if one.end is not None and one.bs}
    periods = {(one.start, one.end): one for one in before}
    for filing in after:
        same = periods.get((filing.start, filing.end))
        if same is not None and _alike(same, filing):
            return True
        if filing.start is not None:
            old = balances.get(filing.start - timedelta(days=1))
            if old is not None and _cash_goes_on(old, filing):
                return True
    return False


def _alike(one: Filing, other: Filing) -> bool:
    """Whether two reports on one period say the same, of at least two of the amounts that every report has."""
    told = [(_values(one, *amount), _values(other, *amount)) for amount in _ALIKE]
    both = [(first, second) for first, second in told if first and second]
    return len(both) > 1 and all(first & second for first, second in both)


def _cash_goes_on(old: Filing, new: Filing) -> bool:
    """Whether the cash at the start of the new report's period is that of the old report's balance sheet."""
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
