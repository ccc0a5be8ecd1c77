"""Large literals in the source of a strategy: a table of prices would be one."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from stockctl.backtest.check.messages import Place

_MANY = 50
"""Constants in one literal that are worth a look."""


def large_literals(files: Iterable[str]) -> list[Place]:
    """The literals with many constants, and the long texts, in ``files``."""
    found = []
    for file in sorted(files):
        for node in ast.walk(ast.parse(Path(file).read_bytes())):
            if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
                count = sum(isinstance(each, ast.Constant) for each in ast.walk(node))
                if count >= _MANY:
                    found.append(Place(f"a literal with {count} constants", file, node.lineno))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and _digits(node.value) >= 4 * _MANY:
                found.append(Place(f"a text with {_digits(node.value)} digits", file, node.lineno))
    return found


def _digits(text: str | bytes) -> int:
    return sum(each.isdigit() for each in text) if isinstance(text, str) else len(text)
