"""Revenue and its cost: which lines of an income statement are the whole, and which a slice of it.

No list of concepts decides this. A bank's, an insurer's or a lessor's revenue from contracts with customers is a slice of its
revenue; sectors have totals of their own names; a company may report products and services and no total at all. A line is the
total if other totals of the report prove it (gross profit and cost, operating income and expenses), if other lines of revenue
sum to it, or if its label says so. Else the usual concept is taken where no other line speaks against it, and where one does,
revenue is unclear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations

from stockctl.filings.filing import Item
from stockctl.filings.items import Figure, StandardItem, digits
from stockctl.filings.lines import Lines, Unclear, is_total, is_whole, listed
from stockctl.filings.rounding import adds_up, parts_of, tolerance

_REVENUE = re.compile(
    r"Revenues?(?![a-z])|(^|[a-z:])Sales(Net|Gross)?$|^(Net|Total)?Sales(?=[A-Z]|$)|Turnover$|SalesRevenue", re.ASCII
)
_NO_REVENUE = re.compile(
    r"Costs?(?![a-z])|Expenses?(?![a-z])(?<!NetOfInterestExpense)|Taxes|IncomeTax|SalesTax|ExciseTax|Deferred|Receivable|Payable"
    r"|Liabilit|Reserve|Gain|Loss|Provision|Allowance|Marketing|Selling|Percent|Discontinued|Unearned|Amortiz|Proceeds|Payments"
    r"|ForSale|Obligation|PerShare|Maturit|Refund|Returns|Discounts"
)
_GROSS = re.compile(r"Gross|IncludingAssessedTax")
_CONTRACTS = re.compile(r"^RevenueFromContract")
"""Revenue from contracts with customers has no interest, premiums, leases or income of investments in it."""
_WHOLE = re.compile(r"^(Total|Net)*(Operating)?(Revenues?|Sales)(Net|NetOfInterestExpense)?$|^SalesRevenueNet$")
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
_COST = re.compile(
    r"^(Total|Direct)?Costs?Of\w*(Revenues?|Sales|Goods|Products?|Services?|Merchandise|Sold|Subscriptions?|Licenses?)(?![a-z])"
)
_NO_COST = re.compile(r"Funds|Borrow|Debt|Repairs|Equity|Capital|Treasury|Excluding|Insurance|PerShare|Incremental|Percent")
_GOODS = re.compile(r"\b(goods|products?|equipment|hardware|merchandise)\b", re.IGNORECASE)
_SERVICES = re.compile(r"\b(services?|subscriptions?|maintenance|support)\b", re.IGNORECASE)
_OTHER_INCOME = re.compile(r"\btotal (other|non-?interest) income", re.IGNORECASE)
_TOTAL_COSTS = ("CostsAndExpenses", "BenefitsLossesAndExpenses", "NoninterestExpense", "OperatingExpenses")
_PROVISIONS = ("ProvisionForLoanLeaseAndOtherLosses", "ProvisionForLoanAndLeaseLosses", "ProvisionForCreditLosses")
_RESULTS = (
    "OperatingIncomeLoss",
    "IncomeLossFromContinuingOperationsBeforeIncomeTaxesExtraordinaryItemsNoncontrollingInterest",
    "IncomeLossFromContinuingOperationsBeforeIncomeTaxesMinorityInterestAndIncomeLossFromEquityMethodInvestments",
    "IncomeLossFromContinuingOperationsBeforeIncomeTaxes",
)
_MUCH = 0.05  # of revenue: what other lines may come to before a line is no more taken for the whole

Read = Figure | Unclear | None


def revenue(lines: Lines, item: StandardItem) -> Read:
    """The revenue of an income statement."""
    held = [line for line in lines.matching(item, _REVENUE, _NO_REVENUE) if line.value is not None]
    beside = [line for line in lines.matching(item, _BESIDE, _NOT_BESIDE) if line not in held]
    proved = _proved(lines, item, held, beside)
    if proved is not None:
        return _beside_others(lines, item, proved, held)
    implied = list(_implied(lines, item))
    summed = _summed(lines, item, held, beside, implied)
    if summed is not None:
        return summed
    if not held:
        return Unclear(f"revenue: no line is its total: {listed(beside)}") if beside else None
    return _usual(lines, item, held, beside, implied)


def _proved(lines: Lines, item: StandardItem, held: Sequence[Item], beside: Sequence[Item]) -> Item | None:
    """The line that other totals, the sum of other lines, or its label prove; of several that by the strongest of these."""
    ranked = []
    for line in held:
        value = line.value or 0.0
        others = _distinct(other for other in (*held, *beside) if other.value != value)
        tied = any(adds_up(value, terms) for terms in _ties(lines, item))
        summed = value > 0 and parts_of(value, [other.value or 0.0 for other in others if (other.value or 0.0) > 0]) is not None
        labelled = is_total(line.label)
        if tied or summed or labelled:
            gross = bool(_GROSS.search(line.name)) and not tied
            ranked.append((tied, not gross, value, bool(_WHOLE.search(line.name)), line))
    return max(ranked, key=lambda one: one[:-1])[-1] if ranked else None


def _ties(lines: Lines, item: StandardItem) -> Iterator[list[float]]:
    """Amounts of the report that sum to its revenue."""

    def value(concept: str) -> float | None:
        found = lines.line(item, concept)
        return found.value if isinstance(found, Item) else None

    costs = [abs(line.value or 0.0) for line in _costs(lines, item)]
    some = [list(terms) for count in (1, 2, 3) for terms in combinations(costs, count)] if len(costs) <= 8 else [costs]
    gross = value("GrossProfit")
    if gross is not None:
        yield from ([gross, *terms] for terms in some)
    for result in (found for name in _RESULTS if (found := value(name)) is not None):
        for name in _TOTAL_COSTS:
            spent = value(name)
            if spent is None:
                continue
            yield [result, spent]
            if name == "OperatingExpenses":
                yield from ([result, spent, *terms] for terms in some)
            elif name == "NoninterestExpense":
                yield from ([result, spent, lost] for name in _PROVISIONS if (lost := value(name)) is not None)
    halves = _halves(lines, item)
    if halves is not None:
        yield [half.value or 0.0 for half in halves]


def _halves(lines: Lines, item: StandardItem) -> tuple[Item, Item] | None:
    """A bank's net interest income and its other income, which are all of its revenue."""
    net, other = lines.line(item, "InterestIncomeExpenseNet"), lines.line(item, "NoninterestIncome")
    if other is None:
        other = next((line for line in lines.items if _OTHER_INCOME.search(line.label)), None)
    return (net, other) if isinstance(net, Item) and isinstance(other, Item) else None


