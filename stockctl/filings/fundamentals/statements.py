"""Statements by standard items: years, quarters or twelve months, each value with where it came from.

Unreported values are null. Notes for the user say what was combined, amended or left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from stockctl.errors import UsageError, quoted
from stockctl.filings.fundamentals.periods import QUARTER_DAYS, Length, Span, ending
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.filings.fundamentals.registrants import cik_of, named
from stockctl.filings.model import Filing, Statement
from stockctl.filings.standardize.standard_items import Figure, StandardItem, digits, items_of

Which = Literal["income", "balance", "cashflow"]
Period = Literal["annual", "quarter", "ttm"]
Row = dict[str, Any]

_STATEMENTS: dict[Which, Statement] = {"income": "ic", "balance": "bs", "cashflow": "cf"}
_PERIODS: dict[Period, str] = {"annual": "year", "quarter": "quarter", "ttm": "twelve months"}
DERIVED = "*"
"""The mark of a derived value in a table."""


class Answer(NamedTuple):
    """``periods`` are newest first, ``rows`` has one row per item and period, ``words`` are notes for the user."""

    periods: list[Span]
    rows: list[Row]
    words: list[str]


def view_of(
    filings: Iterable[Filing], symbol: str, as_of: datetime | None = None, ciks: Collection[str] = ()
) -> PointInTimeView:
    """The filings as of ``as_of``, of the companies with these CIKs if any are given.

    UsageError if there is none at all, none by then, or none of one of these CIKs.
    """
    held = list(filings)
    wanted = [cik.strip().lstrip("0") for cik in ciks]
    there = {cik_of(one) for one in held}
    for cik in wanted:
        if held and cik not in there:
            raise UsageError(
                f"no filing of {symbol} is of CIK {quoted(cik)}", hint=f"there are some of {', '.join(sorted(there))}"
            )
    known = PointInTimeView(held, as_of, wanted)
    if known.filings:
        return known
    if known.later:
        first = min(one.known for one in known.later if one.known)
        first_accepted = first.astimezone(as_of.tzinfo) if as_of else first
        raise UsageError(
            f"no filing of {symbol} had been accepted by {as_of:%Y-%m-%d %H:%M %Z}",
            hint=f"the first of those in the lake was accepted at {first_accepted:%Y-%m-%d %H:%M %Z}",
        )
    raise UsageError(f"the lake holds no filing of {symbol}", hint=f"`stockctl filings fetch {symbol}`")


def statement(known: PointInTimeView, symbol: str, which: Which, period: Period, last: int, zone: ZoneInfo) -> Answer:
    """The newest ``last`` periods of a statement. UsageError for fewer than one."""
    if last < 1:
        raise UsageError("--last is at least 1")
    name = _STATEMENTS[which]
    shared = {"symbol": symbol, "statement": which, "period": period}
    periods: list[Span] = []
    rows: list[Row] = []
    words: list[str] = []
    notes_shown: dict[str, None] = {}
    for company in (known, *known.others):
        found, missing = _periods(company, name, period, last - len(periods))
        # If two companies had the ticker at the same time, show the one that has it now.
        found = [span for span in found if not periods or span.end < periods[-1].end]
        periods += found
        words += [
            f"the {'balance' if name == 'bs' else _PERIODS[period]} to {span.end} is missing: {missing[span]}"
            for span in found
            if span in missing
        ]
        if not found and known.others:
            words.append(f"no {_PERIODS[period]} of {named(company.filings)}: its filings do not give one")
        if period == "annual":
            words += _transitions(company, found)
        for span in found:
            for item in items_of(name):
                figure = company.at(item.name, span.end) if name == "bs" else company.over(item.name, span)
                notes = [*_figure_notes(figure)] if figure else [*company.why(item.name, span)]
                notes_shown |= dict.fromkeys(notes)
                if span in missing:
                    notes.append(missing[span])
                rows.append(_row(company, shared, span, item, figure, notes, zone))
        if found and name == "ic":
            notes_shown |= {jump.words: None for jump in company.splits() if jump.after.end > min(found).start}
        if len(periods) >= last:
            break
    words += notes_shown
    if not periods:
        words.insert(0, f"no {_PERIODS[period]} of the {which} statement of {symbol}: its filings do not give one")
    if any(row["derived"] for row in rows):
        words.append(f"{DERIVED} derived: computed from reported values")
    return Answer(periods, rows, words + list(caveats(known, symbol, zone)))


def wide(answer: Answer, as_texts: Callable[[list[float], str], list[str]] | None = None) -> tuple[list[Row], list[str]]:
    """The answer as a table with a row for each item and a column for each period; derived values are marked.

    ``as_texts`` writes the values of an item with their unit; digits by default.
    """
    ends = [str(span.end) for span in answer.periods]
    lines: dict[str, Row] = {}
    for row in answer.rows:
        line = lines.setdefault(row["item"], {"item": row["label"], "unit": ""})
        line["unit"] = line["unit"] or row["unit"] or ""
    for item, line in lines.items():
        known = [row for row in answer.rows if row["item"] == item]
        line |= {str(row["period_end"]): "" for row in known}
        known = [row for row in known if row["value"] is not None]
        values = [row["value"] for row in known]
        # A derived value may have no unit of its own: the item has one.
        texts = map(digits, values) if as_texts is None else as_texts(values, line["unit"])
        # The mark has its place in each cell, so that digits stand below each other.
        for row, text in zip(known, texts, strict=True):
            line[str(row["period_end"])] = text + (DERIVED if row["derived"] else " ")
    for end in ends:
        width = max([len(end), *(len(line[end]) for line in lines.values())])
        for line in lines.values():
            line[end] = line[end].rjust(width) if line[end] else ""
    return list(lines.values()), ["item", "unit", *ends]


def caveats(known: PointInTimeView, symbol: str, zone: ZoneInfo) -> Iterator[str]:
    """Notes on the reports themselves: several companies, left out reports, corrected dates."""
    if known.others:
        companies = "; ".join(named(one.filings) for one in (known, *known.others))
        count = f"{symbol} names {1 + len(known.others)} companies, one after the other"
        yield f"{count}: {companies}. Their figures are never combined"
    if known.as_of is not None:
        yield f"as known at {known.as_of.astimezone(zone):%Y-%m-%d %H:%M %Z}: {len(known.later)} later reports are not used"
    for one in known.undated:
        yield f"{one.accession} ({one.form}) is not used: its time of acceptance is unknown"
    yield from known.date_notes.values()
    for one in known.filings:
        if one.accession in known.date_notes:
            continue
        if one.end is None or one.start is None or one.start > one.end:
            yield f"{one.accession} ({one.form}) has no valid period: its flows are not used"
        elif not (one.bs or one.ic or one.cf):
            yield f"{one.accession} ({one.form} to {one.end}) has no statement"


def _periods(known: PointInTimeView, name: Statement, period: Period, last: int) -> tuple[list[Span], dict[Span, str]]:
    """The newest periods of that length, and why some of them have no figures."""
    if name == "bs":
        return _balances(known, period, last)
    spans = known.spans(name)
    length: Length = "quarter" if period == "quarter" else "year"
    if period == "annual":
        available = {span.end: span for span in spans if span.lasts("year")}
        missing = dict.fromkeys(_unreported_years(spans, available), "there is no annual report to that day")
    else:
        available = {span.end: found for span in spans if (found := ending(spans, span.end, length)) is not None}
        reported = {span.end for span in spans}
        missing = {end: _why_missing(end, reported, length) for end in _ends(spans) - available.keys()}
    # Periods before the first report are not worth a note.
    missing = {end: why for end, why in missing.items() if available and end > min(available)}
    shown = sorted({*available, *missing}, reverse=True)[:last]
    spanned = {end: available.get(end) or Span(_start_of(end, spans, length), end) for end in shown}
    return list(spanned.values()), {spanned[end]: missing[end] for end in shown if end in missing}


def _why_missing(end: date, reported: Collection[date], length: Length) -> str:
    if end not in reported:
        return "there is no report to that day"
    before = max((one for one in reported if one < end), default=None)
    if length == "year" or before is None or Span(before + timedelta(days=1), end).days <= QUARTER_DAYS[1]:
        return "no reports add up to it"
    return f"there is no report between those to {before} and to {end}"


def _balances(known: PointInTimeView, period: Period, last: int) -> tuple[list[Span], dict[Span, str]]:
    """The newest ends of quarters, or of years, and why some of them have no figures."""
    available = {span.end for span in known.spans("bs")}
    flows = [span for other in ("ic", "cf") for span in known.spans(other)]
    if period == "annual":
        years = {span.end: span for span in flows if span.lasts("year")}
        available &= years.keys()
        ends = {*years, *_unreported_years(flows, years)}
    else:
        ends = _ends(flows)
    missing = {end for end in ends - available if available and end > min(available)}
    shown = [Span(end, end) for end in sorted(available | missing, reverse=True)[:last]]
    return shown, {span: "there is no report to that day" for span in shown if span.end in missing}


def _ends(spans: Iterable[Span]) -> set[date]:
    """The last day of each period that is reported, and the day before each first one, which ends a period as well."""
    return {day for span in spans for day in (span.end, span.start - timedelta(days=1))}


def _unreported_years(spans: Sequence[Span], years: Mapping[date, Span]) -> Iterator[date]:
    """The ends of years without a report, of which reports of the times before and after them are there."""
    for end in sorted({span.start - timedelta(days=1) for span in spans} - years.keys()):
        before = max((one for one in years if one < end), default=None)
        if before is not None and Span(before + timedelta(days=1), end).lasts("year"):
            yield end


def _start_of(end: date, spans: Sequence[Span], length: Length) -> date:
    """The first day of a period without reports: after the end before it if that is known, else by its usual length."""
    starts = [day + timedelta(days=1) for day in _ends(spans) if Span(day + timedelta(days=1), end).lasts(length)]
    return max(starts, default=end - timedelta(days=90 if length == "quarter" else 364))


def _transitions(known: PointInTimeView, years: Sequence[Span]) -> Iterator[str]:
    for one in known.filings:
        if one.form.upper().startswith("10-K") and one.start and one.end and one.start <= one.end:
            span = Span(one.start, one.end)
            if not span.lasts("year") and (not years or span.end > years[-1].end):
                yield f"{span} is no year but a transition period of {span.days} days ({one.form} {one.accession})"


def _row(
    known: PointInTimeView,
    shared: Row,
    span: Span,
    item: StandardItem,
    figure: Figure | None,
    notes: Sequence[str],
    zone: ZoneInfo,
) -> Row:
    accepted = known.accepted(figure) if figure else None
    return shared | {
        "period_start": None if item.kind == "instant" else span.start,
        "period_end": span.end,
        "item": item.name,
        "label": item.label,
        "value": figure.value if figure else None,
        "unit": figure.measure if figure else None,
        "derived": bool(figure and figure.derived),
        "how": figure.derived or None if figure else None,
        "concept": figure.concept if figure else None,
        "accession": figure.accession if figure else None,
        "accepted": accepted.astimezone(zone) if accepted else None,
        "replaced": "; ".join(f"{digits(one.value)} in {one.accession}" for one in figure.replaced) or None if figure else None,
        "notes": "; ".join(notes) or None,
    }


def _figure_notes(figure: Figure) -> Iterator[str]:
    yield from figure.notes
    original = figure.replaced[0] if figure.replaced else None
    if original is not None and not figure.derived and original.value != figure.value:
        yield f"{figure.item} to {figure.end}: {figure.accession} replaces {digits(original.value)} in {original.accession}"
