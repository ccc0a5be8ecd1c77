"""Redshift's SQL carried over to DuckDB: what means the same there is translated, everything else is refused by its name.

Both know most functions and operators, and some of them mean different things. So only those on a list are let through; it
holds what was looked at, with what speaks against the others.
"""

from __future__ import annotations

import re

import sqlglot
from sqlglot import exp
from sqlglot.errors import OptimizeError, ParseError, SchemaError, TokenError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from stockctl.errors import UsageError
from stockctl.warehouse.local.column_names import name_columns
from stockctl.warehouse.local.type_inference import Kind, Kinds

_FUNCTIONS = {
    "Abs", "And", "Avg", "Between", "Case", "Cast", "Ceil", "Coalesce", "Count", "CountIf", "CumeDist", "CurrentDate",
    "CurrentTimestamp", "DPipe", "DenseRank", "Exp", "Extract", "FirstValue", "Floor", "Greatest", "GroupConcat", "If", "Lag",
    "LastValue", "Lead", "Least", "Left", "Length", "Ln", "Log", "Lower", "Max", "Median", "Min", "Mod", "Ntile", "Nullif",
    "Nvl2", "Or", "PercentRank", "Pow", "Rank", "Replace", "Right", "Round", "RowNumber", "Sign", "SplitPart", "Sqrt", "Stddev",
    "StddevPop", "StddevSamp", "StrPosition", "Substring", "Sum", "TimeToStr", "TimestampTrunc", "Trim", "Trunc", "TsOrDsAdd",
    "TsOrDsDiff", "Upper", "Variance", "VariancePop",
}  # fmt: skip
_PARTS = {
    "Add", "Alias", "All", "Any", "Boolean", "CTE", "Column", "Cube", "DataType", "DataTypeParam", "Distinct", "Div", "EQ",
    "Escape", "Except", "Exists", "From", "GT", "GTE", "Group", "GroupingSets", "Having", "ILike", "Identifier",
    "IgnoreNulls", "In", "Intersect", "Interval", "Is", "Join", "LT", "LTE", "Like", "Limit", "Literal", "Mul", "NEQ",
    "Neg", "Not", "Null", "Offset", "Order", "Ordered", "Paren", "Qualify", "Rollup", "Select", "Star", "Sub", "Subquery",
    "Table", "TableAlias", "Tuple", "Union", "Var", "Where", "Window", "WindowSpec", "With", "WithinGroup",
}  # fmt: skip
"""What a SELECT consists of beside functions."""
_REASONS = {
    "ApproxDistinct": "APPROXIMATE COUNT(DISTINCT) estimates, each engine in its own way: leave APPROXIMATE out",
    "Concat": "CONCAT is null in Redshift where one text is null, in DuckDB not: use ||",
    "DecodeCase": "DECODE finds nulls equal in Redshift: use CASE",
    "RegexpILike": "~*, whose patterns are of another kind there: use ILIKE",
    "RegexpLike": "~, whose patterns are of another kind there: use LIKE",
    "SimilarTo": "SIMILAR TO, whose patterns are of another kind there: use LIKE",
}
_TYPES = {
    exp.DataType.Type.DOUBLE, exp.DataType.Type.DATE, exp.DataType.Type.TIMESTAMP, exp.DataType.Type.BOOLEAN,
    exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT,
    exp.DataType.Type.SMALLINT, exp.DataType.Type.INT, exp.DataType.Type.BIGINT,
}  # fmt: skip
"""To what a CAST goes: a DECIMAL that names no scale has none in Redshift, and three digits in DuckDB."""
_WHOLE = (exp.Round, exp.Floor, exp.Ceil, exp.Trunc)
_TEXTS = (exp.Left, exp.Right, exp.Replace, exp.SplitPart)
"""Functions of texts whose type is not told otherwise."""
_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between, exp.Case, exp.Nullif)
_MOMENT = re.compile(r"epoch|\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?", re.ASCII)
_FORMATS = {"%Y", "%m", "%d", "%H", "%M", "%S"}
_UNITS = {"second", "minute", "hour", "day", "month", "quarter", "year"}

Schema = dict[str, dict[str, dict[str, str]]]
"""Columns' types in Redshift, by schema, table and column."""


