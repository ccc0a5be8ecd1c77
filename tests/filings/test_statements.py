"""``stockctl filings statement``: years, quarters, twelve months; what is derived, amended or missing is shown."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from stockctl.filings.fundamentals.periods import Span
from tests.command import Command
from tests.filings.kept import lake_of
from tests.filings.reports import wire

NEW_YORK = ZoneInfo("America/New_York")


def span(first: str, last: str) -> Span:
    return Span(date.fromisoformat(first), date.fromisoformat(last))


def statements(revenue: float, cash_flow: float, shares: float, **more: float) -> dict[str, dict[str, Any]]:
    return {
        "ic": {
            "Revenues": revenue,
            "CostOfRevenue": revenue / 4,
            "EarningsPerShareDiluted": 1.5,
            "WeightedAverageNumberOfDilutedSharesOutstanding": shares,
        }
        | more,
        "cf": {"NetCashProvidedByUsedInOperatingActivities": cash_flow, "PaymentsToAcquirePropertyPlantAndEquipment": 1},
        "bs": {"Assets": revenue * 2, "AssetsCurrent": "N/A"},
    }


# Two years of 52 weeks, by what has happened since each began; Apple's own dates.
REPORTS = [
    ("21-000001", span("2021-09-26", "2021-12-25"), "10-Q", statements(100, 10, 1000)),
    ("22-000002", span("2021-09-26", "2022-03-26"), "10-Q", statements(190, 30, 1000)),
    ("22-000003", span("2021-09-26", "2022-06-25"), "10-Q", statements(270, 45, 1000)),
    ("22-000004", span("2021-09-26", "2022-09-24"), "10-K", statements(370, 70, 1000)),
    ("22-000005", span("2022-09-25", "2022-12-31"), "10-Q", statements(120, 15, 4000)),
    ("23-000006", span("2022-09-25", "2023-07-01"), "10-Q", statements(330, 60, 4000)),
]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command, with the reports and an amendment of the year's."""
    built = [wire(f"0000000001-{number}", one, statements, form=form) for number, one, form, statements in REPORTS]
    amended = statements(372, 70, 1000)
    built.append(wire("0000000001-23-000007", REPORTS[3][1], amended, form="10-K/A", accepted="2023-02-01 17:05:00"))
    return lake_of(tmp_path_factory.mktemp("statements"), built)[1]


