"""The one output service: data on stdout as table, JSON, JSON lines, CSV or Parquet; words and progress on stderr."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from stockctl.errors import UnhealthyError, UsageError
from stockctl.reconcile import Change, Difference
from stockctl.units import counted

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console
    from rich.progress import Progress

Row = Mapping[str, Any]


class Format(StrEnum):
    """Forms in which data is written to stdout."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


OutputOption = Annotated[Format, typer.Option("--output", "-o", help="Form of the data on stdout.")]


def console(*, stderr: bool = False) -> Console:
    """A console that never wraps or truncates what goes to a pipe, and honours NO_COLOR."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = 10_000
    return made


def say(text: str) -> None:
    """Write ``text`` for a person, to stderr."""
    print(text, file=sys.stderr, flush=True)


YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, command: str, *, yes: bool) -> None:
    """Ask before something is deleted, unless ``yes``; a no ends the command. UsageError where there is no terminal to ask at.

    ``command`` is what to type for a yes that needs no terminal, without its ``--yes``.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("deleting needs a yes, and stdin is no terminal to ask at", hint=f"{command} --yes")
    typer.confirm(question, abort=True, err=True)


def progress(label: str) -> AbstractContextManager[Progress]:
    """A progress bar on stderr; silent when stderr is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    err = console(stderr=True)
    return Progress(
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
        transient=True,
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.10g}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds" if value.microsecond else "seconds")
    return str(value)


def _plain(value: Any) -> Any:
    """``value`` as JSON carries it: dates and times in ISO 8601, NaN and infinities as null, bytes in hexadecimal.

    Decimals are numbers, whole ones with all their digits; what JSON has no form for is its text.
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            return None
        return int(value) if isinstance(value, Decimal) and value == int(value) else float(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.hex() if isinstance(value, bytes) else str(value)


def write_rows(
    rows: Iterable[Row], form: Format, columns: Sequence[str] | None = None, types: Mapping[str, type | ZoneInfo] | None = None
) -> None:
    """Write ``rows`` to stdout. ``columns`` names them where there may be no row; JSON lines and CSV stream.

    ``types`` are those of Parquet's columns that may hold nulls alone, which tell none; a zone stands for moments in it.
    """
    if form is Format.jsonl:
        for row in rows:
            sys.stdout.write(json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False) + "\n")
        return
    if form is Format.csv:
        _write_csv(rows, columns)
        return
    held = list(rows)
    names = list(columns or (held[0] if held else ()))
    if form is Format.json:
        plain = [{name: _plain(value) for name, value in row.items()} for row in held]
        sys.stdout.write(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")
    elif form is Format.parquet:
        write_arrow(_arrow(held, names, types or {}), form)
    elif names:
        _write_table(held, names)


def _arrow(rows: list[Row], names: list[str], types: Mapping[str, type | ZoneInfo]) -> pa.Table:
    import pyarrow as pa

    known: dict[Any, Any] = {str: pa.string(), int: pa.int64(), float: pa.float64(), date: pa.date32()}
    columns = {}
    for name in rows[0] if rows else names:
        told = types.get(name)
        kind = pa.timestamp("us", str(told)) if isinstance(told, ZoneInfo) else known.get(told)
        columns[name] = pa.array([row.get(name) for row in rows], kind)
    return pa.table(columns)


def write_object(row: Row, form: Format) -> None:
    """Write one record: as a table a line a field, otherwise as ``write_rows`` does (JSON without the list)."""
    if form is Format.table:
        width = max((len(name) for name in row), default=0)
        for name, value in row.items():
            sys.stdout.write(f"{name:<{width}}  {_cell(value)}".rstrip() + "\n")
    elif form is Format.json:
        sys.stdout.write(json.dumps({name: _plain(value) for name, value in row.items()}, indent=2, ensure_ascii=False) + "\n")
    else:
        write_rows([row], form)


def show_differences(
    differences: Iterable[Difference],
    form: Format,
    subject: str,
    *,
    print_difference: Callable[[Difference], None] | None = None,
) -> None:
    """Write what a ``diff`` command found; UnhealthyError if there is a difference.

    ``subject`` is what was compared with the settings, such as "the topics". ``print_difference`` replaces the table: it is
    called for each difference as soon as it is known.
    """
    found: list[Difference] = []
    for difference in differences:
        if form is Format.table and print_difference is not None:
            print_difference(difference)
        found.append(difference)
    if form is not Format.table or print_difference is None:
        write_rows((difference._asdict() for difference in found), form, Difference._fields)
    if found:
        raise UnhealthyError(
            f"{counted(len(found), 'difference')} between {subject} and the settings", hint="the `fix` of each difference"
        )
    say(f"no differences between {subject} and the settings")


def show_changes(changes: Sequence[Change], form: Format) -> None:
    """Write what an ``apply`` or ``delete`` command did."""
    write_rows((change._asdict() for change in changes), form, Change._fields)


def refuse_skipped(changes: Iterable[Change]) -> None:
    """UnhealthyError if ``apply`` skipped something that differs from the settings."""
    if skipped := [f"{change.kind} {change.name}" for change in changes if change.action == "skipped"]:
        raise UnhealthyError(f"skipped: {', '.join(skipped)}", hint="the `detail` of each")


def numbered(columns: Iterable[str]) -> list[str]:
    """``columns`` as names of a row: one that came before gets a number, as ``max``, ``max_2``."""
    names: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names


def write_arrow(table: pa.Table, form: Format) -> None:
    """Write an Arrow table, its columns ``numbered``; Parquet goes to stdout as bytes and is refused on a terminal."""
    table = table.rename_columns(numbered(table.column_names))
    if form is not Format.parquet:
        rows = (row for batch in table.to_batches(max_chunksize=10_000) for row in batch.to_pylist())
        write_rows(rows, form, table.column_names)
        return
    if sys.stdout.isatty():
        raise UsageError("Parquet is bytes, and stdout is a terminal", hint="send it to a file: … -o parquet > out.parquet")
    import pyarrow as pa
    import pyarrow.parquet

    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    sys.stdout.buffer.write(sink.getvalue())


def _write_csv(rows: Iterable[Row], columns: Sequence[str] | None) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = list(columns) if columns else None
    if names:
        writer.writerow(names)
    for row in rows:
        if names is None:
            names = list(row)
            writer.writerow(names)
        values = [row.get(name) for name in names]
        writer.writerow([value if isinstance(value, Decimal) and value.is_finite() else _plain(value) for value in values])


def _write_table(rows: list[Row], names: list[str]) -> None:
    # Not rich's table: that one takes [brackets] and :colons: in data for its own markup, and a pipe's width for a page's.
    numeric = [all(isinstance(row.get(name), int | float | None) for row in rows) for name in names]
    lines = [names, *([_cell(row.get(name)).replace("\n", " ") for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for number, line in enumerate(lines):
        cells = (
            cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        text = "  ".join(cells).rstrip()
        sys.stdout.write(f"\x1b[1m{text}\x1b[0m\n" if bold and number == 0 else text + "\n")
