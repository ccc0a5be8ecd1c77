"""The plan of a table on a terminal: which columns it shows, how wide, and what their cells say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from stockctl.cli.output.columns import FIX, HEADERS, IN_SQL, LINKS, Kind, kind_of
from stockctl.cli.output.numbers import aligned, cell, is_number, is_numeric, literal, sizes
from stockctl.cli.output.wrap import wrapped

Row = Mapping[str, Any]

GAP = 2
"""Blanks between two columns."""
LEAST = 16
"""Fewest cells of a text that is cut."""
_LEAST_WRAPPED = 22
"""Fewest cells of a text that continues below itself."""
_MARK = "…"
_DATE_AND_TIME = "%Y-%m-%d %H:%M:%S"
_NUMBER = re.compile(r"[-\d.,\s]*")
"""Amounts of filings come as text."""


@dataclass(frozen=True)
class Column:
    """A column of a table, with its cells as text.

    ``width`` is what it gets, ``widest`` what its widest cell needs, and ``least`` what it can be cut to. ``link`` names the
    column that has the addresses of its cells, if any.
    """

    name: str
    header: str
    kind: Kind | None
    cells: list[str]
    right: bool
    width: int
    widest: int
    least: int
    link: str

    @property
    def is_cut(self) -> bool:
        """Whether a cell is wider than the column, and does not continue below itself."""
        return self.width < self.widest and self.kind is not Kind.whole

    def lines(self, number: int) -> list[str]:
        """The lines of a cell, as wide as the column."""
        text = self.cells[number]
        return [self.fit(line) for line in (wrapped(text, self.width) if self.kind is Kind.whole else [text])]

    def fit(self, text: str) -> str:
        """``text`` as wide as the column."""
        from rich.cells import cell_len

        text = cut(text, self.width)
        blanks = " " * (self.width - cell_len(text))
        return blanks + text if self.right else text + blanks


@dataclass(frozen=True)
class Plan:
    """The columns that a table shows, and those whose cells stand ``below`` their rows.

    Also the names of those that it leaves out, and the ``note`` below it, where it needs one.
    """

    columns: list[Column]
    below: list[Column]
    left_out: list[str]
    note: str


def plan_table(
    rows: Sequence[Row], names: Sequence[str], main: Sequence[str], *, width: int | None, kinds: bool, links: bool
) -> Plan:
    """Plan a table of ``rows``, with as many of the columns ``names`` as fit ``width``, in the order of ``names``.

    ``main`` are the most important ones, the first before all others; the rest follows in the order of ``names``. No ``width``
    shows every column and cell, however long the lines get. Without ``kinds`` the names are the user's own. With
    ``links`` a cell carries its address: the column of addresses needs no room.
    """
    hidden = {LINKS[name] for name in names if name in LINKS} - set(main) if kinds and links and width is not None else set()
    ranked = [name for name in dict.fromkeys((*main, *names)) if name in names and name not in hidden]
    for dated in (True, False) if "trade_date" in names else (False,):
        times = _Times(rows, names, dated=dated)
        columns = {name: _column(rows, name, kinds, times) for name in names}
        widths = {name: columns[name].widest for name in names} if width is None else _fit(columns, ranked, len(main), width)
        if "trade_date" in widths:
            break
    shown = [replace(columns[name], width=widths[name]) for name in names if name in widths]
    below = [columns[name] for name in names if name not in widths and columns[name].kind is Kind.below]
    left_out = [name for name in names if name not in widths and columns[name] not in below]
    return Plan(shown, below, left_out, times.note(widths))


def worth_showing(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """``names`` without the columns that have no value in any row, and without fixes, which are too long for a table."""
    return [name for name in names if name != FIX and (not rows or any(row.get(name) not in (None, "") for row in rows))]


def fixes_of(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[str]]:
    """The things that each fix is for, by their key columns, in the order of the rows."""
    labels = [name for name in names if kind_of(name) is Kind.key and name in ("kind", "name", "system", "part", "service")]
    fixes: dict[str, list[str]] = {}
    for row in rows if FIX in names else ():
        if row.get(FIX):
            fixes.setdefault(str(row[FIX]), []).append(" ".join(str(row[name]) for name in labels if row.get(name)))
    return fixes


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells, with a mark at its end where something is missing."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + _MARK


def _column(rows: Sequence[Row], name: str, kinds: bool, times: _Times) -> Column:
    from rich.cells import cell_len

    kind = kind_of(name) if kinds or name in IN_SQL else None
    values = [row.get(name) for row in rows]
    if kind is None and not kinds:
        cells = aligned(values)
    elif kind is Kind.bytes:
        cells = sizes(values)
    else:
        cells = [cell(value, kind, row) for value, row in zip(values, rows, strict=True)]
    cells = [
        times.cell(value, kind) if isinstance(value, datetime) else text for value, text in zip(values, cells, strict=True)
    ]
    header = literal(HEADERS.get(name, name) if kind is not None else name)
    widest = max(cell_len(header), *map(cell_len, cells), 0)
    known = [value for value in values if value is not None]
    exact = bool(known) and all(is_number(value) or isinstance(value, date) for value in known)
    fixed = kind not in (None, Kind.text, Kind.whole) or exact or all(_NUMBER.fullmatch(text) for text in cells)
    least = widest if fixed else min(widest, max(cell_len(header), _LEAST_WRAPPED if kind is Kind.whole else LEAST))
    link = LINKS.get(name, "") if kind is not None else ""
    return Column(name, header, kind, cells, is_numeric(values), widest, widest, least, link)


def _fit(columns: Mapping[str, Column], ranked: Sequence[str], main: int, width: int) -> dict[str, int]:
    """The width of each column that fits, by name. The first ``main`` get all that they can use before any other column.

    The first of all is shown in any case. Where it is wider than the terminal, it is cut to half of that.
    """
    widths: dict[str, int] = {}
    room = width + GAP
    for group in (ranked[:main], ranked[main:]):
        for name in group:
            least = columns[name].widest if not widths else columns[name].least  # the first says what a row is about
            if not widths and least > width:
                least = width // 2
            if least + GAP <= room:
                widths[name] = least
                room -= least + GAP
        for name in sorted((name for name in group if name in widths), key=lambda name: columns[name].widest):
            more = min(max(columns[name].widest - widths[name], 0), room)
            if columns[name].least <= widths[name]:
                widths[name] += more
                room -= more
    return widths


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
        self._format = "%H:%M:%S" if self._day is not None or dated else _DATE_AND_TIME
        self._times = {name for name in names if any(isinstance(row.get(name), datetime) for row in rows)}

    def cell(self, value: datetime, kind: Kind | None) -> str:
        text = _clock(value, kind, self._format)
        return text if self._zone is not None else f"{text} {_zone_name(value)}".rstrip()

    def note(self, shown: Mapping[str, int]) -> str:
        """What the times leave out: their zone, and the date that all of them have."""
        parts = [str(self._day or ""), self._zone or ""] if self._times & shown.keys() else []
        known = ", ".join(filter(None, parts))
        return f"times: {known}" if known else ""


def whole_time(value: datetime, kind: Kind | None) -> str:
    """A time with its date and zone, as it stands alone."""
    return f"{_clock(value, kind, _DATE_AND_TIME)} {_zone_name(value)}".rstrip()


def _clock(value: datetime, kind: Kind | None, form: str) -> str:
    text = f"{value:{form}}"
    return f"{text}.{value.microsecond // 1000:03}" if kind is Kind.timestamp else text


def _zone_name(value: datetime) -> str:
    return getattr(value.tzinfo, "key", None) or value.tzname() or ""
