"""The metrics' SQL: files in ``sql/metrics/``, each one SELECT in Redshift's dialect, composed and translated.

A file defines the relation of its name. If another file names it in FROM, it becomes a common table expression, unless the
engine provides it as a table. Values are named parameters (``:policy``), which the engine binds.
"""

from __future__ import annotations

from functools import cache

import sqlglot
from sqlglot import exp

from stockctl.resources import resource

FOLDER = "sql/metrics"


@cache
def names() -> frozenset[str]:
    """The relations that files define."""
    return frozenset(path.stem for path in resource(FOLDER).glob("*.sql"))


@cache
def text(name: str) -> str:
    """The query in the file."""
    return (resource(FOLDER) / f"{name}.sql").read_text(encoding="utf-8").strip()


@cache
def _relations(name: str) -> frozenset[str]:
    """The relations that the query in the file names."""
    return frozenset(table.name for table in sqlglot.parse_one(text(name), read="redshift").find_all(exp.Table))


def _with_dependencies(name: str, provided: frozenset[str]) -> list[str]:
    """The files that ``name`` depends on, in order, and ``name`` itself."""
    dependencies = [
        file for needed in sorted(_relations(name) & names() - provided) for file in _with_dependencies(needed, provided)
    ]
    return [*dict.fromkeys(dependencies), name]


@cache
def written(name: str, provided: frozenset[str], *, ordered: bool = True) -> str:
    """The complete query of the file ``name``, ordered by its first two columns. ``provided`` relations are tables."""
    relations = ", ".join(f"{file} AS (\n{text(file)}\n)" for file in _with_dependencies(name, provided))
    order = " ORDER BY 1, 2" if ordered else ""
    return f"WITH {relations} SELECT * FROM {name}{order}"  # noqa: S608  # names of the package's files, no values


@cache
def statement(name: str, provided: frozenset[str], *, ordered: bool = True) -> str:
    """The query of ``written``, translated to DuckDB's dialect."""
    return sqlglot.transpile(written(name, provided, ordered=ordered), read="redshift", write="duckdb", comments=False)[0]
