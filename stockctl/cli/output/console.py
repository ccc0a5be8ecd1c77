"""Consoles of rich, and the progress bar."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from stockctl.cli.output.messages import is_quiet

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def console(*, stderr: bool = False) -> Console:
    """A console that never wraps or truncates what goes to a pipe, and honours NO_COLOR."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = 10_000
    return made


def progress(label: str, *, shown: bool = True) -> AbstractContextManager[Progress]:
    """A progress bar on stderr, if stderr is a terminal and the user did not ask for errors only, and only if ``shown``."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    err = console(stderr=True)
    return Progress(
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not shown or is_quiet() or not err.is_terminal,
        transient=True,
    )
