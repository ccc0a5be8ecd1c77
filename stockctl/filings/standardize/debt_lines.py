"""The lines of a balance sheet that are debt, and when each is due.

Companies report debt under many concepts, or under their own (``LongTermDebtAndFinanceLeasesCurrent``). The name or the label
of a line decides whether it is debt and whether it is due within a year.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stockctl.filings.model import Item
from stockctl.filings.standardize.reported_lines import StatementLines, distinct
from stockctl.filings.standardize.rounding import adds_up
from stockctl.filings.standardize.standard_items import StandardItem

_DEBT = re.compile(
    r"Debt(?![a-z])|Borrowings?(?![a-z])|Indebtedness|(Notes|Loans?|Bonds|Mortgages?|Debentures)(AndLoans|AndNotes|AndBonds)?Payable"
    r"|(Senior|Convertible|Subordinated|Secured|Unsecured|MediumTerm|Promissory|Exchangeable|Floating|FixedRate)[A-Za-z]*Notes"
    r"|(?<!Deferred)(?<!Accounts)Notes(Current|Noncurrent)?$|NotesDue|CommercialPaper|BorrowedFunds|AssetBackedNotes|SecuredFinancings?|FinancingObligations|Lines?OfCredit|CreditFacility|CreditLine|Revolv"
    r"|TermLoans?(?![a-z])|NotesAndLoans(?![a-z])|BankLoans?|Loans?(Current|Noncurrent)$|BankOverdraft|FederalHomeLoanBank|Debentures|BondsIssued|PPPLoan|MortgagesPayable"
)
_NOT_DEBT = re.compile(
    r"Securities|Receivable|IssuanceCost|IssueCost|Discount|UnamortizedPremium|FairValue|Investment|Assets?(?!Backed)(?![a-z])|Allowance"
    r"|InterestPayable|AccruedInterest|Deriv|Gain|Loss|Extinguish|Restricted|Collateral|ConversionFeature|Equity|Discontinued"
    r"|Warrant|ForSale|HeldToMaturity|Guarantee|Beneficial|Undrawn|Capacity|Stock(?![a-z])|Deposit|Deferred|FinancingCosts"
    r"|AccountsPayable|TradeNotes|HeldForInvestment|LoansAndLeases|NetOfAllowance|Originat|AccountsAndNotes|Repurchase|FaceAmount|Principal|Reserve|Retirement|OtherThan"
)
_DEBT_LABEL = re.compile(
    r"\b(debt|borrowings?|borrowed funds|indebtedness|notes payable|loans? payable|mortgages? payable|term loans?|"
    r"(senior|convertible|promissory|asset-backed|subordinated) notes|secured financings?|"
    r"credit facilit(y|ies)|lines? of credit|commercial paper|debentures)\b",
    re.IGNORECASE,
)
_NOT_DEBT_BY_LABEL = re.compile(
    r"Propert|Cash|Inventor|Equity|Stock|Capital|Assets?(?![a-z])|Goodwill|Tax|Securities|Receivable|Investment|Liabilities(?!.*Debt)"
    r"|Interest|Deriv|Cost|Deferred|Reserve|Prepaid|Accrued|Deposit|Lease|Allowance|Affiliate|AccountsPayable"
)
_POSSIBLE_DEBT_LABEL = re.compile(r"\b(loans?|notes|financings?|borrowed|mortgages?|bonds)\b", re.IGNORECASE)
_POSSIBLE_DEBT = re.compile(
    r"Loans?(?![a-z])|Notes(?![a-z])|Financings?(?![a-z])|Borrowed|Mortgages?(?![a-z])|DueToRelatedPart"
)
_NOT_DEBT_LABEL = re.compile(r"receivable|^(unamortized|deferred|debt issuance)|^investment|held for sale", re.IGNORECASE)
_CURRENT = re.compile(
    r"(?<!Non)(?<!Excluding)(?<!Less)(?<!NetOf)Current(?!Maturities$)|ShortTerm|CommercialPaper|Overdraft|WithinOneYear"
    r"|(?<!Excluding)(?<!Including)(?<!Less)(?<!NetOf)CurrentMaturities|CurrentPortion"
)
_NONCURRENT = re.compile(
    r"Noncurrent|NonCurrent|AfterOneYear|(Excluding|Less|NetOf)Current|LongTermDebtAndCapitalLeaseObligations$|LongTermNotesAndLoans$"
)
_LONG_TERM = re.compile(r"^LongTermDebt$|IncludingCurrent|^LongTermDebtAndFinanceLeases?(Obligations|Liabilities)?$")
_TOTAL = re.compile(
    r"CombinedAmount|^(Total)?Debt(AndCapitalLeaseObligations|AndFinanceLeases|AndLeaseObligation)?$|^TotalBorrowings$"
)
_CURRENT_LABEL = re.compile(
    r"\bcurrent (portion|maturit|install)|due within (one|a) year|short[- ]term|(, |\()current\b", re.IGNORECASE
)
_NONCURRENT_LABEL = re.compile(
    r"long[- ]term|non-?current|(less|net of|excluding) (the )?current|due after (one|a) year", re.IGNORECASE
)
_NOT_CURRENT_LABEL = re.compile(r"(less|net of|excluding|exclusive of|without) (the )?current|non-?current", re.IGNORECASE)
_LONG_TERM_LABEL = re.compile(r"^total long-term debt", re.IGNORECASE)
_TOTAL_LABEL = re.compile(r"^total (debt|borrowings?|indebtedness|notes|loans)", re.IGNORECASE)
_SECTION_TOTALS = ("Assets", "LiabilitiesCurrent", "Liabilities")

_OF_WHICH_LABEL = re.compile(r"variable interest|primary beneficiary|related part|\bVIEs?\b$", re.IGNORECASE)
"""Labels of lines that repeat a part of another line of the same concept, by debtor or creditor."""

_ASIDE = re.compile(r"\(.*?\)|,? net of .*|,? (including|excluding|related to|for) .*", re.IGNORECASE)

Due = Literal["current", "noncurrent", "long_term", "total", "unknown"]
"""``current`` is due within a year, ``noncurrent`` later. ``long_term`` is long-term debt with its current portion, ``total``
all debt."""


@dataclass(frozen=True)
class DebtLine:
    """A line of debt and when it is due."""

    item: Item
    due: Due

    @property
    def value(self) -> float:
        """The amount, 0 if the line has none."""
        return self.item.value or 0.0


def debt_lines(lines: StatementLines, total: StandardItem) -> list[DebtLine]:
    """The lines of debt, in the order of the balance sheet. ``total`` is the standard item total debt."""
    by_position = _due_by_position(lines)
    return [DebtLine(line, by_position.get(id(line)) or _due(line)) for line in _debt_items(lines, total)]


def possible_debt(lines: StatementLines, debts: Sequence[DebtLine]) -> list[Item]:
    """Lines that may be debt but are not counted, because neither name nor label is certain."""
    counted = [line.item for line in debts]
    return [
        line
        for line in lines.items
        if line.value
        and line not in counted
        and line.name not in {one.name for one in counted}
        and (_POSSIBLE_DEBT_LABEL.search(_ASIDE.sub("", line.label)) or _POSSIBLE_DEBT.search(line.name))
        and not (_NOT_DEBT.search(line.name) and not line.name.endswith("FairValue"))
        and not _NOT_DEBT_BY_LABEL.search(line.name.removesuffix("FairValue"))
        and not _NOT_DEBT_LABEL.search(line.label)
    ]


def _debt_items(lines: StatementLines, item: StandardItem) -> list[Item]:
    by_name = lines.matching(item, _DEBT, _NOT_DEBT)
    by_label = [
        line for line in lines.matching(item, None, _NOT_DEBT_BY_LABEL) if _DEBT_LABEL.search(_ASIDE.sub("", line.label))
    ]
    debts = [
        line
        for line in lines.items
        if (line in by_name or (line in by_label and not _NOT_DEBT.search(line.name)))
        and not _NOT_DEBT_LABEL.search(line.label)
    ]
    assets = _asset_lines(lines)
    debts = [line for line in debts if not any(line is one for one in assets)]
    most = {line.name: max(other.value or 0.0 for other in debts if other.name == line.name) for line in debts}
    return distinct(line for line in debts if line.value == most[line.name] or not _OF_WHICH_LABEL.search(line.label))


def _asset_lines(lines: StatementLines) -> list[Item]:
    """The lines of assets, if the statement starts with them as balance sheets do."""
    places = {line.name: place for place, line in enumerate(lines.items)}
    end = places.get("Assets", 0)
    before = min((place for name, place in places.items() if name.startswith(("Cash", "AssetsCurrent"))), default=end)
    after = max((places[name] for name in ("Liabilities", "LiabilitiesAndStockholdersEquity") if name in places), default=0)
    return lines.items[before:end] if before < end < after else []


def _due_by_position(lines: StatementLines) -> dict[int, Due]:
    """When lines are due by their position, by ``id`` of the line, if sums prove that the order is that of the balance sheet.

    The lines before current liabilities must sum to them, and the lines between there and liabilities to the rest.
    """
    places = {name: place for place, line in enumerate(lines.items) for name in _SECTION_TOTALS if line.name == name}
    assets, current, liabilities = (places.get(name) for name in _SECTION_TOTALS)
    due: dict[int, Due] = {}
    if current is None:
        return due
    value = lines.items[current].value or 0.0
    before = lines.items[assets + 1 : current] if assets is not None and assets < current else []
    if before and adds_up(value, [line.value or 0.0 for line in before]):
        due |= {id(line): "current" for line in before}
    if liabilities is None or liabilities <= current:
        return due
    after = lines.items[current + 1 : liabilities]
    if after and adds_up((lines.items[liabilities].value or 0.0) - value, [line.value or 0.0 for line in after]):
        due |= {id(line): "noncurrent" for line in after}
    return due


def _due(line: Item) -> Due:
    """When the debt of a line is due, by its concept, else by its label."""
    rules: tuple[tuple[re.Pattern[str], str, Due], ...] = (
        (_NOT_CURRENT_LABEL, line.label if _LONG_TERM.search(line.name) else "", "noncurrent"),
        (_LONG_TERM_LABEL, "" if _NONCURRENT.search(line.name) else line.label, "long_term"),
        (_TOTAL, line.name, "total"),
        (_LONG_TERM, line.name, "long_term"),
        (_NONCURRENT, line.name, "noncurrent"),
        (_CURRENT, line.name, "current"),
        (_TOTAL_LABEL, line.label, "total"),
        (_NONCURRENT_LABEL, line.label, "noncurrent"),
        (_CURRENT_LABEL, line.label, "current"),
    )
    due: Due = next((due for pattern, text, due in rules if pattern.search(text)), "unknown")
    return "noncurrent" if due == "unknown" and line.name.startswith("LongTerm") else due