def _implied(lines: Lines, item: StandardItem) -> Iterator[float]:
    """What revenue comes to by totals that leave no other way: a result, and all costs and expenses before it."""

    def value(concept: str) -> float | None:
        found = lines.line(item, concept)
        return found.value if isinstance(found, Item) else None

    for result in (found for name in _RESULTS if (found := value(name)) is not None):
        for name in ("CostsAndExpenses", "BenefitsLossesAndExpenses"):
            if (spent := value(name)) is not None:
                yield result + spent


def _summed(
    lines: Lines, item: StandardItem, held: Sequence[Item], beside: Sequence[Item], implied: Sequence[float]
) -> Figure | None:
    """The sum of lines where the report proves that it is the whole, or a bank's two halves."""
    halves = _halves(lines, item)
    if halves is not None:
        return lines.figure(item, halves, note="revenue: no line is its total: net interest income and other income")
    some = _distinct((*held, *beside))
    values = [line.value or 0.0 for line in some]
    for terms in (*([one] for one in implied), *_ties(lines, item)):
        parts = parts_of(sum(terms), values)
        if parts is not None:
            note = "revenue: no line is its total: the sum of its parts, as other totals prove"
            return lines.figure(item, [some[place] for place in parts], note=note)
    return None


def _usual(
    lines: Lines, item: StandardItem, held: Sequence[Item], beside: Sequence[Item], implied: Sequence[float]
) -> Figure | Unclear:
    """The line of the usual concept, unless other lines speak against it."""
    net = [line for line in held if not _GROSS.search(line.name)] or list(held)
    most = max(net, key=lambda line: line.value or 0.0)
    usual = lines.first(item, *item.concepts)
    if isinstance(usual, Unclear):
        return usual
    chosen = usual if usual is not None else most
    if (chosen.value or 0.0) < (most.value or 0.0):
        # A part cannot be more than the whole.
        chosen = most
    value = chosen.value or 0.0
    same = [line for line in held if line.name == chosen.name and line.value != chosen.value]
    if same and lines.line(item, chosen.name) != chosen:
        return Unclear(f"revenue: {chosen.name} is reported more than once: {listed([chosen, *same])}")
    whole = is_whole(chosen.label) or bool(_WHOLE.search(chosen.name))
    if any(one > value * (1 + _MUCH) for one in implied) and not _WHOLE.search(chosen.name):
        told = ", ".join(digits(one) for one in implied)
        return Unclear(f"revenue: {listed([chosen])} is a part of it: income and expenses come to {told}")
    rest = _distinct(line for line in net if 0 < (line.value or 0.0) < value)
    pair = _pair(chosen, rest, whole)
    if pair is not None:
        return lines.figure(item, [chosen, pair], note=f"revenue: no line is its total: the sum of {listed([chosen, pair])}")
    weight = sum(abs(line.value or 0.0) for line in _distinct(beside))
    if beside and not _is_more(value, beside, lines, item):
        return Unclear(f"revenue: no line is shown to be its total: {listed([chosen, *rest, *beside])}")
    if weight > _MUCH * value and not whole:
        return Unclear(f"revenue: no line is shown to be its total: {listed([chosen, *rest, *beside])}")
    if rest and not whole and not _CONTRACTS.search(chosen.name):
        return Unclear(f"revenue: no line is shown to be its total: {listed([chosen, *rest])}")
    others = [*(line for line in rest if line.name != chosen.name), *(beside if weight > _MUCH * value else [])]
    note = f"revenue: {chosen.name} {digits(value)}; the report also names {listed(others)}" if others else ""
    return lines.figure(item, [chosen], note=note)


