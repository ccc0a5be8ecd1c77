"""``stockctl filings check``: identities that hold, those that do not, and those that cannot be checked."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stockctl.filings.fundamentals.identities import IdentityCheck, check
from stockctl.filings.fundamentals.periods import Span
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.filings.model import parse_filing
from stockctl.sim.companies import Company
from stockctl.sim.statements import filings
from tests.filings.kept import lake_of
from tests.filings.reports import TSLA_2020, Books, report, tesla, to_date

YEAR = Span(date(2020, 1, 1), date(2020, 12, 31))
QUARTERS = [
    Span(date(2020, 1, 1), date(2020, 3, 31)),
    Span(date(2020, 4, 1), date(2020, 6, 30)),
    Span(date(2020, 7, 1), date(2020, 9, 30)),
    Span(date(2020, 10, 1), date(2020, 12, 31)),
]


def found(statement: str, **values: Any) -> list[IdentityCheck]:
    """Findings on Tesla's year with other values in one statement; None leaves a line out."""
    lines = {name: value for name, value in (TSLA_2020[statement] | values).items() if value is not None}
    return check(PointInTimeView([report(1, YEAR, TSLA_2020 | {statement: lines}, form="10-K")]))


def verdicts(findings: list[IdentityCheck], identity: str) -> list[bool | None]:
    return [one.holds for one in findings if one.identity == identity]


def test_tesla_2020_holds() -> None:
    findings = check(PointInTimeView([parse_filing(tesla())]))
    assert verdicts(findings, "assets") == [True, True]
    assert verdicts(findings, "cash flow") == [True]
    # One report has neither cash at the year's start nor its quarters.
    assert verdicts(findings, "cash") == [None]
    assert verdicts(findings, "quarters") == [None, None, None]
    both = next(one.detail for one in findings if "Liabilities " in one.detail)
    assert "MinorityInterest 850,000,000" in both


@pytest.mark.parametrize("off", [10_000_000, -10_000_000])
def test_what_does_not_add_up_is_found(off: int) -> None:
    assert verdicts(found("bs", Assets=52148000000 + off), "assets") == [False, False]
    assert verdicts(found("bs", Liabilities=28418000000 + off), "assets") == [True, False]
    assert verdicts(found("cf", NetCashProvidedByUsedInFinancingActivities=9973000000 + off), "cash flow") == [False]


def test_what_rounding_explains_is_no_finding() -> None:
    assert verdicts(found("bs", Liabilities=28418000000 + 1_000_000), "assets") == [True, True]
    # Reports in single dollars round to those.
    assert verdicts(found("bs", Liabilities=28418000000 + 17), "assets") == [True, False]


def test_what_is_not_reported_is_not_held_against_a_report() -> None:
    assert verdicts(found("bs", Assets=None), "assets") == [None]
    assert verdicts(found("bs", Liabilities=None), "assets") == [True]
    assert verdicts(found("bs", LiabilitiesAndStockholdersEquity=None, Liabilities=None), "assets") == [None]
    assert verdicts(found("cf", NetCashProvidedByUsedInOperatingActivities="N/A"), "cash flow") == [None]
    assert check(PointInTimeView([report(1, YEAR, {})])) == []


def test_an_amendment_without_a_balance_sheet_hides_none() -> None:
    before = Span(date(2019, 1, 1), date(2019, 12, 31))
    books = {"bs": {"CashAndCashEquivalentsAtCarryingValue": 100}}
    change = {"bs": {"CashAndCashEquivalentsAtCarryingValue": 150}, "cf": {"CashAndCashEquivalentsPeriodIncreaseDecrease": 50}}
    reports = [report(1, before, books), report(2, before, {}, form="10-K/A"), report(3, YEAR, change)]
    assert verdicts(check(PointInTimeView(reports)), "cash") == [True]


