"""Standard items: fallbacks, units, EPS that was cut, shares in thousands, amendments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.filings.fundamentals.periods import Length, Span, ending
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.filings.model import Filing, Statement, parse_filing
from stockctl.filings.standardize.standard_items import Figure, table
from stockctl.filings.standardize.statement import standardize
from tests.filings.reports import report, tesla, wire

YEAR = Span(date(2020, 1, 1), date(2020, 12, 31))
SHARES, EPS = "WeightedAverageNumberOfDilutedSharesOutstanding", "EarningsPerShareDiluted"


def figures(filing: Filing, statement: Statement) -> dict[str, Figure]:
    return standardize(filing, statement).figures


def income(*, span: Span = YEAR, number: int = 1, **values: Any) -> dict[str, Figure]:
    return figures(report(number, span, {"ic": values}), "ic")


def as_reported(values: Mapping[str, float]) -> dict[str, Figure]:
    return figures(report(1, YEAR, {"ic": dict(values)}), "ic")


def test_the_table_is_whole() -> None:
    """Every item has a way to be found, and what it is made of stands before it."""
    seen: set[str] = set()
    for item in table().values():
        assert item.concepts or item.rule or item.minus
        assert item.minus is None or set(item.minus) <= seen
        assert item.kind == ("instant" if item.statement == "bs" else "average" if item.amount != "money" else "flow")
        seen.add(item.name)


def test_tesla_2020_as_reported() -> None:
    filing = parse_filing(tesla())
    found = figures(filing, "bs") | figures(filing, "ic") | figures(filing, "cf")
    assert found["eps"].value == 0.64
    assert not found["eps"].derived
    assert found["net_income"].value == 721e6
    assert found["income_to_common"].value == 690e6
    assert found["free_cash_flow"].value == 2786e6
    assert found["free_cash_flow"].derived == "operating_cash_flow − capital_expenditure"
    assert (found["gross_profit"].concept, found["gross_profit"].accession) == ("GrossProfit", "0001564590-21-004599")
    # Its debt has concepts of its own alone, whose names show what they are.
    assert [found[f"{name}_debt"].value for name in ("short_term", "long_term", "total")] == [2132e6, 9556e6, 11688e6]
    assert found["diluted_shares"].value == 1083e6
    assert not any(figure.notes for figure in found.values())


def test_the_first_concept_that_has_a_value_wins() -> None:
    assert income(SalesRevenueNet=5, Revenues=7)["revenue"].value == 7
    assert income(SalesRevenueNet=5, Revenues="N/A")["revenue"].value == 5
    # What is less than another line is no total of it.
    assert income(Revenues=0, SalesRevenueNet=5)["revenue"].value == 5
    assert "revenue" not in income(Revenues="N/A")
    assert income(Revenues=9, CostOfSales=4)["gross_profit"].value == 5
    assert income(Revenues=9, CostOfSales=4)["gross_profit"].derived == "revenue − cost_of_revenue"
    assert "gross_profit" not in income(Revenues=9)


def test_concepts_count_in_their_own_statement_alone() -> None:
    filing = report(1, YEAR, {"cf": {"NetIncomeLoss": 3}, "ic": {"Assets": 5}})
    assert figures(filing, "ic") == figures(filing, "cf") == figures(filing, "bs") == {}


def test_short_term_debt_is_a_sum_where_no_line_names_it() -> None:
    def debt(**values: float) -> Figure | None:
        return figures(report(1, YEAR, {"bs": values}), "bs").get("short_term_debt")

    both = debt(CommercialPaper=3, LongTermDebtCurrent=4)
    assert both is not None
    assert (both.value, both.derived) == (7.0, "us-gaap_CommercialPaper + us-gaap_LongTermDebtCurrent")
    named = debt(DebtCurrent=9, CommercialPaper=3)
    assert named is not None
    assert (named.value, named.derived) == (9.0, "")
    assert debt(Assets=1) is None


@pytest.mark.parametrize(
    ("unit", "taken"), [("unit12", True), ("u_usd", True), ("", True), ("shares", False), ("usd/share", False)]
)
def test_an_opaque_unit_is_what_the_concept_says_and_a_contrary_one_is_not_taken(unit: str, taken: bool) -> None:
    revenue = {"concept": "Revenues", "unit": unit, "label": "", "value": 5}
    other = {"concept": "OperatingIncomeLoss", "unit": "EUR", "label": "", "value": 5}
    found = figures(parse_filing(tesla() | {"report": {"ic": [revenue, other, other]}}), "ic")
    assert ("revenue" in found) == taken
    assert not taken or found["revenue"].measure == ("usd" if unit == "u_usd" else "eur")


def test_amounts_in_two_currencies_are_not_put_together() -> None:
    lines = [("Revenues", "usd", 9), ("CostOfRevenue", "eur", 4)]
    items = [{"concept": concept, "unit": unit, "label": "", "value": value} for concept, unit, value in lines]
    found = figures(parse_filing(tesla() | {"report": {"ic": items}}), "ic")
    assert sorted(found) == ["cost_of_revenue", "revenue"]


def test_periods_in_two_currencies_are_not_put_together() -> None:
    nine = Span(YEAR.start, date(2020, 9, 30))
    lines = [
        (1, nine, "usd", 60),
        (2, YEAR, "eur", 80),
    ]
    reports = []
    for number, span, unit, value in lines:
        wired = wire(f"0000000001-20-{number:06d}", span, {"ic": {"Revenues": value}})
        wired["report"]["ic"][0]["unit"] = unit
        reports.append(parse_filing(wired))
    assert PointInTimeView(reports).over("revenue", Span(date(2020, 10, 1), YEAR.end)) is None


def test_apple_2023() -> None:
    """Apple's net sales in millions: what its reports give, and what Apple itself said of the quarters."""
    reported = [
        ("2021-09-26", "2022-06-25", 304182),
        ("2021-09-26", "2022-09-24", 394328),
        ("2022-09-25", "2022-12-31", 117154),
        ("2022-09-25", "2023-04-01", 211990),
        ("2022-09-25", "2023-07-01", 293787),
        ("2022-09-25", "2023-09-30", 383285),
    ]
    concept = "RevenueFromContractWithCustomerExcludingAssessedTax"
    spans = [Span(date.fromisoformat(first), date.fromisoformat(last)) for first, last, _ in reported]
    known = PointInTimeView(
        report(number, span, {"ic": {concept: value * 10**6}})
        for number, (span, (_, _, value)) in enumerate(zip(spans, reported, strict=True))
    )

    def sales(end: str, length: Length) -> tuple[float, bool]:
        span = ending(known.spans("ic"), date.fromisoformat(end), length)
        assert span is not None
        figure = known.over("revenue", span)
        assert figure is not None
        return figure.value / 1e6, bool(figure.derived)

    assert sales("2022-12-31", "quarter") == (117154, False)
    assert sales("2023-04-01", "quarter") == (94836, True)
    assert sales("2023-07-01", "quarter") == (81797, True)
    assert sales("2023-09-30", "quarter") == (89498, True)
    assert sales("2023-07-01", "year") == (383933, True)
    assert sales("2023-09-30", "year") == (383285, False)


