"""Bars from a file: CSV or Parquet, a row per bar.

Columns, in any order and case: ``time`` (the start of the bar), ``open``, ``high``, ``low``, ``close``, ``volume``, and
``symbol`` where there are several. The time may also be named ``bar``, ``datetime``, ``timestamp`` or ``date``, or be a first
column without a name. Other columns do not matter. So what ``stockctl metrics bars`` writes is such a file.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from stockctl.errors import UsageError, quoted, unreadable
from stockctl.exchange.calendar import EXCHANGE_ZONE, day_bounds, from_ms, to_ms
from stockctl.strategies import Bar
from stockctl.symbols import did_you_mean, similar_symbols

_PRICES = ("open", "high", "low", "close")
_NUMBERS = (*_PRICES, "volume")
_TIMES = ("time", "bar", "datetime", "timestamp", "date", "")
"""Names of the column with the time, the first that is there counts."""
_EXTRA = ("vwap", "trades")
"""Columns that a file may have. Without them, the VWAP of a bar is its close, and its trades are 0."""
_HINT = "a row has time, open, high, low, close, volume, and symbol where there are several"
_TIME_HINT = "write 2026-11-23, 2026-11-23T09:30, 2026-11-23T14:30:00Z, or milliseconds since 1970"
_YEARS = (1900, 2200)
_SECONDS_DIGITS, _MS_DIGITS = 10, 13
"""Digits of the seconds, and of the milliseconds, since 1970 of our days."""


class _Row(NamedTuple):
    """A row of the file. ``start`` is a date for a bar of a day, else ms UTC; a price is None where no trade may set it."""

    place: str
    symbol: str
    start: date | int
    numbers: dict[str, float | None]


def read_bars_file(path: Path, symbols: Sequence[str] = (), zone: ZoneInfo = EXCHANGE_ZONE) -> dict[str, list[Bar]]:
    """The bars in ``path`` by symbol, each in order of time; of ``symbols`` if any are given.

    A date is a bar of that whole day on the exchange. A time without a zone is in ``zone``; such bars are as long as the
    shortest time between two of one symbol. A row without open and close is left out. In a file without symbols, the
    bars are those of the one symbol that is given. UsageError names the line or row of what is wrong: a bad number or time, a
    time that is not after the one before, a symbol without a bar.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise UsageError(f"{path} is neither .csv nor .parquet", hint="--bars reads CSV and Parquet, by the name's ending")
    table = _csv(path) if suffix == ".csv" else _parquet(path)
    rows: dict[str, list[_Row]] = {}
    for place, values in table:
        row = _row(place, values, symbols, zone)
        if row is not None and (not symbols or row.symbol in symbols):
            _append(rows.setdefault(row.symbol, []), row)
    missing = [symbol for symbol in symbols if symbol not in rows]
    if missing or not rows:
        near = similar_symbols(missing[0], rows) if missing else []
        what = f"no bar of {missing[0]}" if missing else "no bar"
        raise UsageError(f"{path} holds {what}", hint=did_you_mean(near) if near else _HINT)
    length = _length(rows.values())
    return {symbol: [_bar(row, length) for row in rows[symbol]] for symbol in sorted(rows)}


