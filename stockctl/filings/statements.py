"""Statements by standard items: years, quarters or twelve months, each value with where it came from.

What the reports do not tell is null. Words for the person who asked say what was put together, amended, or left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from stockctl.errors import StockctlError, UsageError
from stockctl.filings.filing import Filing, Statement
from stockctl.filings.items import Figure, StandardItem, digits, items_of
from stockctl.filings.known import Known
from stockctl.filings.periods import Span, ending
from stockctl.sessions import from_ms, parse_as_of

Which = Literal["income", "balance", "cashflow"]
Period = Literal["annual", "quarter", "ttm"]
Row = dict[str, Any]

_STATEMENTS: dict[Which, Statement] = {"income": "ic", "balance": "bs", "cashflow": "cf"}
_PERIODS: dict[Period, str] = {"annual": "year", "quarter": "quarter", "ttm": "twelve months"}
DERIVED = "*"
"""The mark of a derived value in a table."""


class Answer(NamedTuple):
    """``periods`` newest first; a row for each item of each period; ``words`` for the person who asked."""

    periods: list[Span]
    rows: list[Row]
    words: list[str]


def as_of_moment(text: str, zone: ZoneInfo) -> datetime:
    """The moment of ``--as-of`` in ``zone``, as ``parse_as_of`` reads it."""
    return from_ms(parse_as_of(text, zone), zone)


def known_of(filings: Iterable[Filing], symbol: str, as_of: datetime | None = None) -> Known:
    """What the filings tell by ``as_of``. StockctlError if there is none at all, or none by then."""
    known = Known(filings, as_of)
    if known.filings:
        return known
    if known.later:
        first = min(one.known for one in known.later if one.known)
        told = first.astimezone(as_of.tzinfo) if as_of else first
        raise StockctlError(
            f"no filing of {symbol} had been accepted by {as_of:%Y-%m-%d %H:%M %Z}",
            hint=f"the first of those in the lake was accepted at {told:%Y-%m-%d %H:%M %Z}",
        )
    raise StockctlError(f"the lake holds no filing of {symbol}", hint=f"`stockctl filings fetch {symbol}`")


def statement(known: Known, symbol: str, which: Which, period: Period, last: int, zone: ZoneInfo) -> Answer:
    """The newest ``last`` periods of a statement. UsageError for fewer than one."""
    if last < 1:
        raise UsageError("--last is at least 1")
    name = _STATEMENTS[which]
    periods, words = _periods(known, name, period, last)
    of_all = {"symbol": symbol, "statement": which, "period": period}
    rows: list[Row] = []
    said: dict[str, None] = {}
    for span in periods:
        for item in items_of(name):
            figure = known.at(item.name, span.end) if name == "bs" else known.over(item.name, span)
            rows.append(_row(known, of_all, span, item, figure, zone))
            said |= dict.fromkeys(_said(figure))
    if periods and name == "ic":
        said |= {text: None for span, text in known.jumps() if span.end > min(periods).start}
    words += said
    if not periods:
        words.insert(0, f"no {_PERIODS[period]} of the {which} statement of {symbol} can be told from its filings")
    if any(row["derived"] for row in rows):
        words.append(f"{DERIVED} derived: not in any report, but put together from what is; -o json tells how")
    return Answer(periods, rows, words + list(caveats(known, zone)))


def wide(answer: Answer) -> tuple[list[Row], list[str]]:
    """The answer as a table: a line an item, a column a period; values as text, derived ones marked."""
    ends = [str(span.end) for span in answer.periods]
    lines: dict[str, Row] = {}
    for row in answer.rows:
        line = lines.setdefault(row["item"], {"item": row["label"], "unit": ""})
        line[str(row["period_end"])] = _text(row["value"], row["derived"])
        line["unit"] = line["unit"] or row["unit"] or ""
    for end in ends:
        width = max([len(end), *(len(line[end]) for line in lines.values())])
        for line in lines.values():
            line[end] = line[end].rjust(width) if line[end] else ""
    return list(lines.values()), ["item", "unit", *ends]


def caveats(known: Known, zone: ZoneInfo) -> Iterator[str]:
    """What must be known of the reports themselves."""
    if known.as_of is not None:
        yield f"as known at {known.as_of.astimezone(zone):%Y-%m-%d %H:%M %Z}: {len(known.later)} later reports are left out"
    for one in known.undated:
        yield f"{one.accession} ({one.form}) is left out: nothing tells when it was accepted"
    for one in known.filings:
        if one.end is None or one.start is None or one.start > one.end:
            yield f"{one.accession} ({one.form}) does not tell its period: its flows are left out"
        elif not (one.bs or one.ic or one.cf):
            yield f"{one.accession} ({one.form} to {one.end}) holds no statement"


def _periods(known: Known, name: Statement, period: Period, last: int) -> tuple[list[Span], list[str]]:
    """The newest periods of that length, and words on those that cannot be told."""
    if name == "bs":
        ends = {span.end for span in known.spans("bs")}
        if period == "annual":
            ends &= {span.end for other in ("ic", "cf") for span in known.spans(other) if span.lasts("year")}
        return [Span(end, end) for end in sorted(ends, reverse=True)[:last]], []
    spans = known.spans(name)
    if period == "annual":
        years = {span.end: span for span in spans if span.lasts("year")}
        found = [years[end] for end in sorted(years, reverse=True)[:last]]
        return found, [*_transitions(known, found)]
    found, gaps = [], []
    for end in sorted({span.end for span in spans}, reverse=True):
        if len(found) == last:
            break
        span = ending(spans, end, "quarter" if period == "quarter" else "year")
        if span is not None:
            found.append(span)
        else:
            gaps.append(end)
    # Of the time before the first report nothing can be told, and that is no news.
    told = [end for end in gaps if found and end > found[-1].end]
    return found, [f"the {_PERIODS[period]} to {end} cannot be told: the report before it is missing" for end in told]


def _transitions(known: Known, years: Sequence[Span]) -> Iterator[str]:
    for one in known.filings:
        if one.form.upper().startswith("10-K") and one.start and one.end and one.start <= one.end:
            span = Span(one.start, one.end)
            if not span.lasts("year") and (not years or span.end > years[-1].end):
                yield f"{span} is no year but a transition period of {span.days} days ({one.form} {one.accession})"


def _row(known: Known, of_all: Row, span: Span, item: StandardItem, figure: Figure | None, zone: ZoneInfo) -> Row:
    accepted = known.accepted(figure) if figure else None
    return of_all | {
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
    }


def _said(figure: Figure | None) -> Iterator[str]:
    if figure is None:
        return
    yield from figure.notes
    original = figure.replaced[0] if figure.replaced else None
    if original is not None and not figure.derived and original.value != figure.value:
        yield f"{figure.item} to {figure.end}: {figure.accession} replaces {digits(original.value)} in {original.accession}"


def _text(value: float | None, derived: bool) -> str:
    """The value with its mark, which has its place in each cell, so that digits stand below each other."""
    if value is None:
        return ""
    return digits(value) + (DERIVED if derived else " ")
