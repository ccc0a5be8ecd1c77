"""``stockctl filings kpis``: known answers, formulas with their inputs, what is missing, and where the price comes from."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.company.last_price import last_price
from stockctl.filings.fundamentals.kpi_definitions import KPIS
from stockctl.filings.fundamentals.kpis import KpiValue, Price, kpis
from stockctl.filings.fundamentals.periods import Span
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.filings.model import Filing, parse_filing
from stockctl.filings.standardize.standard_items import table
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.filings.kept import lake_of
from tests.filings.reports import TSLA_2020, report, tesla, wire
from tests.lakes import lay, trade

YEAR = Span(date(2020, 1, 1), date(2020, 12, 31))
DEBT = {"DebtCurrent": 2132e6, "LongTermDebtNoncurrent": 9556e6}


def settings_with(**valuation: float) -> Settings:
    return load_settings(environ=clean_environment(), flags={f"valuation.{name}": value for name, value in valuation.items()})


def kpis_of(filings: list[Filing], price: Price | None = None, **valuation: float) -> dict[str, KpiValue]:
    return {one.kpi.name: one for one in kpis(PointInTimeView(filings), settings_with(**valuation).valuation, price)[0]}


def with_debt(**balance: float) -> Filing:
    """Tesla's report with its debt under the concepts that others use, and more."""
    lines = {name: value for name, value in TSLA_2020["bs"].items() if "Debt" not in name}
    return report(1, YEAR, TSLA_2020 | {"bs": lines | DEBT | balance}, form="10-K")


def test_every_formula_stands_on_what_there_is() -> None:
    settings = {"risk_free_rate", "equity_premium", "beta"}
    known = {*table(), "price", "total_debt", *settings}
    for kpi in KPIS:
        assert set(kpi.inputs) <= known
        assert set(kpi.positive) <= set(kpi.inputs)
        assert kpi.name == "eps" or all(name in kpi.formula for name in kpi.inputs)
        known.add(kpi.name)


def test_tesla_2020() -> None:
    found = kpis_of([parse_filing(tesla())], Price(705.67, "given"))
    assert found["current_ratio"].value == pytest.approx(1.875, abs=0.0005)
    assert found["gross_margin"].value == pytest.approx(21.02, abs=0.005)
    assert found["operating_margin"].value == pytest.approx(6.32, abs=0.005)
    assert found["free_cash_flow"].value == 2786e6
    assert found["eps"].value == 0.64
    assert (found["eps"].unit, found["free_cash_flow"].unit, found["market_value"].unit) == ("usd/share", "usd", "usd")
    assert found["working_capital"].value == 12469e6
    assert found["net_margin"].value == pytest.approx(2.286, abs=0.0005)
    assert found["quick_ratio"].value == pytest.approx(1.587, abs=0.0005)
    assert found["effective_tax_rate"].value == pytest.approx(25.30, abs=0.005)
    assert found["inventory_turnover"].value == pytest.approx(6.073, abs=0.0005)
    assert found["pe"].value == pytest.approx(705.67 / 0.64)
    assert found["debt_to_equity"].value == pytest.approx(11688 / 22225)


def test_without_a_line_of_debt_what_stands_on_it_is_missing_and_says_why() -> None:
    lines = {name: value for name, value in TSLA_2020["bs"].items() if "Debt" not in name}
    found = kpis_of([report(1, YEAR, TSLA_2020 | {"bs": lines})], Price(705.67, "given"))
    for name in ("debt_to_equity", "enterprise_value", "ev_to_ebit", "ev_to_sales", "wacc"):
        assert found[name].value is None
        assert "total_debt" in found[name].notes[0]


def test_valuation_with_debt() -> None:
    found = kpis_of([with_debt()], Price(100, "given", "usd"), risk_free_rate=0.02, equity_premium=0.06, beta=1.5)
    debt, value = 11688e6, 100 * 1083e6
    assert found["debt_to_equity"].value == pytest.approx(debt / 22225e6)
    assert found["market_value"].value == value
    assert found["enterprise_value"].value == pytest.approx(value + debt - 19384e6)
    assert found["ev_to_ebit"].value == pytest.approx((value + debt - 19384e6) / 1994e6)
    assert found["cost_of_equity"].value == pytest.approx(11.0)
    cost = value / (value + debt) * 0.11 + debt / (value + debt) * (748 / 11688) * (1 - 292 / 1154)
    assert found["wacc"].value == pytest.approx(100 * cost)


