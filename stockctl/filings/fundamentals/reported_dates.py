"""Corrects the periods of reports whose dates are slightly wrong.

Periods of one company adjoin: each begins on the day after the previous one. Days within a week of each other are the same
boundary, for which some reports give a neighbouring day (a start on 31 December, the 30th for the last Saturday). A report on
one day or on more than a year has impossible dates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from stockctl.filings.fundamentals.periods import YEAR_DAYS, Span
from stockctl.filings.model import Filing

_APART = 6  # days: boundaries of one company are a month apart at least
_LEAST, _MOST_QUARTERS = 14, 300  # days: no report covers fewer, and no three quarters more
_DAY = timedelta(days=1)
_GROWS = re.compile(r"Revenue|Sales|^Cost")


class CorrectedDates(NamedTuple):
    """Reports with corrected periods, and a note on each correction by accession number."""

    filings: list[Filing]
    words: dict[str, str]


def correct_dates(filings: Sequence[Filing]) -> CorrectedDates:
    """The reports of one company with each boundary on one day, and impossible periods corrected."""
    boundaries = _boundaries(filings)
    done, words = [], {}
    for filing in filings:
        right = _right(filing, boundaries, filings)
        if (right.start, right.end) != (filing.start, filing.end):
            words[filing.accession] = (
                f"{filing.accession} ({filing.form}) has the period {filing.start} to {filing.end}, which is impossible or "
                f"does not adjoin the others: "
                + (f"corrected to {right.start} to {right.end}" if right.start else "its flows are not used")
            )
        done.append(right)
    return CorrectedDates(done, words)


def _right(filing: Filing, boundaries: Mapping[date, date], filings: Iterable[Filing]) -> Filing:
    if filing.end is None:
        return filing
    end = boundaries.get(filing.end + _DAY, filing.end + _DAY) - _DAY
    start = filing.start
    if start is None or start > filing.end:
        return replace(filing, end=end)
    meant: date | None = boundaries.get(start, start)
    if _is_impossible(filing) or _crosses_a_year(filing, filings):
        meant = _start(filing, end, set(boundaries.values()), filings)
    elif _is_annual(filing) and not Span(start, end).lasts("year"):
        meant = _start_to_date(filing, start, end, filings) or meant
    return replace(filing, start=meant, end=end)


def _is_impossible(filing: Filing) -> bool:
    """Whether the period is shorter or longer than any report's."""
    if filing.start is None or filing.end is None:
        return True
    return not _LEAST <= (filing.end - filing.start).days < YEAR_DAYS[1]


def _crosses_a_year(filing: Filing, filings: Iterable[Filing]) -> bool:
    """Whether the period of a 10-Q crosses the end of a fiscal year of an annual report, which is impossible."""
    if _is_annual(filing) or filing.start is None or filing.end is None:
        return False
    first, last = filing.start + _LEAST * _DAY, filing.end - _LEAST * _DAY
    return any(_is_annual(one) and one.end is not None and first <= one.end <= last for one in filings)


def _start_to_date(filing: Filing, start: date, end: date, filings: Iterable[Filing]) -> date | None:
    """The first day of the year to ``end`` by its 10-Qs, if the annual report has the period of the last quarter alone.

    None if it also has that quarter's flows: they are then less than the flows to date in the 10-Q before.
    """
    starts = [
        one.start
        for one in filings
        if one.start is not None
        and one.end is not None
        and not _is_annual(one)
        and one.start < start <= one.end + _DAY
        and not _is_less(filing, one)
    ]
    return next((day for day in starts if Span(day, end).lasts("year")), None)


def _is_less(filing: Filing, before: Filing) -> bool:
    """Whether revenue or cost is less than in the report before. A year's is never less than that of its part."""
    flows = [{item.name: item.value for item in one.ic if item.value and _GROWS.search(item.name)} for one in (filing, before)]
    return any(flows[0][name] < flows[1][name] for name in flows[0].keys() & flows[1].keys() if (flows[1][name] or 0) > 0)


def _is_annual(filing: Filing) -> bool:
    return filing.form.upper().startswith("10-K")


def _boundaries(filings: Iterable[Filing]) -> dict[date, date]:
    """The corrected day for each first day of a period and each day after a last one.

    Of the days of one boundary the one in most reports; among equals the one after an end, then the later one.
    """
    named: Counter[date] = Counter()
    ends: Counter[date] = Counter()
    for filing in filings:
        if filing.end is None:
            continue
        named[filing.end + _DAY] += 1
        ends[filing.end + _DAY] += 1
        if filing.start is not None and not _is_impossible(filing):
            named[filing.start] += 1
    meant: dict[date, date] = {}
    group: list[date] = []
    for day in [*sorted(named), date.max]:
        if group and (day - group[0]).days > _APART:
            chosen = max(group, key=lambda one: (named[one], ends[one], one))
            meant |= dict.fromkeys(group, chosen)
            group = []
        group.append(day)
    return meant


def _start(filing: Filing, end: date, boundaries: set[date], filings: Iterable[Filing]) -> date | None:
    """The first day of a period to ``end``: a year's for a 10-K, else that of its fiscal year; None if unknown."""
    after = end + _DAY
    if _is_annual(filing):
        known = [day for day in boundaries if YEAR_DAYS[0] <= (after - day).days <= YEAR_DAYS[1]]
        return max(known) if known else _year_before(after)
    years = [one.end + _DAY for one in filings if one.end is not None and _is_annual(one) and 80 <= (end - one.end).days <= 300]
    if years:
        return max(years)
    to_date = [
        one.start
        for one in filings
        if one.start is not None
        and not _is_annual(one)
        and not _is_impossible(one)
        and 0 < (end - one.start).days <= _MOST_QUARTERS
    ]
    return max(to_date, default=None)


def _year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return day.replace(year=day.year - 1, day=28)
