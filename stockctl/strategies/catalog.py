"""The strategies that have a name, what one consists of, and the files of a new one."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from stockctl.errors import StockctlError, UsageError, quoted
from stockctl.strategies.loading import BUILT_IN, HANDLERS, LoadedStrategy, load_strategy, names
from stockctl.strategies.strategy import Strategy

_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
_TEMPLATES = {"{module}.py": "strategy.py.txt", "test_{module}.py": "strategy_test.py.txt"}


class NamedStrategy(NamedTuple):
    """A strategy that has a name; ``summary`` is the first line of its documentation, or why it cannot be loaded."""

    name: str
    origin: str
    handlers: str
    summary: str


class Parameter(NamedTuple):
    """A parameter of a strategy. ``limits`` are empty if it has none."""

    name: str
    type: str
    default: Any
    limits: str
    description: str


def named_strategies() -> Iterator[NamedStrategy]:
    """The built-in strategies, then those of installed packages."""
    for name, target in names().items():
        origin = "built in" if name in BUILT_IN else target
        try:
            strategy = load_strategy(name)
        except StockctlError as error:
            yield NamedStrategy(name, origin, "", f"cannot be loaded: {error}")
        else:
            yield NamedStrategy(name, origin, ", ".join(handlers_of(strategy)), summary_of(strategy))


def handlers_of(strategy: LoadedStrategy) -> list[str]:
    """The names of the handlers that it defines."""
    return [handler for handler in HANDLERS if hasattr(strategy.kind, handler)]


def summary_of(strategy: LoadedStrategy) -> str:
    """The first line of its documentation; empty if it has none of its own."""
    text = inspect.getdoc(strategy.kind) or ""
    return "" if text == inspect.getdoc(Strategy) else text.partition("\n")[0]


def parameters_of(strategy: LoadedStrategy) -> list[Parameter]:
    """Its parameters, with the values in use as defaults."""
    parameters = []
    for name, field in type(strategy.params).model_fields.items():
        limits = [
            f"{words} {getattr(limit, bound)}"
            for limit in field.metadata
            for bound, words in _BOUNDS.items()
            if getattr(limit, bound, None) is not None
        ]
        kind = getattr(field.annotation, "__name__", str(field.annotation))
        parameters.append(Parameter(name, kind, getattr(strategy.params, name), ", ".join(limits), field.description or ""))
    return parameters


def write_example(name: str, folder: Path, *, dry_run: bool = False) -> list[Path]:
    """Write a commented strategy ``name`` and its test to ``folder``; their paths. A dry run only checks.

    UsageError for a name that Python cannot import, or if one of the files exists.
    """
    module = name.strip().replace("-", "_")
    if not module.isidentifier() or keyword.iskeyword(module):
        raise UsageError(
            f"{quoted(name)} cannot be the name of a strategy", hint="use letters, digits and dashes, as in my-strategy"
        )
    title = "".join(word.capitalize() for word in re.split(r"_+", module))
    paths = [folder / file.format(module=module) for file in _TEMPLATES]
    if (existing := next((path for path in paths if path.exists()), None)) is not None:
        raise UsageError(f"{existing} exists", hint="choose another name, or move the file away")
    if dry_run:
        return paths
    for path, template in zip(paths, _TEMPLATES.values(), strict=True):
        text = (files("stockctl") / "data" / template).read_text(encoding="utf-8")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text.replace("MODULE", module).replace("TITLE", title))
        except OSError as error:
            raise StockctlError(
                f"cannot write {path}: {error.strerror}", hint="check the folder and its permissions"
            ) from error
    return paths