def test_debt_is_counted_once() -> None:
    """``LongTermDebt`` has in it what is due within a year, which short-term debt counts as well."""

    def debt(**balance: Any) -> tuple[float | None, list[str]]:
        lines = {name: value for name, value in TSLA_2020["bs"].items() if "Debt" not in name} | balance
        one = kpis_of([report(1, YEAR, {"bs": lines})])["debt_to_equity"]
        return next(each.value for each in one.inputs if each.name == "total_debt"), one.notes

    assert debt(LongTermDebtCurrent=3, LongTermDebtNoncurrent=7) == (10, [])
    assert debt(LongTermDebtCurrent=3, LongTermDebt=10) == (10, [])
    assert debt(CommercialPaper=2, LongTermDebtCurrent=3, LongTermDebt=10) == (12, [])
    assert debt(DebtCurrent=3, LongTermDebt=10)[0] == 13
    assert "a second time" in debt(DebtCurrent=3, LongTermDebt=10)[1][0]
    assert debt(LongTermDebtNoncurrent=7) == (7, ["total_debt is long_term_debt alone: the report has no other debt"])
    assert debt()[0] is None


def test_what_means_nothing_has_no_value() -> None:
    income = TSLA_2020["ic"] | {
        "EarningsPerShareDiluted": -0.5,
        "IncomeLossFromContinuingOperationsBeforeIncomeTaxesExtraordinaryItemsNoncontrollingInterest": -10,
        "Revenues": 0,
        "tsla:SalesRevenueAutomotive": 0,
        "GrossProfit": 0,
    }
    found = kpis_of([report(1, YEAR, TSLA_2020 | {"ic": income})], Price(10, "given"))
    assert found["eps"].value == -0.5
    for name, blame in (("pe", "eps"), ("effective_tax_rate", "pretax_income"), ("gross_margin", "revenue")):
        assert found[name].value is None
        assert found[name].notes == [f"not meaningful: {blame} is not above 0"]


def test_another_currency_than_the_price_is_not_mixed() -> None:
    wire = tesla()
    for lines in wire["report"].values():
        for line in lines:
            line["unit"] = line["unit"].replace("usd", "eur")
    found = kpis_of([parse_filing(wire)], Price(10, "the lake's last trade", "usd"))
    assert found["pe"].value is None
    assert found["pe"].notes == ["amounts in eur and usd do not go together"]
    assert found["gross_margin"].value is not None
    assert kpis_of([parse_filing(wire)], Price(10, "given"))["market_value"].unit == "eur"


def test_flows_are_of_twelve_months_and_eps_of_the_newest_year() -> None:
    quarter, before = Span(date(2021, 1, 1), date(2021, 3, 31)), Span(date(2020, 1, 1), date(2020, 3, 31))
    reports = [
        report(1, before, {"ic": {"Revenues": 10, "OperatingIncomeLoss": 1}}),
        report(
            2,
            YEAR,
            TSLA_2020
            | {"ic": {"Revenues": 100, "OperatingIncomeLoss": 10, "EarningsPerShareDiluted": 0.64, "NetIncomeLoss": 721e6}},
        ),
        report(3, quarter, {"ic": {"Revenues": 30, "OperatingIncomeLoss": 11, "EarningsPerShareDiluted": 0.2}}),
    ]
    found = kpis_of(reports)
    assert found["operating_margin"].value == pytest.approx(100 * 20 / 120)
    assert found["operating_margin"].period == (date(2020, 4, 1), date(2021, 3, 31))
    assert (found["eps"].value, found["eps"].period) == (0.64, (YEAR.start, YEAR.end))
    # Without last year's quarter the trailing twelve months are unknown: the year's are used, with a note.
    fewer, words = kpis(PointInTimeView(reports[1:]), settings_with().valuation)
    margin = next(one for one in fewer if one.kpi.name == "operating_margin")
    assert margin.value == pytest.approx(10.0)
    assert "the reports do not give the twelve months to 2021-03-31" in words[0]


