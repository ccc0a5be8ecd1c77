"""Reports of companies, in every format that Finnhub has used: prefixes, units, numbers as text, missing values, amendments.

``filings(Company("AAPL", last_year=2026), date(2026, 11, 23))`` are the elements of ``data[]`` of
``/stock/financials-reported``, the newest first. Values of income and cash flow run from the start of the fiscal year.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Any, Literal, NamedTuple

from stockctl.sim.companies import Company, Period, Quarter

Kind = Literal["money", "per share", "shares", "none"]
Line = tuple[str, Kind, str, float | None]
"""Concept (a leading ``+`` marks the company's own), kind of its value, label, value (None: the report gives none)."""

_PRETAX = "IncomeLossFromContinuingOperationsBeforeIncomeTaxesExtraordinaryItemsNoncontrollingInterest"
_CHANGE = "CashCashEquivalentsRestrictedCashAndRestrictedCashEquivalentsPeriodIncreaseDecreaseIncludingExchangeRateEffect"
_DAYS_TO_FILE = {"10-Q": 33, "10-K": 47}


class _Form(NamedTuple):
    """How one year's filings are written: prefixes of common and own concepts, units of money, of money a share, of shares."""

    prefix: str
    own: str
    units: tuple[str, str, str]
    texts: bool = False
    cut: bool = False
    objects: bool = False


_UNITS = (
    ("USD", "USD/shares", "shares"),
    ("_usd", "_usd_/_shares", "_shares"),
    ("u_usd", "usd/shares", "shares"),
    ("unit_usd", "usd/share", "unit_shares"),
    ("unit12", "unit13", "unit1"),
)


def _form(filed: date, random: Random) -> _Form:
    if filed.year >= 2022:
        return _Form("us-gaap_", "{}_", ("usd", "usd/share", "shares"))
    if filed.year == 2021:
        return _Form("", "{}:", ("usd", "usd/shares", "shares"))
    units = random.choice(_UNITS)
    if filed.year >= 2015:
        return _Form("", "{}:", units, texts=True)
    return _Form("us-gaap_", "{}_", units, cut=True, objects=filed.year < 2012)


def filings(company: Company, today: date) -> list[dict[str, Any]]:
    """Every report of ``company`` that is filed by ``today``, the newest first."""
    random = Random(f"filings {company.symbol}")
    reports: list[dict[str, Any]] = []
    for period in company.periods:
        for count in range(1, len(period.quarters) + 1):
            annual = count == len(period.quarters)
            quarters = period.quarters[:count]
            form = "10-K" if annual else "10-Q"
            filed = _working_day(quarters[-1].end + timedelta(days=_DAYS_TO_FILE[form] + random.randrange(8)))
            number = len(reports) + 1
            reports.append(_filing(company, period, quarters, form, filed, number, random))
            if annual and period.year == company.amended:
                later = _working_day(filed + timedelta(days=40))
                reports.append(_filing(company, period, quarters, "10-K/A", later, number + 1, random))
    today_text = f"{today} 23:59:59"
    return sorted(
        (one for one in reports if one["filedDate"] <= today_text), key=lambda one: (one["filedDate"], one["accessNumber"])
    )[::-1]


def _filing(
    company: Company, period: Period, quarters: Sequence[Quarter], form: str, filed: date, number: int, random: Random
) -> dict[str, Any]:
    wire = _form(filed, random)
    accepted = datetime.combine(filed, time(7 + random.randrange(9), random.randrange(60), random.randrange(60)))
    if random.random() < 0.4:
        # What the SEC accepts after its day's end gets the next working day as its date.
        accepted = datetime.combine(_working_day_before(filed), time(17 + random.randrange(4), random.randrange(60), 7))
    # A Counter's own sum drops what is negative.
    flows = Counter({name: sum(quarter.flows[name] for quarter in quarters) for name in quarters[0].flows})
    if form == "10-K/A":
        moved = flows["selling"] // 20_000 * 1000
        flows["selling"] -= moved
        flows["research"] += moved
    annual = form != "10-Q"
    basic, diluted = (sum(getattr(q, name) for q in quarters) // len(quarters) for name in ("basic", "diluted"))
    statements = {
        "bs": list(_balance_sheet(quarters[-1].balance)),
        "ic": list(_income(flows, basic, diluted, filed.year)),
        "cf": list(_cash_flow(flows)),
    }
    return {
        "accessNumber": f"{company.cik:010d}-{filed.year % 100:02d}-{number:06d}",
        "symbol": company.symbol,
        "cik": str(company.cik),
        "year": period.year,
        "quarter": 0 if annual else len(quarters),
        "form": form,
        "startDate": f"{period.start} 00:00:00",
        "endDate": f"{quarters[-1].end} 00:00:00",
        "filedDate": f"{filed} 00:00:00",
        "acceptedDate": f"{accepted:%Y-%m-%d %H:%M:%S}",
        "report": {
            name: _written(lines, wire, company.symbol, random, as_object=wire.objects and name == "bs")
            for name, lines in statements.items()
        },
    }


def _written(lines: Sequence[Line], form: _Form, symbol: str, random: Random, *, as_object: bool) -> Any:
    own = form.own.format(symbol.lower())
    if as_object:
        return {concept.lstrip("+"): _value(value, form, "money", random) for concept, _, _, value in lines}
    money, per_share, shares = form.units
    units: dict[Kind, str] = {"money": money, "per share": per_share, "shares": shares, "none": money}
    return [
        {
            "concept": own + concept[1:] if concept.startswith("+") else form.prefix + concept,
            "unit": units[kind],
            "label": label,
            "value": _value(value, form, kind, random),
        }
        for concept, kind, label, value in lines
    ]


def _value(value: float | None, form: _Form, kind: Kind, random: Random) -> int | float | str:
    if value is None:
        return "N/A"
    if kind == "per share":
        return int(value) if form.cut else value
    if form.texts and random.random() < 0.3:
        return str(int(value))
    return int(value)


def _income(flows: Counter[str], basic: int, diluted: int, year: int) -> Iterator[Line]:
    revenue = "Revenues" if year >= 2024 else "RevenueFromContractWithCustomerExcludingAssessedTax"
    if year < 2018:
        revenue = "SalesRevenueNet"
    yield revenue, "money", "Net sales", flows["revenue"]
    yield "CostOfRevenue", "money", "Cost of sales", flows["cost"]
    yield "GrossProfit", "money", "Gross margin", flows["revenue"] - flows["cost"]
    yield "ResearchAndDevelopmentExpense", "money", "Research and development", flows["research"]
    yield "SellingGeneralAndAdministrativeExpense", "money", "Selling, general and administrative", flows["selling"]
    yield "+PlatformExpense", "money", "Platform", flows["platform"]
    yield "OperatingExpenses", "money", "Operating expenses", sum(flows[name] for name in ("research", "selling", "platform"))
    yield "OperatingIncomeLoss", "money", "Operating income", flows["operating"]
    yield "InterestExpense", "money", "Interest expense", flows["interest"]
    yield "OtherNonoperatingIncomeExpense", "money", "Other income", flows["other"]
    yield _PRETAX, "money", "Income before income taxes", flows["pretax"]
    yield "IncomeTaxExpenseBenefit", "money", "Provision for income taxes", flows["tax"]
    yield "NetIncomeLoss", "money", "Net income", flows["income"]
    yield "EarningsPerShareBasic", "per share", "Basic", round(flows["income"] / basic, 2)
    yield "EarningsPerShareDiluted", "per share", "Diluted", round(flows["income"] / diluted, 2)
    yield "WeightedAverageNumberOfSharesOutstandingBasic", "shares", "Basic", basic
    yield "WeightedAverageNumberOfDilutedSharesOutstanding", "shares", "Diluted", diluted


def _cash_flow(flows: Counter[str]) -> Iterator[Line]:
    for concept, label, name in (
        ("NetIncomeLoss", "Net income", "income"),
        ("DepreciationDepletionAndAmortization", "Depreciation and amortization", "depreciation"),
        ("ShareBasedCompensation", "Share-based compensation", "stock pay"),
        ("IncreaseDecreaseInAccountsReceivable", "Accounts receivable", "receivables"),
        ("IncreaseDecreaseInInventories", "Inventories", "inventory"),
        ("IncreaseDecreaseInAccountsPayable", "Accounts payable", "payables"),
        ("NetCashProvidedByUsedInOperatingActivities", "Cash generated by operating activities", "from operations"),
        ("PaymentsToAcquirePropertyPlantAndEquipment", "Payments for property and equipment", "capital expenditure"),
        ("NetCashProvidedByUsedInInvestingActivities", "Cash used in investing activities", "from investing"),
        ("ProceedsFromIssuanceOfDebt", "Proceeds from issuance of debt", "borrowed"),
        ("RepaymentsOfDebt", "Repayments of debt", "repaid"),
        ("PaymentsOfDividends", "Payments for dividends", "dividends"),
        ("PaymentsForRepurchaseOfCommonStock", "Repurchases of common stock", "buybacks"),
        ("NetCashProvidedByUsedInFinancingActivities", "Cash from financing activities", "from financing"),
        (_CHANGE, "Increase in cash", "cash change"),
    ):
        yield concept, "money", label, flows[name]


def _balance_sheet(balance: dict[str, int]) -> Iterator[Line]:
    current = balance["cash"] + balance["receivables"] + balance["inventory"]
    owed_soon = balance["payables"] + balance["short debt"]
    owed = owed_soon + balance["long debt"]
    equity = balance["stock"] + balance["retained"]
    yield "CashAndCashEquivalentsAtCarryingValue", "money", "Cash and cash equivalents", balance["cash"]
    yield "AccountsReceivableNetCurrent", "money", "Accounts receivable, net", balance["receivables"]
    yield "InventoryNet", "money", "Inventories", balance["inventory"]
    yield "AssetsCurrent", "money", "Total current assets", current
    yield "PropertyPlantAndEquipmentNet", "money", "Property and equipment, net", balance["property"]
    yield "Assets", "money", "Total assets", current + balance["property"]
    yield "AccountsPayableCurrent", "money", "Accounts payable", balance["payables"]
    yield "LongTermDebtCurrent", "money", "Term debt due within a year", balance["short debt"]
    yield "LiabilitiesCurrent", "money", "Total current liabilities", owed_soon
    yield "LongTermDebtNoncurrent", "money", "Term debt", balance["long debt"]
    yield "Liabilities", "money", "Total liabilities", owed
    yield "CommitmentsAndContingencies", "none", "Commitments and contingencies", None
    yield "CommonStocksIncludingAdditionalPaidInCapital", "money", "Common stock and paid-in capital", balance["stock"]
    yield "RetainedEarningsAccumulatedDeficit", "money", "Retained earnings", balance["retained"]
    yield "StockholdersEquity", "money", "Total shareholders' equity", equity
    yield "LiabilitiesAndStockholdersEquity", "money", "Total liabilities and shareholders' equity", owed + equity


def _working_day(day: date) -> date:
    return day + timedelta(days={5: 2, 6: 1}.get(day.weekday(), 0))


def _working_day_before(day: date) -> date:
    return day - timedelta(days=3 if day.weekday() == 0 else 1)