def _is_more(value: float, beside: Sequence[Item], lines: Lines, item: StandardItem) -> bool:
    """Whether revenue is as much as each of the lines beside it; interest counts as what is left of it after interest paid."""
    paid = lines.line(item, "InterestExpense")
    spent = abs(paid.value or 0.0) if isinstance(paid, Item) else 0.0
    return all(value >= (line.value or 0.0) - (spent if line.name.startswith("Interest") else 0.0) for line in beside)


def _pair(chosen: Item, rest: Sequence[Item], whole: bool) -> Item | None:
    """The services beside goods, or the goods beside services, where these two are all there is."""
    if whole or len(rest) != 1:
        return None
    kinds = sorted(_kind(line) for line in (chosen, rest[0]))
    return rest[0] if kinds == ["goods", "services"] else None


def _kind(line: Item) -> str:
    """Whether a line is of goods or of services, by its label or its concept; empty where these tell both, or nothing."""
    for text in (line.label, re.sub(r"(?<=[a-z])(?=[A-Z])", " ", line.name)):
        goods, services = bool(_GOODS.search(text)), bool(_SERVICES.search(text))
        if goods != services:
            return "goods" if goods else "services"
    return ""


def _beside_others(lines: Lines, item: StandardItem, line: Item, held: Sequence[Item]) -> Figure:
    """The line, with a word on one that calls itself the whole as well and is more or less."""
    rivals = [
        other
        for other in _distinct(held)
        if other.value != line.value and _WHOLE.search(other.name) and other.name != line.name and is_total(other.label)
    ]
    note = f"revenue: {line.name} {digits(line.value or 0.0)}; the report also names {listed(rivals)}" if rivals else ""
    return lines.figure(item, [line], note=note)


