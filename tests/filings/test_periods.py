"""Period arithmetic on random fiscal calendars: 52 and 53 weeks, months, odd quarters, transition periods, missing reports."""

from __future__ import annotations

import random
from datetime import date, timedelta
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.filings.fundamentals.periods import MAX_PARTS, Part, Span, add_up, ending
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from tests.filings.reports import Books, to_date

DAY = timedelta(days=1)


def span(first: str, last: str) -> Span:
    return Span(date.fromisoformat(first), date.fromisoformat(last))


class Year(NamedTuple):
    """A fiscal year of four quarters; a transition period is one alone."""

    quarters: list[Span]

    @property
    def whole(self) -> Span:
        return Span(self.quarters[0].start, self.quarters[-1].end)

    @property
    def is_transition(self) -> bool:
        return len(self.quarters) == 1


WEEKS = st.sampled_from(
    [(13, 13, 13, 13), (13, 13, 13, 14), (12, 12, 12, 16), (12, 12, 12, 17), (16, 12, 12, 12), (14, 13, 13, 13)]
)


@st.composite
def calendars(draw: st.DrawFn) -> list[Year]:
    """Two to four fiscal years in a row, each of weeks or of months, with transition periods between them."""
    start = draw(st.dates(date(2000, 1, 1), date(2020, 1, 1)))
    in_weeks = draw(st.booleans())
    start = start if in_weeks else start.replace(day=1)
    years: list[Year] = []
    for number in range(draw(st.integers(2, 4))):
        if number and draw(st.integers(0, 3)) == 0:
            stub = start + timedelta(days=draw(st.integers(89, 244))) - DAY
            years.append(Year([Span(start, stub)]))
            start = stub + DAY
            if not in_weeks:
                # Months begin on a first again: what is between belongs to the stub.
                start = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
                years[-1] = Year([Span(years[-1].quarters[0].start, start - DAY)])
        quarters: list[Span] = []
        weeks = draw(WEEKS)
        for quarter in range(4):
            if in_weeks:
                after = start + timedelta(weeks=weeks[quarter])
            else:
                month = start.month + 2
                after = date(start.year + month // 12, month % 12 + 1, 1)
            quarters.append(Span(start, after - DAY))
            start = after
        years.append(Year(quarters))
    return years


def books(years: list[Year], draw: st.DrawFn) -> Books:
    """Amounts for each day of the calendar, whole ones, so that sums are exact."""
    days = (years[-1].whole.end - years[0].whole.start).days + 1
    # Drawn one by one, some thousand amounts would be most of the work.
    chance = random.Random(draw(st.integers(0, 2**32)))
    return Books(years[0].whole.start, [chance.randrange(-1_000, 100_000) for _ in range(days)])


@st.composite
def companies(draw: st.DrawFn) -> tuple[list[Year], Books, set[Span]]:
    """A calendar, its amounts, and the periods whose report is missing."""
    years = draw(calendars())
    reported = [one for year in years for one in to_date(year.quarters)]
    return years, books(years, draw), draw(st.sets(st.sampled_from(reported), max_size=4))


def known(company: tuple[list[Year], Books, set[Span]]) -> PointInTimeView:
    years, true, missing = company
    spans = [one for year in years for one in to_date(year.quarters) if one not in missing]
    whole = {year.whole for year in years}
    return PointInTimeView(true.report(number, one, "10-K" if one in whole else "10-Q") for number, one in enumerate(spans))


@given(companies())
def test_every_quarter_that_follows_is_derived_and_is_right(company: tuple[list[Year], Books, set[Span]]) -> None:
    years, true, missing = company
    found = known(company)
    spans = found.spans("ic")
    for year in (year for year in years if not year.is_transition):
        ends = to_date(year.quarters)
        for number, quarter in enumerate(year.quarters):
            figure = found.over("revenue", quarter)
            needed = ends[max(0, number - 1) : number + 1]
            if not missing & set(needed):
                assert ending(spans, quarter.end, "quarter") == quarter
                assert figure is not None
                assert bool(figure.derived) == (number > 0)
            if ends[number] in missing:
                # Nothing is reported to the end of the quarter: no value is made up.
                assert figure is None
            if figure is not None:
                assert figure.value == true.over(quarter)
                assert {source.concept for source in figure.sources} == {"us-gaap_Revenues"}
        if not missing & set(ends):
            quarters = [found.over("revenue", quarter) for quarter in year.quarters]
            total = found.over("revenue", year.whole)
            assert total is not None
            assert not total.derived
            assert sum(figure.value for figure in quarters if figure) == total.value


@given(companies())
def test_twelve_months_are_right_to_any_end_and_as_long_as_a_year(company: tuple[list[Year], Books, set[Span]]) -> None:
    years, true, missing = company
    found = known(company)
    spans = found.spans("cf")
    for one in spans:
        twelve = ending(spans, one.end, "year")
        if twelve is None:
            continue
        figure = found.over("operating_cash_flow", twelve)
        assert 350 <= twelve.days <= 380
        assert figure is not None
        assert figure.value == true.over(twelve)
        assert (figure.start, figure.end) == twelve
    for before, year in pairwise(years):
        if before.is_transition or year.is_transition or missing & {*to_date(before.quarters), *to_date(year.quarters)}:
            continue
        for quarter in year.quarters:
            # Of months, or of quarters of the same weeks, the same quarter ends a year earlier: all of them can be derived.
            if [one.days for one in before.quarters] == [one.days for one in year.quarters]:
                assert ending(spans, quarter.end, "year") is not None


@given(companies())
def test_what_is_no_flow_is_never_put_together(company: tuple[list[Year], Books, set[Span]]) -> None:
    years, _, missing = company
    found = known(company)
    for year in years:
        reported = set(to_date(year.quarters)) - missing
        for quarter in [*year.quarters, year.whole]:
            for name in ("diluted_shares", "eps"):
                figure = found.over(name, quarter)
                assert (figure is not None) == (quarter in reported)
                assert figure is None or not figure.derived


@given(companies(), st.data())
def test_a_report_that_is_not_yet_accepted_changes_nothing(
    company: tuple[list[Year], Books, set[Span]], data: st.DataObject
) -> None:
    everything = known(company)
    if not everything.filings:
        return
    at = data.draw(st.sampled_from(everything.filings)).known
    assert at is not None
    then = PointInTimeView(everything.filings, at)
    later = {one.accession for one in everything.filings if one.known and one.known > at}
    assert {one.accession for one in then.later} == later
    past = PointInTimeView([one for one in everything.filings if one.accession not in later])
    for name in ("revenue", "gross_profit", "operating_cash_flow"):
        for year in company[0]:
            for one in [*year.quarters, year.whole]:
                figure = then.over(name, one)
                assert figure == past.over(name, one)
                assert figure is None or not {source.accession for source in figure.sources} & later


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=8),
    st.tuples(st.integers(0, 5), st.integers(1, 5)),
)
def test_parts_add_up_to_the_wanted_period(pieces: list[tuple[int, int]], wanted: tuple[int, int]) -> None:
    first = date(2020, 1, 1)

    def of(piece: tuple[int, int]) -> Span:
        return Span(first + timedelta(weeks=piece[0]), first + timedelta(weeks=piece[0] + piece[1]) - DAY)

    parts = add_up([of(piece) for piece in pieces], of(wanted))
    if parts is None:
        assert of(wanted) not in [of(piece) for piece in pieces]
        return
    assert len(parts) <= MAX_PARTS
    # Day by day: each day of the period once, no other day at all.
    total = [0] * 300
    for sign, (start, end) in parts:
        for day in range((start - first).days, (end - first).days + 1):
            total[day] += sign
    inside = of(wanted)
    assert total == [int(inside.start <= first + day * DAY <= inside.end) for day in range(300)]


