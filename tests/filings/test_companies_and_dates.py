"""Reports that do not go together as they stand: of two companies, with days slightly wrong, missing, or around a split."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.filings.fundamentals.kpis import Price, kpis
from stockctl.filings.fundamentals.periods import Span, ending
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.filings.fundamentals.registrants import companies
from stockctl.filings.model import Filing, parse_filing
from stockctl.settings import load_settings
from tests.command import clean_environment
from tests.filings.kept import lake_of
from tests.filings.reports import Line, report, report_of_lines, wire

SHARES, EPS = "WeightedAverageNumberOfDilutedSharesOutstanding", "EarningsPerShareDiluted"
BASIC = "WeightedAverageNumberOfSharesOutstandingBasic"
M = 1_000_000
DAY = timedelta(days=1)


def span(first: str, last: str) -> Span:
    return Span(date.fromisoformat(first), date.fromisoformat(last))


YEAR = span("2023-01-01", "2023-12-31")
ENDS = [date(2023, 3, 31), date(2023, 6, 30), date(2023, 9, 30), date(2023, 12, 31)]


def books(revenue: float, shares: float = 100, **balance: float) -> dict[str, dict[str, Any]]:
    """A report's statements, in millions: a tenth of revenue is income."""
    return {
        "ic": {"Revenues": revenue * M, "NetIncomeLoss": revenue * M / 10, EPS: revenue / 10 / shares, SHARES: shares * M},
        "bs": {"Assets": 1000.0 * M, "StockholdersEquity": 400.0 * M} | {name: value * M for name, value in balance.items()},
    }


