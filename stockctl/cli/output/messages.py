"""Messages and questions to the user, on stderr."""

from __future__ import annotations

import sys
import textwrap
from itertools import chain
from typing import Annotated

import typer

from stockctl.cli.output.terminal import terminal_width
from stockctl.errors import StockctlError, UsageError

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Suppress the messages of ``say`` and progress bars, or show them."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Whether the user asked for errors only."""
    return _quiet


def say(text: str) -> None:
    """Write a message to stderr, unless the user asked for errors only."""
    if not _quiet:
        report_error(_wrapped(text))


def _wrapped(text: str) -> str:
    """``text`` broken at blanks to fit the terminal at stderr; unchanged in a pipe."""
    if not sys.stderr.isatty():
        return text
    width = terminal_width(sys.stderr)
    lines = (textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""] for line in text.splitlines())
    return "\n".join(chain.from_iterable(lines))


def report_error(text: str) -> None:
    """Write a line of an error to stderr."""
    print(text, file=sys.stderr, flush=True)


def say_dry_run(*, empty: bool = False) -> None:
    """Say that --dry-run changed nothing; where ``empty``, that the command itself would not either."""
    say("dry run: nothing would change" if empty else "dry run: nothing was changed")


YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, command: str, *, yes: bool) -> None:
    """Ask before something is deleted, unless ``yes``; a no ends the command. UsageError where there is no terminal to ask at.

    ``command`` is what to type for a yes that needs no terminal, without its ``--yes``.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("cannot ask for confirmation: stdin is not a terminal", hint=f"{command} --yes")
    if not typer.confirm(question, err=True):
        raise StockctlError("not confirmed: nothing was changed")