def carried(text: str, known: Schema) -> str:
    """The SELECT ``text`` in DuckDB's dialect, with the names of columns that Redshift gives.

    UsageError for SQL that is wrong, and for what means something else there.
    """
    query = _parsed(text)
    name_columns(query, text)
    _check_tables(query, known)
    for part in query.walk():
        _check(part)
    _check_types(query, known)
    for listed in list(query.find_all(exp.GroupConcat)):
        _carry_list(listed)
    return query.sql("duckdb", comments=False)


def refused(what: str) -> UsageError:
    """The error for what cannot be carried over."""
    return UsageError(f"this cannot be carried over to the lake: {what}", hint="leave --local out: Redshift itself answers it")


def _parsed(text: str) -> exp.Query:
    try:
        _check_words(text)
        parsed = sqlglot.parse(text, read="redshift")
    except TokenError as error:
        raise UsageError(f"this is no SQL that Redshift reads: {error}") from None
    except ParseError as error:
        told = error.errors[0] if error.errors else {}
        place = f" in line {told['line']}, column {told['col']}" if told else ""
        raise UsageError(f"this is no SQL that Redshift reads{place}: {told.get('description') or error}") from None
    # A comment behind the last semicolon comes as a statement of its own.
    found = [statement for statement in parsed if statement is not None and not isinstance(statement, exp.Semicolon)]
    if len(found) != 1 or not isinstance(found[0], exp.Query):
        raise UsageError("this is not one statement that reads", hint="--local takes one SELECT")
    return found[0]


def _check_tables(query: exp.Query, known: Schema) -> None:
    """Only the tables and views of the two schemas, by their full names: as in Redshift, whose search path has neither."""
    own = {cte.alias for cte in query.find_all(exp.CTE)}
    for table in query.find_all(exp.Table):
        if isinstance(table.this, exp.Func):
            continue  # refused by its name
        if table.db not in known or table.name not in known[table.db]:
            if not table.db and table.name in own:
                continue
            names = ", ".join(f"{schema}.{name}" for schema, tables in known.items() for name in tables)
            raise UsageError(f"there is no {table.sql('redshift')}", hint=f"there are {names}")


def _check_words(text: str) -> None:
    """Refuse what the parsed query does not tell any more."""
    for token in sqlglot.tokenize(text, read="redshift"):
        if token.token_type.name == "STRING":
            if "\\" in text[token.start : token.end + 1]:
                raise refused("a backslash in a text, which is an escape in Redshift: ESCAPE '!' names another for LIKE")
        elif token.text.upper() in ("DATE_PART", "PGDATE_PART"):
            raise refused("DATE_PART, whose seconds have decimals in Redshift: use EXTRACT")


def _check(part: exp.Expr) -> None:
    kind = type(part).__name__
    if isinstance(part, exp.Anonymous):
        raise refused(f"the function {part.name.upper()}")
    if kind not in _FUNCTIONS | _PARTS:
        what = f"the function {part.sql_name()}" if isinstance(part, exp.Func) else part.key.upper()
        raise refused(_REASONS.get(kind, what))
    if isinstance(part, exp.Like | exp.ILike) and not part.expression.is_string:
        raise refused("LIKE with a pattern that is no plain text, in which a backslash is an escape in Redshift")
    if isinstance(part, exp.Substring):
        _check_substring(part)
    if isinstance(part, exp.Left | exp.Right) and not _at_least(part.expression, 0):
        raise refused(f"{part.sql_name()} of what is no number from 0 on")
    if isinstance(part, exp.SplitPart) and not _at_least(part.args["part_index"], 1):
        raise refused("SPLIT_PART of a part that is no number from 1 on")
    if isinstance(part, exp.Cast):
        _check_target(part)
    if isinstance(part, exp.TimeToStr):
        pattern = part.args["format"].name
        codes = {pattern[place : place + 2] for place in range(len(pattern)) if pattern[place] == "%"}
        left = pattern
        for code in codes:
            left = left.replace(code, "")
        if not codes <= _FORMATS or any(letter.isalpha() for letter in left):
            raise refused("TO_CHAR with another format than of YYYY, MM, DD, HH24, MI and SS")
    if isinstance(part, exp.TimestampTrunc | exp.TsOrDsAdd | exp.TsOrDsDiff | exp.Extract):
        unit = part.args.get("unit") or part.this
        known = _UNITS | ({"dayofweek", "dow"} if isinstance(part, exp.Extract) else set())
        if str(unit.name).lower() not in known:
            raise refused(f"the part of a date {unit.name}, which begins or counts otherwise there")