def of(cik: str, number: int, period: Span, statements: dict[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    return wire(f"{int(cik):010d}-22-{number:06d}", period, statements, **more) | {"cik": cik}


OLD = [
    of("9000009", 1, span("2021-01-01", "2021-12-31"), books(9000), form="10-K"),
    of("9000009", 2, span("2021-01-01", "2021-09-30"), books(6600)),
]
NEW = of("1000001", 3, span("2022-01-01", "2022-09-30"), books(300))


def test_figures_of_two_companies_are_never_added_up(tmp_path: Path) -> None:
    _, command = lake_of(tmp_path, [*OLD, NEW])
    result = command.run("filings", "statement", "ACME", "income", "--period", "ttm", "-o", "json")
    rows = {(row["item"], row["period_end"]): row["value"] for row in json.loads(result.stdout)}
    assert rows["revenue", "2021-12-31"] == 9000 * M
    assert ("revenue", "2022-09-30") not in rows
    assert "no twelve months of CIK 1000001 (to 2022-09-30)" in result.stderr
    assert "ACME names 2 companies" in result.stderr
    assert "--cik selects" in result.stderr

    both = command.run("filings", "kpis", "ACME", "--price", "20", "-o", "json")
    ratios = {row["kpi"]: row["value"] for row in json.loads(both.stdout)}
    assert ratios["pe"] is ratios["net_margin"] is None
    assert "ACME names 2 companies" in both.stderr

    old = command.run("filings", "kpis", "ACME", "--cik", "0009000009", "--price", "18", "-o", "json")
    assert next(row["value"] for row in json.loads(old.stdout) if row["kpi"] == "pe") == pytest.approx(2)
    assert "names 2 companies" not in old.stderr
    one = command.run(
        "filings", "statement", "ACME", "income", "--period", "ttm", "--cik", "1000001", "--cik", "9000009", "-o", "json"
    )
    joined = {(row["item"], row["period_end"]): row["value"] for row in json.loads(one.stdout)}
    assert joined["revenue", "2022-09-30"] == 2700 * M
    wrong = command.run("filings", "check", "ACME", "--cik", "77", check=2)
    assert "no filing of ACME is of CIK '77'" in wrong.stderr
    assert "1000001, 9000009" in wrong.stderr


def parsed(*reports: dict[str, Any]) -> list[Filing]:
    return sorted((parse_filing(one) for one in reports), key=lambda one: (str(one.known), one.accession))


def test_a_successor_is_the_same_company() -> None:
    """A new holding company goes on with the books: its cash at the start is what the old balance sheet says."""
    cash = "CashAndCashEquivalentsAtCarryingValue"
    old = of("9", 1, span("2021-01-01", "2021-12-31"), books(1000, **{cash: 120}), form="10-K")
    statements = books(300, **{cash: 150}) | {"cf": {"CashAndCashEquivalentsPeriodIncreaseDecrease": 30 * M}}
    new = of("1", 2, span("2022-01-01", "2022-03-31"), statements)
    assert len(companies(parsed(old, new))) == 1
    other = statements | {"cf": {"CashAndCashEquivalentsPeriodIncreaseDecrease": 40 * M}}
    assert len(companies(parsed(old, of("1", 2, span("2022-01-01", "2022-03-31"), other)))) == 2
    # Or both report the same for one period.
    again = of(
        "1", 3, span("2021-01-01", "2021-12-31"), books(1000, **{cash: 120}), form="10-K/A", accepted="2022-06-01 09:00:00"
    )
    assert len(companies(parsed(old, again))) == 1
    unlike = of("1", 3, span("2021-01-01", "2021-12-31"), books(700), form="10-K", accepted="2022-06-01 09:00:00")
    assert len(companies(parsed(old, unlike))) == 2


def test_a_report_without_a_cik_is_of_the_company_before_it() -> None:
    nameless = of("9", 2, span("2022-01-01", "2022-03-31"), books(300)) | {"cik": ""}
    assert len(companies(parsed(OLD[0], nameless))) == 1
    assert len(companies(parsed(OLD[0], NEW, of("0001000001", 5, span("2022-01-01", "2022-12-31"), books(400))))) == 2


@given(
    moved=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["start", "end"]), st.integers(-3, 3)), max_size=1),
    flows=st.lists(st.integers(1, 900), min_size=4, max_size=4),
)
def test_a_day_that_is_slightly_wrong_changes_no_quarter(moved: list[tuple[int, str, int]], flows: list[int]) -> None:
    spans = [Span(YEAR.start, end) for end in ENDS]
    for place, edge, days in moved:
        first, last = spans[place]
        spans[place] = Span(first + days * DAY, last) if edge == "start" else Span(first, last + days * DAY)
    before = report(9, span("2022-01-01", "2022-12-31"), books(500), form="10-K", accepted="2023-02-01 09:00:00")
    after = report(8, span("2024-01-01", "2024-03-31"), books(5))
    # Boundaries inside the year are named by one report each: what is wrong there is not to be seen.
    if any(edge == "end" and place < 3 for place, edge, _ in moved):
        return
    built = [report(number, one, books(sum(flows[: number + 1]))) for number, one in enumerate(spans)]
    known = PointInTimeView([before, *built, after])
    spans = known.spans("ic")
    for end, flow in zip(ENDS, flows, strict=True):
        # Which of two days is meant, where one report names each, is unknown; that they are one is known.
        last = min((one.end for one in spans), key=lambda day: abs((day - end).days))
        quarter = ending(spans, last, "quarter")
        assert quarter is not None
        figure = known.over("revenue", quarter)
        assert figure is not None
        assert (figure.value, abs((last - end).days) <= 3) == (flow * M, True)
    changed = [(days, edge) for _, edge, days in moved if days]
    assert len(known.date_notes) == len(changed)


def test_the_day_that_is_wrong_is_named(tmp_path: Path) -> None:
    built = [
        wire(f"0000000001-23-{number:06d}", Span(date(2022, 12, 31) if number == 1 else YEAR.start, end), books(value))
        for number, (end, value) in enumerate(zip(ENDS, (250, 520, 760, 1000), strict=True))
    ]
    result = lake_of(tmp_path, built)[1].run("filings", "statement", "ACME", "income", "--period", "quarter")
    revenue = next(line for line in result.stdout.splitlines() if line.startswith("Revenue"))
    assert [text.rstrip("*") for text in revenue.split()[2:]] == ["240,000,000", "240,000,000", "270,000,000", "250,000,000"]
    assert "0000000001-23-000001 (10-Q) has the period 2022-12-31 to 2023-06-30" in result.stderr
    assert "corrected to 2023-01-01 to 2023-06-30" in result.stderr


