"""``stockctl connect``: the MongoDB sink connector in Kafka Connect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.options import settings_of
from stockctl.cli.output import (
    View,
    YesOption,
    confirm,
    record_options,
    row_options,
    say,
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
    from stockctl.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Run the MongoDB sink connector in Kafka Connect.")


@contextmanager
def _both(ctx: typer.Context) -> Iterator[tuple[Connect, Admin, Settings]]:
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
        bool, typer.Option("--topics-only", help="Make Connect's own topics alone, before the first worker starts.")
    ] = False,
    *,
    view: View,
) -> None:
    """Make the connector as the settings say, and wait until it really runs.

    Example: stockctl connect apply
    """
    from stockctl.stream.mongo_sink import connector as room

    with _both(ctx) as (connect, admin, settings):
        changes = room.apply(connect, admin, settings, say, topics_only=topics_only)
    show_changes(changes, view)
    if not topics_only:
        say(f"{settings.connect.connector} is running")


@app.command()
@record_options()
def render(ctx: typer.Context, *, view: View) -> None:
    """Show the configuration that the connector gets, with its secrets masked.

    Example: stockctl connect render -o json
    """
    from stockctl.stream.mongo_sink.config import masked
    from stockctl.stream.mongo_sink.config import render as rendered

    write_object(masked(rendered(settings_of(ctx))), view)


@app.command()
@row_options()
def diff(ctx: typer.Context, *, view: View) -> None:
    """Show in what the connector differs from the settings; exit code 10 when it does.

    Example: stockctl connect diff
    """
    from stockctl.stream.mongo_sink import connector as room

    with _both(ctx) as (connect, admin, settings):
        differences = room.differences(connect, admin, settings)
    show_differences(differences, view, "the connector with its topics")


@app.command()
@row_options()
def status(ctx: typer.Context, *, view: View) -> None:
    """Show connector, tasks, why one failed, and lag; exit code 10 when something does not run.

    Example: stockctl connect status
    """
    from stockctl.stream.mongo_sink import connector as room

    with _both(ctx) as (connect, admin, settings):
        parts = room.status(connect, admin, settings)
    write_rows((part._asdict() for part in parts), view, room.Part._fields)
    if bad := room.unhealthy(parts):
        raise UnhealthyError(f"not running: {', '.join(bad)}", hint=room.remedy(parts))


@app.command()
def restart(
    ctx: typer.Context,
    failed: Annotated[bool, typer.Option("--failed", help="Restart only what has failed.")] = False,
) -> None:
    """Restart the connector with its tasks.

    Example: stockctl connect restart --failed
    """
    from stockctl.clients.kafka_connect import Connect

    settings = settings_of(ctx)
    with Connect(settings) as connect:
        connect.restart(settings.connect.connector, only_failed=failed)
    say(f"restarted {'what had failed of ' if failed else ''}{settings.connect.connector}; `stockctl connect status` shows it")


@app.command()
def delete(ctx: typer.Context, yes: YesOption = False) -> None:
    """Delete the connector; its documents, its group's offsets and Connect's own topics stay.

    Example: stockctl connect delete --yes
    """
    from stockctl.clients.kafka_connect import Connect
    from stockctl.settings import require

    settings = settings_of(ctx)
    where = require(settings, "connect.url")
    confirm(f"Delete the connector {settings.connect.connector} at {where}?", "stockctl connect delete", yes=yes)
    with Connect(settings) as connect:
        connect.delete(settings.connect.connector)
    say(f"deleted {settings.connect.connector}")


@app.command()
def watch(
    ctx: typer.Context,
    health_port: Annotated[int | None, typer.Option(help="Serve /healthz and /metrics here.")] = None,
) -> None:
    """Restart the connector's tasks whenever one has failed, until Ctrl-C.

    Example: stockctl connect watch --health-port 8080
    """
    from stockctl.service import running
    from stockctl.stream.mongo_sink.connector import Watch

    settings = settings_of(ctx)
    with running(settings, health_port=health_port, leave_within=10.0) as service:
        watching = Watch(settings)
        service.health = lambda: watching.trouble
        say(f"watching {settings.connect.connector} at {settings.connect.url}")
        watching.run(service.stop)
    say(counted(watching.restarts, "restart"))
