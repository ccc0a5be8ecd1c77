"""What the parser refuses, in the form of all other errors."""

from __future__ import annotations

from typer._click.exceptions import ClickException, NoSuchOption  # Typer has no public names for them
from typer._click.exceptions import UsageError as ParserError

from stockctl.errors import UsageError


def usage_error(error: ClickException) -> UsageError:
    """The parser's ``error``, with what to try next; its suggestions stay."""
    message = error.format_message().removesuffix(".")
    message = message[:1].lower() + message[1:]
    context = error.ctx if isinstance(error, ParserError) else None
    if context is None:
        return UsageError(message, hint="the same command with --help")
    root, path = context.find_root(), context.command_path
    if isinstance(error, NoSuchOption) and context is not root:
        for option in root.command.params:
            if error.option_name in option.opts:
                value = "" if option.nargs == 0 or getattr(option, "is_flag", False) else " …"
                command = f"stockctl {error.option_name}{value}{path.removeprefix(root.command_path)}"
                return UsageError(f"{error.option_name} goes before the command", hint=f"`{command}`")
    return UsageError(message, hint=f"`stockctl{path.removeprefix(root.command_path)} --help`")
