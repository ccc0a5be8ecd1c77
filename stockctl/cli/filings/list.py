"""``stockctl filings list`` and ``show``: the filings in the lake."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stockctl.cli.options import SymbolsArgument, TimezoneOption, settings_of
from stockctl.cli.output import Format, View, row_options, say, write_object, write_rows
from stockctl.errors import UsageError

if TYPE_CHECKING:
    from stockctl.filings.model import Filing, Statement

STATEMENTS: dict[str, Statement] = {"balance": "bs", "income": "ic", "cashflow": "cf"}

_MAIN = ("symbol", "form", "filed", "period_end", "accession", "accepted", "period_start")
"""Columns of a filing, the most important first."""


@row_options()
def list_(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    form: Annotated[str | None, typer.Option(metavar="FORM", help="Only this form, such as 10-K.")] = None,
    last: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the newest N of each symbol.")] = None,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """List the filings in the lake, the newest first.

    Example: stockctl filings list AAPL --form 10-K
    """
    from stockctl.filings.catalog import COLUMNS, list_filings
    from stockctl.filings.collect.symbol_selection import configured_stocks, named_stocks
    from stockctl.filings.repository import resolve_stored_symbols

    settings = settings_of(ctx, {"timezone": tz})
    stocks = resolve_stored_symbols(settings, named_stocks(symbols)) if symbols else configured_stocks(settings)
    rows = [row for symbol in stocks for row in list_filings(settings, symbol, form=form, last=last)]
    write_rows(rows, view, COLUMNS, main=_MAIN)
    if not rows:
        say(f"the lake at {settings.lake.url} holds no such filing; `stockctl filings fetch` fetches filings")


@row_options()
def show(
    ctx: typer.Context,
    filing: Annotated[str, typer.Argument(metavar="SYMBOL|ACCESSION", help="A symbol, or an accession number.")],
    accession: Annotated[str, typer.Argument(metavar="[ACCESSION|latest]", help="Which filing of the symbol.")] = "latest",
    statement: Annotated[
        str, typer.Option("--statement", "-s", metavar="NAME", help="income, balance, cashflow or all.")
    ] = "all",
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Show the statements of one filing as reported.

    -o json prints the whole report as received.

    Example: stockctl filings show AAPL latest -s income
    """
    from stockctl.filings.catalog import find_filing, row_of
    from stockctl.filings.model import line_item_records

    if statement not in (*STATEMENTS, "all"):
        raise UsageError(f"unknown statement {statement}", hint=f"one of {', '.join(STATEMENTS)}, all")
    settings = settings_of(ctx, {"timezone": tz})
    stored = find_filing(settings, filing, accession)
    names = list(STATEMENTS) if statement == "all" else [statement]
    if view.form is Format.json:
        if view.fields or view.limit:
            raise UsageError("-o json writes the filing as received", hint="use -o jsonl for --fields and --limit")
        sys.stdout.write(stored.raw.decode("utf-8", errors="replace").rstrip("\n") + "\n")
    elif view.is_table:
        write_object(row_of(settings, stored.filing, stored.state), view.form)
        for name in names:
            _write_statement(stored.filing, name, view)
    else:
        kinds = {STATEMENTS[name] for name in names}
        write_rows((record for record in line_item_records(stored.filing) if record["statement"] in kinds), view)


def _write_statement(filing: Filing, name: str, view: View) -> None:
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
    write_rows(rows, view, main=("item", "value", "unit"))
