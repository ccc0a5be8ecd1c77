"""Translates Redshift SQL to DuckDB SQL if it means the same there, and rejects everything else by name.

Both have most functions and operators, but some mean different things. So only those that have been checked are accepted.
"""

from __future__ import annotations

import re

import sqlglot
from sqlglot import exp
from sqlglot.errors import OptimizeError, ParseError, SchemaError, TokenError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from stockctl.errors import UsageError
from stockctl.warehouse.redshift_on_duckdb.column_names import name_columns
from stockctl.warehouse.redshift_on_duckdb.type_inference import Kind, Kinds

FUNCTIONS: frozenset[type[exp.Expr]] = frozenset((
    exp.Abs, exp.And, exp.Avg, exp.Between, exp.Case, exp.Cast, exp.Ceil, exp.Coalesce, exp.Count, exp.CountIf, exp.CumeDist,
    exp.CurrentDate, exp.CurrentTimestamp, exp.DPipe, exp.DenseRank, exp.Exp, exp.Extract, exp.FirstValue, exp.Floor,
    exp.Greatest, exp.GroupConcat, exp.If, exp.Lag, exp.LastValue, exp.Lead, exp.Least, exp.Left, exp.Length, exp.Ln, exp.Log,
    exp.Lower, exp.Max, exp.Median, exp.Min, exp.Mod, exp.Ntile, exp.Nullif, exp.Nvl2, exp.Or, exp.PercentRank, exp.Pow,
    exp.Rank, exp.Replace, exp.Right, exp.Round, exp.RowNumber, exp.Sign, exp.SplitPart, exp.Sqrt, exp.Stddev, exp.StddevPop,
    exp.StddevSamp, exp.StrPosition, exp.Substring, exp.Sum, exp.TimeToStr, exp.TimestampTrunc, exp.Trim, exp.Trunc,
    exp.TsOrDsAdd, exp.TsOrDsDiff, exp.Upper, exp.Variance, exp.VariancePop,
))  # fmt: skip
"""Functions and operators that have been checked to mean the same in Redshift and in DuckDB."""
PARTS: frozenset[type[exp.Expr]] = frozenset((
    exp.Add, exp.Alias, exp.All, exp.Any, exp.Boolean, exp.CTE, exp.Column, exp.Cube, exp.DataType, exp.DataTypeParam,
    exp.Distinct, exp.Div, exp.EQ, exp.Escape, exp.Except, exp.Exists, exp.From, exp.GT, exp.GTE, exp.Group, exp.GroupingSets,
    exp.Having, exp.ILike, exp.Identifier, exp.IgnoreNulls, exp.In, exp.Intersect, exp.Interval, exp.Is, exp.Join, exp.LT,
    exp.LTE, exp.Like, exp.Limit, exp.Literal, exp.Mul, exp.NEQ, exp.Neg, exp.Not, exp.Null, exp.Offset, exp.Order,
    exp.Ordered, exp.Paren, exp.Qualify, exp.Rollup, exp.Select, exp.Star, exp.Sub, exp.Subquery, exp.Table, exp.TableAlias,
    exp.Tuple, exp.Union, exp.Var, exp.Where, exp.Window, exp.WindowSpec, exp.With, exp.WithinGroup,
))  # fmt: skip
"""The other parts of a SELECT."""
REASONS: dict[type[exp.Expr], str] = {
    exp.ApproxDistinct: "APPROXIMATE COUNT(DISTINCT) estimates, and each engine in its own way: leave APPROXIMATE out",
    exp.Concat: "CONCAT is null in Redshift if one text is null, but not in DuckDB: use ||",
    exp.DecodeCase: "DECODE treats nulls as equal in Redshift: use CASE",
    exp.RegexpILike: "~*, whose patterns differ in DuckDB: use ILIKE",
    exp.RegexpLike: "~, whose patterns differ in DuckDB: use LIKE",
    exp.SimilarTo: "SIMILAR TO, whose patterns differ in DuckDB: use LIKE",
}
"""Why some other functions are rejected, and what to use instead."""
_TYPES = {
    exp.DataType.Type.DOUBLE, exp.DataType.Type.DATE, exp.DataType.Type.TIMESTAMP, exp.DataType.Type.BOOLEAN,
    exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT,
    exp.DataType.Type.SMALLINT, exp.DataType.Type.INT, exp.DataType.Type.BIGINT,
}  # fmt: skip
"""The accepted targets of a CAST: a DECIMAL without a scale has none in Redshift, and three digits in DuckDB."""
_WHOLE = (exp.Round, exp.Floor, exp.Ceil, exp.Trunc)
_TEXTS = (exp.Left, exp.Right, exp.Replace, exp.SplitPart)
"""Functions of text for which sqlglot has no type."""
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between, exp.Case, exp.Nullif)
_MOMENT = re.compile(r"epoch|\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?", re.ASCII)
_FORMATS = {"%Y", "%m", "%d", "%H", "%M", "%S"}
_UNITS = {"second", "minute", "hour", "day", "month", "quarter", "year"}

