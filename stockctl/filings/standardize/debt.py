"""Debt of a balance sheet: every line that names one, each counted once.

Companies name their debt by many concepts, or by their own (``LongTermDebtAndFinanceLeasesCurrent``). What a name or a label
says decides: that it is debt, and whether it is due within a year. Lines are parts of the whole unless one is a total of
others, by its sum, by its concept or by its label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from stockctl.filings.model import Item
from stockctl.filings.standardize.line_items import Figure, StandardItem, digits, table
from stockctl.filings.standardize.rounding import adds_up, parts_of
from stockctl.filings.standardize.statement_lines import Lines, Unclear, distinct, is_total, listed

_DEBT = re.compile(
    r"Debt(?![a-z])|Borrowings?(?![a-z])|Indebtedness|(Notes|Loans?|Bonds|Mortgages?|Debentures)(AndLoans|AndNotes|AndBonds)?Payable"
    r"|(Senior|Convertible|Subordinated|Secured|Unsecured|MediumTerm|Promissory|Exchangeable|Floating|FixedRate)[A-Za-z]*Notes"
    r"|(?<!Deferred)(?<!Accounts)Notes(Current|Noncurrent)?$|NotesDue|CommercialPaper|BorrowedFunds|AssetBackedNotes|SecuredFinancings?|FinancingObligations|Lines?OfCredit|CreditFacility|CreditLine|Revolv"
    r"|TermLoans?(?![a-z])|NotesAndLoans(?![a-z])|BankLoans?|Loans?(Current|Noncurrent)$|BankOverdraft|FederalHomeLoanBank|Debentures|BondsIssued|PPPLoan|MortgagesPayable"
)
_NO_DEBT = re.compile(
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
_NO_DEBT_BY_LABEL = re.compile(
    r"Propert|Cash|Inventor|Equity|Stock|Capital|Assets?(?![a-z])|Goodwill|Tax|Securities|Receivable|Investment|Liabilities(?!.*Debt)"
    r"|Interest|Deriv|Cost|Deferred|Reserve|Prepaid|Accrued|Deposit|Lease|Allowance|Affiliate|AccountsPayable"
)
_LIKE_DEBT = re.compile(r"\b(loans?|notes|financings?|borrowed|mortgages?|bonds)\b", re.IGNORECASE)
_LIKE_DEBT_NAME = re.compile(
    r"Loans?(?![a-z])|Notes(?![a-z])|Financings?(?![a-z])|Borrowed|Mortgages?(?![a-z])|DueToRelatedPart"
)
_NO_DEBT_LABEL = re.compile(r"receivable|^(unamortized|deferred|debt issuance)|^investment|held for sale", re.IGNORECASE)
_SOON = re.compile(
    r"(?<!Non)(?<!Excluding)(?<!Less)(?<!NetOf)Current(?!Maturities$)|ShortTerm|CommercialPaper|Overdraft|WithinOneYear"
    r"|(?<!Excluding)(?<!Including)(?<!Less)(?<!NetOf)CurrentMaturities|CurrentPortion"
)
_LATER = re.compile(
    r"Noncurrent|NonCurrent|AfterOneYear|(Excluding|Less|NetOf)Current|LongTermDebtAndCapitalLeaseObligations$|LongTermNotesAndLoans$"
)
_BOTH = re.compile(r"^LongTermDebt$|IncludingCurrent|^LongTermDebtAndFinanceLeases?(Obligations|Liabilities)?$")
_ALL = re.compile(
    r"CombinedAmount|^(Total)?Debt(AndCapitalLeaseObligations|AndFinanceLeases|AndLeaseObligation)?$|^TotalBorrowings$"
)
_SOON_LABEL = re.compile(
    r"\bcurrent (portion|maturit|install)|due within (one|a) year|short[- ]term|(, |\()current\b", re.IGNORECASE
)
_LATER_LABEL = re.compile(
    r"long[- ]term|non-?current|(less|net of|excluding) (the )?current|due after (one|a) year", re.IGNORECASE
)
_NOT_SOON_LABEL = re.compile(r"(less|net of|excluding|exclusive of|without) (the )?current|non-?current", re.IGNORECASE)
_BOTH_LABEL = re.compile(r"^total long-term debt", re.IGNORECASE)
_CONTRA = re.compile(r"Unamortized|IssuanceCost|IssuanceExpense|FinancingCosts|Discount|LessCurrent")
"""Lines that are taken off debt before its total."""
_PLACES = ("Assets", "LiabilitiesCurrent", "Liabilities")
_ALL_LABEL = re.compile(r"^total (debt|borrowings?|indebtedness|notes|loans)", re.IGNORECASE)

_INSIDE_LABEL = re.compile(r"variable interest|primary beneficiary|related part|\bVIEs?\b$", re.IGNORECASE)
"""Of a line that says how much of another line of its concept is owed by, or to, someone."""

_ASIDE = re.compile(r"\(.*?\)|,? net of .*|,? (including|excluding|related to|for) .*", re.IGNORECASE)

_TOTALS = {
    "soon": re.compile(r"^DebtCurrent$|^ShortTerm(Borrowings|Debt)$"),
    "later": re.compile(r"^LongTermDebt(Noncurrent|AndCapitalLeaseObligations)$|^DebtNoncurrent$"),
    "both": re.compile(r"Debt"),
}
"""Concepts that may be the total of others."""

Due = Literal["soon", "later", "both", "all", "unsaid"]


@dataclass(frozen=True)
class _Line:
    item: Item
    due: Due

    @property
    def value(self) -> float:
        return self.item.value or 0.0


def debts(lines: Lines) -> dict[str, Figure | Unclear]:
    """``short_term_debt``, ``long_term_debt`` and ``total_debt`` of a balance sheet, those that it tells."""
    short_term, long_term, total = (table()[name] for name in ("short_term_debt", "long_term_debt", "total_debt"))
    placed = _placed(lines)
    found = [_Line(line, placed.get(id(line)) or _due(line)) for line in _lines(lines, total)]
    if not found or len({lines.measure(total, line.item) for line in found}) > 1:
        # Amounts in two currencies have no sum.
        return {}
    parts, notes = _parts(found, [abs(line.value or 0.0) for line in lines.items if _CONTRA.search(line.name)])
    made: dict[str, Figure | Unclear] = {}
    soon, later = (_of(parts, due) for due in ("soon", "later"))
    named = [line.item for line in found if line.due == "both"]
    if soon or (soon := _of(found, "soon")):
        made["short_term_debt"] = lines.figure(short_term, soon)
    if later or named:
        made["long_term_debt"] = lines.figure(long_term, later or named[:1])
    whole = lines.figure(total, [line.item for line in parts])
    liabilities = max((line.value or 0.0 for line in lines.items if line.name == "Liabilities"), default=None)
    if liabilities is not None and liabilities < whole.value:
        words = f"total_debt: {listed(line.item for line in parts)} are more than liabilities {digits(liabilities)}"
        return made | {"total_debt": Unclear(words)}
    kinds = [name for name in ("short_term_debt", "long_term_debt") if name in made]
    left_out = _like_debt(lines, found)
    if left_out:
        notes.append(f"total_debt does not count {listed(left_out)}")
    if len(kinds) == 1 and not left_out and len(parts) == len(_of(parts, "soon") or _of(parts, "later")):
        notes.append(f"total_debt is {kinds[0]} alone: no other is reported")
    unsaid = [line.item for line in parts if line.due == "unsaid"]
    if unsaid:
        notes.append(f"total_debt counts {listed(unsaid)}, of which the report does not say when it is due")
    made["total_debt"] = replace(whole, notes=tuple(notes))
    return made


def _lines(lines: Lines, item: StandardItem) -> list[Item]:
    by_name = lines.matching(item, _DEBT, _NO_DEBT)
    by_label = [
        line for line in lines.matching(item, None, _NO_DEBT_BY_LABEL) if _DEBT_LABEL.search(_ASIDE.sub("", line.label))
    ]
    held = [
        line
        for line in lines.items
        if (line in by_name or (line in by_label and not _NO_DEBT.search(line.name))) and not _NO_DEBT_LABEL.search(line.label)
    ]
    assets = _assets(lines)
    held = [line for line in held if not any(line is one for one in assets)]
    most = {line.name: max(other.value or 0.0 for other in held if other.name == line.name) for line in held}
    whole = [line for line in held if line.value == most[line.name] or not _INSIDE_LABEL.search(line.label)]
    return distinct(whole)


def _assets(lines: Lines) -> list[Item]:
    """The lines of assets, where the statement has them first, as balance sheets do."""
    places = {line.name: place for place, line in enumerate(lines.items)}
    end = places.get("Assets", 0)
    before = min((place for name, place in places.items() if name.startswith(("Cash", "AssetsCurrent"))), default=end)
    after = max((places[name] for name in ("Liabilities", "LiabilitiesAndStockholdersEquity") if name in places), default=0)
    return lines.items[before:end] if before < end < after else []


def _like_debt(lines: Lines, found: Sequence[_Line]) -> list[Item]:
    """Lines that may be debt and are not taken for it: what they are, neither name nor label tells surely."""
    held = [line.item for line in found]
    return [
        line
        for line in lines.items
        if line.value
        and line not in held
        and line.name not in {one.name for one in held}
        and (_LIKE_DEBT.search(_ASIDE.sub("", line.label)) or _LIKE_DEBT_NAME.search(line.name))
        and not (_NO_DEBT.search(line.name) and not line.name.endswith("FairValue"))
        and not _NO_DEBT_BY_LABEL.search(line.name.removesuffix("FairValue"))
        and not _NO_DEBT_LABEL.search(line.label)
    ]


def _placed(lines: Lines) -> dict[int, Due]:
    """When lines are due by where they stand, for reports whose order is that of the balance sheet, as its sums prove.

    Lines up to current liabilities sum to these, and the lines from there on to the rest of the liabilities.
    """
    totals = {name: place for place, line in enumerate(lines.items) for name in _PLACES if line.name == name}
    assets, current, every = (totals.get(name) for name in _PLACES)
    placed: dict[int, Due] = {}
    if current is None:
        return placed
    soon = lines.items[assets + 1 : current] if assets is not None and assets < current else []
    value = lines.items[current].value or 0.0
    if soon and adds_up(value, [line.value or 0.0 for line in soon]):
        placed |= {id(line): "soon" for line in soon}
    later = lines.items[current + 1 : every] if every is not None and current < every else []
    if (
        later
        and every is not None
        and adds_up((lines.items[every].value or 0.0) - value, [line.value or 0.0 for line in later])
    ):
        placed |= {id(line): "later" for line in later}
    return placed


def _due(line: Item) -> Due:
    """When the debt of a line is due, by its concept, else by its label."""
    rules: tuple[tuple[re.Pattern[str], str, Due], ...] = (
        (_NOT_SOON_LABEL, line.label if _BOTH.search(line.name) else "", "later"),
        (_BOTH_LABEL, "" if _LATER.search(line.name) else line.label, "both"),
        (_ALL, line.name, "all"),
        (_BOTH, line.name, "both"),
        (_LATER, line.name, "later"),
        (_SOON, line.name, "soon"),
        (_ALL_LABEL, line.label, "all"),
        (_LATER_LABEL, line.label, "later"),
        (_SOON_LABEL, line.label, "soon"),
    )
    told: Due = next((due for pattern, text, due in rules if pattern.search(text)), "unsaid")
    return "later" if told == "unsaid" and line.name.startswith("LongTerm") else told


def _parts(found: Sequence[_Line], taken: Sequence[float]) -> tuple[list[_Line], list[str]]:
    """The lines of which none is a part of another, and words on what is not sure; ``taken`` are amounts taken off debt."""
    notes: list[str] = []
    parts = _told_once(found)
    for due, of in (("soon", ("soon", "unsaid")), ("later", ("later", "unsaid")), ("both", ("soon", "later", "unsaid"))):
        parts = _without_totals(parts, due, of, taken)
    for due in ("soon", "later"):
        parts = _labelled_total(parts, due)
    soon = [line for line in parts if line.due == "soon"]
    current = next((line for line in soon if line.item.name == "DebtCurrent"), None)
    if current is not None and 0 < sum(line.value for line in soon if line is not current) <= current.value:
        # Debt that is due within a year has all of it, by its definition.
        parts = [line for line in parts if line.due != "soon" or line is current]
    both = [line for line in parts if line.due == "both"]
    if both:
        parts, more = _once(parts, both)
        notes += more
    whole = next((line for line in parts if line.due == "all"), None)
    if whole is None:
        return parts, notes
    rest = [line for line in parts if line is not whole]
    if rest and not adds_up(whole.value, [line.value for line in rest]):
        if sum(line.value for line in rest) > whole.value:
            words = f"total_debt: the lines {listed(line.item for line in rest)} are more than {listed([whole.item])}"
            return rest, [*notes, words]
        return [whole], [
            *notes,
            f"total_debt: {listed([whole.item])}; of it only {listed(line.item for line in rest)} is named",
        ]
    return rest or [whole], notes


def _told_once(found: Sequence[_Line]) -> list[_Line]:
    """The lines without long-term debt that is told a second time, under another of its concepts with the same amount."""
    kept: list[_Line] = []
    for line in found:
        twice = any(
            (one.due, one.value) == (line.due, line.value)
            and one.item.name != line.item.name
            and "LongTermDebt" in one.item.name
            for one in kept
        )
        if not twice or line.due == "both" or "LongTermDebt" not in line.item.name:
            kept.append(line)
    return kept


def _without_totals(parts: Sequence[_Line], due: str, of: Sequence[str], taken: Sequence[float]) -> list[_Line]:
    """The lines without those that are the sum of others, and without those of which another line is what is left.

    Among few amounts sums are found by chance, so that only what may be a total by its name or its label is taken for one.
    """
    kept = list(parts)
    for line in sorted(parts, key=lambda one: -one.value):
        if line.due != due or line not in kept or not (_TOTALS[due].search(line.item.name) or is_total(line.item.label)):
            continue
        short = line.item.name.startswith("ShortTerm")
        others = [one for one in kept if one is not line and one.due in of and (due != "both" or _is_long(one))]
        others = [one for one in others if not short or "LongTerm" not in one.item.name]
        if parts_of(line.value, [one.value for one in others if one.value < line.value], exact=True) is not None:
            kept.remove(line)
        for less in taken:
            gross = parts_of(line.value + less, [one.value for one in others], 1, exact=True)
            if less > 0 and gross is not None and line in kept:
                kept = [one for one in kept if one not in [others[place] for place in gross]]
    return kept


def _is_long(line: _Line) -> bool:
    return line.due != "soon" or "LongTerm" in line.item.name


def _labelled_total(parts: Sequence[_Line], due: str) -> list[_Line]:
    """The lines with one that is labelled the total of those due then in place of the others, be not all of them named."""
    same = [line for line in parts if line.due == due]
    total = next((line for line in same if is_total(line.item.label)), None)
    if total is None or sum(line.value for line in same if line is not total) > total.value:
        return list(parts)
    return [line for line in parts if line.due != due or line is total]


def _once(parts: Sequence[_Line], both: Sequence[_Line]) -> tuple[list[_Line], list[str]]:
    """The lines with long-term debt, which has in it what of it is due within a year, counted once."""
    inside = [line for line in parts if line.due in ("soon", "later") and "LongTerm" in line.item.name]
    held = sum(line.value for line in both)
    if any(line.due == "later" for line in inside) and sum(line.value for line in inside if line.due == "later") > held:
        return [line for line in parts if line not in both], []
    kept = [line for line in parts if line not in inside or (line.due == "soon" and line.value > held)]
    unsure = [line.item for line in kept if line.item.name == "DebtCurrent"]
    words = "total_debt: long-term debt may count the part due within a year a second time"
    return kept, [words] if unsure else []


def _of(parts: Sequence[_Line], due: str) -> list[Item]:
    return [line.item for line in parts if line.due == due]