def source_of(path: Path) -> dict[str, str]:
    """What identifies the file of bars ``path`` in a result: its name, and the SHA-256 of its content."""
    try:
        with path.open("rb") as file:
            return {"bars": path.name, "bars_hash": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise unreadable(path, error, _HINT) from error


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a CSV file, each with its place for messages."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = _columns(path, next(reader, []))
            for cells in reader:
                if not cells:
                    continue
                place = f"{path}, line {reader.line_num}"
                if len(cells) != len(names):
                    raise UsageError(f"{place} has {len(cells)} fields, and the first line {len(names)}", hint=_HINT)
                yield place, {name: cell.strip() for name, cell in zip(names, cells, strict=True) if name is not None}
    except OSError as error:
        raise unreadable(path, error, _HINT) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not CSV in UTF-8: {error}", hint=_HINT) from None


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a Parquet file, each with its place for messages."""
    import pyarrow as pa
    import pyarrow.parquet

    try:
        # As a file: Arrow would take a path for an address or a folder of files.
        with path.open("rb") as file:
            table = pyarrow.parquet.read_table(file)
    except pa.ArrowException as error:
        raise UsageError(f"{path} is not Parquet: {str(error).splitlines()[0]}", hint=_HINT) from None
    except OSError as error:
        raise unreadable(path, error, _HINT) from error
    names = _columns(path, table.column_names)
    columns = {name: _python_values(path, name, table.column(index)) for index, name in enumerate(names) if name is not None}
    for index in range(table.num_rows):
        yield f"{path}, row {index + 1}", {name: column[index] for name, column in columns.items()}


def _python_values(path: Path, name: str, column: Any) -> list[Any]:
    """The values of a column, its numbers as floats; times to the millisecond."""
    import pyarrow as pa

    kind = column.type
    if name == "time" and pa.types.is_timestamp(kind):
        # A datetime has no nanoseconds.
        kind = pa.timestamp("ms", kind.tz)
    elif name in (*_NUMBERS, *_EXTRA):
        kind = pa.float64()
    elif name == "symbol":
        kind = pa.string()
    try:
        values: list[Any] = column.cast(kind, safe=False).combine_chunks().to_pylist()
    except pa.ArrowException:
        raise UsageError(f"{path}: the column {name} has the type {column.type}", hint=_HINT) from None
    return values


def _columns(path: Path, header: Sequence[str]) -> list[str | None]:
    """What each column of the file is; None for one that does not matter. UsageError for one that is missing or there twice."""
    names = [name.strip().lower() for name in header]
    time = next((name for name in _TIMES if name in names), "time")
    if time == "" and names[0] != "":
        time = "time"
    wanted = {time: "time", "symbol": "symbol"} | {name: name for name in (*_NUMBERS, *_EXTRA)}
    found = [wanted.get(name) for name in names]
    if missing := [name for name in ("time", *_NUMBERS) if name not in found]:
        raise UsageError(f"{path} has no column {missing[0]}", hint=_HINT)
    if twice := [name for name in found if name is not None and found.count(name) > 1]:
        raise UsageError(f"{path} has the column {twice[0]} twice", hint=_HINT)
    return found


def _row(place: str, values: Mapping[str, Any], symbols: Sequence[str], zone: ZoneInfo) -> _Row | None:
    """The row with these values; None for a bar without a price."""
    if "symbol" in values:
        symbol = values["symbol"] or ""
        if not symbol:
            raise UsageError(f"{place}: the symbol is empty", hint=_HINT)
    elif len(symbols) == 1:
        symbol = symbols[0]
    else:
        raise UsageError(f"{place.rpartition(', ')[0]} has no column symbol", hint="name the one symbol that its bars are of")
    numbers = {name: _number(place, name, values.get(name)) for name in (*_NUMBERS, *_EXTRA)}
    start = _start(place, values["time"], zone)
    if numbers["open"] is None and numbers["close"] is None:
        return None
    for name in ("open", "close", "volume"):
        if numbers[name] is None:
            raise UsageError(f"{place}: {name} is empty", hint=_HINT)
    high, low = numbers["high"], numbers["low"]
    if high is not None and low is not None and high < low:
        raise UsageError(f"{place}: high {high:g} is below low {low:g}", hint="correct the row, or leave it out")
    return _Row(place, symbol, start, numbers)


def _number(place: str, name: str, value: Any) -> float | None:
    """A price above 0, or a volume of 0 or more; None where there is none."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except ValueError:
        raise UsageError(f"{place}: {name} is {quoted(value)}, which is not a number", hint=_HINT) from None
    if math.isnan(number) and not isinstance(value, str):
        return None  # as Parquet files of pandas write what is missing
    if not math.isfinite(number) or number < 0 or (number == 0 and name in _PRICES):
        least = "above 0" if name in _PRICES else "0 or more"
        raise UsageError(f"{place}: {name} is {quoted(value)}: it must be {least}", hint="correct the row, or leave it out")
    return number


def _start(place: str, value: Any, zone: ZoneInfo) -> date | int:
    """The start of a bar: a date, or ms UTC."""
    moment = _moment(value)
    if moment is None:
        raise UsageError(f"{place}: the time is {quoted(value)}", hint=_TIME_HINT)
    if not _YEARS[0] <= moment.year <= _YEARS[1]:
        raise UsageError(f"{place}: the year {moment.year} is not from {_YEARS[0]} to {_YEARS[1]}", hint=_TIME_HINT)
    if not isinstance(moment, datetime):
        return moment
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def _moment(value: Any) -> date | None:
    """The date or time that ``value`` is or writes; None if it is neither."""
    if isinstance(value, int) or (
        isinstance(value, str) and value.isascii() and value.isdigit() and len(value) >= _SECONDS_DIGITS
    ):
        digits = len(str(value))
        if digits not in (_SECONDS_DIGITS, _MS_DIGITS):
            return None
        return from_ms(int(value) * (1000 if digits == _SECONDS_DIGITS else 1), ZoneInfo("UTC"))
    if isinstance(value, date):
        return value
    try:
        text = str(value)
        return date.fromisoformat(text) if len(text) <= len("2026-11-23") else datetime.fromisoformat(text)
    except ValueError:
        return None


def _append(rows: list[_Row], row: _Row) -> None:
    """Append ``row`` of the same symbol. UsageError unless its time is after that of the last one."""
    if rows:
        before = rows[-1]
        if isinstance(before.start, int) != isinstance(row.start, int):
            raise UsageError(f"{row.place}: dates and times are mixed", hint="write all as dates, or all as times")
        start, last = _order(row.start), _order(before.start)
        if start <= last:
            what = "the same time as" if start == last else "a time before"
            where = before.place.rpartition(", ")[2]
            raise UsageError(
                f"{row.place}: {row.symbol} has {what} {where}", hint="sort the rows by time, with one per time and symbol"
            )
    rows.append(row)


def _order(start: date | int) -> int:
    return start if isinstance(start, int) else start.toordinal()


def _length(rows: Iterable[Sequence[_Row]]) -> int:
    """The length of bars with times, in ms: the shortest time between two of one symbol; a day where there is one bar alone."""
    starts = [[row.start for row in each if isinstance(row.start, int)] for each in rows]
    return min((after - before for each in starts for before, after in pairwise(each)), default=86_400_000)


def _bar(row: _Row, length: int) -> Bar:
    start, end = (row.start, row.start + length) if isinstance(row.start, int) else day_bounds(row.start)
    numbers = row.numbers
    opened, close, volume = numbers["open"] or 0.0, numbers["close"] or 0.0, numbers["volume"] or 0.0
    high = max(opened, close) if numbers["high"] is None else numbers["high"]
    low = min(opened, close) if numbers["low"] is None else numbers["low"]
    vwap = close if numbers["vwap"] is None else numbers["vwap"]
    return Bar(row.symbol, start, end, opened, high, low, close, volume, vwap, int(numbers["trades"] or 0))
