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
from functools import cached_property
from itertools import combinations

from stockctl.filings.cost import costs_of
from stockctl.filings.filing import Item
from stockctl.filings.items import Figure, StandardItem, digits
from stockctl.filings.lines import Lines, Unclear, distinct, goods_and_services, is_total, is_whole, listed
from stockctl.filings.rounding import adds_up, parts_of

_REVENUE = re.compile(r"Revenues?(?![a-z])|(^|[a-z])Sales(Net|Gross)?$|^(Net|Total)?Sales(?=[A-Z]|$)|Turnover$", re.ASCII)
_NO_REVENUE = re.compile(
    r"Costs?(?![a-z])|Expenses?(?![a-z])(?<!NetOfInterestExpense)|Taxes|IncomeTax|SalesTax|ExciseTax|Deferred|Receivable|Payable"
    r"|Liabilit|Reserve|Gain|Loss|Provision|Allowance|Marketing|Selling|Percent|Discontinued|Unearned|Amortiz|Proceeds|Payments"
    r"|ForSale|Obligation|PerShare|Maturit|Refund|Returns|Discounts"
)
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
_OTHER_INCOME = re.compile(r"\btotal (other|non-?interest) income", re.IGNORECASE)
_ALL_COSTS = ("CostsAndExpenses", "BenefitsLossesAndExpenses")
_COSTS_WITH = {
    "NoninterestExpense": (
        "ProvisionForLoanLeaseAndOtherLosses",
        "ProvisionForLoanAndLeaseLosses",
        "ProvisionForCreditLosses",
    )
}
_RESULTS = (
    "OperatingIncomeLoss",
    "IncomeLossFromContinuingOperationsBeforeIncomeTaxesExtraordinaryItemsNoncontrollingInterest",
    "IncomeLossFromContinuingOperationsBeforeIncomeTaxesMinorityInterestAndIncomeLossFromEquityMethodInvestments",
    "IncomeLossFromContinuingOperationsBeforeIncomeTaxes",
)
_MUCH = 0.05  # of revenue: what other lines may come to before a line is no more taken for the whole


def revenue(lines: Lines, item: StandardItem) -> Figure | Unclear | None:
    """The revenue of an income statement."""
    statement = _Statement(lines, item)
    if (proved := statement.proved()) is not None:
        return proved
    if (summed := statement.summed()) is not None:
        return summed
    if statement.held:
        return statement.usual()
    return _no_total(statement.beside) if statement.beside else None


class _Statement:
    """An income statement: ``held`` are its lines of revenue and of parts of it, ``beside`` those of other income."""

    def __init__(self, lines: Lines, item: StandardItem) -> None:
        self._lines, self._item = lines, item
        self.held = lines.matching(item, _REVENUE, _NO_REVENUE)
        self.beside = [line for line in lines.matching(item, _BESIDE, _NOT_BESIDE) if line not in self.held]

    def proved(self) -> Figure | None:
        """The line that other totals, the sum of other lines, or its label prove; of several the one proved best."""
        ranked = []
        for line in self.held:
            value = _value(line)
            others = [_value(one) for one in distinct([*self.held, *self.beside]) if 0 < _value(one) != value]
            tied = any(adds_up(value, terms) for terms in self._ties)
            if tied or (value > 0 and parts_of(value, others)) or (is_total(line.label) and is_whole(line.label)):
                gross = bool(_GROSS.search(line.name)) and not tied
                ranked.append((tied, not gross, value, bool(_WHOLE.search(line.name)), line))
        if not ranked:
            return None
        line = max(ranked, key=lambda one: one[:-1])[-1]
        rivals = [other for _, _, value, whole, other in ranked if whole and value != line.value and other.name != line.name]
        return self._figure([line], rivals)

    def summed(self) -> Figure | None:
        """A bank's two halves, or the lines whose sum other totals prove to be the whole."""
        if self._halves is not None:
            note = "revenue: no line is its total: net interest income and other income"
            return self._lines.figure(self._item, self._halves, note=note)
        some = distinct([*self.held, *self.beside])
        for terms in self._ties:
            parts = parts_of(sum(terms), [_value(line) for line in some])
            if parts is not None:
                note = "revenue: no line is its total: the sum of its parts, as other totals prove"
                return self._lines.figure(self._item, [some[place] for place in parts], note=note)
        return None

    def usual(self) -> Figure | Unclear:
        """The line of the usual concept, unless other lines speak against it."""
        usual = self._lines.first(self._item, *self._item.concepts)
        if isinstance(usual, Unclear):
            return usual
        net = [line for line in self.held if not _GROSS.search(line.name)] or self.held
        most = max(net, key=_value)
        # A part cannot be more than the whole.
        chosen = usual if usual is not None and _value(usual) >= _value(most) else most
        value = _value(chosen)
        rest = distinct(line for line in net if 0 < _value(line) < value)
        if len(rest) == 1 and goods_and_services(chosen, rest[0]):
            both = [chosen, *rest]
            return self._lines.figure(self._item, both, note=f"revenue: no line is its total: the sum of {listed(both)}")
        if self._lines.line(self._item, chosen.name) != chosen:
            return _no_total([chosen, *rest])
        more = [one for terms in self._implied if (one := sum(terms)) > value * (1 + _MUCH)]
        whole = is_whole(chosen.label) or (bool(_WHOLE.search(chosen.name)) and chosen.label in ("", chosen.name))
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

    def _figure(self, found: Sequence[Item], rivals: Sequence[Item]) -> Figure:
        note = f"revenue: {listed(found)}; the report also names {listed(distinct(rivals))}" if rivals else ""
        return self._lines.figure(self._item, found, note=note)

    @cached_property
    def _ties(self) -> list[list[float]]:
        """Amounts of the report that sum to its revenue, one way or another."""
        return [*self._implied, *self._by_costs()]

    @cached_property
    def _implied(self) -> list[list[float]]:
        """Amounts that sum to revenue and leave no other way: a result, and all costs and expenses before it."""
        return [[result, spent] for result in self._results for name in _ALL_COSTS if (spent := self._amount(name)) is not None]

    def _by_costs(self) -> Iterator[list[float]]:
        costs = [abs(_value(line)) for line in costs_of(self._lines, self._item)]
        some = [list(terms) for count in (1, 2, 3) for terms in combinations(costs, count)] if len(costs) <= 8 else [costs]
        profit, operating = self._amount("GrossProfit"), self._amount("OperatingExpenses")
        if profit is not None:
            yield from ([profit, *terms] for terms in some)
        for result in self._results:
            if operating is not None:
                yield from ([result, operating, *terms] for terms in ([], *some))
            for name, provisions in _COSTS_WITH.items():
                spent = self._amount(name)
                if spent is not None:
                    lost = [amount for one in provisions if (amount := self._amount(one)) is not None]
                    yield from ([result, spent, *terms] for terms in ([], *([one] for one in lost)))
        if self._halves is not None:
            yield [_value(half) for half in self._halves]

    @cached_property
    def _results(self) -> list[float]:
        return [found for name in _RESULTS if (found := self._amount(name)) is not None]

    @cached_property
    def _halves(self) -> list[Item] | None:
        """A bank's net interest income and its other income, which are all of its revenue."""
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