def _check_substring(part: exp.Substring) -> None:
    """From 1 on alone: what lies before a text's start counts as characters in Redshift, and from the text's end in DuckDB."""
    start, length = part.args.get("start"), part.args.get("length")
    after = isinstance(start, exp.Add) and isinstance(start.this, exp.StrPosition) and _at_least(start.expression, 1)
    if not (after or _at_least(start, 1)):
        raise refused("SUBSTRING from what is no number from 1 on, nor STRPOS(…) + 1")
    if length is not None and not _at_least(length, 0):
        raise refused("SUBSTRING of a length that is no number from 0 on")


def _check_target(cast: exp.Cast) -> None:
    target = cast.to
    if target.this in exp.DataType.TEXT_TYPES and target.expressions:
        raise refused(f"CAST to {target.sql('redshift')} cuts texts in Redshift, and not in DuckDB: use LEFT")
    if target.this not in _TYPES:
        raise refused(f"CAST to {target.sql('redshift')}, which has other digits or another meaning there")


def _at_least(number: object, least: int) -> bool:
    return isinstance(number, exp.Literal) and number.is_int and int(number.name) >= least


def _check_types(query: exp.Query, known: Schema) -> None:
    """Refuse what depends on a type in which the engines differ, as AVG of integers, and floats cast to integers or texts."""
    try:
        types: dict[str, object] = dict(known)
        full = qualify(query.copy(), schema=types, dialect="redshift", validate_qualify_columns=False)
        typed = annotate_types(full, schema=types)
    except (OptimizeError, SchemaError) as error:
        raise UsageError(f"this is no SQL that Redshift reads: {error}") from None
    kinds = Kinds(typed)
    for average in typed.find_all(exp.Avg):
        if kinds.of(average.this) is not Kind.DOUBLE:
            raise refused("AVG of what may be an integer or a decimal, which Redshift cuts: AVG(CAST(… AS DOUBLE PRECISION))")
    for median in typed.find_all(exp.Median):
        if kinds.of(median.this) is not Kind.DOUBLE:
            raise refused("MEDIAN of what may be no double, and is of another type there: CAST it to DOUBLE PRECISION")
    for added in typed.find_all(exp.TsOrDsAdd):
        if kinds.of(added.expression) is not Kind.INTEGER:
            raise refused("DATEADD of what may be no integer, which Redshift cuts")
    for cast in typed.find_all(exp.Cast):
        _check_cast(cast, kinds)
    for joined in typed.find_all(exp.DPipe):
        if not (_is_text(joined.left, kinds) and _is_text(joined.right, kinds)):
            raise refused("|| of what may be no text, integer or date, and is written otherwise there: use TO_CHAR")
    for listed in typed.find_all(exp.GroupConcat):
        _check_list(listed, kinds)
    for division in typed.find_all(exp.Div):
        _check_division(division, kinds)
    for compared in typed.find_all(*_COMPARED):
        _check_comparison(compared, kinds)


def _check_cast(cast: exp.Cast, kinds: Kinds) -> None:
    inner, target = cast.this.unnest(), cast.to.this
    if target in exp.DataType.INTEGER_TYPES:
        if _type(inner) in exp.DataType.TEXT_TYPES:
            raise refused("a CAST of a text to an integer: Redshift refuses '1.5', and DuckDB rounds it")
        whole = isinstance(inner, _WHOLE) and not inner.args.get("decimals")
        if not (_is_integer(inner, kinds) or whole):
            raise refused(
                "a CAST of what may have decimals to an integer, which rounds otherwise there: use ROUND or FLOOR first"
            )
    if target in exp.DataType.TEXT_TYPES and not _is_text(inner, kinds):
        raise refused("a CAST to text of what may be no text, integer or date, and is written otherwise there: use TO_CHAR")
    if target in exp.DataType.TEMPORAL_TYPES and inner.is_string and not _MOMENT.fullmatch(inner.name):
        raise refused(f"the date '{inner.name}', which may mean another one there: write it as 2026-11-23")


