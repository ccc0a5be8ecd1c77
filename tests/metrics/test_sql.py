"""The SQL files: one definition for Redshift and DuckDB."""

from __future__ import annotations

import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

import stockctl
from stockctl.metrics import sql_templates
from stockctl.metrics.engines.relations import RELATIONS
from stockctl.resources import resource

PLACED = frozenset({"placed"})


@pytest.mark.parametrize("name", sorted(sql_templates.names()))
def test_a_file_is_one_select_that_redshift_reads(name: str) -> None:
    """It parses as one query in Redshift's dialect and uses no feature of another."""
    (query,) = sqlglot.parse(sql_templates.text(name), read="redshift")
    assert isinstance(query, exp.Select)
    assert not list(query.find_all(exp.Anonymous)), "a function that Redshift does not have"
    frames = [spec.sql("redshift") for spec in query.find_all(exp.WindowSpec)]
    assert not any("RANGE" in frame or "INTERVAL" in frame for frame in frames), "Redshift has no such frame"


@pytest.mark.parametrize("name", sorted(sql_templates.names()))
def test_common_table_expressions_hide_no_other_file(name: str) -> None:
    """A common table expression with the name of a file or a relation would replace it."""
    query = sqlglot.parse_one(sql_templates.text(name), read="redshift")
    assert not {cte.alias for cte in query.find_all(exp.CTE)} & (sql_templates.names() | set(RELATIONS) | {"trades"})


@pytest.mark.parametrize("name", sorted(sql_templates.names()))
def test_every_relation_in_a_file_exists(name: str) -> None:
    """It is another file, a relation that the engine provides, the trades, or defined in the file."""
    query = sqlglot.parse_one(sql_templates.text(name), read="redshift")
    own = {cte.alias for cte in query.find_all(exp.CTE)}
    assert {table.name for table in query.find_all(exp.Table)} <= sql_templates.names() | set(RELATIONS) | {"trades"} | own


def test_a_statement_has_each_file_once_after_its_dependencies() -> None:
    """Shared files are not repeated, and provided relations are left out."""
    query = sqlglot.parse_one(sql_templates.statement("bars", frozenset()), read="duckdb")
    assert isinstance(query, exp.Query)
    names = [cte.alias for cte in query.ctes]
    assert names == ["condition_sets", "placed", "counted", "priced", "firsts", "vwap", "bars"]
    placed = sqlglot.parse_one(sql_templates.statement("vwap", PLACED), read="duckdb")
    assert isinstance(placed, exp.Query)
    assert [cte.alias for cte in placed.ctes] == ["counted", "priced", "firsts", "vwap"]


def test_values_are_parameters_in_either_dialect() -> None:
    """The engine binds the policy; it is never part of the text."""
    assert "$policy" in sql_templates.statement("placed", frozenset())
    assert ":policy" in sql_templates.written("placed", frozenset())


def test_files_are_found_in_the_source_tree_and_in_a_wheel(tmp_path: Path) -> None:
    """Files in the wheel (``stockctl/_files``) win over those next to the package."""
    assert (resource("sql/metrics") / "vwap.sql").exists()
    installed = tmp_path / "stockctl"
    (installed / "_files" / "sql" / "metrics").mkdir(parents=True)
    shutil.copy(Path(stockctl.__file__).parent / "resources.py", installed)
    spec = spec_from_file_location("installed_resources", installed / "resources.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.resource("sql/metrics") == installed / "_files" / "sql" / "metrics"