Schema = dict[str, dict[str, dict[str, str]]]
"""The Redshift types of columns, by schema, table and column."""


def translate(text: str, schema: Schema) -> str:
    """The SELECT ``text`` in DuckDB's dialect, with the column names that Redshift would return.

    UsageError for invalid SQL, and for anything that means something else in DuckDB.
    """
    query = _parse(text)
    name_columns(query, text)
    _check_tables(query, schema)
    for part in query.walk():
        _check(part)
    _check_types(query, schema)
    for listagg in list(query.find_all(exp.GroupConcat)):
        _translate_listagg(listagg)
    return query.sql("duckdb", comments=False)


def unsupported(what: str) -> UsageError:
    """The error for SQL that means something else in DuckDB."""
    return UsageError(f"this SQL cannot run on the lake: {what}", hint="run it in Redshift itself, without --local")


def _parse(text: str) -> exp.Query:
    try:
        _check_tokens(text)
        parsed = sqlglot.parse(text, read="redshift")
    except TokenError as error:
        raise UsageError(f"invalid Redshift SQL: {error}") from None
    except ParseError as error:
        details = error.errors[0] if error.errors else {}
        position = f" in line {details['line']}, column {details['col']}" if details else ""
        raise UsageError(f"invalid Redshift SQL{position}: {details.get('description') or error}") from None
    # sqlglot returns a comment after the last semicolon as a statement.
    statements = [statement for statement in parsed if statement is not None and not isinstance(statement, exp.Semicolon)]
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise UsageError("this is not a single SELECT", hint="--local takes one SELECT")
    return statements[0]


def _check_tables(query: exp.Query, schema: Schema) -> None:
    """Only qualified tables and views of the two schemas: as in Redshift, whose search path has neither schema."""
    common_tables = {cte.alias for cte in query.find_all(exp.CTE)}
    for table in query.find_all(exp.Table):
        if isinstance(table.this, exp.Func):
            continue  # _check rejects it by name
        if table.db not in schema or table.name not in schema[table.db]:
            if not table.db and table.name in common_tables:
                continue
            names = ", ".join(f"{database}.{name}" for database, tables in schema.items() for name in tables)
            raise UsageError(f"there is no {table.sql('redshift')}", hint=f"use {names}")


def _check_tokens(text: str) -> None:
    """Reject what can be recognised only before parsing."""
    for token in sqlglot.tokenize(text, read="redshift"):
        if token.token_type.name == "STRING":
            if "\\" in text[token.start : token.end + 1]:
                raise unsupported("a backslash in a text, which is an escape character in Redshift: use ESCAPE '!' for LIKE")
        elif token.text.upper() in ("DATE_PART", "PGDATE_PART"):
            raise unsupported("DATE_PART, whose seconds have decimals in Redshift: use EXTRACT")


def _check(part: exp.Expr) -> None:
    if isinstance(part, exp.Anonymous):
        raise unsupported(f"the function {part.name.upper()}")
    if type(part) not in FUNCTIONS and type(part) not in PARTS:
        what = f"the function {part.sql_name()}" if isinstance(part, exp.Func) else part.key.upper()
        raise unsupported(REASONS.get(type(part), what))
    if isinstance(part, exp.Like | exp.ILike) and not part.expression.is_string:
        raise unsupported("LIKE with a pattern that is not a literal: a backslash in it is an escape character in Redshift")
    if isinstance(part, exp.Substring):
        _check_substring(part)
    if isinstance(part, exp.Left | exp.Right) and not _at_least(part.expression, 0):
        raise unsupported(f"{part.sql_name()} with a length that is not an integer literal of 0 or more")
    if isinstance(part, exp.SplitPart) and not _at_least(part.args["part_index"], 1):
        raise unsupported("SPLIT_PART with a part that is not an integer literal of 1 or more")
    if isinstance(part, exp.Cast):
        _check_target(part)
    if isinstance(part, exp.TimeToStr):
        _check_format(part.args["format"].name)
    if isinstance(part, exp.TimestampTrunc | exp.TsOrDsAdd | exp.TsOrDsDiff | exp.Extract):
        unit = part.args.get("unit") or part.this
        units = _UNITS | ({"dayofweek", "dow"} if isinstance(part, exp.Extract) else set())
        if str(unit.name).lower() not in units:
            raise unsupported(f"the date part {unit.name}, which starts or counts differently in DuckDB")


