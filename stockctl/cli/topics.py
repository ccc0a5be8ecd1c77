"""``stockctl topics``: the pipeline's topics, and how far their readers are behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.options import settings_of
from stockctl.cli.output import Format, OutputOption, say, write_rows
from stockctl.errors import UnhealthyError
from stockctl.units import counted

if TYPE_CHECKING:
    from stockctl.clients.kafka import Admin
    from stockctl.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Make, list and compare the topics, and show their readers' lag.")


def _connect(ctx: typer.Context) -> tuple[Admin, Settings]:
    from stockctl.clients.kafka import Admin

    settings = settings_of(ctx)
    admin = Admin(settings)
    admin.wait(say=say)
    return admin, settings


@app.command()
def apply(ctx: typer.Context, output: OutputOption = Format.table) -> None:
    """Make the topics as the settings say, or change those that differ; delete nothing.

    Example: stockctl topics apply
    """
    from stockctl.stream import topics

    changes = topics.apply(*_connect(ctx))
    write_rows((change._asdict() for change in changes), output, topics.Change._fields)


@app.command("list")
def list_(
    ctx: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="List every topic of the cluster.")] = False,
    output: OutputOption = Format.table,
) -> None:
    """List the pipeline's topics as the cluster has them.

    Example: stockctl topics list
    """
    from stockctl.stream import topics

    listed = topics.listing(*_connect(ctx), every=every)
    write_rows((topic._asdict() for topic in listed), output, topics.Listed._fields)
    if absent := [topic.topic for topic in listed if topic.partitions is None]:
        say(f"absent: {', '.join(absent)}; `stockctl topics apply` makes them")


@app.command()
def diff(ctx: typer.Context, output: OutputOption = Format.table) -> None:
    """Show in what the topics differ from the settings; exit code 10 when they do.

    Example: stockctl topics diff
    """
    from stockctl.stream import topics

    differences = topics.differences(*_connect(ctx))
    write_rows((difference._asdict() for difference in differences), output, topics.Difference._fields)
    if differences:
        raise UnhealthyError(
            f"topics differ from the settings in {counted(len(differences), 'thing')}", hint="`stockctl topics apply`"
        )
    say("the topics are as the settings say")


@app.command()
def lag(
    ctx: typer.Context,
    group: Annotated[
        list[str] | None, typer.Option("--group", help="Consumer group; may be repeated. Default: all of the pipeline's.")
    ] = None,
    output: OutputOption = Format.table,
) -> None:
    """Show how far each consumer group is behind, by partition.

    Example: stockctl topics lag --group stockctl-lake
    """
    from stockctl.stream.lag import Lag, read_lag

    write_rows((row._asdict() for row in read_lag(*_connect(ctx), group or ())), output, Lag._fields)
