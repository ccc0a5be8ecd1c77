"""``stockctl topics``: the topics of the pipeline, and the lag of their consumer groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.options import DryRunOption, Group, settings_of
from stockctl.cli.output import (
    View,
    check_change_fields,
    row_options,
    say,
    show_apply,
    show_differences,
    write_rows,
)

if TYPE_CHECKING:
    from stockctl.clients.kafka import Admin
    from stockctl.settings import Settings

app = Group(help="Create, list and compare the topics, and show consumer lag.")


def _connect(ctx: typer.Context) -> tuple[Admin, Settings]:
    from stockctl.clients.kafka import Admin

    settings = settings_of(ctx)
    admin = Admin(settings)
    admin.wait(say=say)
    return admin, settings


@app.command()
@row_options()
def apply(ctx: typer.Context, dry_run: DryRunOption = False, *, view: View) -> None:
    """Create or update the topics; delete nothing.

    Example: stockctl topics apply
    """
    check_change_fields(view, dry_run=dry_run)
    from stockctl.stream import topics

    admin, settings = _connect(ctx)
    show_apply(
        view,
        dry_run=dry_run,
        differences=lambda: topics.differences(admin, settings.topics),
        apply=lambda: topics.apply(admin, settings.topics),
    )


@app.command("list")
@row_options()
def list_(
    ctx: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="List every topic of the cluster.")] = False,
    *,
    view: View,
) -> None:
    """List the topics of the pipeline.

    Example: stockctl topics list
    """
    from stockctl.stream import topics

    admin, settings = _connect(ctx)
    listed = topics.listing(admin, settings.topics, every=every)
    write_rows((topic._asdict() for topic in listed), view, topics.TopicStatus._fields)
    if absent := [topic.topic for topic in listed if topic.partitions is None]:
        say(f"absent: {', '.join(absent)}; `stockctl topics apply` creates them")


@app.command()
@row_options()
def diff(ctx: typer.Context, *, view: View) -> None:
    """Compare the topics with the settings.

    Exit code 10 if they differ.

    Example: stockctl topics diff
    """
    from stockctl.stream import topics

    admin, settings = _connect(ctx)
    show_differences(topics.differences(admin, settings.topics), view, "the topics")


@app.command()
@row_options()
def lag(
    ctx: typer.Context,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="GROUP", help="Consumer group; may be repeated. Default: all groups of the pipeline."),
    ] = None,
    *,
    view: View,
) -> None:
    """Show the lag of each consumer group, by partition.

    Example: stockctl topics lag --group stockctl-lake
    """
    from stockctl.stream.lag import Lag, read_lag

    write_rows((row._asdict() for row in read_lag(*_connect(ctx), group or ())), view, Lag._fields)