def _check_format(pattern: str) -> None:
    codes = {pattern[position : position + 2] for position in range(len(pattern)) if pattern[position] == "%"}
    rest = pattern
    for code in codes:
        rest = rest.replace(code, "")
    if not codes <= _FORMATS or any(letter.isalpha() for letter in rest):
        raise unsupported("TO_CHAR with a format of more than YYYY, MM, DD, HH24, MI and SS")


def _check_substring(part: exp.Substring) -> None:
    """A position below 1 counts characters before the text in Redshift, and from the end of the text in DuckDB."""
    start, length = part.args.get("start"), part.args.get("length")
    after = isinstance(start, exp.Add) and isinstance(start.this, exp.StrPosition) and _at_least(start.expression, 1)
    if not (after or _at_least(start, 1)):
        raise unsupported("SUBSTRING from a position that is neither an integer literal of 1 or more nor STRPOS(…) + 1")
    if length is not None and not _at_least(length, 0):
        raise unsupported("SUBSTRING with a length that is not an integer literal of 0 or more")


def _check_target(cast: exp.Cast) -> None:
    target = cast.to
    if target.this in exp.DataType.TEXT_TYPES and target.expressions:
        raise unsupported(f"CAST to {target.sql('redshift')} truncates text in Redshift, but not in DuckDB: use LEFT")
    if target.this not in _TYPES:
        raise unsupported(f"CAST to {target.sql('redshift')}, which has other digits or another meaning in DuckDB")


def _at_least(number: object, least: int) -> bool:
    return isinstance(number, exp.Literal) and number.is_int and int(number.name) >= least


def _check_types(query: exp.Query, schema: Schema) -> None:
    """Reject what depends on types that differ, such as AVG of integers, and floats cast to integers or text."""
    try:
        types: dict[str, object] = dict(schema)
        full = qualify(query.copy(), schema=types, dialect="redshift", validate_qualify_columns=False)
        typed = annotate_types(full, schema=types)
    except (OptimizeError, SchemaError) as error:
        raise UsageError(f"invalid Redshift SQL: {error}") from None
    kinds = Kinds(typed)
    for average in typed.find_all(exp.Avg):
        if kinds.of(average.this) is not Kind.DOUBLE:
            raise unsupported("AVG of a possible integer or decimal, which Redshift truncates: CAST it to DOUBLE PRECISION")
    for median in typed.find_all(exp.Median):
        if kinds.of(median.this) is not Kind.DOUBLE:
            raise unsupported("MEDIAN of a possible integer or decimal, of another type in DuckDB: CAST it to DOUBLE PRECISION")
    for date_add in typed.find_all(exp.TsOrDsAdd):
        if kinds.of(date_add.expression) is not Kind.INTEGER:
            raise unsupported("DATEADD of a value that may not be an integer, which Redshift truncates")
    for cast in typed.find_all(exp.Cast):
        _check_cast(cast, kinds)
    for concatenation in typed.find_all(exp.DPipe):
        if not (_is_text(concatenation.left, kinds) and _is_text(concatenation.right, kinds)):
            raise unsupported("|| of a value other than text, integer or date, which is formatted differently: use TO_CHAR")
    for listagg in typed.find_all(exp.GroupConcat):
        _check_listagg(listagg, kinds)
    for division in typed.find_all(exp.Div):
        _check_division(division, kinds)
    for comparison in typed.find_all(*_COMPARISONS):
        _check_comparison(comparison, kinds)


def _check_cast(cast: exp.Cast, kinds: Kinds) -> None:
    inner, target = cast.this.unnest(), cast.to.this
    if target in exp.DataType.INTEGER_TYPES:
        if _type(inner) in exp.DataType.TEXT_TYPES:
            raise unsupported("a CAST of a text to an integer: Redshift rejects '1.5', and DuckDB rounds it")
        whole = isinstance(inner, _WHOLE) and not inner.args.get("decimals")
        if not (_is_integer(inner, kinds) or whole):
            raise unsupported("a CAST of a possible decimal to an integer, which DuckDB rounds differently: use ROUND or FLOOR")
    if target in exp.DataType.TEXT_TYPES and not _is_text(inner, kinds):
        raise unsupported("a CAST to text of a value other than text, integer or date, formatted differently: use TO_CHAR")
    if target in exp.DataType.TEMPORAL_TYPES and inner.is_string and not _MOMENT.fullmatch(inner.name):
        raise unsupported(f"the date '{inner.name}', which may be another date in DuckDB: write it as 2026-11-23")