@pytest.mark.parametrize(("form", "start"), [("10-K", "2023-12-31"), ("10-K/A", "2023-12-27"), ("10-KT", "2023-12-31")])
def test_a_year_of_one_day_is_a_year(form: str, start: str, tmp_path: Path) -> None:
    one = wire("0000000001-24-000001", span(start, "2023-12-31"), books(1000), form=form)
    _, command = lake_of(tmp_path, [one])
    result = command.run("filings", "statement", "ACME", "income", "-o", "json")
    assert {row["value"] for row in json.loads(result.stdout) if row["item"] == "revenue"} == {1000 * M}
    assert f"has the period {start} to 2023-12-31" in result.stderr
    assert "corrected to 2023-01-01 to 2023-12-31" in result.stderr
    balance = json.loads(command.run("filings", "statement", "ACME", "balance", "-o", "json").stdout)
    assert {row["value"] for row in balance if row["item"] == "assets"} == {1000 * M}


def test_a_year_of_one_day_begins_where_the_year_before_ended() -> None:
    before = report(1, span("2021-12-26", "2022-12-24"), books(900), form="10-K")
    one = report(2, span("2023-12-30", "2023-12-30"), books(1000), form="10-K")
    assert PointInTimeView([before, one]).over("revenue", span("2022-12-25", "2023-12-30")) is not None


@pytest.mark.parametrize("form", ["10-K", "10-Q"])
def test_a_report_on_more_than_a_year_is_put_right(form: str) -> None:
    before = report(1, span("2022-01-01", "2022-12-31"), books(900), form="10-K")
    end = "2023-12-31" if form == "10-K" else "2023-03-31"
    one = report(2, span("2022-01-01", end), books(250), form=form)
    known = PointInTimeView([before, one])
    figure = known.over("revenue", span("2023-01-01", end))
    assert figure is not None
    assert figure.value == 250 * M
    assert "impossible" in known.date_notes[one.accession]


def test_a_slice_by_its_concept_does_not_stand_in_for_the_whole() -> None:
    """Two reports name revenue by different concepts, of which one is a slice in the later report."""
    contracts = "RevenueFromContractWithCustomerExcludingAssessedTax"
    nine = report(1, span("2023-01-01", "2023-09-30"), {"ic": {contracts: 740 * M}})
    year = report(2, YEAR, {"ic": {"Revenues": 1000 * M, contracts: 100 * M}})
    known, quarter = PointInTimeView([nine, year]), span("2023-10-01", "2023-12-31")
    assert known.over("revenue", quarter) is None
    assert (
        f"{contracts} 740,000,000 may be only a part: in {year.accession} the concept is not revenue"
        in known.why("revenue", quarter)[0]
    )
    # By itself nothing speaks against it, nor does a report of years later.
    assert PointInTimeView([nine]).over("revenue", span("2023-01-01", "2023-09-30")) is not None
    later = report(3, span("2025-01-01", "2025-12-31"), {"ic": {"Revenues": 1000 * M, contracts: 100 * M}})
    assert PointInTimeView([nine, later]).over("revenue", span("2023-01-01", "2023-09-30")) is not None


def test_a_line_that_is_proved_is_no_slice_beside_a_report_that_splits_it() -> None:
    contracts = "RevenueFromContractWithCustomerExcludingAssessedTax"
    lines: list[Line] = [(contracts, "Total revenues", 760.0 * M)]
    nine = parse_filing(report_of_lines(1, span("2023-01-01", "2023-09-30"), {"ic": lines}))
    year = report(
        2, YEAR, {"ic": {contracts: 900 * M, "OperatingLeaseLeaseIncome": 100 * M, "Revenues": 1000 * M}}, form="10-K"
    )
    fourth = PointInTimeView([nine, year]).over("revenue", span("2023-10-01", "2023-12-31"))
    assert fourth is not None
    assert fourth.value == 240 * M