@given(st.sets(st.sampled_from(sorted({name for values in TSLA_2020.values() for name in values}))))
def test_a_missing_line_takes_its_kpis_with_it_and_is_never_nought(absent: set[str]) -> None:
    statements = {name: {key: value for key, value in lines.items() if key not in absent} for name, lines in TSLA_2020.items()}
    whole = kpis_of([report(1, YEAR, TSLA_2020)], Price(7, "given"))
    for name, one in kpis_of([report(1, YEAR, statements)], Price(7, "given")).items():
        missing = [each.name for each in one.inputs if each.value is None]
        assert (one.value is None) == bool(missing or whole[name].value is None)
        assert one.value is not None or one.notes
        for each in one.inputs:
            assert each.value is None or each.value != 0


def test_the_command_explains_and_takes_the_lakes_price_or_a_given_one(tmp_path: Path) -> None:
    settings, command = lake_of(tmp_path, [tesla()])
    result = command.run("filings", "kpis", "TSLA", "-o", "json")
    rows = {row["kpi"]: row for row in json.loads(result.stdout)}
    assert (rows["pe"]["value"], rows["pe"]["notes"]) == (None, "missing: price")
    assert "no price: the lake holds no trade of TSLA" in result.stderr
    assert "risk-free rate of 4.00%, an equity premium of 5.00% and a beta of 1.00" in result.stderr

    rows_of_lake = [
        trade("TSLA", "2021-02-08 09:31", 860.0),
        trade("TSLA", "2021-02-08 09:32", 863.5),
        trade("TSLA", "2021-02-08 09:33", 1.0, 0.0),
        trade("TSLA", "2021-02-08 09:34", 2.0, conditions="1,12"),
        trade("AAPL", "2021-02-08 09:35", 3.0),
        trade("TSLA", "2021-02-09 09:31", 850.0),
    ]
    for number, row in enumerate(rows_of_lake):
        lay(settings, [row], start=number)
    result = command.run("filings", "kpis", "TSLA", "--as-of", "2021-02-08", "--explain", "--beta", "2")
    assert "price 863.50: the lake's last trade, 2021-02-08 09:32:00 EST, source finnhub" in result.stderr
    assert "beta of 2" in result.stderr
    lines = [line.split("  ") for line in result.stdout.splitlines()]
    gross = next(number for number, line in enumerate(lines) if line[0] == "gross_margin")
    assert "= gross_profit / revenue" in " ".join(lines[gross])
    assert "GrossProfit in 0001564590-21-004599" in "  ".join(lines[gross + 1])
    assert "6,630,000,000" in "  ".join(lines[gross + 1])
    assert "price 850.00:" in command.run("filings", "kpis", "TSLA").stderr

    rows = {row["kpi"]: row for row in json.loads(command.run("filings", "kpis", "TSLA", "--price", "64", "-o", "json").stdout)}
    assert rows["pe"]["value"] == pytest.approx(100.0)
    assert rows["cost_of_equity"]["value"] == pytest.approx(9.0)


def split_after() -> dict[str, Any]:
    """The report of the quarter after Tesla's year, with five times its shares."""
    quarter = Span(date(2021, 1, 1), date(2021, 3, 31))
    shares = {"ic": {"WeightedAverageNumberOfDilutedSharesOutstanding": 5415e6}}
    return wire("0001234567-21-000003", quarter, shares, symbol="TSLA")


def test_a_split_after_the_newest_year_is_said() -> None:
    words = kpis(PointInTimeView([parse_filing(tesla()), parse_filing(split_after())]), settings_with().valuation)[1]
    assert any("grew 5-fold" in text for text in words)
    assert kpis(PointInTimeView([parse_filing(tesla())]), settings_with().valuation)[1] == []


def test_eps_of_before_a_split_goes_with_no_price(tmp_path: Path) -> None:
    quarter = parse_filing(split_after())
    found = kpis_of([parse_filing(tesla()), quarter], Price(700, "given"))
    note = "eps: from before what looks like a split, in the diluted shares of the report to 2021-03-31"
    assert (found["eps"].value, found["eps"].notes) == (0.64, [note])
    assert (found["pe"].value, found["pe"].notes) == (None, ["price and eps do not go together", note])
    # The newest share count is of after the split, as the price is.
    assert (found["market_value"].value, found["market_value"].notes) == (700 * 5415e6, [])
    # The next year's EPS is of after the split too.
    year = report(4, Span(date(2021, 1, 1), date(2021, 12, 31)), {"ic": {"EarningsPerShareDiluted": 1.4}})
    again = kpis_of([parse_filing(tesla()), quarter, year], Price(700, "given"))
    assert again["pe"].value == pytest.approx(500)
    assert again["pe"].notes == []

    _, command = lake_of(tmp_path, [tesla(), split_after()])
    explained = command.run("filings", "kpis", "TSLA", "--price", "700", "--explain").stdout
    assert any(
        line.startswith("pe ") and f"price and eps do not go together; {note}" in line for line in explained.splitlines()
    )


