"""``stockctl backtest``: what a strategy would have earned, and whether it may be believed."""

from stockctl.cli.backtest.check import check
from stockctl.cli.backtest.compare import compare
from stockctl.cli.backtest.run import run
from stockctl.cli.backtest.sweep import sweep
from stockctl.cli.options import Group

app = Group(help="Run strategies on past data, to see what they would have earned.")
app.command()(run)
app.command()(check)
app.command()(sweep)
app.command()(compare)
