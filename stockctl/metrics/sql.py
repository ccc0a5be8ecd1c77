"""The metrics' SQL: files of ``sql/metrics/``, each one SELECT in Redshift's dialect, put together and translated.

A file is a relation by its name: where another file names it in FROM, it becomes a common table expression, unless the engine
provides it as a table. Values are named parameters (``:policy``), which the engine binds.
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
    """The file's query as it stands."""
    return (resource(FOLDER) / f"{name}.sql").read_text(encoding="utf-8").strip()


@cache
def _named(name: str) -> frozenset[str]:
    """The relations that the file's query names."""
    return frozenset(table.name for table in sqlglot.parse_one(text(name), read="redshift").find_all(exp.Table))


def _chain(name: str, provided: frozenset[str]) -> list[str]:
    """The file ``name`` behind all the files that it stands on."""
    below = [file for needed in sorted(_named(name) & names() - provided) for file in _chain(needed, provided)]
    return [*dict.fromkeys(below), name]


@cache
def written(name: str, provided: frozenset[str], *, ordered: bool = True) -> str:
    """The query of the file ``name`` as written, ordered by its first two columns; ``provided`` are tables already."""
    relations = ", ".join(f"{file} AS (\n{text(file)}\n)" for file in _chain(name, provided))
    order = " ORDER BY 1, 2" if ordered else ""
    return f"WITH {relations} SELECT * FROM {name}{order}"  # noqa: S608  # names of our own files, no value


@cache
def statement(name: str, provided: frozenset[str], dialect: str = "duckdb", *, ordered: bool = True) -> str:
    """As ``written``, in ``dialect``."""
    return sqlglot.transpile(written(name, provided, ordered=ordered), read="redshift", write=dialect, comments=False)[0]
