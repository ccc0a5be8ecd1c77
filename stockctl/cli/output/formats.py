"""Rows and records on stdout, in each output format."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from stockctl.cli.output.numbers import is_numeric, plain
from stockctl.cli.output.pipe import reader_may_leave
from stockctl.cli.output.view import Format, View
from stockctl.errors import UsageError
from stockctl.json_values import json_value, json_values

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]


@reader_may_leave()
def write_rows(
    rows: Iterable[Row],
    view: View | Format,
    columns: Sequence[str] | None = None,
    types: Mapping[str, type | ZoneInfo] | None = None,
    *,
    main: Sequence[str] = (),
    kinds: bool = True,
) -> None:
    """Write ``rows`` to stdout; JSON lines and CSV stream. A ``Format`` is a view of all that there is.

    ``columns`` names the fields where there may be no row. ``types`` are those of Parquet's columns that may hold nulls alone,
    with a zone for times in it. ``main`` are the columns that a narrow terminal shows, the most important first; all, in their
    order, if none are named. Without ``kinds`` the names are the user's own, as in SQL: a terminal knows those of the lake's
    views alone. UsageError for an unknown field.
    """
    view = view if isinstance(view, View) else View(view)
    rows, columns = _selected(rows, columns, view)
    if view.form is Format.jsonl:
        for row in rows:
            sys.stdout.write(_json(row) + "\n")
        return
    if view.form is Format.csv:
        _write_csv(rows, columns)
        return
    known = list(rows)
    names = list(columns or (known[0] if known else ()))
    if view.form is Format.json:
        sys.stdout.write(json.dumps([json_values(row) for row in known], indent=2, ensure_ascii=False) + "\n")
    elif view.form is Format.parquet:
        _write_parquet(_arrow(known, names, types or {}))
    elif view.form is Format.markdown:
        _write_markdown(known, names)
    elif names and view.on_terminal:
        from stockctl.cli.output.tables import write_table

        write_table(known, names, view.fields or main or names, view, kinds=kinds)
    elif names:
        _write_table(known, names)


@reader_may_leave()
def write_object(row: Row, view: View | Format) -> None:
    """Write one record: one line per field as a table, otherwise as ``write_rows`` does (JSON without the list).

    UsageError for an unknown field.
    """
    view = view if isinstance(view, View) else View(view)
    view.check(list(row))
    names = view.fields or tuple(row)
    if view.on_terminal:
        from stockctl.cli.output.tables import write_record

        write_record(row, names)
        return
    row = {name: row[name] for name in names}
    if view.form is Format.json:
        sys.stdout.write(json.dumps(json_values(row), indent=2, ensure_ascii=False) + "\n")
    elif view.form is Format.markdown:
        _write_markdown([{"field": name, "value": value} for name, value in row.items()], ["field", "value"])
    elif view.form is Format.table:
        width = max((len(name) for name in row), default=0)
        for name, value in row.items():
            sys.stdout.write(f"{name:<{width}}  {plain(value)}".rstrip() + "\n")
    else:
        write_rows([row], view.form)


@reader_may_leave()
def write_objects(rows: Sequence[Row], view: View | Format) -> None:
    """Write the records of one id: as a table each as ``write_object`` does, with an empty line between; otherwise as rows.

    UsageError for an unknown field.
    """
    view = view if isinstance(view, View) else View(view)
    if not view.is_table:
        write_rows(rows, view)
        return
    for number, row in enumerate(rows):
        if number:
            print()
        write_object(row, view)


@reader_may_leave()
def write_arrow(table: pa.Table, view: View | Format, *, main: Sequence[str] = (), kinds: bool = True) -> None:
    """Write an Arrow table, its columns ``numbered``; Parquet goes to stdout as bytes and is refused on a terminal.

    UsageError for an unknown field.
    """
    view = view if isinstance(view, View) else View(view)
    table = table.rename_columns(numbered(table.column_names))
    view.check(table.column_names)
    if view.fields and not view.on_terminal:
        table = table.select(list(view.fields))
    table = table.slice(0, view.limit)
    if view.form is Format.parquet:
        _write_parquet(table)
        return
    rows = (row for batch in table.to_batches(max_chunksize=10_000) for row in batch.to_pylist())
    write_rows(rows, view, table.column_names, main=main, kinds=kinds)


def numbered(columns: Iterable[str]) -> list[str]:
    """``columns`` as names of a row: a name that occurred before gets a number, as ``max``, ``max_2``."""
    names: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names


def _selected(rows: Iterable[Row], columns: Sequence[str] | None, view: View) -> tuple[Iterable[Row], Sequence[str] | None]:
    """The first rows and the fields that the view asks for. For a terminal rows are whole: a price is shown by its symbol."""
    if view.limit is not None:
        rows = islice(rows, view.limit)
    if not view.fields:
        return rows, columns
    rest = iter(rows)
    first = list(islice(rest, 1))
    if names := list(dict.fromkeys(chain(columns or (), *first))):
        view.check(names)
    rows = chain(first, rest)
    return (rows if view.on_terminal else ({name: row.get(name) for name in view.fields} for row in rows)), view.fields


def _json(row: Row) -> str:
    return json.dumps(json_values(row), ensure_ascii=False)


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
        writer.writerow([value if isinstance(value, Decimal) and value.is_finite() else json_value(value) for value in values])


def _arrow(rows: list[Row], names: list[str], types: Mapping[str, type | ZoneInfo]) -> pa.Table:
    import pyarrow as pa

    known: dict[Any, Any] = {str: pa.string(), int: pa.int64(), float: pa.float64(), date: pa.date32()}
    columns = {}
    for name in rows[0] if rows else names:
        given = types.get(name)
        kind = pa.timestamp("us", str(given)) if isinstance(given, ZoneInfo) else known.get(given)
        columns[name] = pa.array([row.get(name) for row in rows], kind)
    return pa.table(columns)


def _write_parquet(table: pa.Table) -> None:
    if sys.stdout.isatty():
        raise UsageError("Parquet is bytes, and stdout is a terminal", hint="send it to a file: … -o parquet > out.parquet")
    import pyarrow as pa
    import pyarrow.parquet

    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table.rename_columns(numbered(table.column_names)), sink, compression="zstd")
    sys.stdout.buffer.write(sink.getvalue())


def _write_table(rows: list[Row], names: list[str]) -> None:
    """A table for a pipe: every column, every cell whole, whatever the width."""
    # Not ``is_numeric``: scripts rely on where the columns of a pipe stand.
    numeric = [all(isinstance(row.get(name), int | float | None) for row in rows) for name in names]
    lines = [names, *([plain(row.get(name)).replace("\n", " ") for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _write_markdown(rows: list[Row], names: list[str]) -> None:
    """A pipe table of Markdown, its text literal; every cell whole, as in a pipe."""
    if not names:
        return
    numeric = [is_numeric(row.get(name) for row in rows) for name in names]
    sys.stdout.write(_markdown_line(map(_markdown, names)))
    sys.stdout.write(_markdown_line("---:" if right else "---" for right in numeric))
    for row in rows:
        sys.stdout.write(_markdown_line(_markdown(plain(row.get(name))) for name in names))


def _markdown_line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _markdown(text: str) -> str:
    escaped = "".join(f"\\{char}" if char in "\\`*_[]<>|" else char for char in text)
    return "<br>".join(escaped.splitlines())