def test_a_concept_that_is_split_and_summed_is_no_slice() -> None:
    """Where a report has the total among the parts of a concept, another report may have the concept alone."""
    contracts = "RevenueFromContractWithCustomerExcludingAssessedTax"
    parts: list[Line] = [(contracts, "Products", 700.0 * M), (contracts, "Services", 300.0 * M), (contracts, "", 1000.0 * M)]
    year = parse_filing(report_of_lines(2, YEAR, {"ic": [*parts, ("Revenues", "Total revenues", 1000.0 * M)]}))
    nine = report(1, span("2023-01-01", "2023-09-30"), {"ic": {contracts: 740 * M}})
    fourth = PointInTimeView([nine, year]).over("revenue", span("2023-10-01", "2023-12-31"))
    assert fourth is not None
    assert fourth.value == 260 * M


def test_an_amendment_of_a_part_changes_what_stands_on_it() -> None:
    ic = {"Revenues": 1000 * M, "CostOfRevenue": 600 * M, "OperatingIncomeLoss": 150 * M, "NetIncomeLoss": 100 * M}
    cf = {"NetCashProvidedByUsedInOperatingActivities": 150 * M, "PaymentsToAcquirePropertyPlantAndEquipment": 50 * M}
    bs = {"Assets": 1000 * M, "Liabilities": 600 * M, "LongTermDebtCurrent": 10 * M, "LongTermDebtNoncurrent": 290 * M}
    original = report(1, YEAR, {"ic": ic, "cf": cf, "bs": bs}, form="10-K")

    def after(**amended: dict[str, float]) -> PointInTimeView:
        accepted = "2024-06-01 09:00:00"
        return PointInTimeView([original, report(2, YEAR, amended, form="10-K/A", accepted=accepted)])

    def value(known: PointInTimeView, name: str) -> float | None:
        figure = known.at(name, YEAR.end) if "debt" in name else known.over(name, YEAR)
        return None if figure is None else figure.value / M

    cost = after(ic={"CostOfRevenue": 620 * M})
    assert [value(cost, name) for name in ("revenue", "cost_of_revenue", "gross_profit")] == [1000, 620, 380]
    revenue = cost.over("revenue", YEAR)
    assert revenue is not None
    assert (revenue.accession, revenue.replaced) == (original.accession, ())
    assert value(after(cf={"PaymentsToAcquirePropertyPlantAndEquipment": 70 * M}), "free_cash_flow") == 80
    debt = after(bs={"LongTermDebtCurrent": 20 * M})
    assert [value(debt, f"{name}_debt") for name in ("short_term", "long_term", "total")] == [20, 290, 310]
    slice_alone = after(ic={"RevenueFromContractWithCustomerExcludingAssessedTax": 40 * M})
    assert value(slice_alone, "revenue") == 1000
    assert value(after(ic={"ProfitLoss": 130 * M}), "net_income") == 100
    # By another concept it is the same item, if it is near what that was.
    other = after(ic={"RevenueFromContractWithCustomerExcludingAssessedTax": 950 * M})
    assert [value(other, name) for name in ("revenue", "gross_profit")] == [950, 350]
    spent = after(cf={"PaymentsToAcquireProductiveAssets": 60 * M})
    assert [value(spent, name) for name in ("capital_expenditure", "free_cash_flow")] == [60, 90]
    assert value(after(bs={"LongTermDebtNoncurrent": 300 * M}), "total_debt") == 310


@pytest.mark.parametrize(
    ("first", "last"), [("2022-07-01", "2023-06-30"), ("2022-10-01", "2023-06-30"), ("2021-01-01", "2023-06-30")]
)
def test_a_report_of_quarters_crosses_no_years_end(first: str, last: str) -> None:
    before = report(1, span("2022-01-01", "2022-12-31"), books(900), form="10-K")
    quarter, half = report(2, span("2023-01-01", "2023-03-31"), books(250)), report(3, span(first, last), books(520))
    figure = PointInTimeView([before, quarter, half]).over("revenue", span("2023-04-01", "2023-06-30"))
    assert figure is not None
    assert figure.value == 270 * M


