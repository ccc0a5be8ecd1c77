"""What the options of a command say about its output, and the decorators that give a command these options."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any

import typer

from stockctl.errors import UsageError, quoted

_NEAR = 3
"""Most similar names that are suggested for an unknown field."""

Command = Callable[..., None]


class Format(StrEnum):
    """Output formats."""

    table = "table"
    markdown = "markdown"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


@dataclass(frozen=True)
class View:
    """Which fields and how many rows to write, and in which format. No ``fields`` are all of them."""

    form: Format = Format.table
    fields: tuple[str, ...] = ()
    limit: int | None = None
    wide: bool = False

    @property
    def is_table(self) -> bool:
        """Whether the output is a table to read, with less in it than what other programs get."""
        return self.form in (Format.table, Format.markdown)

    @property
    def on_terminal(self) -> bool:
        """Whether the output is a table on a terminal, which shows numbers for people and fits the width."""
        return self.form is Format.table and sys.stdout.isatty()

    @property
    def unlimited(self) -> View:
        """The view with every row: for the rows that a question refers to."""
        return replace(self, limit=None)

    def check(self, names: Collection[str]) -> None:
        """Check ``fields`` against the ``names`` of a row, before a command changes anything. UsageError for an unknown one."""
        for field in self.fields:
            if field not in names:
                near = difflib.get_close_matches(field, names, _NEAR)
                similar = f"; did you mean {' or '.join(near)}?" if near else ""
                raise UsageError(
                    f"--fields: there is no field {quoted(field)}{similar}", hint=f"the fields are {', '.join(names)}"
                )


OutputOption = Annotated[Format, typer.Option("--output", "-o", help="Output format.")]
FieldsOption = Annotated[
    str | None, typer.Option("--fields", metavar="A,B", help="Only these fields, in this order.", show_default=False)
]
LimitOption = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="At most N rows.")]
WideOption = Annotated[bool, typer.Option("--wide", help="On a terminal, show every column and whole cells.")]


def row_options(*, limit: int | None = None) -> Callable[[Command], Command]:
    """Give a command that writes rows --output, --fields, --limit and --wide; it receives them as its ``view``.

    ``limit`` is the default of --limit.
    """
    return _options(
        _option("output", OutputOption, Format.table),
        _option("fields", FieldsOption, None),
        _option("limit", LimitOption, limit),
        _option("wide", WideOption, False),
    )


def record_options() -> Callable[[Command], Command]:
    """Give a command that writes one record --output and --fields; it receives them as its ``view``."""
    return _options(_option("output", OutputOption, Format.table), _option("fields", FieldsOption, None))


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _options(*options: inspect.Parameter) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(*args: Any, **arguments: Any) -> None:
            given = {option.name: arguments.pop(option.name, option.default) for option in options}
            view = View(given["output"], _fields(given["fields"]), given.get("limit"), given.get("wide", False))
            command(*args, **arguments, view=view)

        signature = inspect.signature(command, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "view"]
        run.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]  # Typer reads it
        return run

    return decorate


def _fields(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    names = dict.fromkeys(name.strip() for name in text.split(","))
    if "" in names:
        raise UsageError(f"--fields {quoted(text)} has an empty name", hint="write --fields symbol,price")
    return tuple(names)