@pytest.mark.parametrize(
    ("values", "eps", "derived"),
    [
        # Cut: 2.98 became 2. There, and only there, it is computed.
        ({EPS: 2, "NetIncomeLoss": 298, SHARES: 100}, 2.98, True),
        ({EPS: 0, "EarningsPerShareBasic": 0, "NetIncomeLoss": 64, SHARES: 100}, 0.64, True),
        ({EPS: -1, "NetIncomeLoss": -150, SHARES: 100}, -1.5, True),
        # On income to common shares, where that is reported.
        ({EPS: 2, "NetIncomeLoss": 290, "NetIncomeLossAvailableToCommonStockholdersBasic": 250, SHARES: 100}, 2.5, True),
        # As reported: cents; an integer to the cent; the basic one proves that nothing was cut; nothing to compute it from.
        ({EPS: 0.64, "NetIncomeLoss": 721, SHARES: 1083}, 0.64, False),
        ({EPS: 3, "NetIncomeLoss": 300.2, SHARES: 100}, 3.0, False),
        ({EPS: 2, "EarningsPerShareBasic": 2.07, "NetIncomeLoss": 250, SHARES: 100}, 2.0, False),
        ({EPS: 2}, 2.0, False),
        ({EPS: 2, "NetIncomeLoss": 900, SHARES: 100}, 2.0, False),
        # Cutting goes towards 0, and never away from it.
        ({EPS: 4, "EarningsPerShareBasic": 4, "NetIncomeLoss": 396, SHARES: 100}, 4.0, False),
        ({EPS: -4, "NetIncomeLoss": -396, SHARES: 100}, -4.0, False),
        ({EPS: 0, "NetIncomeLoss": -64, SHARES: 100}, -0.64, True),
    ],
)
def test_eps_is_as_reported_unless_cut_to_an_integer(values: dict[str, float], eps: float, derived: bool) -> None:
    figure = as_reported(values)["eps"]
    assert figure.value == pytest.approx(eps)
    assert bool(figure.derived) == derived
    if derived:
        assert figure.replaced[0].concept == f"us-gaap_{EPS}"
        assert any("cut to an integer" in note for note in figure.notes)


