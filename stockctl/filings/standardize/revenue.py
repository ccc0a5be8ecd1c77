"""Revenue: which line of an income statement is the whole of it, and which a slice.

No list of concepts decides this. A bank's, an insurer's or a lessor's revenue from contracts with customers is a slice of its
revenue; sectors have totals of their own names; a company may report products and services and no total at all. A line is the
total if other totals of the report prove it (gross profit and cost, operating income and expenses), if other lines of revenue
sum to it, or if its label says so. Else the usual concept is taken where no other line speaks against it, and where one does,
revenue is unclear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import combinations

from stockctl.filings.model import Item
from stockctl.filings.standardize.cost_of_revenue import costs_of
from stockctl.filings.standardize.line_items import Figure, StandardItem, digits
from stockctl.filings.standardize.rounding import adds_up, parts_of
from stockctl.filings.standardize.statement_lines import (
    Lines,
    Unclear,
    distinct,
    goods_and_services,
    is_labelled_total,
    is_unlabelled,
    is_whole,
    listed,
)

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
"""Revenue from contracts with customers has no interest, premiums, leases or income of investments in it."""
_WHOLE = re.compile(r"^(Total|Net)*(Operating)?(Revenues?|Sales)(Net|NetOfInterestExpense)?$|^SalesRevenueNet$")
_OF_WHICH = re.compile(r"RelatedPart|Affiliate")
_BESIDE = re.compile(
    r"Premiums?Earned|^Premiums(?!.*(Receivable|Ceded|Tax))|Lease(s)?Income|LeaseRevenue|Rental(s|Income|Revenue)"
    r"|InterestAndDividendIncomeOperating|InterestAndFeeIncome|InterestIncomeOperating|^NoninterestIncome$|^NetInvestmentIncome$"
    r"|^InterestIncomeExpenseNet$|InvestmentBanking|PolicyCharges|NotFromContractWithCustomer|^(BrokerageC|C)ommissions"
    r"|^FeesAndCommissions|InsuranceCommissions|PrincipalTransactions"
)
"""Income of a company's business that is not revenue from contracts."""
_NOT_BESIDE = re.compile(
    r"Expenses?(?![a-z])|Costs?(?![a-z])|Loss(?![a-z])|Provision|Direct|AfterProvision|Receivable|Payable|Ceded|Tax"
)
_OTHER_INCOME = re.compile(r"\btotal non-?interest income", re.IGNORECASE)
_BANK = re.compile(r"^InterestAndDividendIncomeOperating|^InterestAndFeeIncome|^NoninterestExpense|^ProvisionFor(Loan|Credit)")
_TAKEN_OFF = re.compile(
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
_MUCH = 0.05  # of revenue: what other lines may come to before a line is no more taken for the whole


def revenue(lines: Lines, item: StandardItem) -> Figure | Unclear | None:
    """The revenue of an income statement."""
    statement = _Statement(lines, item)
    ways = (statement.tied, partial(statement.summed, exact=True), statement.total, statement.halves, statement.summed)
    for way in ways:
        if (found := way()) is not None:
            return found
    if statement.held:
        return statement.usual()
    return _no_total(statement.beside) if statement.beside else None


def sales_of(lines: Lines, item: StandardItem) -> list[Item]:
    """The lines of revenue, of its parts, and of a business's other income."""
    statement = _Statement(lines, item)
    return distinct([*statement.held, *statement.beside])


class _Statement:
    """An income statement: ``held`` are its lines of revenue and of parts of it, ``beside`` those of other income."""

    def __init__(self, lines: Lines, item: StandardItem) -> None:
        self._lines, self._item = lines, item
        named = lines.matching(item, _REVENUE, _NO_REVENUE)
        # Whatever its concept, a line that is labelled the total of revenues is one of them.
        labelled = [line for line in lines.matching(item, None, _NO_TOTAL) if is_labelled_total(line)]
        self.held = [line for line in lines.items if line in named or (line in labelled and "cost" not in line.label.lower())]
        self.beside = [line for line in lines.matching(item, _BESIDE, _NOT_BESIDE) if line not in self.held]

    def tied(self) -> Figure | None:
        """The line that other totals prove: gross profit and cost, or a result and all costs before it."""
        found = [line for line in self.held if any(adds_up(_value(line), terms) for terms in self._ties)]
        return replace(self._figure([max(found, key=_value)]), proved=True) if found else None

    def summed(self, *, exact: bool = False) -> Figure | None:
        """The lines whose sum other totals prove to be the whole."""
        some = distinct([*self.held, *self.beside])
        for terms in self._ties:
            parts = parts_of(sum(terms), [_value(line) for line in some], exact=exact)
            if parts is not None:
                note = "revenue: no line is its total: the sum of its parts, as other totals prove"
                return self._lines.figure(self._item, [some[place] for place in parts], note=note)
        return None

    def total(self) -> Figure | None:
        """The line that others sum to, or that is labelled the total; net of what the report takes off it."""
        ranked = []
        for line in self.held:
            value = _value(line)
            others = [_value(one) for one in distinct([*self.held, *self.beside]) if 0 < _value(one) != value]
            labelled = is_labelled_total(line)
            if labelled or (value > 0 and parts_of(value, others, exact=True)):
                ranked.append((not _GROSS.search(line.name), value, labelled, line))
        if not ranked:
            return None
        line = max(ranked, key=lambda one: one[:-1])[-1]
        net = next((one for one in self.held if self._is_net_of(one, line)), None)
        rivals = [other for _, value, labelled, other in ranked if labelled and value != line.value and other.name != line.name]
        return replace(self._figure([net or line], [] if net else rivals), proved=True)

    def halves(self) -> Figure | None:
        """A bank's net interest income and its other income, which are all of its revenue."""
        if self._halves is None:
            return None
        note = "revenue: no line is its total: net interest income and other income"
        return self._lines.figure(self._item, self._halves, note=note)

    def usual(self) -> Figure | Unclear:
        """The line of the usual concept, unless other lines speak against it."""
        usual = self._lines.first(self._item, *self._item.concepts)
        if isinstance(usual, Unclear):
            return usual
        net = [line for line in self.held if not _GROSS.search(line.name)] or self.held
        most = max(net, key=_value)
        # A part cannot be more than the whole.
        chosen = usual if usual is not None and _value(usual) >= _value(most) else most
        left = next((line for line in self.held if is_whole(line.label) and self._is_net_of(line, chosen)), None)
        if left is not None:
            return self._figure([left])
        value = _value(chosen)
        rest = [
            line for line in distinct(net) if 0 < _value(line) <= value and line is not chosen and line.label != chosen.label
        ]
        if is_unlabelled(chosen) or is_whole(chosen.label):
            rest = [line for line in rest if _value(line) < value]
        if len(rest) == 1 and goods_and_services(chosen, rest[0]):
            both = [chosen, *rest]
            return self._lines.figure(self._item, both, note=f"revenue: no line is its total: the sum of {listed(both)}")
        if self._lines.line(self._item, chosen.name) != chosen or any(_value(line) == value for line in rest):
            return _no_total([chosen, *rest])
        # A result may have gains in it, and income from elsewhere.
        gains = sum(_value(line) for line in self._lines.items if _GAINS.search(line.name) and _value(line) > 0)
        more = [one for terms in self._ties if (one := sum(terms)) > value * (1 + _MUCH) + gains]
        whole = is_whole(chosen.label) or (bool(_WHOLE.search(chosen.name)) and is_unlabelled(chosen))
        if more and not whole:
            told = " or ".join(map(digits, more))
            return Unclear(f"revenue: {listed([chosen])} is a part of it: income and expenses come to {told}")
        others = [line for line in [*rest, *self.beside] if not _OF_WHICH.search(line.name) and line.name != chosen.name]
        weight = sum(map(_value, distinct(others)))
        if not self._is_more(value) or (weight > _MUCH * value and not whole):
            return _no_total([chosen, *others])
        # Revenue from contracts has none of what stands beside it, and a whole is not less than its parts.
        doubt = weight > value or (_CONTRACTS.search(chosen.name) and sum(map(_value, self.beside)) > _MUCH * value)
        return self._figure([chosen], others if doubt else [])

    def _is_net_of(self, line: Item, gross: Item) -> bool:
        """Whether a line is what is left of a gross total after a line that is taken off it: allowances, taxes on sales."""
        taken = _value(gross) - _value(line)
        if taken <= 0 or not (is_whole(line.label) or re.search(r"Net(?![a-z])", line.name)):
            return False
        return any(abs(_value(one)) == taken and _TAKEN_OFF.search(one.name) for one in self._lines.items)

    def _figure(self, found: Sequence[Item], rivals: Sequence[Item] = ()) -> Figure:
        note = f"revenue: {listed(found)}; the report also names {listed(distinct(rivals))}" if rivals else ""
        return self._lines.figure(self._item, found, note=note)

    @cached_property
    def _ties(self) -> list[list[float]]:
        """Amounts of the report that sum to its revenue, one way or another: a result and what was spent before it."""
        names = [*_ALL_COSTS, "OperatingExpenses", "NoninterestExpense"]
        spent = [abs(amount) for name in names if (amount := self._amount(name)) is not None]
        return [*([result, one] for result in self._results for one in spent), *self._by_costs()]

    def _by_costs(self) -> Iterator[list[float]]:
        costs = [abs(_value(line)) for line in costs_of(self._lines, self._item)]
        some = [list(terms) for count in (1, 2, 3) for terms in combinations(costs, count)] if len(costs) <= 8 else [costs]
        profit, operating = self._amount("GrossProfit"), self._amount("OperatingExpenses")
        lost = [abs(amount) for name in _PROVISIONS if (amount := self._amount(name)) is not None]
        if profit is not None:
            yield from ([profit, *terms] for terms in some)
        for result in self._results:
            if operating is not None:
                yield from ([result, abs(operating), *terms] for terms in some)
            if (spent := self._amount("NoninterestExpense")) is not None:
                yield from ([result, abs(spent), one] for one in lost)

    @cached_property
    def _results(self) -> list[float]:
        """Operating income; without it income before tax, if nothing else is named that stands between the two."""
        operating = self._amount(_OPERATING)
        if operating is not None:
            return [operating]
        if any(_NONOPERATING.search(line.name) for line in self._lines.items):
            return []
        return [found for name in _PRETAX if (found := self._amount(name)) is not None]

    @cached_property
    def _halves(self) -> list[Item] | None:
        """A bank's two halves, where the statement is a bank's: interest is its business."""
        whole = any(_WHOLE.search(line.name) and (is_unlabelled(line) or is_whole(line.label)) for line in self.held)
        if whole or not any(_BANK.search(line.name) for line in self._lines.items):
            return None
        net, other = (self._lines.line(self._item, name) for name in ("InterestIncomeExpenseNet", "NoninterestIncome"))
        if other is None:
            other = next((line for line in self._lines.items if _OTHER_INCOME.search(line.label)), None)
        return [net, other] if isinstance(net, Item) and isinstance(other, Item) else None

    def _amount(self, concept: str) -> float | None:
        found = self._lines.line(self._item, concept)
        return found.value if isinstance(found, Item) else None

    def _is_more(self, value: float) -> bool:
        """Whether revenue is as much as each line beside it; interest counts as what is left of it after interest paid."""
        paid = abs(self._amount("InterestExpense") or 0.0)
        return all(value >= _value(line) - (paid if line.name.startswith("Interest") else 0.0) for line in self.beside)


def _no_total(lines: Iterable[Item]) -> Unclear:
    return Unclear(f"revenue: no line is shown to be its total: {listed(distinct(lines))}")


def _value(line: Item) -> float:
    return line.value or 0.0
