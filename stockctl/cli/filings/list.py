"""``stockctl filings list`` and ``show``: the filings in the lake."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stockctl.cli.options import SymbolsArgument, TimezoneOption, settings_of
from stockctl.cli.output import Format, OutputOption, say, write_object, write_rows
from stockctl.errors import UsageError

if TYPE_CHECKING:
    from stockctl.filings.model import Filing, Statement

STATEMENTS: dict[str, Statement] = {"balance": "bs", "income": "ic", "cashflow": "cf"}


def list_(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    form: Annotated[str | None, typer.Option(help="Only this form, such as 10-K.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only so many of each symbol, the newest.")] = None,
    tz: TimezoneOption = None,
    output: OutputOption = Format.table,
) -> None:
    """List the filings that the lake holds, the newest first.

    Example: stockctl filings list AAPL --form 10-K
    """
    from stockctl.filings.catalog import LISTED, listed
    from stockctl.filings.collect.collector import configured, named
    from stockctl.filings.repository import asked_symbols

    settings = settings_of(ctx, {"timezone": tz})
    wanted = asked_symbols(settings, named(symbols)) if symbols else configured(settings)
    rows = [row for symbol in wanted for row in listed(settings, symbol, form=form, last=last)]
    write_rows(rows, output, LISTED)
    if not rows:
        say(f"the lake at {settings.lake.url} holds no such filing; `stockctl filings fetch` fetches some")


def show(
    ctx: typer.Context,
    filing: Annotated[str, typer.Argument(metavar="SYMBOL|ACCESSION", help="A symbol, or the number of a filing.")],
    accession: Annotated[str, typer.Argument(metavar="[ACCESSION|latest]", help="Which filing of the symbol.")] = "latest",
    statement: Annotated[str, typer.Option("--statement", "-s", help="income, balance, cashflow or all.")] = "all",
    tz: TimezoneOption = None,
    output: OutputOption = Format.table,
) -> None:
    """Show the statements of one filing as they were reported; with -o json, all of it as it was received.

    Example: stockctl filings show AAPL latest -s income
    """
    from stockctl.filings.catalog import find, row_of
    from stockctl.filings.model import lines

    if statement not in (*STATEMENTS, "all"):
        raise UsageError(f"there is no statement {statement}", hint=f"one of {', '.join(STATEMENTS)}, all")
    settings = settings_of(ctx, {"timezone": tz})
    found = find(settings, filing, accession)
    names = list(STATEMENTS) if statement == "all" else [statement]
    if output is Format.json:
        sys.stdout.write(found.raw.decode("utf-8", errors="replace").rstrip("\n") + "\n")
    elif output is Format.table:
        write_object(row_of(settings, found.filing, found.state), output)
        for name in names:
            _write_statement(found.filing, name)
    else:
        kinds = {STATEMENTS[name] for name in names}
        write_rows((line for line in lines(found.filing) if line["statement"] in kinds), output)


def _write_statement(filing: Filing, name: str) -> None:
    items = filing.statement(STATEMENTS[name])
    sys.stdout.write(f"\n{name}, as reported{'' if items else ': not in this filing'}\n")
    texts = ["" if item.value is None else f"{item.value:,.10g}" if item.value % 1 else f"{item.value:,.0f}" for item in items]
    width = max(map(len, texts), default=0)
    rows: list[dict[str, Any]] = [
        {
            "item": item.label or item.name,
            "value": text.rjust(width),
            "unit": item.measure or item.unit,
            "concept": item.concept,
        }
        for item, text in zip(items, texts, strict=True)
    ]
    write_rows(rows, Format.table)
