"""Revenue: which line of an income statement is the total, and which is a part.

Concepts alone do not decide this. Revenue from contracts with customers is only a part of the revenue of a bank, an insurer or
a lessor; a company may report products and services and no total. A line is the total if other totals of the report prove it
(gross profit and cost, operating income and expenses), if other lines of revenue sum to it, or if its label says so. Otherwise
the usual concept is taken unless other lines contradict it; then revenue is unclear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import combinations

from stockctl.filings.model import Item
from stockctl.filings.standardize.cost_of_revenue import costs_of
from stockctl.filings.standardize.reported_lines import (
    StatementLines,
    Unclear,
    describe,
    distinct,
    goods_and_services,
    is_labelled_total,
    is_unlabelled,
    names_complete_item,
)
from stockctl.filings.standardize.rounding import adds_up, parts_of
from stockctl.filings.standardize.standard_items import Figure, StandardItem, digits

_REVENUE = re.compile(
    r"Revenues?(?![a-z])|^(Revenues?|Sales)(from|by|of)|(^|[a-z])Sales(Net|Gross)?$|^(Net|Total)?Sales(?=[A-Z]|$)|Turnover$|^GrossInvestmentIncomeOperating$",
    re.ASCII,
)
_NO_REVENUE = re.compile(
    r"Costs?(?![a-z])|Expenses?(?![a-z])(?<!NetOfInterestExpense)|Taxes|IncomeTax|SalesTax|ExciseTax|Deferred|Receivable|Payable"
    r"|Liabilit|Reserve|Gain|Loss|Provision(?!s$)|Allowance|Marketing|Selling|Percent|Discontinued|Unearned|Amortiz|Proceeds|Payments"
    r"|ForSale|Obligation|PerShare|Maturit|Refund|Returns|Discounts"
)
_NO_TOTAL = re.compile(r"^Cost|Expense(?!.*Net)|NetIncome|ProfitLoss|IncomeLoss|^GrossProfit$")
_GROSS = re.compile(r"Gross|IncludingAssessedTax")
_CONTRACTS = re.compile(r"^RevenueFromContract")
"""Revenue from contracts with customers excludes interest, premiums, leases and investment income."""
_COMPLETE = re.compile(r"^(Total|Net)*(Operating)?(Revenues?|Sales)(Net|NetOfInterestExpense)?$|^SalesRevenueNet$")
_OF_WHICH = re.compile(r"RelatedPart|Affiliate")
_OTHER_INCOME = re.compile(
    r"Premiums?Earned|^Premiums(?!.*(Receivable|Ceded|Tax))|Lease(s)?Income|LeaseRevenue|Rental(s|Income|Revenue)"
    r"|InterestAndDividendIncomeOperating|InterestAndFeeIncome|InterestIncomeOperating|^NoninterestIncome$|^NetInvestmentIncome$"
    r"|^InterestIncomeExpenseNet$|InvestmentBanking|PolicyCharges|NotFromContractWithCustomer|^(BrokerageC|C)ommissions"
    r"|^FeesAndCommissions|InsuranceCommissions|PrincipalTransactions"
)
"""Operating income of other kinds than revenue from contracts."""
_NOT_OTHER_INCOME = re.compile(
    r"Expenses?(?![a-z])|Costs?(?![a-z])|Loss(?![a-z])|Provision|Direct|AfterProvision|Receivable|Payable|Ceded|Tax"
)
_NONINTEREST_LABEL = re.compile(r"\btotal non-?interest income", re.IGNORECASE)
_BANK = re.compile(r"^InterestAndDividendIncomeOperating|^InterestAndFeeIncome|^NoninterestExpense|^ProvisionFor(Loan|Credit)")
_DEDUCTION = re.compile(
    r"Allowance|Provision|Discount|ExciseTax|SalesTax|Taxes|Returns|Rebate|InterestExpense|Promotional|Excise"
)
_GAINS = re.compile(
    r"^Gain|InvestmentIncome(?!Operating)|EquityMethod|OtherIncome|Nonoperating|OtherOperatingIncome|InsuranceRecover"
)
_ALL_COSTS = ("CostsAndExpenses", "BenefitsLossesAndExpenses")
_PROVISIONS = ("ProvisionForLoanLeaseAndOtherLosses", "ProvisionForLoanAndLeaseLosses", "ProvisionForCreditLosses")
_OPERATING = "OperatingIncomeLoss"
_PRETAX = (
    "IncomeLossFromContinuingOperationsBeforeIncomeTaxesExtraordinaryItemsNoncontrollingInterest",
    "IncomeLossFromContinuingOperationsBeforeIncomeTaxesMinorityInterestAndIncomeLossFromEquityMethodInvestments",
    "IncomeLossFromContinuingOperationsBeforeIncomeTaxes",
)
_NONOPERATING = re.compile(r"Nonoperating")
_MATERIAL = 0.05  # of revenue: if other lines come to more, a line is not taken for the total


def revenue(lines: StatementLines, item: StandardItem) -> Figure | Unclear | None:
    """The revenue of an income statement."""
    statement = _IncomeStatement(lines, item)
    rules = (
        statement.proved_line,
        partial(statement.proved_sum, exact=True),
        statement.total_line,
        statement.bank_revenue,
        statement.proved_sum,
    )
    for rule in rules:
        if (figure := rule()) is not None:
            return figure
    if statement.revenues:
        return statement.usual_line()
    return _no_total(statement.other_income) if statement.other_income else None


def revenue_lines(lines: StatementLines, item: StandardItem) -> list[Item]:
    """The lines of revenue, of its parts, and of other operating income."""
    statement = _IncomeStatement(lines, item)
    return distinct([*statement.revenues, *statement.other_income])


class _IncomeStatement:
    """An income statement: ``revenues`` are its lines of revenue and its parts, ``other_income`` of other operating income."""

    def __init__(self, lines: StatementLines, item: StandardItem) -> None:
        self._lines, self._item = lines, item
        by_concept = lines.matching(item, _REVENUE, _NO_REVENUE)
        # A line that is labelled the total of revenues counts whatever its concept is.
        by_label = [line for line in lines.matching(item, None, _NO_TOTAL) if is_labelled_total(line)]
        self.revenues = [
            line for line in lines.items if line in by_concept or (line in by_label and "cost" not in line.label.lower())
        ]
        self.other_income = [
            line for line in lines.matching(item, _OTHER_INCOME, _NOT_OTHER_INCOME) if line not in self.revenues
        ]

    def proved_line(self) -> Figure | None:
        """The line that other totals prove: gross profit and cost, or a result and all costs before it."""
        proved = [line for line in self.revenues if any(adds_up(_value(line), terms) for terms in self._proofs)]
        return replace(self._figure([max(proved, key=_value)]), proved=True) if proved else None

    def proved_sum(self, *, exact: bool = False) -> Figure | None:
        """The lines whose sum other totals prove to be revenue."""
        lines = distinct([*self.revenues, *self.other_income])
        for terms in self._proofs:
            places = parts_of(sum(terms), [_value(line) for line in lines], exact=exact)
            if places is not None:
                note = "revenue: the report has no total; this is the sum of its parts, which other totals prove"
                return self._lines.figure(self._item, [lines[place] for place in places], note=note)
        return None

    def total_line(self) -> Figure | None:
        """The line that others sum to, or that is labelled the total; net of what the report deducts from it."""
        ranked = []
        for line in self.revenues:
            value = _value(line)
            others = [_value(one) for one in distinct([*self.revenues, *self.other_income]) if 0 < _value(one) != value]
            labelled = is_labelled_total(line)
            if labelled or (value > 0 and parts_of(value, others, exact=True)):
                ranked.append((not _GROSS.search(line.name), value, labelled, line))
        if not ranked:
            return None
        line = max(ranked, key=lambda one: one[:-1])[-1]
        net = next((one for one in self.revenues if self._is_net_of(one, line)), None)
        rivals = [other for _, value, labelled, other in ranked if labelled and value != line.value and other.name != line.name]
        return replace(self._figure([net or line], [] if net else rivals), proved=True)

    def bank_revenue(self) -> Figure | None:
        """A bank's revenue: net interest income and noninterest income."""
        halves = self._bank_halves()
        if halves is None:
            return None
        note = "revenue: the report has no total; this is net interest income plus noninterest income"
        return self._lines.figure(self._item, halves, note=note)

    def usual_line(self) -> Figure | Unclear:
        """The line of the usual concept, unless other lines contradict it."""
        usual = self._lines.first(self._item, *self._item.concepts)
        if isinstance(usual, Unclear):
            return usual
        net = [line for line in self.revenues if not _GROSS.search(line.name)] or self.revenues
        most = max(net, key=_value)
        # A part cannot be more than the total.
        chosen = usual if usual is not None and _value(usual) >= _value(most) else most
        after_deductions = [line for line in self.revenues if names_complete_item(line.label) and self._is_net_of(line, chosen)]
        if after_deductions:
            return self._figure(after_deductions[:1])
        value = _value(chosen)
        rest = [
            line for line in distinct(net) if 0 < _value(line) <= value and line is not chosen and line.label != chosen.label
        ]
        if is_unlabelled(chosen) or names_complete_item(chosen.label):
            rest = [line for line in rest if _value(line) < value]
        if len(rest) == 1 and goods_and_services(chosen, rest[0]):
            both = [chosen, *rest]
            note = f"revenue: the report has no total; this is the sum of {describe(both)}"
            return self._lines.figure(self._item, both, note=note)
        if self._lines.line(self._item, chosen.name) != chosen or any(_value(line) == value for line in rest):
            return _no_total([chosen, *rest])
        return self._checked_against_others(chosen, rest)

    def _checked_against_others(self, chosen: Item, rest: Sequence[Item]) -> Figure | Unclear:
        """The chosen line, unless results, the ``rest`` of the revenue lines or other income show that it is a part."""
        value = _value(chosen)
        complete = names_complete_item(chosen.label) or (bool(_COMPLETE.search(chosen.name)) and is_unlabelled(chosen))
        # A result may include gains and income from other sources.
        gains = sum(_value(line) for line in self._lines.items if _GAINS.search(line.name) and _value(line) > 0)
        larger = [total for terms in self._proofs if (total := sum(terms)) > value * (1 + _MATERIAL) + gains]
        if larger and not complete:
            totals = " or ".join(map(digits, larger))
            return Unclear(f"revenue: {describe([chosen])} is only a part: income plus expenses is {totals}")
        others = [line for line in [*rest, *self.other_income] if not _OF_WHICH.search(line.name) and line.name != chosen.name]
        weight = sum(map(_value, distinct(others)))
        if not self._exceeds_other_income(value) or (weight > _MATERIAL * value and not complete):
            return _no_total([chosen, *others])
        # Revenue from contracts excludes other income, and a total is not less than its parts.
        doubt = weight > value or (_CONTRACTS.search(chosen.name) and sum(map(_value, self.other_income)) > _MATERIAL * value)
        return self._figure([chosen], others if doubt else [])

    def _is_net_of(self, line: Item, gross: Item) -> bool:
        """Whether a line is a gross total after a line that is deducted from it, such as allowances or sales taxes."""
        deducted = _value(gross) - _value(line)
        if deducted <= 0 or not (names_complete_item(line.label) or re.search(r"Net(?![a-z])", line.name)):
            return False
        return any(abs(_value(one)) == deducted and _DEDUCTION.search(one.name) for one in self._lines.items)

    def _figure(self, lines: Sequence[Item], rivals: Sequence[Item] = ()) -> Figure:
        note = f"revenue: {describe(lines)}; the report also has {describe(distinct(rivals))}" if rivals else ""
        return self._lines.figure(self._item, lines, note=note)

    @cached_property
    def _proofs(self) -> list[list[float]]:
        """Amounts of the report that should sum to its revenue: a result and the costs before it, in several combinations."""
        names = [*_ALL_COSTS, "OperatingExpenses", "NoninterestExpense"]
        expenses = [abs(amount) for name in names if (amount := self._amount(name)) is not None]
        return [*([result, one] for result in self._results for one in expenses), *self._proofs_by_costs()]

    def _proofs_by_costs(self) -> Iterator[list[float]]:
        costs = [abs(_value(line)) for line in costs_of(self._lines, self._item)]
        choices = [list(terms) for count in (1, 2, 3) for terms in combinations(costs, count)] if len(costs) <= 8 else [costs]
        profit, operating = self._amount("GrossProfit"), self._amount("OperatingExpenses")
        provisions = [abs(amount) for name in _PROVISIONS if (amount := self._amount(name)) is not None]
        if profit is not None:
            yield from ([profit, *terms] for terms in choices)
        for result in self._results:
            if operating is not None:
                yield from ([result, abs(operating), *terms] for terms in choices)
            if (noninterest := self._amount("NoninterestExpense")) is not None:
                yield from ([result, abs(noninterest), one] for one in provisions)

    @cached_property
    def _results(self) -> list[float]:
        """Operating income; without it income before tax, unless the report has nonoperating lines between the two."""
        operating = self._amount(_OPERATING)
        if operating is not None:
            return [operating]
        if any(_NONOPERATING.search(line.name) for line in self._lines.items):
            return []
        return [amount for name in _PRETAX if (amount := self._amount(name)) is not None]

    def _bank_halves(self) -> list[Item] | None:
        """Net interest income and noninterest income; None if the company is not a bank or reports a total."""
        has_total = any(
            _COMPLETE.search(line.name) and (is_unlabelled(line) or names_complete_item(line.label)) for line in self.revenues
        )
        if has_total or not any(_BANK.search(line.name) for line in self._lines.items):
            return None
        net, other = (self._lines.line(self._item, name) for name in ("InterestIncomeExpenseNet", "NoninterestIncome"))
        if other is None:
            other = next((line for line in self._lines.items if _NONINTEREST_LABEL.search(line.label)), None)
        return [net, other] if isinstance(net, Item) and isinstance(other, Item) else None

    def _amount(self, concept: str) -> float | None:
        line = self._lines.line(self._item, concept)
        return line.value if isinstance(line, Item) else None

    def _exceeds_other_income(self, value: float) -> bool:
        """Whether revenue is at least each line of other income; interest income counts after interest expense."""
        paid = abs(self._amount("InterestExpense") or 0.0)
        return all(value >= _value(line) - (paid if line.name.startswith("Interest") else 0.0) for line in self.other_income)


def _no_total(lines: Iterable[Item]) -> Unclear:
    return Unclear(f"revenue: the report does not show which line is the total: {describe(distinct(lines))}")


def _value(line: Item) -> float:
    return line.value or 0.0
