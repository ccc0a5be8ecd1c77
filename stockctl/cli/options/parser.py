"""Usage errors of the parser, in the form of all other errors."""

from __future__ import annotations

import typer

from stockctl.errors import UsageError


def is_help(error: typer.TyperException) -> bool:
    """Whether this is the help of a group that was called without a command, which Typer raises too."""
    return type(error).__name__ == "NoArgsIsHelpError"


def usage_error(error: typer.TyperException) -> UsageError:
    """The parser's ``error``, with what to try next; its suggestions stay."""
    message = error.format_message().removesuffix(".")
    message = message[:1].lower() + message[1:]
    # Typer has public names for the base of its errors alone, so what only some of them have is asked for.
    context: typer.Context | None = getattr(error, "ctx", None)
    if context is None:
        return UsageError(message, hint="the same command with --help")
    root, path = context.find_root(), context.command_path
    unknown = getattr(error, "option_name", None)
    if unknown is not None and context is not root:
        for option in root.command.params:
            if unknown in option.opts:
                value = "" if option.nargs == 0 or getattr(option, "is_flag", False) else " …"
                command = f"stockctl {unknown}{value}{path.removeprefix(root.command_path)}"
                return UsageError(f"{unknown} goes before the command", hint=f"`{command}`")
    return UsageError(message, hint=f"`stockctl{path.removeprefix(root.command_path)} --help`")
