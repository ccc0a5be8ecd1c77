"""A company's report as Finnhub gives it in ``data[]`` of ``/stock/financials-reported``, parsed.

Statements are as the company reported them: ``bs`` (balance sheet, at the end of the period), ``ic`` (income) and ``cf`` (cash
flow). In a 10-Q the latter two run from the start of the fiscal year, so only ``start`` and ``end`` define the period, never
the form or the quarter. Finnhub's format has changed over the years; every version is parsed into the same ``Filing``.
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
from stockctl.validation_errors import decode_problem

Statement = Literal["bs", "ic", "cf"]
STATEMENTS: tuple[Statement, ...] = get_args(Statement)

_ACCESSION = re.compile(r"(\d{10})-?(\d{2})-?(\d{6})", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_UNIT_PREFIX = re.compile(r"^(iso4217|xbrli|unit|u)[_:]|^_+")
_PER_SHARE = re.compile(r"([a-z]{3})(/|_?per_?)shares?")


class FilingError(StockctlError):
    """The data cannot be parsed as a report."""


class Item(msgspec.Struct, frozen=True):
    """One line of a statement.

    ``concept`` and ``unit`` are as received (``us-gaap_Assets``, ``u_usd``). ``name`` is the concept without its prefix, and
    ``measure`` the normalized unit: a currency (``usd``), ``usd/share``, ``shares``, ``pure``, or empty if the unit is
    meaningless (``unit12`` differs from filing to filing). ``value`` is None if the report has none.
    """

    concept: str
    name: str
    label: str
    unit: str
    measure: str
    value: float | None


class Filing(msgspec.Struct, frozen=True):
    """One report. ``accession`` is its SEC accession number (``0000320193-25-000073``), its permanent name.

    ``accepted`` is the time (UTC) from which the report was public; ``filed`` is the SEC's filing date, which may be the day
    after. ``year`` and ``quarter`` are as received (annual reports have quarter 0) and are not used. Statements contain their
    items in the report's order; a missing statement is empty. Missing dates are None.
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
        """The time from which the report was certainly public: its acceptance; without one, the end of the filing date.

        A report that the SEC accepts in the evening gets the next working day as its filing date, never an earlier one.
        """
        if self.accepted is not None or self.filed is None:
            return self.accepted
        return _end_of(self.filed)


def parse_filing(raw: bytes | Mapping[str, Any], symbol: str | None = None) -> Filing:
    """The report in one element of ``data[]``. ``symbol`` is used if the element has none.

    FilingError if it is not a JSON object, has no accession number or no symbol, or if a part of it has an unknown shape.
    """
    document = _decoded(raw)
    accession = _accession(document.get("accessNumber"))
    symbol = _text(document.get("symbol")) or symbol
    if not symbol:
        raise FilingError(f"the report {accession} has no symbol", hint="pass the symbol that was requested")
    report = document.get("report")
    if report is not None and not isinstance(report, Mapping):
        raise FilingError(f"the report {accession} of {symbol} has no statements: report is {_kind(report)}")
    statements = {
        name: tuple(_items((report or {}).get(name), f"statement {name} of the report {accession} of {symbol}"))
        for name in STATEMENTS
    }
    return Filing(
        accession=accession,
        symbol=symbol,
        cik=_text(document.get("cik")),
        form=_text(document.get("form")),
        year=_integer(document.get("year")),
        quarter=_integer(document.get("quarter")),
        start=_day(document.get("startDate"), f"startDate of the report {accession}"),
        end=_day(document.get("endDate"), f"endDate of the report {accession}"),
        filed=_day(document.get("filedDate"), f"filedDate of the report {accession}"),
        accepted=_accepted(document.get("acceptedDate"), f"acceptedDate of the report {accession}"),
        **statements,
    )


def line_item_records(filing: Filing) -> list[dict[str, Any]]:
    """The report's items as flat records: dates as text, ``accepted`` in ms UTC, values as floats or None.

    ``position`` is the item's index in its statement; accession, statement and position together identify a record.
    """
    shared = {
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
        shared | {"statement": statement, "position": position} | msgspec.structs.asdict(item)
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
    """The normalized unit, as in ``Item.measure``; empty if the unit is meaningless."""
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
    """A received value as a float: an integer, a float or a text of digits. Any other text (``N/A``) is None."""
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
        raise FilingError(f"a report must be an object, and this is {_kind(document)}")
    return document


def _accession(value: Any) -> str:
    match = _ACCESSION.fullmatch(_text(value))
    if match is None:
        raise FilingError(f"a report has no accession number: accessNumber is {quoted(str(value))}")
    return "-".join(match.groups())


def _items(statement: Any, place: str) -> Iterator[Item]:
    """Items of a statement: a list of objects; in the oldest format an object by concept, of values or objects."""
    if statement is None:
        return
    if isinstance(statement, Mapping):
        for concept, inside in statement.items():
            fields = inside if isinstance(inside, Mapping) else {"value": inside}
            yield _item({"concept": concept} | dict(fields), place)
    elif isinstance(statement, list):
        for item in statement:
            if not isinstance(item, Mapping):
                raise FilingError(f"the {place} holds {_kind(item)} where an item should be")
            yield _item(item, place)
    elif not (isinstance(statement, str) and statement.strip() in ("", "N/A")):
        raise FilingError(f"the {place} is {_kind(statement)}, not a list of items")


def _item(fields: Mapping[str, Any], place: str) -> Item:
    concept, value = _text(fields.get("concept")), fields.get("value")
    if not concept:
        raise FilingError(f"the {place} holds an item without a concept")
    if isinstance(value, list | Mapping):
        raise FilingError(f"the value of {concept} in the {place} is {_kind(value)}")
    unit = _text(fields.get("unit"))
    return Item(concept, bare(concept), _text(fields.get("label")), unit, measure_of(unit), value_of(value))


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def _integer(value: Any) -> int | None:
    number = value_of(value)
    return int(number) if number is not None and number == int(number) else None


def _time(value: Any, place: str) -> datetime | None:
    text = _text(value)
    if text in ("", "N/A"):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise FilingError(f"the {place} is not a date: {quoted(text)}") from None
    # Year 1 and year 9999 are placeholders for a missing date, and leave no room for the day before or after.
    return moment if 1900 <= moment.year < 2200 else None


def _day(value: Any, place: str) -> date | None:
    moment = _time(value, place)
    return moment and moment.date()


def _accepted(value: Any, place: str) -> datetime | None:
    """The time of acceptance. It is written without a zone, in the SEC's local time, New York.

    Midnight means that only the day is known, since the SEC accepts nothing at night. The end of the day is then the first
    certain time.
    """
    moment = _time(value, place)
    if moment is None:
        return None
    try:
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        if moment.time() == time():
            return _end_of(moment.date())
        # In the hour that the end of daylight saving time repeats, take the later one: never known too early.
        return moment.replace(tzinfo=EXCHANGE_ZONE, fold=1).astimezone(UTC)
    except OverflowError:
        raise FilingError(f"the {place} is out of range: {value}") from None


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), EXCHANGE_ZONE).astimezone(UTC)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
