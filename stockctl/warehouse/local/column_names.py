"""What Redshift calls a column that no alias names: it took the rules over from PostgreSQL 8, DuckDB has others.

A function's column has the function's name, a column's its own, also in parentheses or a CAST; a CAST of anything else has that
of the type. A CASE is called as its ELSE if that is a column or a function, ``case`` otherwise; all else ``?column?``.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlglot import exp

NAMELESS = "?column?"

_OTHERWISE = {
    "nvl": "coalesce",
    "dateadd": "date_add",
    "datediff": "date_diff",
    "getdate": "timestamp",
    "trim": "btrim",
}
"""Functions that are others there, as the answers in Redshift's documentation show."""
_SPELLED: dict[type[exp.Expr], str] = {
    exp.Substring: "substring",
    exp.StrPosition: "position",
    exp.Extract: "date_part",
    exp.GroupConcat: "listagg",
    exp.CurrentDate: "date",
}
"""What is written with words of its own, as EXTRACT(… FROM …): the parser tells no place of it."""
_TRIMMED = {"LEADING": "ltrim", "TRAILING": "rtrim"}
_TYPES = {
    exp.DataType.Type.SMALLINT: "int2",
    exp.DataType.Type.INT: "int4",
    exp.DataType.Type.BIGINT: "int8",
    exp.DataType.Type.DOUBLE: "float8",
    exp.DataType.Type.BOOLEAN: "bool",
}
"""Types that have another name inside."""


class _Name(NamedTuple):
    """A name, and whether it stands against that of a CAST or a CASE around it."""

    text: str
    strong: bool = True


def name_columns(query: exp.Expr, text: str) -> None:
    """Make Redshift's name the alias of each column, of all SELECTs of ``query``, parsed from ``text``, that has none."""
    for select in query.find_all(exp.Select):
        for column in select.expressions:
            if not isinstance(column, exp.Alias | exp.Column | exp.Star):
                found = _name(column, text)
                column.replace(exp.alias_(column.copy(), found.text if found else NAMELESS, quoted=True))


def folded(name: str) -> str:
    """An alias as Redshift answers with it: letters of ASCII in small, quoted or not."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def _name(part: exp.Expr | None, text: str) -> _Name | None:
    if isinstance(part, exp.Paren | exp.Window | exp.WithinGroup | exp.IgnoreNulls):
        return _name(part.this, text)
    if isinstance(part, exp.Column):
        return _Name(folded(part.name))
    if isinstance(part, exp.Boolean):
        return _Name("bool", strong=False)
    if isinstance(part, exp.Interval):
        return _Name("interval", strong=False)
    if isinstance(part, exp.Cast):
        inner = _name(part.this, text)
        return inner if inner and inner.strong else _Name(_TYPES.get(part.to.this, part.to.this.value.lower()), strong=False)
    if isinstance(part, exp.Case | exp.Nvl2):
        inner = _name(part.args.get("default" if isinstance(part, exp.Case) else "false"), text)
        return inner if inner and inner.strong else _Name("case", strong=False)
    return _function(part, text)


def _function(part: exp.Expr | None, text: str) -> _Name | None:
    if part is None or isinstance(part, exp.Literal):
        return None
    if "start" in part.meta:  # the place of its name as written: the parser takes LEN for LENGTH
        written = text[part.meta["start"] : part.meta["end"] + 1].lower()
        return _Name(_OTHERWISE.get(written, written))
    if isinstance(part, exp.Trim):
        return _Name(_TRIMMED.get(part.args.get("position") or "", "btrim"))
    if isinstance(part, exp.CurrentTimestamp):
        return _Name("timestamp" if part.args.get("sysdate") else "timestamptz")
    spelled = _SPELLED.get(type(part))
    return _Name(spelled) if spelled else None
