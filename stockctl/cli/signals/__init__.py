"""``stockctl signals``: run a strategy on live trades, see what it decided, and verify it."""

from stockctl.cli.options import Group
from stockctl.cli.signals.read import list_, show, watch
from stockctl.cli.signals.run import run
from stockctl.cli.signals.verify import verify

app = Group(help="Run strategies on live trades; list, show, watch and verify their signals.")
app.command()(run)
app.command("list")(list_)
app.command()(show)
app.command()(watch)
app.command()(verify)