def test_apples_third_quarter_of_2023() -> None:
    """A quarter is not what its 10-Q says: 81,797 M where the report says 293,787 M."""
    six, nine = span("2022-09-25", "2023-04-01"), span("2022-09-25", "2023-07-01")
    quarter = span("2023-04-02", "2023-07-01")
    assert add_up([six, nine], quarter) == (Part(1, nine), Part(-1, six))
    assert ending([six, nine], nine.end, "quarter") == quarter
    assert ending([nine], nine.end, "quarter") is None


def test_twelve_months_over_a_transition_period() -> None:
    """The year, less its first half, plus the transition period, plus the new year's first quarter: four parts."""
    year, half = span("2018-01-01", "2018-12-31"), span("2018-01-01", "2018-06-30")
    stub, quarter = span("2019-01-01", "2019-03-31"), span("2019-04-01", "2019-06-30")
    twelve = span("2018-07-01", "2019-06-30")
    assert ending([year, half, stub, quarter], quarter.end, "year") == twelve
    assert add_up([year, half, stub, quarter], twelve) == (Part(1, year), Part(1, stub), Part(1, quarter), Part(-1, half))


@pytest.mark.parametrize("days", [79, 123, 89 + 92])
def test_what_is_no_quarter(days: int) -> None:
    odd = Span(date(2020, 1, 1), date(2020, 1, 1) + timedelta(days=days - 1))
    assert ending([odd], odd.end, "quarter") is None