def cost_of_revenue(lines: Lines, item: StandardItem, sales: Figure | None) -> Read:
    """The cost of revenue of an income statement of which ``sales`` is the revenue.

    Where the report gives gross profit, the two must come to revenue. Amounts reported as negative are outflows written so.
    """
    held = _distinct(_costs(lines, item))
    if not held:
        return None
    values = [abs(line.value or 0.0) for line in held]
    gross = lines.line(item, "GrossProfit")
    if sales is not None and isinstance(gross, Item) and lines.measure(item, gross) == sales.measure:
        return _by_gross_profit(lines, item, sales, gross, held)
    pair = _pair(held[0], held[1:], False) if len(held) == 2 else None
    if pair is not None and not any(is_total(line.label) for line in held):
        return outflow(lines.figure(item, held, note=f"{item.name}: no line is its total: the sum of {listed(held)}"))
    total = next((line for line in held if is_total(line.label)), None)
    usual = next((line for name in item.concepts for line in held if line.name == name and not _parts(line, held)), None)
    most = held[max(range(len(held)), key=values.__getitem__)]
    if total is None and parts_of(abs(most.value or 0.0), [value for value in values if value != abs(most.value or 0.0)]):
        total = most
    if total is None and usual is not None and _is_cost_total(usual) and abs(usual.value or 0.0) >= max(values):
        total = usual
    if total is not None:
        return outflow(lines.figure(item, [total]))
    if len(held) == 1:
        return outflow(lines.figure(item, held))
    return Unclear(f"{item.name}: no line is shown to be its total: {listed(held)}")


def _by_gross_profit(lines: Lines, item: StandardItem, sales: Figure, gross: Item, held: Sequence[Item]) -> Read:
    wanted = sales.value - (gross.value or 0.0)
    values = [abs(line.value or 0.0) for line in held]
    for line, value in zip(held, values, strict=True):
        if adds_up(sales.value, [gross.value or 0.0, value]):
            return outflow(lines.figure(item, [line]))
    parts = parts_of(wanted, values)
    if parts is not None:
        note = f"{item.name}: the sum of its parts, as revenue and gross profit prove"
        return outflow(lines.figure(item, [held[place] for place in parts], note=note))
    if wanted > max(values) - tolerance([wanted, *values]):
        # What is named is a part: the rest of the cost stands under names of its own.
        figure = lines.figure(item, [gross])
        note = f"{item.name}: {listed(held)} is a part of it, as revenue and gross profit prove"
        words = f"revenue − {gross.concept}"
        return figure.changed(wanted, derived=words, note=note, sources=(*sales.sources, *figure.sources))
    return Unclear(
        f"{item.name}: {listed(held)} does not fit revenue {digits(sales.value)} and gross profit {digits(gross.value or 0.0)}"
    )


def outflow(figure: Figure) -> Figure:
    """A figure that is an outflow by its concept as an amount above 0, though the report writes it as a negative one."""
    if figure.value >= 0:
        return figure
    note = f"{figure.item}: reported as {digits(figure.value)}, an outflow written as a negative amount"
    return figure.changed(-figure.value, derived=figure.derived or f"− {figure.concept}", note=note)


def _costs(lines: Lines, item: StandardItem) -> list[Item]:
    return lines.matching(item, _COST, _NO_COST)


def _parts(line: Item, held: Sequence[Item]) -> bool:
    """Whether the line's concept is there more than once, with different values."""
    return any(other.name == line.name and other.value != line.value for other in held)


def _is_cost_total(line: Item) -> bool:
    return line.name in ("CostOfRevenue", "CostOfGoodsAndServicesSold", "CostOfSales") or is_whole(line.label)


def _distinct(lines: Iterator[Item] | Sequence[Item]) -> list[Item]:
    """The lines, each concept with each of its values once."""
    return list({(line.name, line.value): line for line in lines}.values())
