"""``stockctl connect``: the MongoDB sink connector in Kafka Connect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.options import DryRunOption, Group, HealthPortOption, settings_of
from stockctl.cli.output import (
    View,
    YesOption,
    check_change_fields,
    confirm,
    record_options,
    row_options,
    say,
    say_dry_run,
    show_apply,
    show_changes,
    show_differences,
    write_object,
    write_rows,
)
from stockctl.errors import UnhealthyError
from stockctl.units import counted

if TYPE_CHECKING:
    from stockctl.clients.kafka import Admin
    from stockctl.clients.kafka_connect import Connect
    from stockctl.reconcile import Change
    from stockctl.settings import Settings

app = Group(help="Run the MongoDB sink connector in Kafka Connect.")


@contextmanager
def _clients(ctx: typer.Context) -> Iterator[tuple[Connect, Admin, Settings]]:
    from stockctl.clients.kafka import Admin
    from stockctl.clients.kafka_connect import Connect

    settings = settings_of(ctx)
    with Connect(settings) as connect:
        admin = Admin(settings)
        admin.wait(say=say)
        yield connect, admin, settings


@app.command()
@row_options()
def apply(
    ctx: typer.Context,
    topics_only: Annotated[
        bool, typer.Option("--topics-only", help="Only create the internal topics of Connect, before the first worker starts.")
    ] = False,
    dry_run: DryRunOption = False,
    *,
    view: View,
) -> None:
    """Create or update the connector, and wait until it runs.

    Example: stockctl connect apply
    """
    check_change_fields(view, dry_run=dry_run)
    from stockctl.stream.kafka_connect import connector as sink

    with _clients(ctx) as (connect, admin, settings):

        def apply() -> list[Change]:
            changes = sink.apply(connect, admin, settings, say, topics_only=topics_only)
            if not topics_only:
                say(f"{settings.connect.connector} is running")
            return changes

        show_apply(
            view,
            dry_run=dry_run,
            differences=lambda: sink.differences(connect, admin, settings, topics_only=topics_only),
            apply=apply,
        )


@app.command()
@record_options()
def render(ctx: typer.Context, *, view: View) -> None:
    """Show the connector's configuration, with secrets masked.

    Example: stockctl connect render -o json
    """
    from stockctl.stream.kafka_connect.config import masked
    from stockctl.stream.kafka_connect.config import render as connector_config

    write_object(masked(connector_config(settings_of(ctx))), view)


@app.command()
@row_options()
def diff(ctx: typer.Context, *, view: View) -> None:
    """Compare the connector with the settings.

    Exit code 10 if they differ.

    Example: stockctl connect diff
    """
    from stockctl.stream.kafka_connect import connector as sink

    with _clients(ctx) as (connect, admin, settings):
        differences = sink.differences(connect, admin, settings)
    show_differences(differences, view, "the connector with its topics")


@app.command()
@row_options()
def status(ctx: typer.Context, *, view: View) -> None:
    """Show the connector, its tasks and its lag.

    With the cause of a failure; exit code 10 if something does not run.

    Example: stockctl connect status
    """
    from stockctl.stream.kafka_connect import connector as sink

    with _clients(ctx) as (connect, admin, settings):
        parts = sink.status(connect, admin, settings)
    write_rows((part._asdict() for part in parts), view, sink.PartStatus._fields)
    if failing := sink.unhealthy(parts):
        raise UnhealthyError(f"not running: {', '.join(failing)}", hint=sink.fix_for(parts))


@app.command()
def restart(
    ctx: typer.Context,
    failed: Annotated[bool, typer.Option("--failed", help="Restart only what failed.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Restart the connector and its tasks.

    Example: stockctl connect restart --failed
    """
    from stockctl.clients.kafka_connect import Connect

    settings = settings_of(ctx)
    with Connect(settings) as connect:
        if dry_run:
            parts = [part for part in connect.status(settings.connect.connector) if not failed or part.state == "FAILED"]
            for part in parts:
                say(f"{'the connector' if part.number < 0 else f'task {part.number}'} is {part.state} and would be restarted")
            say_dry_run(empty=not parts)
            return
        connect.restart(settings.connect.connector, only_failed=failed)
    say(f"restarted {'the failed tasks of ' if failed else ''}{settings.connect.connector}; see `stockctl connect status`")


@app.command()
@row_options()
def delete(ctx: typer.Context, yes: YesOption = False, dry_run: DryRunOption = False, *, view: View) -> None:
    """Delete the connector; all data stays.

    The documents, the offsets of its group and the internal topics.

    Example: stockctl connect delete --yes
    """
    check_change_fields(view)
    from stockctl.clients.kafka_connect import Connect
    from stockctl.reconcile import Change

    settings = settings_of(ctx)
    name = settings.connect.connector
    with Connect(settings) as connect:
        if dry_run:
            show_changes([] if connect.config(name) is None else [Change("connector", name, "deleted")], view, dry_run=True)
            return
        confirm(f"Delete the connector {name} at {connect.url}?", "stockctl connect delete", yes=yes)
        connect.delete(name)
    show_changes([Change("connector", name, "deleted")], view)


@app.command()
def watch(
    ctx: typer.Context,
    health_port: HealthPortOption = None,
) -> None:
    """Restart failed tasks automatically, until Ctrl-C.

    Example: stockctl connect watch --health-port 8080
    """
    from stockctl.service import running
    from stockctl.stream.kafka_connect.watchdog import Watchdog

    settings = settings_of(ctx)
    with running(settings, health_port=health_port, leave_within=10.0) as service:
        watchdog = Watchdog(settings)
        service.health = lambda: watchdog.problem
        say(f"watching {settings.connect.connector} at {settings.connect.url}")
        watchdog.run(service.stop)
    say(counted(watchdog.restarts, "restart"))
