"""Which values of a query are doubles, integers or decimals in Redshift: DuckDB and sqlglot hold some for another kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

_PASSED = (
    exp.Paren, exp.Alias, exp.Window, exp.IgnoreNulls, exp.Any, exp.All, exp.Max, exp.Min, exp.FirstValue, exp.LastValue,
    exp.Nullif,
)  # fmt: skip
"""What has the value of its first operand."""
_CHOSEN = (exp.Coalesce, exp.Greatest, exp.Least, exp.Lag, exp.Lead, exp.Case, exp.If, exp.Nvl2, exp.Tuple, exp.Distinct)
"""What has the value of one of its operands, or of several."""
_LOOKED_AT: dict[type[exp.Expr], str] = {
    exp.Case: "this", exp.If: "this", exp.Nvl2: "this", exp.Lag: "offset", exp.Lead: "offset",
}  # fmt: skip
"""Their operand that gives them no value."""
_KEPT = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Abs, exp.Avg)
_COUNTS = (
    exp.Count, exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile, exp.Length, exp.StrPosition, exp.TsOrDsDiff, exp.Extract,
)  # fmt: skip
_OF_DOUBLES = (
    exp.Round, exp.Floor, exp.Ceil, exp.Trunc, exp.Median, exp.Sqrt, exp.Exp, exp.Ln, exp.Log, exp.Pow,
    exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop,
)  # fmt: skip
"""Doubles where an operand is one; of others the engines make numbers of different kinds."""


class Kind(Enum):
    """What a value is in Redshift."""

    DOUBLE = "double"
    INTEGER = "integer"
    SUM = "a sum of integers, which may be a decimal without digits behind the point"
    DECIMAL = "decimal"
    OTHER = "no number, or one of which it is not known"


class Kinds:
    """The kinds of the values of ``typed``, a query qualified and annotated, through its derived tables."""

    def __init__(self, typed: exp.Expr) -> None:
        self._scopes: dict[int, Scope] = {}
        for scope in traverse_scope(typed):  # a subquery comes before what it stands in, which knows its columns too
            for column in scope.columns:
                self._scopes.setdefault(id(column), scope)

    def of(self, part: exp.Expr) -> Kind:
        """The kind of ``part``."""
        return _together(map(self._kind, self.values(part)))

    def values(self, part: exp.Expr) -> Iterator[exp.Expr]:
        """The expressions that ``part`` can have its value of, unchanged; NULL is none."""
        if isinstance(part, _PASSED):
            yield from self.values(part.this)
        elif isinstance(part, _CHOSEN):
            looked_at = part.args.get(_LOOKED_AT.get(type(part), ""))
            for operand in part.iter_expressions():
                if operand is not looked_at:
                    yield from self.values(operand)
        elif isinstance(part, exp.Query):
            for column in _column(part, 0):
                yield from self.values(column)
        elif isinstance(part, exp.Column) and (made := self._made_of(part)):
            for column in made:
                yield from self.values(column)
        elif not isinstance(part, exp.Null):
            yield part

    def _source(self, column: exp.Column) -> object:
        """The Scope of the derived table that has the column, or the table itself; None where it is not known."""
        scope = self._scopes.get(id(column))
        while scope is not None and column.table not in scope.sources:
            scope = scope.parent
        return scope.sources[column.table] if scope is not None else None

    def _made_of(self, column: exp.Column) -> list[exp.Expr]:
        """What stands in the derived table for ``column``; nothing for one of a table's own."""
        source = self._source(column)
        query = source.expression if isinstance(source, Scope) else None
        if not isinstance(query, exp.Query) or column.name not in query.named_selects:
            return []
        return list(_column(query, query.named_selects.index(column.name)))

    def _kind(self, part: exp.Expr) -> Kind:
        if isinstance(part, exp.Literal):
            if part.is_string:
                return Kind.OTHER
            return Kind.INTEGER if part.is_int and int(part.name) < 2**63 else Kind.DECIMAL
        if isinstance(part, exp.Column) and not isinstance(self._source(part), exp.Table):
            return Kind.OTHER
        if isinstance(part, exp.Cast | exp.Column):
            target = part.type.this if part.type is not None else None
            if target in exp.DataType.INTEGER_TYPES:
                return Kind.INTEGER
            return Kind.DOUBLE if target == exp.DataType.Type.DOUBLE else Kind.OTHER
        if isinstance(part, _COUNTS):
            return Kind.INTEGER
        if isinstance(part, exp.PercentRank | exp.CumeDist):
            return Kind.DOUBLE
        kind = _together(map(self.of, part.iter_expressions()))
        if isinstance(part, exp.Sum):
            return Kind.SUM if kind is Kind.INTEGER else kind
        if isinstance(part, _KEPT):
            return kind
        return Kind.DOUBLE if isinstance(part, _OF_DOUBLES) and kind is Kind.DOUBLE else Kind.OTHER


def _column(query: exp.Expr, place: int) -> Iterator[exp.Expr]:
    """What stands at ``place`` in the SELECTs of ``query``."""
    inner = query.unnest()
    if isinstance(inner, exp.SetOperation):
        yield from _column(inner.left, place)
        yield from _column(inner.right, place)
    elif isinstance(inner, exp.Select) and place < len(inner.selects):
        yield inner.selects[place]


def _together(kinds: Iterable[Kind]) -> Kind:
    """The kind of what is made of values of these kinds."""
    found = set(kinds)
    for kind in (Kind.DOUBLE, Kind.OTHER, Kind.DECIMAL, Kind.SUM):
        if kind in found:
            return kind
    return Kind.INTEGER
