"""``stockctl doctor``: health checks of every external system of the active profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from stockctl.cli.options import settings_of
from stockctl.cli.output import View, row_options, say, write_rows
from stockctl.errors import UnhealthyError
from stockctl.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from stockctl.check_runner import Check
    from stockctl.settings import Settings


def check_functions() -> list[Callable[[Settings], list[Check]]]:
    """The functions that return checks, in the order of the report."""
    from stockctl.check_runner import disk
    from stockctl.dashboard import health as dashboard
    from stockctl.feed import health as feed
    from stockctl.filings import health as filings
    from stockctl.lake import health as lake
    from stockctl.local import health as local
    from stockctl.mongo import health as mongo
    from stockctl.signals import health as signals
    from stockctl.stream import health as stream
    from stockctl.stream.dead_letters import health as dead_letters
    from stockctl.stream.kafka_connect import health as connector
    from stockctl.warehouse import health as warehouse

    return [
        feed.checks,
        filings.checks,
        stream.checks,
        dead_letters.checks,
        signals.checks,
        lake.checks,
        mongo.checks,
        connector.checks,
        warehouse.checks,
        dashboard.checks,
        local.checks,
        lambda settings: [disk(settings.state_dir)],
    ]


@row_options()
def doctor(ctx: typer.Context, *, view: View) -> None:
    """Check every external system; exit code 10 if one fails.

    Example: stockctl doctor
    """
    from stockctl.check_runner import run

    settings = settings_of(ctx)
    checks = [check for function in check_functions() for check in function(settings)]
    say(f"running {counted(len(checks), 'check')} of the profile {settings.profile}")
    results = run(checks)
    rows: list[dict[str, Any]] = [
        {
            "system": result.system,
            "state": result.result.state,
            "latency_ms": None if result.result.latency is None else round(result.result.latency * 1000, 1),
            "detail": result.result.detail,
            "fix": result.result.fix,
        }
        for result in results
    ]
    write_rows(rows, view)
    if unhealthy := [result.system for result in results if result.result.state == "fail"]:
        raise UnhealthyError(f"unhealthy: {', '.join(unhealthy)}", hint="the `fix` of each")
