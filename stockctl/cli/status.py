"""``stockctl status``: the pipeline of the active profile at a glance."""

from __future__ import annotations

import typer

from stockctl.cli.options import settings_of
from stockctl.cli.output import View, row_options, say, write_rows
from stockctl.errors import UnhealthyError


@row_options()
def status(ctx: typer.Context, *, view: View) -> None:
    """Show the pipeline at a glance; exit code 10 if a part fails.

    Topics, lag, dead letters, lake, MongoDB, feed, dashboard and local stack.

    Example: stockctl status
    """
    from stockctl.check_runner import run
    from stockctl.dashboard import health as dashboard
    from stockctl.feed import health as feed
    from stockctl.lake import health as lake
    from stockctl.local import health as local
    from stockctl.mongo import health as mongo
    from stockctl.signals import health as signals
    from stockctl.stream import health as stream
    from stockctl.stream.dead_letters import health as dead_letters
    from stockctl.stream.kafka_connect import health as connector

    settings = settings_of(ctx)
    overviews = (
        feed.overview,
        stream.overview,
        dead_letters.checks,
        signals.overview,
        connector.overview,
        lake.overview,
        mongo.overview,
        dashboard.overview,
        local.overview,
    )
    results = run([check for overview in overviews for check in overview(settings)])
    write_rows(
        ({"part": part, "state": result.state, "detail": result.detail, "fix": result.fix} for part, result in results),
        view,
    )
    say(f"profile {settings.profile}")
    if failing := [part for part, result in results if result.state == "fail"]:
        raise UnhealthyError(f"unhealthy: {', '.join(failing)}", hint="the `fix` of each, and `stockctl doctor`")