def test_an_annual_report_that_names_its_last_quarter_is_of_the_year() -> None:
    nine = report(1, span("2023-01-01", "2023-09-30"), books(760))
    year = report(2, span("2023-10-01", "2023-12-31"), books(1000), form="10-K")
    figure = PointInTimeView([nine, year]).over("revenue", span("2023-10-01", "2023-12-31"))
    assert figure is not None
    assert figure.value == 240 * M
    # If its flows are the quarter's as well, so is it.
    own = PointInTimeView([nine, report(2, span("2023-10-01", "2023-12-31"), books(240), form="10-K")])
    fourth = own.over("revenue", span("2023-10-01", "2023-12-31"))
    assert fourth is not None
    assert fourth.value == 240 * M
    # A transition period of one quarter stays one.
    stub = PointInTimeView(
        [
            report(3, span("2023-01-01", "2023-03-31"), books(100)),
            report(4, span("2023-04-01", "2023-06-30"), books(9), form="10-K"),
        ]
    )
    assert stub.over("revenue", span("2023-04-01", "2023-06-30")) is not None


def test_a_late_amendment_makes_no_company_the_newest() -> None:
    late = of("9000009", 7, span("2021-01-01", "2021-12-31"), books(9000), form="10-K/A", accepted="2023-01-20 09:00:00")
    known = PointInTimeView(parsed(*OLD, NEW, late))
    assert {one.cik for one in known.filings} == {"1000001"}


def test_a_quarters_report_of_one_day_goes_on_from_the_year_before() -> None:
    before = report(1, span("2022-01-02", "2022-12-31"), books(900), form="10-K")
    one = report(2, span("2023-06-30", "2023-06-30"), books(500))
    figure = PointInTimeView([before, one]).over("revenue", span("2023-01-01", "2023-06-30"))
    assert figure is not None
    assert figure.value == 500 * M
    alone = PointInTimeView([one])
    assert alone.spans("ic") == []
    assert alone.at("assets", date(2023, 6, 30)) is not None


# Apple's fiscal 2024, of which the annual report is missing, and the quarter after it.
APPLE = [
    ("23-000106", span("2023-10-01", "2023-12-30"), 119_575),
    ("24-000069", span("2023-10-01", "2024-03-30"), 210_328),
    ("24-000081", span("2023-10-01", "2024-06-29"), 296_105),
    ("25-000008", span("2024-09-29", "2024-12-28"), 124_300),
]


def test_a_missing_report_leaves_a_column_and_words(tmp_path: Path) -> None:
    built = [wire(f"0000320193-{number}", one, {"ic": {"Revenues": value * M}}) for number, one, value in APPLE]
    _, command = lake_of(tmp_path, built)
    result = command.run("filings", "statement", "ACME", "income", "--period", "quarter", "-o", "json")
    revenue = {row["period_end"]: row for row in json.loads(result.stdout) if row["item"] == "revenue"}
    assert list(revenue) == ["2024-12-28", "2024-09-28", "2024-06-29", "2024-03-30", "2023-12-30"]
    missing = revenue["2024-09-28"]
    assert (missing["value"], missing["period_start"]) == (None, "2024-06-30")
    assert missing["notes"] == "there is no report to that day"
    assert "the quarter to 2024-09-28 is missing" in result.stderr
    table = command.run("filings", "statement", "ACME", "income", "--period", "quarter")
    assert "2024-09-28" in table.stdout.splitlines()[0]


def test_a_missing_year_leaves_a_column_and_words(tmp_path: Path) -> None:
    years = [
        wire("0000000001-21-000001", span("2020-01-01", "2020-12-31"), books(100), form="10-K"),
        wire("0000000001-23-000001", span("2022-01-01", "2022-12-31"), books(120), form="10-K"),
    ]
    result = lake_of(tmp_path, years)[1].run("filings", "statement", "ACME", "income")
    assert result.stdout.splitlines()[0].split() == ["item", "unit", "2022-12-31", "2021-12-31", "2020-12-31"]
    assert "the year to 2021-12-31 is missing: there is no annual report to that day" in result.stderr


def jumping(
    before: float, after: float, *, equity: tuple[float, float] = (400, 400), sales: float = 260, **basic: float
) -> PointInTimeView:
    """A company whose diluted shares were ``before`` millions in the year, and ``after`` in the next quarter."""
    year = books(1000, before, StockholdersEquity=equity[0])
    quarter = books(sales, after, StockholdersEquity=equity[1])
    if basic:
        year["ic"][BASIC], quarter["ic"][BASIC] = basic["first"] * M, basic["second"] * M
    return PointInTimeView([report(1, YEAR, year, form="10-K"), report(2, span("2024-01-01", "2024-03-31"), quarter)])


