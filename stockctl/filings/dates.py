"""The periods that reports name, where some of their days are slightly wrong.

Periods of one company meet: the next begins on the day after the one before. Days within a week of each other are one such
boundary, of which some reports name a day beside it (a start on 31 December, the 30th for the last Saturday). And a report
on one day, or on more than a year, is none: its dates cannot be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from stockctl.filings.filing import Filing
from stockctl.filings.periods import YEAR_DAYS

_APART = 6  # days: boundaries of one company are a month apart at least
_LEAST = 14  # days: no report covers fewer
_DAY = timedelta(days=1)


class Dated(NamedTuple):
    """Reports with their periods put right, and words on each that was changed, by accession number."""

    filings: list[Filing]
    words: dict[str, str]


def put_right(filings: Sequence[Filing]) -> Dated:
    """The reports of one company with boundaries that are one day each, and years where the dates cannot be."""
    boundaries = _boundaries(filings)
    done, words = [], {}
    for filing in filings:
        right = _right(filing, boundaries, filings)
        if (right.start, right.end) != (filing.start, filing.end):
            words[filing.accession] = (
                f"{filing.accession} ({filing.form}) names the period {filing.start} to {filing.end}, which does not meet the "
                f"others or cannot be: it is taken as {right.start or 'none'} to {right.end}"
            )
        done.append(right)
    return Dated(done, words)


def _right(filing: Filing, boundaries: Mapping[date, date], filings: Iterable[Filing]) -> Filing:
    if filing.end is None:
        return filing
    end = boundaries.get(filing.end + _DAY, filing.end + _DAY) - _DAY
    start = filing.start
    if start is None or start > filing.end:
        return replace(filing, end=end)
    if _cannot_be(filing):
        return replace(filing, start=_start(filing, end, set(boundaries.values()), filings), end=end)
    return replace(filing, start=boundaries.get(start, start), end=end)


def _cannot_be(filing: Filing) -> bool:
    """Whether no report covers as few days as this one names, or as many."""
    if filing.start is None or filing.end is None:
        return True
    return not _LEAST <= (filing.end - filing.start).days < YEAR_DAYS[1]


def _is_annual(filing: Filing) -> bool:
    return filing.form.upper().startswith("10-K")


def _boundaries(filings: Iterable[Filing]) -> dict[date, date]:
    """Each first day of a period, and each day after a last one, with the day that is meant.

    Of days that are one boundary the one that most reports name; of as many, that which an end names, then the later.
    """
    named: Counter[date] = Counter()
    ends: Counter[date] = Counter()
    for filing in filings:
        if filing.end is None:
            continue
        named[filing.end + _DAY] += 1
        ends[filing.end + _DAY] += 1
        if filing.start is not None and not _cannot_be(filing):
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
    """The first day of a period to ``end``: a year's for a 10-K, else that of its fiscal year; None if none is told."""
    after = end + _DAY
    if _is_annual(filing):
        known = [day for day in boundaries if YEAR_DAYS[0] <= (after - day).days <= YEAR_DAYS[1]]
        return max(known) if known else _year_before(after)
    years = [one.end + _DAY for one in filings if one.end is not None and _is_annual(one) and 80 <= (end - one.end).days <= 300]
    return max(years, default=None)


def _year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return day.replace(year=day.year - 1, day=28)