def test_a_basic_eps_that_was_truncated_is_noted() -> None:
    figure = as_reported({EPS: 0, "EarningsPerShareBasic": 0, "NetIncomeLoss": 64, SHARES: 100})["eps_basic"]
    assert any("possibly cut" in note for note in figure.notes)


@given(st.integers(-5_000, 5_000), st.integers(1, 10**6))
def test_eps_with_cents_always_stands(cents: int, shares: int) -> None:
    if cents % 100:
        figure = as_reported({EPS: cents / 100, "NetIncomeLoss": 12345, SHARES: shares})["eps"]
        assert (figure.value, figure.derived) == (cents / 100, "")


@pytest.mark.parametrize("scale", [1, 1_000, 1_000_000])
def test_shares_in_thousands_or_millions_become_shares(scale: int) -> None:
    figure = as_reported({EPS: 0.64, "NetIncomeLoss": 690e6, SHARES: 1083e6 / scale})["diluted_shares"]
    assert figure.value == pytest.approx(1083e6)
    assert bool(figure.derived) == (scale > 1)


def test_the_last_accepted_report_wins_and_the_original_stays_visible() -> None:
    first = report(1, YEAR, {"ic": {"Revenues": 100, "OperatingIncomeLoss": 7}}, form="10-K", accepted="2021-02-01 08:00:00")
    amended = report(2, YEAR, {"ic": {"Revenues": 90}}, form="10-K/A", accepted="2021-06-01 17:00:00")

    def revenue(at: datetime | None) -> Figure:
        # Whatever the order in which they were fetched, and however often.
        figure = PointInTimeView([amended, first, amended], at).over("revenue", YEAR)
        assert figure is not None
        return figure

    now = revenue(None)
    assert (now.value, now.accession) == (90.0, amended.accession)
    assert [(source.value, source.accession) for source in now.replaced] == [(100.0, first.accession)]
    # New York is four hours behind UTC in June: at 20:59:59 UTC the amendment was not yet public.
    assert revenue(datetime(2021, 6, 1, 20, 59, 59, tzinfo=UTC)).value == 100.0
    assert revenue(datetime(2021, 6, 1, 21, 0, tzinfo=UTC)).value == 90.0
    kept = PointInTimeView([first, amended]).over("operating_income", YEAR)
    assert kept is not None
    assert (kept.value, kept.accession) == (7.0, first.accession)
    assert PointInTimeView([first, amended], datetime(2021, 2, 1, 12, 59, tzinfo=UTC)).over("revenue", YEAR) is None


def test_one_concept_throughout_where_the_reports_have_one() -> None:
    """Revenue is not differenced between two concepts of which one counts more in."""
    nine = Span(YEAR.start, date(2020, 9, 30))
    quarter = Span(date(2020, 10, 1), YEAR.end)
    contracts = "RevenueFromContractWithCustomerExcludingAssessedTax"
    whole = {"Revenues": 1000, contracts: 990}
    same = PointInTimeView([report(1, nine, {"ic": {contracts: 740}}), report(2, YEAR, {"ic": whole})]).over("revenue", quarter)
    assert same is not None
    assert (same.value, same.notes) == (250.0, ())
    mixed = PointInTimeView([report(1, nine, {"ic": {contracts: 740}}), report(2, YEAR, {"ic": {"Revenues": 1000}})]).over(
        "revenue", quarter
    )
    assert mixed is not None
    assert mixed.value == 260.0
    assert f"combined from different concepts: us-gaap_Revenues and us-gaap_{contracts}" in mixed.notes[0]
    # Where one of them counts minorities in, the other does not follow from it.
    income = PointInTimeView(
        [report(1, nine, {"ic": {"ProfitLoss": 60}}), report(2, YEAR, {"ic": {"NetIncomeLoss": 70, "ProfitLoss": 80}})]
    )
    assert income.over("net_income", quarter) is None
    assert "us-gaap_ProfitLoss 60 may be only a part" in income.why("net_income", quarter)[0]


def test_a_report_without_dates_or_statements_has_no_values() -> None:
    assert PointInTimeView([parse_filing(tesla(), "TSLA")]).spans("ic") == [YEAR]
    odds: list[dict[str, Any]] = [{"startDate": ""}, {"endDate": None}, {"report": {}}, {"startDate": "2021-01-01 00:00:00"}]
    for odd in odds:
        assert PointInTimeView([parse_filing(tesla() | odd)]).spans("ic") == []
