"""Statements as companies really write them: slices, totals, repeated concepts, signs, minorities, debt of any name.

Each group is one kind of statement; the members of a group share what decides, not their concepts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.filings.fundamentals.identities import check
from stockctl.filings.fundamentals.kpis import KpiValue, Price, kpis
from stockctl.filings.fundamentals.periods import Span
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.filings.model import parse_filing
from stockctl.filings.standardize.statement import standardize
from stockctl.settings import load_settings
from tests.command import clean_environment
from tests.filings.reports import Line, report_of_lines

YEAR = Span(date(2023, 1, 1), date(2023, 12, 31))
M = 1_000_000
CONTRACTS = "RevenueFromContractWithCustomerExcludingAssessedTax"
GROSS_CONTRACTS = "RevenueFromContractWithCustomerIncludingAssessedTax"
COSTS = "CostOfGoodsAndServicesSold"
EPS, SHARES = "EarningsPerShareDiluted", "WeightedAverageNumberOfDilutedSharesOutstanding"
PRETAX = "IncomeLossFromContinuingOperationsBeforeIncomeTaxesExtraordinaryItemsNoncontrollingInterest"
NCI = "NetIncomeLossAttributableToNoncontrollingInterest"
BALANCE: list[Line] = [
    ("CashAndCashEquivalentsAtCarryingValue", "", 100 * M),
    ("AssetsCurrent", "", 500 * M),
    ("Assets", "", 1000 * M),
    ("LiabilitiesCurrent", "", 250 * M),
    ("Liabilities", "", 600 * M),
    ("StockholdersEquity", "", 400 * M),
    ("LiabilitiesAndStockholdersEquity", "", 1000 * M),
]

Lines = Sequence[tuple[str, str, float]]


def statement(lines: Lines) -> list[Line]:
    """Lines with their amounts in millions, but per share."""
    return [(concept, label, value if "PerShare" in concept else value * M) for concept, label, value in lines]


def year(ic: Lines = (), bs: Lines = (), cf: Lines = (), span: Span = YEAR, **more: Any) -> dict[str, Any]:
    """The annual report of a company with this income, with a balance sheet of its own to which ``bs`` is added."""
    statements = {"ic": statement(ic), "bs": [*BALANCE, *statement(bs)], "cf": statement(cf)}
    return report_of_lines(more.pop("number", 1), span, statements, form=more.pop("form", "10-K"), **more)


def asked(ic: Lines, item: str) -> tuple[float | None, str]:
    """An item of an income statement in millions, and words on it."""
    reading = standardize(parse_filing(year(ic)), "ic")
    figure = reading.figures.get(item)
    if figure is None:
        return None, reading.unclear.get(item, "")
    return figure.value / (1 if "eps" in item else M), "; ".join(figure.notes)


def kpis_of(*reports: dict[str, Any], price: float | None = 20) -> dict[str, KpiValue]:
    settings = load_settings(environ=clean_environment(), stack=False)
    known = PointInTimeView(parse_filing(one) for one in reports)
    found = kpis(known, settings.valuation, None if price is None else Price(price, "given"))[0]
    return {one.kpi.name: one for one in found}


DEBT_ALONE: Lines = [("LongTermDebtNoncurrent", "Term loan", 10)]
BANK: Lines = [
    ("InterestAndDividendIncomeOperating", "Total interest income", 2900),
    ("InterestExpense", "Total interest expense", 1100),
    ("InterestIncomeExpenseNet", "Net interest income", 1800),
    (CONTRACTS, "Loan platform fees", 310),
    ("NoninterestIncome", "Total noninterest income", 700),
]
NET = ("NetIncomeLoss", "Net income", 90)


def net(value: float) -> tuple[str, str, float]:
    return ("NetIncomeLoss", "", value)


@pytest.mark.parametrize(
    ("lines", "revenue"),
    [
        # A line is the total by its label, by its parts, or by the only way that the report leaves.
        ([*BANK, ("RevenuesNetOfInterestExpense", "Total net revenue", 2500)], 2500),
        (BANK, 2500),
        ([*BANK[:4], ("acme:OtherIncome", "Total non-interest income", 700)], 2500),
        (
            [
                ("OperatingLeaseLeaseIncome", "Rental income", 900),
                (CONTRACTS, "Management fees", 40),
                ("RealEstateRevenueNet", "Total revenues", 940),
            ],
            940,
        ),
        (
            [
                ("OperatingLeaseLeaseIncome", "", 900),
                (CONTRACTS, "", 40),
                ("RealEstateRevenueNet", "", 940),
            ],
            940,
        ),
        ([("RegulatedAndUnregulatedOperatingRevenue", "Operating revenues", 900)], 900),
        ([("SalesRevenueServicesNet", "Services", 900)], 900),
        ([("RevenuesNetOfInterestExpense", "Total net revenue", 700)], 700),
        ([("HealthCareOrganizationRevenue", "", 800)], 800),
        ([("acme:PassengerRevenue", "Passenger", 700), ("acme:CargoRevenue", "Cargo", 200), ("acme:AllRevenue", "", 900)], 900),
        ([("PremiumsEarnedNet", "", 800), ("NetInvestmentIncome", "", 150), ("Revenues", "", 950)], 950),
        ([("Revenues", "Other revenue", 50), (CONTRACTS, "Net sales", 1000)], 1000),
        # Costs before a result leave one way.
        (
            [
                ("PremiumsEarnedNet", "", 800),
                ("NetInvestmentIncome", "", 150),
                (CONTRACTS, "", 50),
                ("BenefitsLossesAndExpenses", "", 900),
                (PRETAX, "", 100),
            ],
            1000,
        ),
        # A broker's revenue is net of the interest it pays, as its expenses and income prove.
        (
            [
                ("Revenues", "", 3000),
                ("RevenuesNetOfInterestExpense", "", 2500),
                ("NoninterestExpense", "", 2100),
                (PRETAX, "", 400),
            ],
            2500,
        ),
        # A label marks the total of parts of which not all are named.
        ([("acme:AllRevenues", "Total revenues", 1000), (CONTRACTS, "Food", 600), ("acme:RoyaltyRevenue", "", 200)], 1000),
        # Gross of taxes on sales is no revenue where net is reported.
        ([(GROSS_CONTRACTS, "Total revenues", 1100), (CONTRACTS, "Total net revenues", 1000)], 1000),
        ([(CONTRACTS, "Net sales", 1000), (GROSS_CONTRACTS, "Gross", 1100)], 1000),
        ([(GROSS_CONTRACTS, "", 1100)], 1100),
        # What is no revenue does not make a slice of it.
        (
            [(CONTRACTS, "", 1000), ("InvestmentIncomeInterest", "Interest income", 400), ("GainLossOnSaleOfBusiness", "", 90)],
            1000,
        ),
        ([(CONTRACTS, "Net sales", 1000), ("SellingAndMarketingExpense", "", 3000), ("CostOfRevenue", "", 2000)], 1000),
        ([(CONTRACTS, "", 1000), ("acme:RevenueFromRelatedParties", "Of which related", 400)], 1000),
        ([("Revenues", "Net sales", 1000), ("acme:ProductRevenue", "Products", 700)], 1000),
    ],
)
def test_revenue_is_the_whole(lines: Lines, revenue: float) -> None:
    for order in (lines, lines[::-1]):
        assert asked([*order, NET], "revenue")[0] == revenue


@pytest.mark.parametrize(
    "lines",
    [
        [("PremiumsEarnedNet", "Premiums earned", 800), ("NetInvestmentIncome", "", 150), (CONTRACTS, "Service fees", 50)],
        [("OperatingLeaseLeaseIncome", "", 400), (CONTRACTS, "", 600)],
        [("InterestAndFeeIncomeLoansAndLeases", "", 400), (CONTRACTS, "Card fees", 30)],
        [(CONTRACTS, "Fees", 50), ("CostsAndExpenses", "", 910), ("OperatingIncomeLoss", "", 90)],
        [(CONTRACTS, "Product revenue", 700), (CONTRACTS, "Licence revenue", 300)],
        [("acme:ProductRevenue", "", 700), ("acme:RoyaltyRevenue", "", 300)],
        [(CONTRACTS, "Product sales", 700), ("acme:RoyaltyRevenue", "Royalties", 300)],
        [("Revenues", "", 50), ("PremiumsEarnedNet", "", 800)],
        # A total of a part is none of the whole.
        [(CONTRACTS, "Products", 700), (CONTRACTS, "Total licences", 300)],
        [("Revenues", "Product sales", 700), ("OperatingLeaseLeaseIncome", "Rentals", 300)],
    ],
)
def test_a_slice_of_revenue_is_not_taken_for_it(lines: Lines) -> None:
    for order in (lines, lines[::-1]):
        value, words = asked([*order, NET], "revenue")
        assert value is None
        assert "revenue: " in words
    margin = kpis_of(year([*lines, NET]))["net_margin"]
    assert margin.value is None
    assert any("revenue: " in note for note in margin.notes)


@given(
    parts=st.lists(st.integers(1, 10**6), min_size=2, max_size=6, unique=True),
    place=st.integers(0, 6),
    label=st.sampled_from(["", "Total", "Net sales"]),
)
def test_a_total_is_found_wherever_it_stands_among_its_parts(parts: list[int], place: int, label: str) -> None:
    lines: list[tuple[str, str, float]] = [(CONTRACTS, f"Segment {value}", value) for value in parts]
    lines.insert(place, (CONTRACTS, label, sum(parts)))
    costs: list[tuple[str, str, float]] = [(COSTS, "Cost", line[2]) for line in lines]
    assert asked(lines, "revenue")[0] == sum(parts)
    assert asked([*lines, *costs], "cost_of_revenue")[0] == sum(parts)


@pytest.mark.parametrize(
    ("lines", "cost", "noted"),
    [
        # A total of its own, or by its label.
        ([(COSTS, "Products", 400), (COSTS, "Services", 100), (COSTS, "Total cost of revenue", 500)], 500, False),
        ([("CostOfRevenue", "", 600), ("CostOfGoodsSold", "", 500), ("CostOfServices", "", 100)], 600, False),
        ([("CostOfRevenue", "", 600), ("CostOfServices", "", 100)], 600, False),
        # Goods and services, and no total.
        ([("CostOfGoodsSold", "Cost of products sold", 400), ("CostOfServices", "Cost of services", 250)], 650, True),
        ([("CostOfGoodsSold", "", 300), ("CostOfServices", "", 150)], 450, True),
        ([(COSTS, "Cost of equipment sold", 400), (COSTS, "Cost of services", 250)], 650, True),
        # What gross profit proves.
        ([(COSTS, "Alpha", 400), (COSTS, "Beta", 250), ("GrossProfit", "", 350)], 650, True),
        ([("CostOfGoodsSold", "", 400), ("GrossProfit", "", 550)], 450, True),
        ([("CostOfServices", "", 650), ("CostOfGoodsSold", "", 200), ("GrossProfit", "", 350)], 650, False),
        # An outflow that is written as a negative amount.
        ([("CostOfRevenue", "", -600)], 600, True),
        ([("CostOfRevenue", "", -600), ("GrossProfit", "", 400)], 600, True),
    ],
)
def test_cost_of_revenue_is_the_whole(lines: Lines, cost: float, noted: bool) -> None:
    sales: Lines = [("Revenues", "Total net sales", 1000), NET]
    for order in (lines, lines[::-1]):
        value, words = asked([*sales, *order], "cost_of_revenue")
        assert value == cost
        assert bool(words) == noted
        assert asked([*sales, *order], "gross_profit")[0] == 1000 - cost


@pytest.mark.parametrize(
    "lines",
    [
        [(COSTS, "Alpha", 400), (COSTS, "Beta", 250)],
        [(COSTS, "Alpha", 400), (COSTS, "Beta", 250), (COSTS, "Gamma", 50)],
        [("CostOfGoodsSold", "", 700), ("GrossProfit", "", 550)],
    ],
)
def test_a_part_of_the_cost_is_not_taken_for_it(lines: Lines) -> None:
    value, words = asked([("Revenues", "", 1000), *lines], "cost_of_revenue")
    assert value is None
    assert "cost_of_revenue: " in words


def test_goods_and_services_are_both_sales() -> None:
    for labels in (("Products", "Services"), ("Total product revenue", "Total service revenue"), ("", "")):
        lines: Lines = [("SalesRevenueGoodsNet", labels[0], 700), ("SalesRevenueServicesNet", labels[1], 300)]
        value, words = asked(lines, "revenue")
        assert (value, "the report has no total" in words) == (1000, True)


@pytest.mark.parametrize(
    ("lines", "eps", "shares"),
    [
        # One class counts the others as converted into it: its EPS is on all of income.
        ([(EPS, "Class A", 1.0), (EPS, "Class B", 4.0), (SHARES, "Class A", 100), (SHARES, "Class B", 5)], 1.0, 100),
        # The same EPS of all classes is on all of their shares.
        ([(EPS, "Class A", 1.0), (EPS, "Class B", 1.0), (SHARES, "Class A", 90), (SHARES, "Class B", 10)], 1.0, 100),
        ([(EPS, "", 1.0), (SHARES, "Class A", 90), (SHARES, "Class B", 10)], 1.0, 100),
        ([(EPS, "Continuing", 1.2), (EPS, "Diluted", 1.0), (SHARES, "", 100)], 1.0, 100),
        # Nothing proves one of them.
        ([(EPS, "Class A", 600), (EPS, "Class B", 0.4), (SHARES, "Class A", 0.1), (SHARES, "Class B", 100)], None, None),
    ],
)
def test_classes_of_shares(lines: Lines, eps: float | None, shares: float | None) -> None:
    income: Lines = [("Revenues", "", 1000), ("NetIncomeLoss", "", 100), *lines]
    assert (asked(income, "eps")[0], asked(income, "diluted_shares")[0]) == (eps, shares)
    found = kpis_of(year(income))
    assert found["pe"].value == (eps and 20 / eps)
    if eps is None:
        assert "Class A 600, Class B 0.4" in asked(income, "eps")[1]
        assert any("Class A" in note for note in found["market_value"].notes)


def test_basic_eps_is_of_the_same_class() -> None:
    basic = "EarningsPerShareBasic"
    eps: Lines = [(EPS, "Class A", 1.0), (EPS, "Class B", 4.0), (basic, "Class A", 1.1), (basic, "Class B", 4.4)]
    lines: Lines = [("NetIncomeLoss", "", 100), *eps, (SHARES, "Class A", 100), (SHARES, "Class B", 5)]
    assert asked(lines, "eps_basic")[0] == 1.1
    assert asked([*lines, (basic, "Class C", 9.0)], "eps_basic")[0] is None


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        # An industrial company's interest is none of its revenue.
        (
            [
                ("Revenues", "Net sales", 1000),
                ("CostOfRevenue", "Cost of sales", 600),
                ("OperatingIncomeLoss", "", 150),
                ("InterestIncomeExpenseNet", "Interest expense, net", -30),
                ("NonoperatingIncomeExpense", "Total other income (expense), net", -20),
            ],
            1000,
        ),
        ([("InterestIncomeExpenseNet", "", 8), ("NonoperatingIncomeExpense", "Total other income", 9)], None),
        # What other totals prove goes before a sum that is right by chance.
        (
            [
                ("SalesRevenueGoodsNet", "Products", 41),
                ("SalesRevenueServicesNet", "Services", 30),
                ("LicensesRevenue", "Licenses", 10),
                ("CostsAndExpenses", "", 66),
                ("OperatingIncomeLoss", "", 15),
            ],
            81,
        ),
        (
            [
                ("acme:AlphaRevenue", "", 500),
                ("acme:BetaRevenue", "", 300),
                ("acme:GammaRevenue", "", 200),
                ("CostsAndExpenses", "", 850),
                ("OperatingIncomeLoss", "", 150),
            ],
            1000,
        ),
        # Net of what is taken off it.
        (
            [
                ("CasinoRevenue", "", 600),
                ("OccupancyRevenue", "", 400),
                ("Revenues", "Total revenues", 1000),
                ("PromotionalAllowances", "", 100),
                ("SalesRevenueNet", "Net revenues", 900),
            ],
            900,
        ),
        ([("PremiumsEarnedNet", "Premiums", 800), ("acme:InsuranceIncome", "Total revenues", 960)], 960),
        (
            [
                ("HealthCareOrganizationPatientServiceRevenue", "Revenues before the provision", 1000),
                ("HealthCareOrganizationPatientServiceRevenueProvisionForBadDebts", "", 100),
                ("HealthCareOrganizationRevenueNetOfPatientServiceRevenueProvisions", "Revenues", 900),
            ],
            900,
        ),
        ([(CONTRACTS, "Net sales", 1000), ("acme:FinanceRevenue", "Finance", 50), ("Revenues", "Total", 1070)], 1070),
        # A result may have gains in it, and a loss before tax what the cash earns.
        (
            [
                (CONTRACTS, "Collaboration revenue", 10),
                ("OperatingExpenses", "", 100),
                ("InvestmentIncomeInterest", "", 20),
                ("GainOnWarrants", "", 15),
                (PRETAX, "", -55),
            ],
            10,
        ),
        (
            [
                (CONTRACTS, "", 1000),
                ("CostsAndExpenses", "", 850),
                ("GainLossOnSaleOfBusiness", "", 200),
                ("OperatingIncomeLoss", "", 350),
            ],
            1000,
        ),
        ([(CONTRACTS, "", 400), ("CostsAndExpenses", "", -850), ("OperatingIncomeLoss", "", 150)], None),
        ([(CONTRACTS, "Subscription", 800), ("OperatingExpenses", "", 800), ("OperatingIncomeLoss", "", 100)], None),
        ([("Revenues", "Products", 500), ("Revenues", "Services", 500)], 1000),
        ([(CONTRACTS, "Alpha", 500), (CONTRACTS, "Beta", 500)], None),
        ([(CONTRACTS, "Net sales", 500), (CONTRACTS, "Total revenues", 500)], 500),
    ],
)
def test_revenue_by_what_the_whole_statement_says(lines: Lines, value: float | None) -> None:
    for order in (lines, lines[::-1]):
        assert asked([*order, NET], "revenue")[0] == value


@pytest.mark.parametrize(
    ("lines", "cost"),
    [
        # A cost that is named after a part of revenue is that part's, unless the part is nearly all.
        (
            [
                ("acme:ProductRevenue", "Products", 700),
                ("acme:ServiceRevenue", "Services", 300),
                (COSTS, "Cost of products", 400),
            ],
            None,
        ),
        ([("acme:ProductRevenue", "Products", 960), ("acme:RoyaltyRevenue", "", 40), (COSTS, "Cost of products", 400)], 400),
        (
            [("acme:ProductRevenue", "Products", 700), ("acme:ServiceRevenue", "Services", 300), (COSTS, "Cost of sales", 600)],
            600,
        ),
        ([("acme:ServiceRevenue", "Services and other", 60), (COSTS, "Services and other", 30)], None),
        ([("CostOfRevenue", "Cost of subscription", 400), ("CostOfServices", "Cost of professional services", 200)], None),
        ([(COSTS, "Cost of product", 400), ("CostOfOtherRevenue", "Cost of franchise", 200)], None),
        ([("CostOfGoodsSold", "Total cost of product", 400), ("CostOfServices", "Cost of service", 200)], 600),
        ([("GrossProfit", "", 400)], 600),
        # Royalties cost nothing to speak of.
        (
            [
                (CONTRACTS, "Product sales, net", 800),
                ("RoyaltyRevenue", "Royalties", 200),
                (COSTS, "Cost of product sales", 150),
            ],
            150,
        ),
        # What stands between cost and gross profit is a cost as well.
        (
            [
                ("CostOfGoodsSold", "Cost of goods sold", 550),
                ("AmortizationOfIntangibleAssets", "", 50),
                ("GrossProfit", "", 400),
            ],
            600,
        ),
        (
            [
                ("CostOfRevenue", "Cost of revenues", 500),
                ("CostOfRevenueRelatedParty", "", 60),
                ("OperatingExpenses", "", 300),
                ("OperatingIncomeLoss", "", 140),
            ],
            560,
        ),
        # Millions with one decimal.
        ([("CostOfRevenue", "Cost of sales", 700.1), ("GrossProfit", "", 300.0)], 700.1),
    ],
)
def test_a_cost_named_after_a_part(lines: Lines, cost: float | None) -> None:
    value, words = asked([("Revenues", "Total revenues", 1000), *lines], "cost_of_revenue")
    assert value == cost
    assert cost is not None or "cost_of_revenue: " in words


@pytest.mark.parametrize(
    ("lines", "debt"),
    [
        (
            [
                ("ShortTermBorrowings", "", 31),
                ("LongTermDebtCurrent", "", 20),
                ("NotesPayableCurrent", "", 10),
                ("LongTermDebtNoncurrent", "", 100),
            ],
            161,
        ),
        ([("ShortTermBorrowings", "", 100), ("FederalHomeLoanBankAdvancesLongTerm", "", 200), ("LongTermDebt", "", 300)], 600),
        ([("LongTermDebtCurrent", "", 10), ("LongTermDebt", "Long-term debt, less current maturities", 300)], 310),
        ([("LongTermDebtCurrent", "", 10), ("LongTermDebt", "Long-term debt, excluding current portion", 300)], 310),
        (
            [
                ("LongTermDebtCurrent", "", 10),
                ("DebtInstrumentCarryingAmount", "Total long-term debt", 310),
                ("LongTermDebtNoncurrent", "", 300),
            ],
            310,
        ),
        ([("SeniorNotes", "", 310), ("UnamortizedDebtIssuanceExpense", "", -10), ("LongTermDebtNoncurrent", "", 300)], 300),
        ([("LongTermDebtNoncurrent", "Notes", 150), ("LongTermDebtNoncurrent", "Loans", 150)], 300),
        ([*DEBT_ALONE, ("acme:SecuredFinancings", "Secured financings", 400)], 410),
        ([("acme:PPPLoanCurrent", "PPP loan, current", 3), ("acme:PPPLoan", "PPP loan", 7)], 10),
    ],
)
def test_debt_that_a_chance_or_a_label_would_hide(lines: Lines, debt: float) -> None:
    for order in (lines, lines[::-1]):
        found = standardize(parse_filing(year(bs=order)), "bs").figures
        assert found["total_debt"].value == debt * M


def test_what_may_be_debt_is_named() -> None:
    found = standardize(parse_filing(year(bs=[*DEBT_ALONE, ("acme:SbaEidl", "EIDL loan", 7)])), "bs").figures["total_debt"]
    assert found.notes == ("total_debt does not include EIDL loan 7,000,000",)
    # Debt that the report lists before its assets counts all the same.
    first = [*statement([("LongTermDebtCurrent", "", 10), ("LongTermDebtNoncurrent", "", 300)]), *BALANCE]
    assert standardize(parse_filing(report_of_lines(1, YEAR, {"bs": first})), "bs").figures["total_debt"].value == 310 * M
    # Loans that are assets are none of it.
    assets = [("acme:LoansToCustomers", "Term loans", 80.0), *BALANCE[1:]]
    whole = [*BALANCE[:1], *statement(assets[:1]), *BALANCE[1:], *statement(DEBT_ALONE)]
    assert standardize(parse_filing(report_of_lines(1, YEAR, {"bs": whole})), "bs").figures["total_debt"].value == 10 * M


@pytest.mark.parametrize(
    ("lines", "debt"),
    [
        *(
            ([*DEBT_ALONE, (concept, "", 300)], 310)
            for concept in (
                "SeniorNotes",
                "NotesPayable",
                "LongTermNotesPayable",
                "SecuredDebt",
                "UnsecuredDebt",
                "ShortTermBorrowings",
                "ConvertibleNotesPayableNoncurrent",
                "CommercialPaper",
                "LinesOfCreditCurrent",
                "BankOverdrafts",
                "LoansPayableCurrent",
                "OtherBorrowings",
                "SubordinatedDebt",
                "acme:TermLoanNoncurrent",
                "acme:LongTermDebtAndFinanceLeasesCurrent",
                "acme:RevolvingCreditFacility",
                "FederalHomeLoanBankAdvancesLongTerm",
                "LongTermDebtAndCapitalLeaseObligationsCurrent",
                "LongTermNotesAndLoans",
            )
        ),
        ([("LongTermDebtNoncurrent", "Term loan", 10), ("LongTermDebtNoncurrent", "Notes", 300)], 310),
        (
            [
                ("LongTermDebtAndCapitalLeaseObligationsCurrent", "Current maturities", 70),
                ("LongTermDebtNoncurrent", "Long-term debt", 180),
            ],
            250,
        ),
        ([("LongTermDebtAndCapitalLeaseObligations", "", 130)], 130),
        # The same under a second concept is the same, and two loans of one amount are two.
        ([("LongTermDebtNoncurrent", "", 95), ("acme:LongTermDebtAndFinanceLeasesNoncurrent", "", 95)], 95),
        ([("TermLoanNoncurrent", "", 100), ("SeniorNotesNoncurrent", "", 100)], 200),
        # A total is not counted beside its parts.
        ([("LongTermDebtCurrent", "", 20), ("LongTermDebt", "Total debt", 120), ("LongTermDebtNoncurrent", "", 100)], 120),
        ([("LongTermDebtCurrent", "", 20), ("LongTermDebt", "", 120)], 120),
        ([("LongTermDebtNoncurrent", "", 100), ("LongTermDebt", "", 120)], 120),
        ([("DebtCurrent", "", 90), ("CommercialPaper", "", 50), ("LongTermDebtCurrent", "", 40), *DEBT_ALONE], 100),
        ([("DebtCurrent", "", 9), ("CommercialPaper", "", 3), *DEBT_ALONE], 19),
        (
            [
                ("SeniorNotes", "", 200),
                ("TermLoanNoncurrent", "", 100),
                ("LongTermDebtNoncurrent", "Total long-term debt", 300),
            ],
            300,
        ),
        ([("OtherLongTermDebtNoncurrent", "", 188), ("LongTermDebtNoncurrent", "Long-term debt, total", 216)], 216),
        ([("SecuredDebt", "Mortgage notes", 400), ("SecuredDebt", "Variable Interest Entity, Primary Beneficiary", 300)], 400),
        # What is no debt, though its name says so.
        (
            [
                *DEBT_ALONE,
                ("AvailableForSaleSecuritiesDebtSecuritiesCurrent", "", 300),
                ("NotesReceivableNet", "", 70),
                ("DebtIssuanceCostsNet", "", 7),
                ("InterestPayableCurrent", "", 3),
                ("LiabilitiesOtherThanLongtermDebtNoncurrent", "", 500),
                ("AccountsAndNotesReceivableNet", "", 5),
                ("CapitalizationLongtermDebtAndEquity", "", 410),
            ],
            10,
        ),
        ([("LongTermDebtNoncurrent", "Long-term debt, net of debt issuance costs and unamortized discount", 50)], 50),
    ],
)
def test_debt_of_any_name_is_counted_once(lines: Lines, debt: float) -> None:
    for order in (lines, lines[::-1]):
        one = kpis_of(year(bs=order))["debt_to_equity"]
        assert next(each.value for each in one.inputs if each.name == "total_debt") == debt * M
        assert one.value == pytest.approx(debt / 400)
        # The note that there is no other debt appears only where it is so.
        alone = [note for note in one.notes if "the report has no other debt" in note]
        assert not alone or not [note for note in one.notes if "does not say when it is due" in note]


def test_that_no_other_debt_is_reported_is_true() -> None:
    def alone(*lines: tuple[str, str, float]) -> bool:
        return any("the report has no other debt" in note for note in kpis_of(year(bs=lines))["debt_to_equity"].notes)

    assert alone(*DEBT_ALONE)
    assert not alone(*DEBT_ALONE, ("SeniorNotes", "", 300))
    assert not alone(*DEBT_ALONE, ("acme:Facility", "Revolving credit facility", 300))
    assert not alone(("NotesPayableCurrent", "", 4), ("LongTermNotesAndLoans", "Notes payable, non-current", 84))


def test_long_term_debt_has_its_current_part_in_it_unless_the_balance_sheet_proves_otherwise() -> None:
    """By its definition ``LongTermDebt`` counts what is due within a year; many write it for what is due later."""
    later: Lines = [("OtherLiabilitiesNoncurrent", "", 230), ("LongTermDebt", "Long-term debt", 120)]
    soon: Lines = [("AccountsPayableCurrent", "", 230), ("LongTermDebtCurrent", "", 20)]
    sides = {line[0]: (line[0], "", line[2] / M) for line in BALANCE}
    in_order = [
        sides["Assets"],
        *soon,
        sides["LiabilitiesCurrent"],
        *later,
        sides["Liabilities"],
        sides["StockholdersEquity"],
        sides["LiabilitiesAndStockholdersEquity"],
    ]

    def debt(lines: Lines) -> float:
        one = standardize(parse_filing(report_of_lines(1, YEAR, {"bs": statement(lines)})), "bs").figures["total_debt"]
        return one.value / M

    assert debt(in_order) == 140
    assert debt(sorted(in_order)) == 120


@pytest.mark.parametrize(
    ("lines", "income"),
    [
        ([("ProfitLoss", "", 120), (NCI, "", 20), ("NetIncomeLossAttributableToParent", "", 100)], 100),
        ([("ProfitLoss", "Net income", 120), (NCI, "", 20), ("NetIncomeLoss", "Attributable to company", 100)], 100),
        ([("ProfitLoss", "", 120), (NCI, "", 20)], 100),
        ([("ProfitLoss", "", 120), ("MinorityInterestInNetIncomeLossOfConsolidatedEntities", "", 20)], 100),
        ([("NetIncomeLoss", "", 120), ("ProfitLoss", "", 120), (NCI, "", 20)], 100),
        ([("NetIncomeLoss", "", 120), (NCI, "", 20), ("NetIncomeLossAttributableToParent", "", 100)], 100),
        ([("NetIncomeLoss", "Net income", 120), (NCI, "", 20), ("NetIncomeLoss", "Net income to the company", 100)], 100),
        ([("ProfitLoss", "", 120)], 120),
        ([("ProfitLoss", "", 120), (NCI, "", 0)], 120),
        # A share of minorities below 0 is a loss that they bear, or a deduction: EPS proves which.
        ([("ProfitLoss", "", 120), (NCI, "", -20), (EPS, "", 1.4), (SHARES, "", 100)], 140),
        ([("ProfitLoss", "", 120), (NCI, "", -20), (EPS, "", 1.0), (SHARES, "", 100)], 100),
        ([("ProfitLoss", "", 120), (NCI, "", -20)], None),
        # EPS proves which line is the parent's, and that one has minorities in it.
        ([("NetIncomeLoss", "Net income", 130), (NCI, "", 30), (EPS, "", 1.0), (SHARES, "", 100)], 100),
        ([("NetIncomeLoss", "", 100), ("NetIncomeLoss", "Income", 130), (EPS, "", 1.0), (SHARES, "", 100)], 100),
        ([("ProfitLoss", "", 120), ("acme:Others", "Less: income attributable to noncontrolling interests", 20)], 100),
        ([("NetIncomeLoss", "", 100), (NCI, "", 20)], 100),
    ],
)
def test_net_income_is_the_parents(lines: Lines, income: float | None) -> None:
    for order in (lines, lines[::-1]):
        value, words = asked([("Revenues", "", 1000), *order], "net_income")
        assert value == income
        assert income is not None or "noncontrolling interests" in words
        assert kpis_of(year([("Revenues", "", 1000), *order]))["roe"].value == (income and income / 4)


def test_equity_is_the_parents() -> None:
    whole = "StockholdersEquityIncludingPortionAttributableToNoncontrollingInterest"
    lines: Lines = [(whole, "", 450), ("MinorityInterest", "", 50)]
    found = standardize(parse_filing(report_of_lines(1, YEAR, {"bs": statement(lines)})), "bs").figures
    assert found["equity"].value == 400 * M
    assert found["equity"].derived == f"us-gaap_{whole} − us-gaap_MinorityInterest"

    def parents(*lines: tuple[str, str, float]) -> float:
        return standardize(parse_filing(report_of_lines(1, YEAR, {"bs": statement(lines)})), "bs").figures["equity"].value / M

    both = ("LiabilitiesAndStockholdersEquity", "", 1000)
    minorities = ("MinorityInterest", "", 50)
    # The balance sheet leaves no room for minorities beside it, or does.
    assert parents(both, ("Liabilities", "", 550), ("StockholdersEquity", "Total equity", 450), minorities) == 400
    assert parents(both, ("Liabilities", "", 550), ("StockholdersEquity", "", 400), minorities) == 400
    assert parents((whole, "", 450), ("MinorityInterest", "", 30), ("MinorityInterestInLimitedPartnerships", "", 20)) == 400
    assert parents(("PartnersCapital", "", 70)) == 70
    # Of several lines the one that fits.
    twice = [("StockholdersEquity", "Balance begin", 420.0), ("StockholdersEquity", "Total stockholders' equity", 400.0)]
    assert parents(both, ("Liabilities", "", 600), *twice) == 400
    own = [("StockholdersEquity", "Total shareholders' equity", 400.0), ("StockholdersEquity", "Total equity", 450.0)]
    assert parents(*own, minorities) == 400


def test_liabilities_are_what_the_total_leaves() -> None:
    def liabilities(*lines: tuple[str, str, float]) -> float | None:
        found = standardize(parse_filing(report_of_lines(1, YEAR, {"bs": statement(lines)})), "bs").figures.get("liabilities")
        return None if found is None else found.value / M

    both, own = ("LiabilitiesAndStockholdersEquity", "", 1000), ("StockholdersEquity", "", 400)
    assert liabilities(both, own) == 600
    assert liabilities(both, own, ("MinorityInterest", "", 50)) == 550
    assert liabilities(both, own, ("TemporaryEquityCarryingAmountAttributableToParent", "", 30)) == 570
    assert liabilities(both, own, ("Liabilities", "", 590)) == 590
    assert liabilities(both) is None


@pytest.mark.parametrize("paid", [50, -50])
def test_an_outflow_is_one_whatever_its_sign(paid: float) -> None:
    cash: Lines = [
        ("NetCashProvidedByUsedInOperatingActivities", "", 150),
        ("PaymentsToAcquirePropertyPlantAndEquipment", "Purchases of property", paid),
    ]
    income: Lines = [
        ("Revenues", "", 1000),
        (PRETAX, "", 125),
        ("IncomeTaxExpenseBenefit", "", paid / 2),
        ("NetIncomeLoss", "", 100),
    ]
    found = kpis_of(year([*income, ("InterestExpense", "", paid)], cf=cash))
    assert found["free_cash_flow"].value == 100 * M
    assert found["effective_tax_rate"].value == pytest.approx(20)
    assert next(one.value for one in found["wacc"].inputs if one.name == "interest_expense") == 50 * M
    assert bool(found["free_cash_flow"].notes) == (paid < 0)


def test_signs_that_change_within_a_year() -> None:
    def cash(to: date, flow: float, paid: float, number: int) -> dict[str, Any]:
        lines: Lines = [
            ("NetCashProvidedByUsedInOperatingActivities", "", flow),
            ("PaymentsToAcquirePropertyPlantAndEquipment", "", paid),
        ]
        return year(cf=lines, span=Span(YEAR.start, to), number=number, form="10-K" if to == YEAR.end else "10-Q")

    known = PointInTimeView(
        parse_filing(one)
        for one in (cash(date(2023, 6, 30), 70, 20, 1), cash(date(2023, 9, 30), 110, -35, 2), cash(YEAR.end, 150, 50, 3))
    )
    for span, spent in ((Span(date(2023, 7, 1), date(2023, 9, 30)), 15), (Span(date(2023, 10, 1), YEAR.end), 15)):
        figure = known.over("capital_expenditure", span)
        assert figure is not None
        assert figure.value == spent * M


def test_a_tax_benefit_stays_one() -> None:
    income: Lines = [(PRETAX, "", 100), ("IncomeTaxExpenseBenefit", "", -20), ("NetIncomeLoss", "", 120)]
    assert asked(income, "income_tax") == (-20, "")


@pytest.mark.parametrize(
    ("lines", "eps", "basic"),
    [
        # Apple's first quarter of fiscal 2018, in millions: 20,065 over 5,157.787 and 5,112.877 million shares.
        ([(EPS, "", 3), ("EarningsPerShareBasic", "", 3)], 3.890234319, 3.924404988),
        # Diluted EPS is not above basic: the one with cents shows that the other was truncated.
        ([(EPS, "", 3.89), ("EarningsPerShareBasic", "", 3)], 3.89, 3.924404988),
        ([(EPS, "", 3.89), ("EarningsPerShareBasic", "", 3.92)], 3.89, 3.92),
    ],
)
def test_basic_eps_that_was_cut(lines: Lines, eps: float, basic: float) -> None:
    counts: Lines = [(SHARES, "", 5157.787), ("WeightedAverageNumberOfSharesOutstandingBasic", "", 5112.877)]
    income: Lines = [("NetIncomeLoss", "", 20_065), *counts, *lines]
    assert asked(income, "eps")[0] == pytest.approx(eps)
    value, words = asked(income, "eps_basic")
    assert value == pytest.approx(basic)
    assert ("was cut" in words) == (basic != 3.92)


def test_capital_expenditure_names_what_stands_beside_it() -> None:
    def spent(*lines: tuple[str, str, float]) -> tuple[float | None, str]:
        reading = standardize(parse_filing(year(cf=lines)), "cf")
        figure = reading.figures.get("capital_expenditure")
        if figure is None:
            return None, reading.unclear["capital_expenditure"]
        return figure.value / M, "; ".join(figure.notes)

    plant = "PaymentsToAcquirePropertyPlantAndEquipment"
    value, words = spent((plant, "Other property", 5), ("PaymentsToAcquireOilAndGasPropertyAndEquipment", "Oil and gas", 50))
    assert (value, "the report also has Oil and gas 50,000,000" in words) == (5, True)
    assert spent((plant, "Equipment", 50), (plant, "Leased", 30))[0] is None
    assert spent((plant, "", 50), ("PaymentsToAcquireBusinessesNetOfCashAcquired", "", 500)) == (50, "")


def test_diluted_eps_that_was_cut_beside_a_basic_one_with_cents() -> None:
    """Basic EPS is income over basic shares, so that diluted EPS would be over diluted ones."""
    basic: Lines = [("EarningsPerShareBasic", "", 3.92), ("WeightedAverageNumberOfSharesOutstandingBasic", "", 100)]
    assert asked([net(392), (EPS, "", 3), (SHARES, "", 101), *basic], "eps")[0] == pytest.approx(3.881188)
    preferred: Lines = [("PreferredStockDividendsIncomeStatementImpact", "", 50)]
    cut: Lines = [net(392), *preferred, (EPS, "", 3), ("EarningsPerShareBasic", "", 3), (SHARES, "", 101)]
    assert asked(cut, "eps")[0] == pytest.approx(342 / 101)


@pytest.mark.parametrize("eps", [0.05, 1.0])
def test_shares_in_thousands_with_an_eps_of_cents(eps: float) -> None:
    assert asked([net(100 * eps), (EPS, "", eps), (SHARES, "", 0.1)], "diluted_shares")[0] == pytest.approx(100)


@pytest.mark.parametrize(
    "between",
    [
        [("IncomeLossFromEquityMethodInvestments", "", 10), net(120)],
        [(NCI, "", 10), net(100)],
        [("IncomeLossFromDiscontinuedOperationsNetOfTax", "", -20), net(90)],
    ],
)
def test_a_tax_written_as_an_outflow_is_known_beside_other_lines(between: Lines) -> None:
    lines: Lines = [(PRETAX, "", 140), ("IncomeTaxExpenseBenefit", "", -30), *between]
    assert asked(lines, "income_tax")[0] == 30


def test_shares_follow_from_income_and_eps_where_none_are_counted() -> None:
    found = kpis_of(year([("Revenues", "", 1000), ("NetIncomeLoss", "", 100), (EPS, "", 2.5)]))["market_value"]
    assert found.value == pytest.approx(20 * 40 * M)
    assert any("no report has them" in note for note in found.notes)
    assert next(one.derived for one in found.inputs if one.name == "diluted_shares")
    assert kpis_of(year([("Revenues", "", 1000), ("NetIncomeLoss", "", 100), (EPS, "", 0.01)]))["market_value"].value is None


@pytest.mark.parametrize(
    ("ic", "bs", "identity", "words"),
    [
        (
            [("Revenues", "", 1000), ("CostOfGoodsSold", "", 700), ("GrossProfit", "", 550)],
            [],
            "gross profit",
            "does not fit revenue 1,000,000,000 and gross profit 550,000,000",
        ),
        ([(PRETAX, "", 150), ("IncomeTaxExpenseBenefit", "", 30), ("NetIncomeLoss", "", 100)], [], "income tax", "≠"),
        ([("NetIncomeLoss", "", 100), (EPS, "", 5.0), (SHARES, "", 100)], [], "eps", "eps 5 ≠ net_income / diluted_shares 1"),
        (
            [
                ("Revenues", "Total revenues", 1000),
                ("CostOfRevenue", "Total cost of revenue", 600),
                ("GrossProfit", "", 380),
            ],
            [],
            "gross profit",
            "does not fit",
        ),
        ([], [("LongTermDebtCurrent", "", 300), ("LongTermDebtNoncurrent", "", 500)], "parts", "is more than liabilities"),
        (
            [],
            [("InventoryNet", "", 300), ("AccountsReceivableNetCurrent", "", 300)],
            "parts",
            "inventory 300,000,000 > current_assets",
        ),
        ([(EPS, "", 2.5), ("EarningsPerShareBasic", "", 2.1)], [], "eps", "basic 2.1 < diluted 2.5"),
        ([], [("InventoryNet", "", 700)], "parts", "inventory 700,000,000 > current_assets 500,000,000"),
    ],
)
def test_ties_that_fail_are_named(ic: Lines, bs: Lines, identity: str, words: str) -> None:
    failed = [one for one in check(PointInTimeView([parse_filing(year(ic, bs))])) if one.holds is False]
    assert [one.identity for one in failed] == [identity]
    assert words in failed[0].detail


@pytest.mark.parametrize(
    "ic",
    [
        # A sign that the report's own sums put right is not a fault, nor is what stands between income before and after tax.
        [(PRETAX, "", 125), ("IncomeTaxExpenseBenefit", "", -25), ("NetIncomeLoss", "", 100)],
        [(PRETAX, "", 140), ("IncomeTaxExpenseBenefit", "", 30), ("IncomeLossFromEquityMethodInvestments", "", 10), net(120)],
        [(PRETAX, "", 140), ("IncomeTaxExpenseBenefit", "", 30), (NCI, "", 10), net(100)],
        # Other dilution than shares alone; preferred dividends.
        [
            net(-11),
            (EPS, "", -0.2),
            ("EarningsPerShareBasic", "", -0.09),
            ("WeightedAverageNumberOfSharesOutstandingBasic", "", 120),
        ],
        [net(100), ("EarningsPerShareBasic", "", 0.7), ("WeightedAverageNumberOfSharesOutstandingBasic", "", 100)],
    ],
)
def test_what_is_right_is_not_accused(ic: Lines) -> None:
    assert [one.summary for one in check(PointInTimeView([parse_filing(year(ic))])) if one.holds is False] == []


def test_ties_that_hold_name_what_they_stand_on() -> None:
    income: Lines = [
        ("Revenues", "", 1000),
        (COSTS, "Products", 400),
        (COSTS, "Services", 250),
        ("GrossProfit", "", 350),
        (PRETAX, "", 120),
        ("IncomeTaxExpenseBenefit", "", 30),
        ("NetIncomeLoss", "", 90),
        (EPS, "", 0.9),
        ("EarningsPerShareBasic", "", 0.91),
    ]
    found = [one for one in check(PointInTimeView([parse_filing(year(income))])) if one.holds is not None]
    assert all(one.holds for one in found)
    assert {"gross profit", "income tax", "eps", "parts", "assets"} <= {one.identity for one in found}
    profit = next(one.detail for one in found if one.identity == "gross profit")
    assert profit.startswith(
        "Revenues 1,000,000,000 = CostOfGoodsAndServicesSold 400,000,000 + CostOfGoodsAndServicesSold 250,"
    )
