"""``stockctl company``: what MongoDB knows of a company, its trades and its filings as one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stockctl.cli.context import settings_of
from stockctl.cli.output import Format, OutputOption, say, write_object

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(no_args_is_help=True, help="Show what MongoDB knows of a company.")


@app.callback()
def group() -> None:
    """Show what MongoDB knows of a company."""


@app.command()
def show(
    ctx: typer.Context,
    symbol: Annotated[str, typer.Argument(help="Symbol of the company, as the feed writes it.")],
    watch: Annotated[bool, typer.Option("--watch", help="Show it again after each change, until Ctrl-C.")] = False,
    tz: Annotated[str | None, typer.Option("--tz", help="Zone of times; default: exchange time.")] = None,
    output: OutputOption = Format.table,
) -> None:
    """Show a company's last trade, and VWAP, volatility, rate and coverage of its session.

    Example: stockctl company show AAPL
    """
    from stockctl.clients.mongo import Mongo
    from stockctl.company.document import changes, company
    from stockctl.roles import running

    settings = settings_of(ctx, {"timezone": tz})
    with Mongo(settings) as mongo:
        if not watch:
            _write(company(mongo, settings, symbol), output)
            return
        with running(settings) as role:
            say(f"watching {symbol}; Ctrl-C ends it")
            for document in changes(mongo, settings, symbol, role.stop.is_set):
                _write(document, output)
                sys.stdout.flush()


def _write(document: dict[str, Any], form: Format) -> None:
    """JSON as MongoDB nests it, other forms in one level."""
    from stockctl.company.document import flat

    nested = form in (Format.json, Format.jsonl)
    write_object(dict(_plain(document)) if nested else flat(document), form)


def _plain(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield name, dict(_plain(value))
        else:
            yield name, value.isoformat() if hasattr(value, "isoformat") else value
