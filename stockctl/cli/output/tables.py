"""Tables and records on a terminal: what fits its width, on one line each, with the rest named on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from stockctl.cli.output.columns import LINKS, kind_of
from stockctl.cli.output.messages import say
from stockctl.cli.output.numbers import cell, literal
from stockctl.cli.output.table_plan import GAP, LEAST, cut, fixes_of, plan_table, whole_time, worth_showing
from stockctl.cli.output.terminal import Style, terminal_width
from stockctl.cli.output.view import View
from stockctl.cli.output.wrap import wrapped
from stockctl.units import counted

Row = Mapping[str, Any]

_INDENT = " " * 8
"""Before text that stands below its row."""


def write_table(rows: Sequence[Row], names: Sequence[str], main: Sequence[str], view: View, *, kinds: bool) -> None:
    """Write ``rows`` to the terminal at stdout, as many of the columns ``names`` as fit; the rest is named on stderr.

    ``main`` are the most important columns. Without ``kinds`` the names are the user's own. Unless the user has
    chosen the columns, empty ones are dropped, and fixes are written whole on stderr, below the table.
    """
    style = Style.of_terminal()
    width = terminal_width(sys.stdout)
    chosen = view.wide or bool(view.fields) or not kinds
    plan = plan_table(
        rows,
        names if chosen else worth_showing(rows, names),
        main,
        width=None if view.wide else width,
        kinds=kinds,
        links=style.render is not None,
    )
    sys.stdout.write(style.bold(_line([column.fit(column.header) for column in plan.columns])) + "\n")
    for number, row in enumerate(rows):
        parts = [[style.link(line, row.get(column.link)) for line in column.lines(number)] for column in plan.columns]
        blanks = [" " * column.width for column in plan.columns]
        for place in range(max(map(len, parts), default=0)):
            cells = (lines[place] if place < len(lines) else blank for lines, blank in zip(parts, blanks, strict=True))
            sys.stdout.write(_line(cells) + "\n")
        for text in filter(None, (column.cells[number] for column in plan.below)):
            sys.stdout.writelines(f"{_INDENT}{line}\n" for line in wrapped(text, width - len(_INDENT)))
    if plan.note:
        sys.stdout.write(cut(plan.note, width) + "\n")
    sys.stdout.flush()
    shortened = [column.name for column in plan.columns if column.is_cut]
    if rows and (plan.left_out or shortened):
        _say_what_is_missing(plan.left_out, shortened, width)
    for fix, labels in ({} if chosen else fixes_of(rows, names)).items():
        say(f"fix for {', '.join(labels)}: {fix}")


def write_record(row: Row, names: Sequence[str]) -> None:
    """Write the fields ``names`` of a record to the terminal at stdout, one line each; long values continue below."""
    from rich.cells import cell_len

    style = Style.of_terminal()
    label = max(map(cell_len, names), default=0)
    room = max(terminal_width(sys.stdout) - label - GAP, LEAST)
    for name in names:
        value, kind = row[name], kind_of(name.rpartition(".")[2])
        text = whole_time(value, kind) if isinstance(value, datetime) else cell(value, kind, row)
        first, *more = wrapped(text, room)
        link = row.get(LINKS.get(name, ""))
        sys.stdout.write(f"{style.bold(name)}{' ' * (label - cell_len(name) + GAP)}{style.link(first, link)}".rstrip() + "\n")
        sys.stdout.writelines(f"{' ' * (label + GAP)}{part}\n" for part in more)
    sys.stdout.flush()


def _line(cells: Iterable[str]) -> str:
    return (" " * GAP).join(cells).rstrip()


def _say_what_is_missing(left_out: Sequence[str], shortened: Sequence[str], width: int) -> None:
    """Name on stderr what a table leaves out, on one line that fits."""
    for end in range(len(left_out), -1, -1):
        names = ", ".join(map(literal, left_out[:end]))
        if end < len(left_out):
            names = f"{names} and {len(left_out) - end} more" if end else counted(len(left_out), "column")
        parts = [f"left out: {names}" if left_out else "", f"cut: {', '.join(map(literal, shortened))}" if shortened else ""]
        line = f"{'; '.join(filter(None, parts))} (--wide shows all)"
        if len(line) <= width:
            break
    say(line)
