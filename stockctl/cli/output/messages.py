"""Messages and questions to the user, on stderr."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stockctl.errors import UsageError


def say(text: str) -> None:
    """Write ``text`` for a person, to stderr."""
    print(text, file=sys.stderr, flush=True)


YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, command: str, *, yes: bool) -> None:
    """Ask before something is deleted, unless ``yes``; a no ends the command. UsageError where there is no terminal to ask at.

    ``command`` is what to type for a yes that needs no terminal, without its ``--yes``.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("deleting needs a yes, and stdin is no terminal to ask at", hint=f"{command} --yes")
    typer.confirm(question, abort=True, err=True)
