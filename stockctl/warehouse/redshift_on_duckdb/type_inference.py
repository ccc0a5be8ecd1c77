"""Which values of a query are doubles, integers or decimals in Redshift. DuckDB and sqlglot give some another type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

_TRANSPARENT = (
    exp.Paren, exp.Alias, exp.Window, exp.IgnoreNulls, exp.Any, exp.All, exp.Max, exp.Min, exp.FirstValue, exp.LastValue,
    exp.Nullif,
)  # fmt: skip
"""Expressions with the value of their first operand."""
_CHOICES = (exp.Coalesce, exp.Greatest, exp.Least, exp.Lag, exp.Lead, exp.Case, exp.If, exp.Nvl2, exp.Tuple, exp.Distinct)
"""Expressions with the value of one of their operands, or of several."""
_CONDITIONS: dict[type[exp.Expr], str] = {
    exp.Case: "this", exp.If: "this", exp.Nvl2: "this", exp.Lag: "offset", exp.Lead: "offset",
}  # fmt: skip
"""The operand of a choice that does not become its value."""
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Abs, exp.Avg)
_COUNTS = (
    exp.Count, exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile, exp.Length, exp.StrPosition, exp.TsOrDsDiff, exp.Extract,
)  # fmt: skip
_DOUBLE_FUNCTIONS = (
    exp.Round, exp.Floor, exp.Ceil, exp.Trunc, exp.Median, exp.Sqrt, exp.Exp, exp.Ln, exp.Log, exp.Pow,
    exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop,
)  # fmt: skip
"""Doubles if an operand is a double; of other operands the engines return different types."""


class Kind(Enum):
    """The type of a value in Redshift."""

    DOUBLE = "double"
    INTEGER = "integer"
    SUM = "a sum of integers, which may be a decimal without a fraction"
    DECIMAL = "decimal"
    OTHER = "not a number, or unknown"


class Kinds:
    """The kinds of the values in ``typed``, a qualified and annotated query, also through derived tables."""

    def __init__(self, typed: exp.Expr) -> None:
        self._scopes: dict[int, Scope] = {}
        for scope in traverse_scope(typed):  # a subquery comes before the query around it, whose scope has its columns too
            for column in scope.columns:
                self._scopes.setdefault(id(column), scope)

    def of(self, part: exp.Expr) -> Kind:
        """The kind of ``part``."""
        return _combined(map(self._kind, self.values(part)))

    def values(self, part: exp.Expr) -> Iterator[exp.Expr]:
        """The expressions whose value ``part`` can have, without NULL."""
        if isinstance(part, _TRANSPARENT):
            yield from self.values(part.this)
        elif isinstance(part, _CHOICES):
            condition = part.args.get(_CONDITIONS.get(type(part), ""))
            for operand in part.iter_expressions():
                if operand is not condition:
                    yield from self.values(operand)
        elif isinstance(part, exp.Query):
            for column in _column(part, 0):
                yield from self.values(column)
        elif isinstance(part, exp.Column) and (sources := self._expressions_of(part)):
            for column in sources:
                yield from self.values(column)
        elif not isinstance(part, exp.Null):
            yield part

    def _source(self, column: exp.Column) -> object:
        """The scope of the derived table that has the column, or the table; None if unknown."""
        scope = self._scopes.get(id(column))
        while scope is not None and column.table not in scope.sources:
            scope = scope.parent
        return scope.sources[column.table] if scope is not None else None

    def _expressions_of(self, column: exp.Column) -> list[exp.Expr]:
        """The expressions of ``column`` in its derived table; empty for a column of a real table."""
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
        kind = _combined(map(self.of, part.iter_expressions()))
        if isinstance(part, exp.Sum):
            return Kind.SUM if kind is Kind.INTEGER else kind
        if isinstance(part, _ARITHMETIC):
            return kind
        return Kind.DOUBLE if isinstance(part, _DOUBLE_FUNCTIONS) and kind is Kind.DOUBLE else Kind.OTHER


def _column(query: exp.Expr, index: int) -> Iterator[exp.Expr]:
    """The expressions at ``index`` in the SELECTs of ``query``."""
    inner = query.unnest()
    if isinstance(inner, exp.SetOperation):
        yield from _column(inner.left, index)
        yield from _column(inner.right, index)
    elif isinstance(inner, exp.Select) and index < len(inner.selects):
        yield inner.selects[index]


def _combined(kinds: Iterable[Kind]) -> Kind:
    """The kind of an expression over values of these kinds."""
    present = set(kinds)
    for kind in (Kind.DOUBLE, Kind.OTHER, Kind.DECIMAL, Kind.SUM):
        if kind in present:
            return kind
    return Kind.INTEGER