def test_cash_at_both_ends() -> None:
    def verdict(change: str, end: float, **more: float) -> list[bool | None]:
        first = report(1, Span(date(2019, 1, 1), date(2019, 12, 31)), {"bs": {"CashAndCashEquivalentsAtCarryingValue": 100}})
        second = report(2, YEAR, {"bs": {"CashAndCashEquivalentsAtCarryingValue": end}, "cf": {change: 50} | more})
        return verdicts(check(PointInTimeView([first, second])), "cash")

    plain = "CashAndCashEquivalentsPeriodIncreaseDecrease"
    restricted = (
        "CashCashEquivalentsRestrictedCashAndRestrictedCashEquivalentsPeriodIncreaseDecreaseIncludingExchangeRateEffect"
    )
    assert verdict(plain, 150) == [True]
    assert verdict(plain, 160) == [False]
    # Restricted cash may be the difference, and the balance sheet does not separate it.
    assert verdict(restricted, 150) == [True]
    assert verdict(restricted, 160) == [None]
    # A change without the effect of exchange rates needs it, and is not checked where no line has it.
    excluding = f"{plain}ExcludingExchangeRateEffect"
    effect = "EffectOfExchangeRateOnCashAndCashEquivalents"
    assert verdict(excluding, 155, **{effect: 5}) == [True]
    assert verdict(excluding, 160, **{effect: 5}) == [False]
    assert verdict(excluding, 150, **{effect: 0}) == [True]
    assert verdict(excluding, 155) == [None]
    assert verdict(plain, 155, **{effect: 5}) == [False]


def test_quarters_sum_to_the_year() -> None:
    true = Books(YEAR.start, [100] * 366)
    reports = [true.report(number, span) for number, span in enumerate(to_date(QUARTERS))]
    assert verdicts(check(PointInTimeView(reports)), "quarters") == [True, True]
    assert verdicts(check(PointInTimeView([*reports[:1], *reports[2:]])), "quarters") == [None, None]
    # Nine months of more revenue than the year has leave a negative quarter.
    broken = report(9, Span(YEAR.start, QUARTERS[2].end), {"ic": {"Revenues": 40000}})
    assert verdicts(check(PointInTimeView([*reports[:2], reports[3], broken])), "quarters") == [False, None]
    # Reports of single quarters report the year a second time.
    alone = [true.report(number, span) for number, span in enumerate(QUARTERS)]
    assert verdicts(check(PointInTimeView([*alone, reports[3]])), "quarters") == [True, True]
    other = report(9, YEAR, {"ic": {"Revenues": 36601}}, form="10-K")
    assert verdicts(check(PointInTimeView([*alone, other])), "quarters") == [True]
    other = report(9, YEAR, {"ic": {"Revenues": 36700}}, form="10-K")
    assert verdicts(check(PointInTimeView([*alone, other])), "quarters") == [False]


@pytest.mark.parametrize("symbol", ["AAPL", "KO", "F"])
def test_the_simulators_companies_add_up_in_every_form_of_the_wire(symbol: str) -> None:
    parsed = [parse_filing(one) for one in filings(Company(symbol, last_year=2026), date(2026, 11, 23))]
    findings = check(PointInTimeView(parsed))
    assert [one.summary for one in findings if one.holds is False] == []
    assert sum(one.holds is True for one in findings) > 200


def test_the_command_names_each_and_leaves_with_10(tmp_path: Path) -> None:
    _, command = lake_of(tmp_path, [tesla()])
    result = command.run("filings", "check", "TSLA")
    assert "12 identities hold, 0 do not, 4 cannot be checked" in result.stderr
    assert result.stdout == ""
    assert "Assets 52,148,000,000 = LiabilitiesAndStockholdersEquity" in command.run("filings", "check", "TSLA", "--all").stdout

    broken = tesla()
    for line in broken["report"]["bs"]:
        if line["concept"] == "Assets":
            line["value"] += 5_000_000_000
    folder = tmp_path / "broken"
    folder.mkdir()
    result = lake_of(folder, [broken])[1].run("filings", "check", "TSLA", check=10)
    assert result.stdout.count("Assets 57,148,000,000 ≠") == 2
    assert "2 accounting identities of TSLA do not hold: assets to 2020-12-31" in result.stderr
    assert "0001564590-21-004599" in result.stderr
    lake_of(folder, [])[1].run("filings", "check", "NONE", check=2)