def _check_listagg(listagg: exp.GroupConcat, kinds: Kinds) -> None:
    *items, separator = _items(listagg)
    if not all(_is_text(item, kinds) for item in items):
        raise unsupported("LISTAGG of a value other than text, integer or date, which is formatted differently")
    if separator is not None and not separator.is_string:
        raise unsupported("LISTAGG with a separator that is not a literal")


def _items(listagg: exp.GroupConcat) -> tuple[exp.Expr, exp.Expr | None]:
    """The values of a LISTAGG, and its separator, which sqlglot parses as a second distinct value."""
    inner = listagg.this
    if not isinstance(inner, exp.Distinct):
        return inner, listagg.args.get("separator")
    return inner.expressions[0], inner.expressions[1] if len(inner.expressions) > 1 else listagg.args.get("separator")


def _translate_listagg(listagg: exp.GroupConcat) -> None:
    """Use an empty default separator, and skip empty texts, as Redshift does."""
    item, separator = _items(listagg)
    if isinstance(listagg.this, exp.Distinct):
        listagg.this.set("expressions", [item])
    listagg.set("separator", separator or exp.Literal.string(""))
    whole = listagg.parent if isinstance(listagg.parent, exp.WithinGroup) else listagg
    filled = exp.NEQ(this=exp.cast(item.copy(), exp.DataType.Type.TEXT), expression=exp.Literal.string(""))
    whole.replace(exp.Filter(this=whole.copy(), expression=exp.Where(this=filled)))


def _check_division(division: exp.Div, kinds: Kinds) -> None:
    """Reject decimals, whose quotient has few digits in Redshift. A double on either side makes a division of doubles."""
    sides = {kinds.of(division.left), kinds.of(division.right)}
    if Kind.DOUBLE in sides or sides == {Kind.INTEGER}:
        return
    if Kind.OTHER in sides:
        raise unsupported("a division of a possible non-integer, such as FLOOR in DuckDB: CAST one side to DOUBLE PRECISION")
    if Kind.DECIMAL in sides:
        raise unsupported("a division of decimals, which Redshift truncates to a few digits: CAST one to DOUBLE PRECISION")
    raise unsupported("a division of a SUM of integers, which may be a decimal in Redshift: CAST it to DOUBLE PRECISION")


def _check_comparison(comparison: exp.Expr, kinds: Kinds) -> None:
    sides = [side.unnest() for side in _operands(comparison)]
    types = {_type(side) for side in sides if not side.is_string}
    if types & exp.DataType.TEXT_TYPES and types & exp.DataType.NUMERIC_TYPES:
        raise unsupported("a comparison of a text with a number, which may compare texts or numbers: CAST one of them")
    for side in sides:
        if side.is_string and types & exp.DataType.TEMPORAL_TYPES and not _MOMENT.fullmatch(side.name):
            raise unsupported(f"the date '{side.name}', which may be another date in DuckDB: write it as 2026-11-23")
        if any(value.is_string and value.name.endswith(" ") for value in kinds.values(side)):
            raise unsupported("a comparison with a text that ends in a space, which Redshift ignores")


def _operands(comparison: exp.Expr) -> list[exp.Expr]:
    """The values that are compared with each other."""
    if not isinstance(comparison, exp.Case):
        return list(comparison.iter_expressions())
    return [comparison.this, *(choice.this for choice in comparison.args["ifs"])] if comparison.this else []


def _is_integer(part: exp.Expr, kinds: Kinds) -> bool:
    return kinds.of(part) in (Kind.INTEGER, Kind.SUM)


def _is_text(part: exp.Expr, kinds: Kinds) -> bool:
    """Whether both engines format the value as the same text."""
    inner = part.unnest()
    same = _type(inner) in exp.DataType.TEXT_TYPES | {exp.DataType.Type.DATE}
    return same or _is_integer(inner, kinds) or isinstance(inner, (*_TEXTS, exp.Null))


def _type(part: exp.Expr) -> object:
    return part.type.this if part.type is not None else None
