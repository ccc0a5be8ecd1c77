"""``stockctl lake``: read, verify and maintain the lake."""

from stockctl.cli.lake.list import list_
from stockctl.cli.lake.maintain import compact, prune
from stockctl.cli.lake.read import gaps, query, read
from stockctl.cli.lake.verify import verify
from stockctl.cli.options import Group

app = Group(help="Read, verify and maintain the lake.")
app.command("list")(list_)
app.command()(read)
app.command()(query)
app.command()(gaps)
app.command()(compact)
app.command()(prune)
app.command()(verify)
