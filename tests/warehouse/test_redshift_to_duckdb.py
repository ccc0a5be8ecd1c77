"""The syntax tree of sqlglot that the translation of Redshift SQL depends on."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version

import pytest
from sqlglot import exp, parse_one

from stockctl.errors import UsageError
from stockctl.warehouse.redshift_on_duckdb.redshift_to_duckdb import FUNCTIONS, PARTS, REASONS, translate
from tests.command import ROOT


def test_sqlglot_is_bounded_to_the_major_version_that_is_tested() -> None:
    """A new major version may rename classes, or parse a function into another one: look at the lists before raising it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (requirement,) = [one for one in project["dependencies"] if re.match(r"sqlglot\b", one)]
    major = int(version("sqlglot").partition(".")[0])
    assert set(re.findall(r"[<>=]+\d+", requirement)) == {f">={major}", f"<{major + 1}"}


def test_every_listed_class_is_a_node_and_in_one_list() -> None:
    nodes: list[type[exp.Expr]] = [*FUNCTIONS, *PARTS, *REASONS]
    assert all(issubclass(node, exp.Expr) for node in nodes)
    assert len(nodes) == len(set(nodes))


@pytest.mark.parametrize(("sql", "node"), [("a SIMILAR TO 'b'", exp.SimilarTo), ("DECODE(a, NULL, 1)", exp.DecodeCase)])
def test_a_rejected_function_is_parsed_into_its_class(sql: str, node: type[exp.Expr]) -> None:
    assert isinstance(parse_one(sql, read="redshift"), node)
    with pytest.raises(UsageError, match=re.escape(REASONS[node])):
        translate(f"SELECT {sql} FROM (SELECT 'x' AS a) AS t", {})  # noqa: S608  # the test's own SQL
