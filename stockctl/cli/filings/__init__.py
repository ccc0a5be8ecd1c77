"""``stockctl filings``: fetch, store and show what companies report to the SEC."""

from stockctl.cli.filings.fetch import fetch
from stockctl.cli.filings.list import list_, show
from stockctl.cli.filings.statements import check, kpis, statement
from stockctl.cli.options import Group

app = Group(help="Fetch, store and show what companies report to the SEC.")
app.command()(fetch)
app.command("list")(list_)
app.command()(show)
app.command()(statement)
app.command()(kpis)
app.command()(check)