def rows_of(command: Command, *arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows by item and end of period."""
    rows = json.loads(command.run("filings", "statement", "ACME", *arguments, "-o", "json").stdout)
    return {(row["item"], row["period_end"]): row for row in rows}


def test_quarters_are_differences_and_say_so(command: Command) -> None:
    rows = rows_of(command, "income", "--period", "quarter", "--as-of", "2022-12-01")
    assert {end: rows["revenue", end]["value"] for item, end in rows if item == "revenue"} == {
        "2022-09-24": 100.0,
        "2022-06-25": 80.0,
        "2022-03-26": 90.0,
        "2021-12-25": 100.0,
    }
    fourth, first = rows["revenue", "2022-09-24"], rows["revenue", "2021-12-25"]
    assert (fourth["period_start"], fourth["derived"]) == ("2022-06-26", True)
    assert fourth["how"] == "2021-09-26…2022-09-24 − 2021-09-26…2022-06-25"
    assert fourth["accession"] == "0000000001-22-000004 + 0000000001-22-000003"
    assert (first["derived"], first["concept"], first["accession"]) == (False, "us-gaap_Revenues", "0000000001-21-000001")
    # Only the first quarter has its own shares and EPS.
    assert rows["eps", "2022-09-24"]["value"] is rows["diluted_shares", "2022-06-25"]["value"] is None
    assert rows["diluted_shares", "2021-12-25"]["value"] == 1000.0
    assert rows["net_income", "2022-09-24"]["value"] is None


def test_twelve_months_and_years(command: Command) -> None:
    twelve = rows_of(command, "cashflow", "--period", "ttm")
    flow = twelve["operating_cash_flow", "2023-07-01"]
    assert (flow["value"], flow["period_start"], flow["derived"]) == (85.0, "2022-06-26", True)
    assert twelve["free_cash_flow", "2022-09-24"]["value"] == 69.0
    assert not twelve["operating_cash_flow", "2022-09-24"]["derived"]
    years = rows_of(command, "income", "--period", "annual")
    assert [end for item, end in years if item == "revenue"] == ["2022-09-24"]


def test_the_amendment_wins_and_the_original_is_shown(command: Command) -> None:
    year = rows_of(command, "income")["revenue", "2022-09-24"]
    assert (year["value"], year["accession"]) == (372.0, "0000000001-23-000007")
    assert year["replaced"] == "370 in 0000000001-22-000004"
    assert year["accepted"] == "2023-02-01T17:05:00-05:00"
    assert rows_of(command, "income", "--as-of", "2023-02-01T17:04:59")["revenue", "2022-09-24"]["value"] == 370.0
    assert rows_of(command, "income", "--as-of", "2023-02-01")["revenue", "2022-09-24"]["value"] == 372.0
    words = command.run("filings", "statement", "ACME", "income").stderr
    assert "revenue to 2022-09-24: 0000000001-23-000007 replaces 370 in 0000000001-22-000004" in words


def test_the_table_has_a_column_a_period_and_marks_what_is_derived(command: Command) -> None:
    result = command.run("filings", "statement", "ACME", "income", "--period", "quarter", "--last", "4")
    lines = {line[:24].strip(): line for line in result.stdout.splitlines()}
    # A quarter that cannot be derived has a column too.
    assert lines["item"].split()[1:] == ["unit", "2023-07-01", "2022-12-31", "2022-09-24", "2022-06-25"]
    assert lines["Revenue"].split() == ["Revenue", "usd", "120", "102*", "80*"]
    assert "* derived" in result.stderr
    assert (
        "the quarter to 2023-07-01 is missing: there is no report between those to 2022-12-31 and to 2023-07-01"
        in result.stderr
    )
    assert "diluted shares grew 4-fold between the reports to 2022-09-24 and to 2022-12-31" in result.stderr


def test_balances_are_at_the_end_and_missing_is_missing(command: Command) -> None:
    rows = rows_of(command, "balance", "--period", "quarter", "--last", "2")
    assert [key for key in rows if key[0] == "assets"] == [("assets", "2023-07-01"), ("assets", "2022-12-31")]
    assert (rows["assets", "2023-07-01"]["value"], rows["assets", "2023-07-01"]["period_start"]) == (660.0, None)
    assert rows["current_assets", "2023-07-01"]["value"] is None
    assert [end for item, end in rows_of(command, "balance") if item == "assets"] == ["2022-09-24"]


def test_every_form_of_output_has_the_same_rows(command: Command) -> None:
    def run(form: str) -> str:
        return command.run("filings", "statement", "ACME", "income", "-o", form).stdout

    assert len(run("jsonl").splitlines()) == len(run("csv").splitlines()) - 1 == len(json.loads(run("json")))


def test_what_cannot_be_answered_is_an_error(command: Command) -> None:
    result = command.run("filings", "statement", "NONE", "income", check=2)
    assert "there is nothing of NONE in " in result.stderr
    assert "filings fetch NONE" in result.stderr
    result = command.run("filings", "statement", "ACME", "income", "--as-of", "2020-01-01", check=2)
    assert "had been accepted by 2020-01-01 23:59 EST" in result.stderr
    assert "2022-01-24 16:30 EST" in result.stderr
    assert "is not a date or time" in command.run("filings", "statement", "ACME", "income", "--as-of", "soon", check=2).stderr
    command.run("filings", "statement", "ACME", "profit", check=2)
    command.run("filings", "statement", "ACME", "income", "--last", "0", check=2)


def test_transition_periods_and_silent_reports_are_noted(tmp_path: Path) -> None:
    reports = [
        wire("0000000002-20-000001", span("2019-01-01", "2019-12-31"), statements(400, 1, 10), form="10-K"),
        wire("0000000002-20-000002", span("2020-01-01", "2020-06-29"), statements(150, 1, 10), form="10-K"),
        wire("0000000002-20-000003", span("2020-06-30", "2020-09-29"), {}),
        wire("0000000002-20-000004", span("2020-06-30", "2020-12-29"), statements(1, 1, 10)) | {"startDate": None},
    ]
    result = lake_of(tmp_path, reports)[1].run("filings", "statement", "ACME", "income")
    assert result.stdout.splitlines()[0].split() == ["item", "unit", "2019-12-31"]
    assert "2020-01-01…2020-06-29 is no year but a transition period of 181 days" in result.stderr
    assert "0000000002-20-000003 (10-Q to 2020-09-29) has no statement" in result.stderr
    assert "0000000002-20-000004 (10-Q) has no valid period" in result.stderr


def test_garbage_in_the_lake_is_named(tmp_path: Path) -> None:
    command = lake_of(tmp_path, [wire("0000000002-20-000001", span("2019-01-01", "2019-12-31"), {})])[1]
    file = next((tmp_path / "lake").rglob("*.json"))
    file.write_bytes(b"<html>")
    assert "a report is not JSON" in command.run("filings", "statement", "ACME", "income", check=1).stderr
