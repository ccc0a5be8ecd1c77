"""Symbols on the command line: in any case, one per argument or joined by commas."""

from __future__ import annotations

from typing import Annotated

import typer

from stockctl.symbols import require_symbols


def _split(written: list[str] | None) -> list[str] | None:
    """The symbols that the user wrote, each once. UsageError where arguments hold none, such as a lone comma."""
    return require_symbols(written) if written else None


SymbolsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SYMBOL]...", help="Symbols, such as AAPL,MSFT; default: the setting symbols.", callback=_split),
]
AnySymbolsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SYMBOL]...", help="Symbols, such as AAPL,MSFT; default: all in the lake.", callback=_split),
]
