"""A company's report as Finnhub gives it in ``data[]`` of ``/stock/financials-reported``, parsed.

Statements are as the company reported them: ``bs`` (balance sheet, at the end of the period), ``ic`` (income) and ``cf`` (cash
flow). In a 10-Q the latter two run from the start of the fiscal year, so ``start`` and ``end`` alone tell the period, never the
form or the quarter. All forms the wire has had over the years come out as the same ``Filing``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, get_args

import msgspec

from stockctl.errors import StockctlError, quoted
from stockctl.exchange.calendar import EXCHANGE_ZONE, to_ms
from stockctl.records import UNREADABLE
from stockctl.validation import decode_problem

Statement = Literal["bs", "ic", "cf"]
STATEMENTS: tuple[Statement, ...] = get_args(Statement)

_ACCESSION = re.compile(r"(\d{10})-?(\d{2})-?(\d{6})", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_UNIT_PREFIX = re.compile(r"^(iso4217|xbrli|unit|u)[_:]|^_+")
_PER_SHARE = re.compile(r"([a-z]{3})(/|_?per_?)shares?")


class FilingError(StockctlError):
    """What should be a report cannot be read as one."""


class Item(msgspec.Struct, frozen=True):
    """One line of a statement.

    ``concept`` and ``unit`` are as received (``us-gaap_Assets``, ``u_usd``). ``name`` is the concept without its prefix, and
    ``measure`` the unit in one spelling: a currency (``usd``), ``usd/share``, ``shares``, ``pure``, or empty where the unit
    tells nothing (``unit12`` means different things in different filings). ``value`` is None where the report gives none.
    """

    concept: str
    name: str
    label: str
    unit: str
    measure: str
    value: float | None


class Filing(msgspec.Struct, frozen=True):
    """One report. ``accession`` is its SEC accession number (``0000320193-25-000073``), which names it for ever.

    ``accepted`` is the moment, in UTC, from which the report was public; ``filed`` is the date the SEC gave it, which may be
    the day after. ``year`` and ``quarter`` are as received (annual reports have quarter 0) and decide nothing. Statements hold
    their items in the report's order; one that the report lacks is empty. Dates are None where the report gives none.
    """

    accession: str
    symbol: str
    cik: str
    form: str
    year: int | None
    quarter: int | None
    start: date | None
    end: date | None
    filed: date | None
    accepted: datetime | None
    bs: tuple[Item, ...] = ()
    ic: tuple[Item, ...] = ()
    cf: tuple[Item, ...] = ()

    def statement(self, name: Statement) -> tuple[Item, ...]:
        """The items of one statement."""
        items: tuple[Item, ...] = getattr(self, name)
        return items

    @property
    def known(self) -> datetime | None:
        """The moment from which the report was surely public: its acceptance; without one, the end of the day it was filed.

        Reports that the SEC accepts in the evening get the next working day as their date of filing, never an earlier one.
        """
        if self.accepted is not None or self.filed is None:
            return self.accepted
        return _end_of(self.filed)

    @property
    def is_amendment(self) -> bool:
        """Whether the report amends an earlier one (``10-K/A``)."""
        return self.form.upper().endswith("/A")


def parse_filing(raw: bytes | Mapping[str, Any], symbol: str | None = None) -> Filing:
    """The report in one element of ``data[]``. ``symbol`` stands in where the element names none.

    FilingError if it is no JSON object, has no accession number or no symbol, or has a part of another shape than any known.
    """
    document = _decoded(raw)
    accession = _accession(document.get("accessNumber"))
    told = _text(document.get("symbol")) or symbol
    if not told:
        raise FilingError(f"the report {accession} names no symbol", hint="the symbol of the request is the one it is for")
    report = document.get("report")
    if report is not None and not isinstance(report, Mapping):
        raise FilingError(f"the report {accession} of {told} holds no statements: report is {_kind(report)}")
    found = {
        name: tuple(_items((report or {}).get(name), f"statement {name} of the report {accession} of {told}"))
        for name in STATEMENTS
    }
    return Filing(
        accession=accession,
        symbol=told,
        cik=_text(document.get("cik")),
        form=_text(document.get("form")),
        year=_whole(document.get("year")),
        quarter=_whole(document.get("quarter")),
        start=_day(document.get("startDate"), f"startDate of the report {accession}"),
        end=_day(document.get("endDate"), f"endDate of the report {accession}"),
        filed=_day(document.get("filedDate"), f"filedDate of the report {accession}"),
        accepted=_accepted(document.get("acceptedDate"), f"acceptedDate of the report {accession}"),
        **found,
    )


def lines(filing: Filing) -> list[dict[str, Any]]:
    """The report's items as flat records, one a line: dates as text, ``accepted`` in ms UTC, values as floats or None.

    ``position`` is the item's place in its statement, from 0; accession, statement and position together name a record.
    """
    of_all = {
        "symbol": filing.symbol,
        "accession": filing.accession,
        "cik": filing.cik,
        "form": filing.form,
        "year": filing.year,
        "quarter": filing.quarter,
        "period_start": filing.start and filing.start.isoformat(),
        "period_end": filing.end and filing.end.isoformat(),
        "filed": filing.filed and filing.filed.isoformat(),
        "accepted": None if filing.accepted is None else to_ms(filing.accepted),
    }
    return [
        of_all | {"statement": statement, "position": position} | msgspec.structs.asdict(item)
        for statement in STATEMENTS
        for position, item in enumerate(filing.statement(statement))
    ]


def bare(concept: str) -> str:
    """A concept without the prefix of its taxonomy: ``us-gaap_Assets``, ``tsla:Assets`` and ``Assets`` are ``Assets``."""
    for mark in (":", "_"):
        prefix, found, rest = concept.partition(mark)
        if found and prefix and rest:
            return rest
    return concept


def measure_of(unit: str) -> str:
    """A unit in one spelling, as ``Item.measure`` has it; empty where it tells nothing."""
    text = re.sub(r"\s+", "", unit).lower()
    while (shorter := _UNIT_PREFIX.sub("", text)) != text:
        text = shorter
    text = re.sub(r"_*/_*", "/", text.replace("xbrli:", "").replace("iso4217:", "")).rstrip("_")
    if per_share := _PER_SHARE.fullmatch(text):
        return f"{per_share[1]}/share"
    if text in ("share", "shares"):
        return "shares"
    return text if text == "pure" or re.fullmatch(r"[a-z]{3}", text) else ""


def value_of(value: Any) -> float | None:
    """A value of the wire as a float: an integer, a float or digits as text. Any other text (``N/A``) is no value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            return None
        value = text
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _decoded(raw: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    document: Any = raw
    if isinstance(raw, bytes | bytearray):
        try:
            document = msgspec.json.decode(raw)
        except UNREADABLE as error:
            raise FilingError(
                decode_problem(error, "a report"), hint="fetch it again: `stockctl filings fetch --full`"
            ) from None
    if not isinstance(document, Mapping):
        raise FilingError(f"a report is an object, and this is {_kind(document)}")
    return document


def _accession(value: Any) -> str:
    found = _ACCESSION.fullmatch(_text(value))
    if found is None:
        raise FilingError(f"a report has no accession number: accessNumber is {quoted(str(value))}")
    return "-".join(found.groups())


def _items(statement: Any, told: str) -> Iterator[Item]:
    """Items of a statement in any form: a list of objects; in the oldest form an object by concept, of values or objects."""
    if statement is None:
        return
    if isinstance(statement, Mapping):
        for concept, inside in statement.items():
            fields = inside if isinstance(inside, Mapping) else {"value": inside}
            yield _item({"concept": concept} | dict(fields), told)
    elif isinstance(statement, list):
        for item in statement:
            if not isinstance(item, Mapping):
                raise FilingError(f"the {told} holds {_kind(item)} where an item should be")
            yield _item(item, told)
    elif not (isinstance(statement, str) and statement.strip() in ("", "N/A")):
        raise FilingError(f"the {told} is {_kind(statement)}, not a list of items")


def _item(fields: Mapping[str, Any], told: str) -> Item:
    concept, value = _text(fields.get("concept")), fields.get("value")
    if not concept:
        raise FilingError(f"the {told} holds an item without a concept")
    if isinstance(value, list | Mapping):
        raise FilingError(f"the value of {concept} in the {told} is {_kind(value)}")
    unit = _text(fields.get("unit"))
    return Item(concept, bare(concept), _text(fields.get("label")), unit, measure_of(unit), value_of(value))


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def _whole(value: Any) -> int | None:
    number = value_of(value)
    return int(number) if number is not None and number == int(number) else None


def _moment(value: Any, told: str) -> datetime | None:
    text = _text(value)
    if text in ("", "N/A"):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise FilingError(f"the {told} is no date: {quoted(text)}") from None
    # Zero times and ends of time stand for none, and leave no room for a day before or after.
    return found if 1900 <= found.year < 2200 else None


def _day(value: Any, told: str) -> date | None:
    found = _moment(value, told)
    return found and found.date()


def _accepted(value: Any, told: str) -> datetime | None:
    """The moment of acceptance. It is written without a zone, and the SEC's clock is New York's.

    Midnight means that only the day is told: the SEC accepts nothing at night. Then the day's end is the first sure moment.
    """
    found = _moment(value, told)
    if found is None:
        return None
    try:
        if found.tzinfo is not None:
            return found.astimezone(UTC)
        if found.time() == time():
            return _end_of(found.date())
        # Of an hour that the clock strikes twice the later one is meant: a report is never known too early.
        return found.replace(tzinfo=EXCHANGE_ZONE, fold=1).astimezone(UTC)
    except OverflowError:
        raise FilingError(f"the {told} is out of range: {value}") from None


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), EXCHANGE_ZONE).astimezone(UTC)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
