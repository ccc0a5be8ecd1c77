"""A strategy and its parameters on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from stockctl.errors import UsageError, quoted

StrategyArgument = Annotated[
    str,
    typer.Argument(metavar="STRATEGY", help="Name of a strategy, such as sma-cross, a file.py, or module:Class."),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="PARAM", help="A parameter of the strategy, such as fast=10; repeatable."),
]


def params_of(written: Sequence[str] | None) -> dict[str, str]:
    """The parameters that ``--param`` gives, by name. UsageError for one without a value, and for one that is given twice."""
    params: dict[str, str] = {}
    for text in written or ():
        name, sign, value = (part.strip() for part in text.partition("="))
        if not name or not sign or not value:
            raise UsageError(f"--param {quoted(text)} is no parameter", hint="write --param fast=10")
        if name in params:
            raise UsageError(f"--param: {name} is given twice", hint="give each parameter once")
        params[name] = value
    return params