@pytest.mark.parametrize(
    "ratio", [1.2, 1.25, 1.5, 5 / 3, 2, 2.5, 3, 20, 50, 75, 100, 1000, 1 / 1.25, 2 / 3, 1 / 2, 1 / 25, 1 / 100]
)
def test_a_split_of_any_ratio_parts_price_and_eps(ratio: float) -> None:
    known = jumping(100, 100 * ratio)
    (jump,) = known.splits()
    assert "looks like a split" in jump.words
    settings = load_settings(environ=clean_environment(), stack=False)
    pe = next(one for one in kpis(known, settings.valuation, Price(20, "given"))[0] if one.kpi.name == "pe")
    assert pe.value is None
    assert any("looks like a split" in note for note in pe.notes)


@pytest.mark.parametrize(
    "known",
    [
        # Equity grew by what was earned, and nothing was paid in.
        jumping(100, 125, equity=(400, 500), sales=1000),
        # No company issues a hundred times its shares, whatever its equity did.
        jumping(100, 10_000, equity=(1, 400)),
        jumping(100, 7000, equity=(1, 400)),
    ],
)
def test_equity_that_moved_for_another_reason_explains_no_split(known: PointInTimeView) -> None:
    assert [jump.sure for jump in known.splits()] == [True]


@pytest.mark.parametrize(
    "known",
    [
        # Shares that were issued at twice the book value, and bought back at it.
        jumping(100, 130, equity=(400, 640)),
        jumping(100, 80, equity=(400, 320)),
        jumping(100, 170, equity=(400, 700)),
        # A loss that turned into a profit dilutes: the basic shares show it.
        jumping(100, 125, first=100, second=101),
        jumping(100, 200, first=99, second=99),
        jumping(100, 103),
    ],
)
def test_what_explains_more_shares_is_no_split(known: PointInTimeView) -> None:
    assert list(known.splits()) == []


def test_a_split_shows_under_another_count_as_well() -> None:
    year = report(1, YEAR, books(1000, 100), form="10-K")
    quarter = books(260, 500)
    count = quarter["ic"].pop(SHARES)
    for ic in (quarter["ic"], quarter["ic"] | {BASIC: count}):
        (jump,) = PointInTimeView([year, report(2, span("2024-01-01", "2024-03-31"), quarter | {"ic": ic})]).splits()
        assert jump.sure


def test_a_small_jump_with_the_same_equity_is_named_and_keeps_its_ratios() -> None:
    known = jumping(100, 110)
    (jump,) = known.splits()
    assert not jump.sure
    assert "may be a stock dividend" in jump.words
    settings = load_settings(environ=clean_environment(), stack=False)
    found, words = kpis(known, settings.valuation, Price(20, "given"))
    assert next(one.value for one in found if one.kpi.name == "pe") == pytest.approx(20)
    assert jump.words in words


@pytest.mark.parametrize(
    ("before", "after", "said"), [(4617, 17528, True), (1000, 100, True), (100, 131, True), (100, 103, False)]
)
def test_a_jump_is_noted_where_nothing_else_is_reported(before: float, after: float, said: bool) -> None:
    built = [
        report(1, YEAR, {"ic": {SHARES: before * M}}),
        report(2, span("2024-01-01", "2024-03-31"), {"ic": {SHARES: after * M}}),
    ]
    assert bool(list(PointInTimeView(built).splits())) == said


def test_a_report_with_a_concept_twice_reads_the_same_in_any_order() -> None:
    lines = [("Revenues", "Total revenues", 1000.0), ("Revenues", "Product", 600.0), ("Revenues", "Royalty", 400.0)]
    for order in (lines, lines[::-1], [lines[1], lines[0], lines[2]]):
        figure = PointInTimeView([parse_filing(report_of_lines(1, YEAR, {"ic": order}))]).over("revenue", YEAR)
        assert figure is not None
        assert (figure.value, figure.notes) == (1000.0, ())
