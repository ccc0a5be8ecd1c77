"""Generated companies: their books add up, in every form in which they are written."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from stockctl.sim.companies import FIRST_YEAR, Company
from stockctl.sim.statements import filings

TODAY = date(2026, 11, 23)
SYMBOLS = ["AAPL", "MSFT", "TSLA", "NVDA", "AMD", "XOM", "A", "C", "F", "IBM", "KO", "ZM"]


def plain(statement: Any) -> dict[str, Any]:
    """Values by concept, without prefixes; None for what is no number."""
    if isinstance(statement, list):
        statement = {item["concept"]: item["value"] for item in statement}
    found = {}
    for concept, value in statement.items():
        name = concept.replace(":", "_").rpartition("_")[2]
        found[name] = None if value == "N/A" else float(value)
    return found


def reports(symbol: str) -> list[dict[str, Any]]:
    return filings(Company(symbol, last_year=TODAY.year), TODAY)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_books_add_up(symbol: str) -> None:
    found_reports = reports(symbol)[::-1]
    cash = None
    assert len({one["accessNumber"] for one in found_reports}) == len(found_reports) > 60
    for one in found_reports:
        balance, income, flow = (plain(one["report"][name]) for name in ("bs", "ic", "cf"))
        assert balance["Assets"] == balance["Liabilities"] + balance["StockholdersEquity"]
        assert balance["CommitmentsAndContingencies"] is None
        assert income["OperatingIncomeLoss"] == income["GrossProfit"] - income["OperatingExpenses"]
        sources = [flow[f"NetCashProvidedByUsedIn{kind}Activities"] for kind in ("Operating", "Investing", "Financing")]
        change = next(value for name, value in flow.items() if name.startswith("CashCashEquivalents"))
        assert change == sum(sources)
        if one["form"] == "10-K":
            held = balance["CashAndCashEquivalentsAtCarryingValue"]
            assert cash is None or held == cash + change
            cash = held


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_values_of_a_quarter_run_from_the_start_of_the_year_and_grow_into_it(symbol: str) -> None:
    company = Company(symbol, last_year=TODAY.year)
    by_start: dict[str, list[dict[str, Any]]] = {}
    for one in filings(company, TODAY)[::-1]:
        if one["form"] != "10-K/A":
            by_start.setdefault(one["startDate"], []).append(one)
    for period in company.periods:
        reports = by_start.get(f"{period.start} 00:00:00", [])
        for count, one in enumerate(reports, 1):
            sold = sum(quarter.flows["revenue"] for quarter in period.quarters[:count])
            assert next(iter(plain(one["report"]["ic"]).values())) == sold
            assert one["quarter"] == (0 if count == len(period.quarters) else count)


def test_every_form_of_the_wire_occurs() -> None:
    found_reports = [one for symbol in SYMBOLS for one in reports(symbol)]
    items = [item for one in found_reports for name in ("ic", "cf") for item in one["report"][name]]
    kinds = {type(item["value"]) for item in items}
    assert kinds == {int, float, str}
    assert {item["unit"] for item in items} >= {
        "usd",
        "USD",
        "_usd",
        "u_usd",
        "unit_usd",
        "unit12",
        "usd/share",
        "_usd_/_shares",
    }
    concepts = {item["concept"] for item in items}
    assert {"us-gaap_NetIncomeLoss", "NetIncomeLoss", "aapl_PlatformExpense", "aapl:PlatformExpense"} <= concepts
    assert {type(one["report"]["bs"]) for one in found_reports} == {list, dict}
    old = [
        item
        for one in found_reports
        if one["filedDate"] < "2015"
        for item in one["report"]["ic"]
        if "PerShare" in item["concept"]
    ]
    assert {type(item["value"]) for item in old} == {int}
    assert any(one["acceptedDate"][:10] < one["filedDate"][:10] for one in found_reports)
    assert {one["form"] for one in found_reports} == {"10-K", "10-Q", "10-K/A"}


def test_calendars_splits_and_transition_years_occur() -> None:
    companies = [Company(symbol, last_year=TODAY.year) for symbol in SYMBOLS]
    assert {company.calendar for company in companies} == {"december", "june", "weeks"}
    assert any(company.split for company in companies)
    weeks = next(company for company in companies if company.calendar == "weeks")
    lengths = {(period.quarters[-1].end - period.start).days + 1 for period in weeks.periods}
    assert lengths == {52 * 7, 53 * 7}
    changed = next(company for company in companies if company.transition)
    short = next(period for period in changed.periods if period.year == changed.transition)
    assert 89 <= (short.quarters[-1].end - short.start).days + 1 <= 244
    for company in companies:
        ends = [quarter.end for period in company.periods for quarter in period.quarters]
        starts = [quarter.start for period in company.periods for quarter in period.quarters]
        assert all((start - end).days == 1 for start, end in zip(starts[1:], ends, strict=False))
        assert starts[0].year in (FIRST_YEAR - 1, FIRST_YEAR)


def test_a_seed_gives_the_same_company_and_later_days_only_add() -> None:
    now, before = reports("AAPL"), filings(Company("AAPL", last_year=2024), date(2024, 6, 1))
    assert now[-len(before) :] == before
    assert filings(Company("AAPL", seed=2, last_year=TODAY.year), TODAY) != now
