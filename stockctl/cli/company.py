"""``stockctl company``: the company document in MongoDB, with its trades and filings."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from stockctl.cli.options import Group, TimezoneOption, mongo_of, settings_of
from stockctl.cli.output import Format, View, amount, is_number, reader_has_left, record_options, say, write_object

app = Group(help="Show the company document in MongoDB.")


@app.callback()
def group() -> None:
    """Show the company document in MongoDB."""


@app.command()
@record_options()
def show(
    ctx: typer.Context,
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Symbol of the company, in any case.")],
    watch: Annotated[bool, typer.Option("--watch", help="Show it, and again after each change, until Ctrl-C.")] = False,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Show a company's last trade, session, filing and KPIs.

    Example: stockctl company show AAPL
    """
    from stockctl.company.document import changes, company, resolve_company
    from stockctl.service import running

    settings = settings_of(ctx, {"timezone": tz})
    with mongo_of(settings) as mongo:
        symbol = resolve_company(mongo, settings, symbol)
        if not watch:
            _write(company(mongo, settings, symbol), view)
            return
        with running(settings) as service:
            for number, document in enumerate(changes(mongo, settings, symbol, service.stop.is_set)):
                _write(document, view)
                if reader_has_left():
                    break
                if not number:
                    say(f"watching {symbol}; Ctrl-C ends it")


def _write(document: dict[str, Any], view: View) -> None:
    """JSON is nested as in MongoDB; other formats have one level."""
    from stockctl.company.document import flatten

    nested = view.form in (Format.json, Format.jsonl)
    record = document if nested else flatten(document)
    write_object(_with_units(record) if view.on_terminal else record, view)


def _with_units(record: dict[str, Any]) -> dict[str, Any]:
    """The record in one level with KPIs as ``filings kpis`` shows them."""
    from stockctl.filings.fundamentals.kpi_definitions import KPIS

    currency = record.get("kpis.currency") or ""
    money = {kpi.name: f"{currency}/share" if kpi.name == "eps" else currency for kpi in KPIS if kpi.unit == "money"}
    units = {f"{part}.{kpi.name}": money.get(kpi.name, kpi.unit) for kpi in KPIS for part in ("kpis", "together")}
    return {name: amount(value, units[name]) if name in units and is_number(value) else value for name, value in record.items()}
