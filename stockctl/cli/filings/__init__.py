"""``stockctl filings``: what companies report, fetched, kept and shown."""

import typer

from stockctl.cli.filings.fetch import fetch
from stockctl.cli.filings.list import list_, show
from stockctl.cli.filings.statements import check, kpis, statement

app = typer.Typer(no_args_is_help=True, help="Fetch, keep and show what companies report.")
app.command()(fetch)
app.command("list")(list_)
app.command()(show)
app.command()(statement)
app.command()(kpis)
app.command()(check)
