"""Tables and records on a terminal: what fits its width, on one line each, with the rest named on stderr."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from stockctl.cli.output.columns import FIX, HEADERS, LINKS, Kind, kind_of
from stockctl.cli.output.messages import say
from stockctl.cli.output.numbers import cell, is_number, literal

Row = Mapping[str, Any]

GAP = 2
"""Blanks between two columns."""
_LEAST = 16
"""Fewest cells of a text that is cut."""
_MARK = "…"
_NUMBER = re.compile(r"[-\d.,\s]*")
"""Amounts of filings come as text."""


@dataclass(frozen=True)
class Column:
    """One column with its cells as text; ``width`` is that of its widest cell, ``least`` the width it can be cut to."""

    name: str
    header: str
    cells: list[str]
    right: bool
    width: int
    least: int


def write_table(
    rows: Sequence[Row], names: Sequence[str], main: Sequence[str], *, whole: bool, kinds: bool, chosen: bool = False
) -> None:
    """Write ``rows`` to the terminal at stdout, as many of the columns ``names`` as fit, in the order of ``names``.

    ``main`` are the most important ones, the first before all others; the rest follows in the order of ``names``. ``whole``
    shows every column and cell, however long the lines get. Without ``kinds`` the names say nothing about the values. Unless
    the user has ``chosen`` the columns, empty ones are dropped, and fixes are written whole on stderr, below the table.
    """
    from rich.cells import cell_len

    fixes: dict[str, list[str]] = {}
    if kinds and not (whole or chosen):
        fixes = _fixes(rows, names)
        names = [name for name in names if name != FIX and (not rows or any(row.get(name) not in (None, "") for row in rows))]
    width = _width()
    style = _Style.of_terminal()
    links = {name: LINKS[name] for name in names if kinds and LINKS.get(name) in names}
    # A link carries its address: the column of addresses needs no room of its own.
    hidden = set() if whole or style.render is None else set(links.values()) - set(main)
    ranked = [name for name in dict.fromkeys((*main, *names)) if name in names and name not in hidden]
    for dated in (True, False):
        times = _Times(rows, names, dated=dated)
        columns = {name: _column(rows, name, kind_of(name) if kinds else None, times) for name in names}
        widths = {name: column.width for name, column in columns.items()} if whole else _fit(columns, ranked, len(main), width)
        if "trade_date" in widths:
            break
    shown = [columns[name] for name in names if name in widths]
    sys.stdout.write(style.bold(_line([_padded(column, column.header, widths[column.name]) for column in shown])) + "\n")
    for number, row in enumerate(rows):
        cells = []
        for column in shown:
            text = _padded(column, column.cells[number], widths[column.name])
            cells.append(style.link(text, row.get(links[column.name])) if column.name in links else text)
        sys.stdout.write(_line(cells) + "\n")
    if note := times.note(widths):
        sys.stdout.write(_cut(note, width) + "\n")
    sys.stdout.flush()
    left_out = [name for name in names if name not in widths]
    cut = [column.name for column in shown if any(cell_len(text) > widths[column.name] for text in column.cells)]
    if left_out or cut:
        _say_what_is_missing(left_out, cut)
    for fix, labels in fixes.items():
        say(f"fix for {', '.join(labels)}: {fix}")


def write_record(row: Row) -> None:
    """Write one record to the terminal at stdout, one line per field; longer values continue below themselves."""
    from rich.cells import cell_len, chop_cells

    width = _width()
    style = _Style.of_terminal()
    label = max((cell_len(name) for name in row), default=0)
    room = max(width - label - GAP, _LEAST)
    for name, value in row.items():
        text = (
            f"{value:%Y-%m-%d %H:%M:%S %Z}".rstrip()
            if isinstance(value, datetime)
            else cell(value, kind_of(name.rpartition(".")[2]), row)
        )
        first, *more = chop_cells(text, room) or [""]
        link = next((row.get(address) for linked, address in LINKS.items() if linked == name), None)
        sys.stdout.write(f"{style.bold(name)}{' ' * (label - cell_len(name) + GAP)}{style.link(first, link)}".rstrip() + "\n")
        sys.stdout.writelines(f"{' ' * (label + GAP)}{part}\n" for part in more)
    sys.stdout.flush()


def _fixes(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[str]]:
    """The things that each fix is for, by their key columns, in the order of the rows."""
    labels = [name for name in names if kind_of(name) is Kind.key and name in ("kind", "name", "system", "part", "service")]
    fixes: dict[str, list[str]] = {}
    for row in rows if FIX in names else ():
        if row.get(FIX):
            fixes.setdefault(str(row[FIX]), []).append(" ".join(str(row[name]) for name in labels if row.get(name)))
    return fixes


def _column(rows: Sequence[Row], name: str, kind: Kind | None, times: _Times) -> Column:
    from rich.cells import cell_len

    values = [row.get(name) for row in rows]
    cells = [
        times.cell(value, kind, row) if isinstance(value, datetime) else cell(value, kind, row)
        for value, row in zip(values, rows, strict=True)
    ]
    header = literal(HEADERS.get(name, name) if kind is not None else name)
    width = max(cell_len(header), *map(cell_len, cells), 0)
    known = [value for value in values if value is not None]
    fixed = kind not in (None, Kind.text) or (known and all(is_number(value) or isinstance(value, date) for value in known))
    fixed = fixed or all(_NUMBER.fullmatch(text) for text in cells)
    least = width if fixed else min(width, max(cell_len(header), _LEAST))
    return Column(name, header, cells, bool(known) and all(map(is_number, known)), width, least)


def _fit(columns: Mapping[str, Column], ranked: Sequence[str], main: int, width: int) -> dict[str, int]:
    """The width of each column that fits, by name. The first ``main`` get all that they can use before any other column.

    The first of all is shown in any case. Where it is wider than the terminal, it is cut to half of that.
    """
    widths: dict[str, int] = {}
    room = width + GAP
    for group in (ranked[:main], ranked[main:]):
        for name in group:
            least = columns[name].width if not widths else columns[name].least  # the first says what a row is about
            if not widths and least > width:
                least = width // 2
            if least + GAP <= room:
                widths[name] = least
                room -= least + GAP
        for name in sorted((name for name in group if name in widths), key=lambda name: columns[name].width):
            more = min(max(columns[name].width - widths[name], 0), room)
            if columns[name].least <= widths[name]:
                widths[name] += more
                room -= more
    return widths


def _padded(column: Column, text: str, width: int) -> str:
    from rich.cells import cell_len

    text = _cut(text, width)
    blanks = " " * (width - cell_len(text))
    return blanks + text if column.right else text + blanks


def _cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells, with a mark at its end where something is missing."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + _MARK


def _width() -> int:
    """Columns of the terminal at stdout."""
    if (columns := os.environ.get("COLUMNS", "")).isdecimal() and int(columns):
        return int(columns)
    return os.get_terminal_size(sys.stdout.fileno()).columns or 80


def _line(cells: Sequence[str]) -> str:
    return (" " * GAP).join(cells).rstrip()


class _Times:
    """The times of a table: short ones where all have one date, and the zone once below the table.

    With ``dated`` the column ``trade_date`` can give each row its date.
    """

    def __init__(self, rows: Sequence[Row], names: Sequence[str], *, dated: bool) -> None:
        moments = [(row, value) for row in rows for name in names if isinstance(value := row.get(name), datetime)]
        zones = {_zone_name(value) for _, value in moments}
        days = {value.date() for _, value in moments}
        self._zone = zones.pop() if len(zones) == 1 else None
        self._day = days.pop() if len(days) == 1 else None
        dated = dated and "trade_date" in names and all(row.get("trade_date") == value.date() for row, value in moments)
        self._format = "%H:%M:%S" if self._day is not None or dated else "%Y-%m-%d %H:%M:%S"
        self._times = {name for name in names if any(isinstance(row.get(name), datetime) for row in rows)}

    def cell(self, value: datetime, kind: Kind | None, row: Row) -> str:
        text = f"{value:{self._format}}"
        if kind is Kind.timestamp:
            text += f".{value.microsecond // 1000:03}"
        return text if self._zone is not None else f"{text} {_zone_name(value)}".rstrip()

    def note(self, shown: Mapping[str, int]) -> str:
        """What the times leave out: their zone, and the date that all of them have."""
        if not self._times & shown.keys():
            return ""
        parts = [str(self._day)] if self._day is not None else []
        return f"times: {', '.join(filter(None, [*parts, self._zone]))}"


def _zone_name(value: datetime) -> str:
    return getattr(value.tzinfo, "key", None) or value.tzname() or ""


def _say_what_is_missing(left_out: Sequence[str], cut: Sequence[str]) -> None:
    """Name on stderr what a table leaves out, on one line that fits."""
    width = _width()
    for end in range(len(left_out), -1, -1):
        names = ", ".join(map(literal, left_out[:end])) + (f" and {len(left_out) - end} more" if end < len(left_out) else "")
        parts = [f"left out: {names}" if left_out else "", f"cut: {', '.join(map(literal, cut))}" if cut else ""]
        line = f"{'; '.join(filter(None, parts))} (--wide shows all)"
        if len(line) <= width:
            break
    say(line)


@dataclass(frozen=True)
class _Style:
    """Bold text and links, where the terminal takes them."""

    render: Callable[..., str] | None = None

    @classmethod
    def of_terminal(cls) -> _Style:
        if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
            return cls()
        from rich.color import ColorSystem
        from rich.style import Style

        return cls(lambda text, **style: Style(**style).render(text, color_system=ColorSystem.STANDARD))

    def bold(self, text: str) -> str:
        return text if self.render is None else self.render(text, bold=True)

    def link(self, text: str, address: Any) -> str:
        """``text`` as a link, blanks around it excepted."""
        bare = text.strip()
        if self.render is None or not bare or not _is_address(address):
            return text
        before, after = text.split(bare)[0], text.removeprefix(text.split(bare)[0] + bare)
        return before + self.render(bare, link=address) + after


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://")) and value.isascii() and value.isprintable()