def _check_list(listed: exp.GroupConcat, kinds: Kinds) -> None:
    *items, separator = _listed(listed)
    if not all(_is_text(item, kinds) for item in items):
        raise refused("LISTAGG of what may be no text, integer or date, and is written otherwise there")
    if separator is not None and not separator.is_string:
        raise refused("LISTAGG with a separator that is no plain text")


def _listed(listed: exp.GroupConcat) -> tuple[exp.Expr, exp.Expr | None]:
    """What a LISTAGG lists, and its separator, which the parser takes for a second distinct value."""
    inner = listed.this
    if not isinstance(inner, exp.Distinct):
        return inner, listed.args.get("separator")
    return inner.expressions[0], inner.expressions[1] if len(inner.expressions) > 1 else listed.args.get("separator")


def _carry_list(listed: exp.GroupConcat) -> None:
    """Separate by nothing unless told, and leave out empty texts, as Redshift does."""
    item, separator = _listed(listed)
    if isinstance(listed.this, exp.Distinct):
        listed.this.set("expressions", [item])
    listed.set("separator", separator or exp.Literal.string(""))
    whole = listed.parent if isinstance(listed.parent, exp.WithinGroup) else listed
    filled = exp.NEQ(this=exp.cast(item.copy(), exp.DataType.Type.TEXT), expression=exp.Literal.string(""))
    whole.replace(exp.Filter(this=whole.copy(), expression=exp.Where(this=filled)))


def _check_division(division: exp.Div, kinds: Kinds) -> None:
    """Refuse decimals, which Redshift divides to a few digits. A double on either side makes it a division of doubles."""
    sides = {kinds.of(division.left), kinds.of(division.right)}
    if Kind.DOUBLE in sides or sides == {Kind.INTEGER}:
        return
    if Kind.OTHER in sides:
        raise refused("a division of what may be no integer there, as FLOOR of one is: CAST one side to DOUBLE PRECISION")
    if Kind.DECIMAL in sides:
        raise refused("a division of decimals, which Redshift cuts to a few digits: CAST one to DOUBLE PRECISION")
    raise refused("a division of a SUM of integers, which may be a decimal in Redshift: CAST it to DOUBLE PRECISION")


def _check_comparison(compared: exp.Expr, kinds: Kinds) -> None:
    sides = [side.unnest() for side in _sides(compared)]
    types = {_type(side) for side in sides if not side.is_string}
    if types & exp.DataType.TEXT_TYPES and types & exp.DataType.NUMERIC_TYPES:
        raise refused("a comparison of a text with a number, which is one of texts or of numbers: CAST one of them")
    for side in sides:
        if side.is_string and types & exp.DataType.TEMPORAL_TYPES and not _MOMENT.fullmatch(side.name):
            raise refused(f"the date '{side.name}', which may mean another one there: write it as 2026-11-23")
        if any(value.is_string and value.name.endswith(" ") for value in kinds.values(side)):
            raise refused("a comparison with a text that ends in a blank, which does not count in Redshift")


def _sides(compared: exp.Expr) -> list[exp.Expr]:
    """What is compared with each other."""
    if not isinstance(compared, exp.Case):
        return list(compared.iter_expressions())
    return [compared.this, *(choice.this for choice in compared.args["ifs"])] if compared.this else []


def _is_integer(part: exp.Expr, kinds: Kinds) -> bool:
    return kinds.of(part) in (Kind.INTEGER, Kind.SUM)


def _is_text(part: exp.Expr, kinds: Kinds) -> bool:
    """Whether both engines write it with the same characters."""
    inner = part.unnest()
    same = _type(inner) in exp.DataType.TEXT_TYPES | {exp.DataType.Type.DATE}
    return same or _is_integer(inner, kinds) or isinstance(inner, (*_TEXTS, exp.Null))


def _type(part: exp.Expr) -> object:
    return part.type.this if part.type is not None else None
