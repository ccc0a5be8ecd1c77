"""``stockctl infra``: the whole pipeline on a Kubernetes cluster."""

from stockctl.cli.infra.down import down
from stockctl.cli.infra.render import diff, monitoring, render
from stockctl.cli.infra.status import check, logs, status
from stockctl.cli.infra.up import up
from stockctl.cli.options import Group

app = Group(help="Run the whole pipeline on Kubernetes.")
app.command()(render)
app.command()(diff)
app.command()(monitoring)
app.command()(check)
app.command()(up)
app.command()(down)
app.command()(status)
app.command()(logs)
