"""The names that Redshift gives to columns without an alias. Its rules are those of PostgreSQL 8, and not DuckDB's.

A function call has the function's name, a column its own, also in parentheses or a CAST; a CAST of anything else has the name
of the type. A CASE has the name of its ELSE if that is a column or a function, otherwise ``case``; the rest is ``?column?``.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlglot import exp

NAMELESS = "?column?"

_REPLACED = {
    "nvl": "coalesce",
    "dateadd": "date_add",
    "datediff": "date_diff",
    "getdate": "timestamp",
    "trim": "btrim",
}
"""Functions that Redshift replaces, as the results in its documentation show."""
_SPECIAL_SYNTAX: dict[type[exp.Expr], str] = {
    exp.Substring: "substring",
    exp.StrPosition: "position",
    exp.Extract: "date_part",
    exp.GroupConcat: "listagg",
    exp.CurrentDate: "date",
}
"""Functions with a syntax of their own, such as EXTRACT(… FROM …): the parser does not report their position."""
_TRIMMED = {"LEADING": "ltrim", "TRAILING": "rtrim"}
_TYPES = {
    exp.DataType.Type.SMALLINT: "int2",
    exp.DataType.Type.INT: "int4",
    exp.DataType.Type.BIGINT: "int8",
    exp.DataType.Type.DOUBLE: "float8",
    exp.DataType.Type.BOOLEAN: "bool",
}
"""Types with another internal name."""


class _Name(NamedTuple):
    """A name, and whether it takes precedence over a CAST or a CASE around it."""

    text: str
    strong: bool = True


def name_columns(query: exp.Expr, text: str) -> None:
    """Give each column without an alias in ``query``, parsed from ``text``, the name that Redshift would give it."""
    for select in query.find_all(exp.Select):
        for column in select.expressions:
            if not isinstance(column, exp.Alias | exp.Column | exp.Star):
                name = _name(column, text)
                column.replace(exp.alias_(column.copy(), name.text if name else NAMELESS, quoted=True))


def folded(name: str) -> str:
    """An alias as Redshift returns it: ASCII letters in lower case, quoted or not."""
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
    if "start" in part.meta:  # the position of the name in the text: the parser turns LEN into LENGTH
        written = text[part.meta["start"] : part.meta["end"] + 1].lower()
        return _Name(_REPLACED.get(written, written))
    if isinstance(part, exp.Trim):
        return _Name(_TRIMMED.get(part.args.get("position") or "", "btrim"))
    if isinstance(part, exp.CurrentTimestamp):
        return _Name("timestamp" if part.args.get("sysdate") else "timestamptz")
    special = _SPECIAL_SYNTAX.get(type(part))
    return _Name(special) if special else None
