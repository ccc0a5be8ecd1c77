"""Groups of commands; their help shows arguments and values as upper-case nouns, and choices as they are typed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand

_CHOICE = re.compile(r"<([^<>]*\|[^<>]*)>")


class _Command(TyperCommand):
    """A command whose usage and help show arguments by their metavar alone, without braces and types."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [str(each.metavar) for each in self.get_params(ctx) if isinstance(each, TyperArgument)]
        return [self.options_metavar or "", *arguments]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments: list[tuple[str, str]] = []
        options: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is None:
                continue
            if isinstance(parameter, TyperArgument):
                arguments.append((str(parameter.metavar), record[1]))
            else:
                options.append((_CHOICE.sub(r"\1", record[0]), record[1]))
        for title, records in (("Arguments", arguments), ("Options", options)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Group(typer.Typer):
    """A group of commands; without one it shows its help."""

    def __init__(self, **options: Any) -> None:
        super().__init__(no_args_is_help=True, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Add a command to the group, as ``typer.Typer`` does."""
        return super().command(name, cls=_Command, **options)