def test_what_is_fifteen_months_apart_does_not_go_together(tmp_path: Path) -> None:
    """A balance of years after the last income statement: what divides the one by the other is null and says so."""
    newest = Span(date(2021, 10, 1), date(2021, 12, 31))
    within = Span(date(2021, 1, 1), date(2021, 3, 31))
    late = report(2, newest, {"bs": TSLA_2020["bs"]})
    soon = kpis_of([with_debt(), report(3, within, {"bs": TSLA_2020["bs"]})], Price(64, "given"))
    assert soon["pe"].value == pytest.approx(100)
    assert soon["roe"].value is not None
    old = kpis_of([with_debt(), report(2, Span(date(2022, 1, 1), date(2022, 4, 30)), {"bs": TSLA_2020["bs"]})], Price(64, "x"))
    for name in ("roe", "asset_turnover", "inventory_turnover", "pe", "enterprise_value", "market_value", "ev_to_sales"):
        assert old[name].value is None, name
        assert any("more than 15 months" in note for note in old[name].notes), name
    for name in ("net_margin", "current_ratio", "free_cash_flow", "debt_to_equity"):
        assert old[name].value is not None, name
    assert kpis_of([with_debt(), late], Price(64, "given"))["roe"].value is not None


def test_every_form_of_output(tmp_path: Path) -> None:
    _, command = lake_of(tmp_path, [tesla()])
    lines = command.run("filings", "kpis", "TSLA", "--explain", "-o", "csv").stdout.splitlines()
    rows = list(csv.DictReader(lines))
    gross = next(row for row in rows if row["kpi"] == "gross_margin")
    assert gross["inputs"].startswith("gross_profit 6,630,000,000 usd (GrossProfit in 0001564590-21-004599); revenue")
    assert len(rows) == len(command.run("filings", "kpis", "TSLA", "-o", "jsonl").stdout.splitlines()) == len(KPIS)
    for arguments in (("kpis", "TSLA", "--explain"), ("statement", "TSLA", "income"), ("check", "TSLA")):
        result = command.run_bytes("filings", *arguments, "-o", "parquet")
        assert pq.read_table(io.BytesIO(result.stdout)).num_rows > 3


def test_bad_requests_are_reported(tmp_path: Path) -> None:
    _, command = lake_of(tmp_path, [tesla()])
    for price in ("0", "-1", "nan", "inf"):
        assert "is no price" in command.run("filings", "kpis", "TSLA", "--price", price, check=2).stderr
    assert (
        "--risk-free-rate: it is not below 1" in command.run("filings", "kpis", "TSLA", "--risk-free-rate", "4", check=2).stderr
    )
    # It was accepted at 07:27 New York's time on that day: not on the day before.
    assert "had been accepted" in command.run("filings", "kpis", "TSLA", "--as-of", "2021-02-07", check=2).stderr
    command.run("filings", "kpis", "TSLA", "--as-of", "2021-02-08T07:27:23", "--price", "5")
    assert command.run("filings", "kpis", "TSLA", "--as-of", "2021-02-08T07:27:22", "--price", "5", check=2).stdout == ""


def test_the_last_trade_is_found_under_whatever_date_it_lies(tmp_path: Path) -> None:
    """Those of the evening lie under the next date in UTC, and lay under the same one in New York."""
    settings = load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "lake").as_uri()}, stack=False)
    lay(settings, [trade("TSLA", "2021-02-08 15:59", 1.0), trade("TSLA", "2021-02-08 19:30", 2.0)])
    for zone in ("America/New_York", "UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"):
        price = last_price(settings.model_copy(update={"lake": settings.lake.model_copy(update={"timezone": zone})}), "TSLA")
        assert price is not None
        assert price.value == 2.0
