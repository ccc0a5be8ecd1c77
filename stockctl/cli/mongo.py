"""``stockctl mongo``: the collections in MongoDB, as the settings want them and as they are."""

from __future__ import annotations

import typer

from stockctl.cli.options import mongo_of, settings_of
from stockctl.cli.output import Format, OutputOption, say, write_rows
from stockctl.errors import UnhealthyError
from stockctl.units import counted

app = typer.Typer(no_args_is_help=True, help="Make and compare the collections in MongoDB.")


@app.command()
def apply(ctx: typer.Context, output: OutputOption = Format.table) -> None:
    """Make collections, validators, indexes and expiry as the settings say; drop nothing.

    Example: stockctl mongo apply
    """
    from stockctl.mongo import schema

    settings = settings_of(ctx)
    with mongo_of(settings) as mongo:
        changes = schema.apply(mongo, settings)
    write_rows((change._asdict() for change in changes), output, schema.Change._fields)
    if left := [f"{change.collection} {change.what}" for change in changes if change.done == "left alone"]:
        raise UnhealthyError(f"left as they are: {', '.join(left)}", hint="each row's detail")


@app.command()
def diff(ctx: typer.Context, output: OutputOption = Format.table) -> None:
    """Show in what MongoDB differs from the settings; exit code 10 when it does.

    Example: stockctl mongo diff
    """
    from stockctl.mongo import schema

    settings = settings_of(ctx)
    with mongo_of(settings) as mongo:
        found = schema.differences(mongo, settings)
    write_rows((difference._asdict() for difference in found), output, schema.Difference._fields)
    if found:
        raise UnhealthyError(f"MongoDB differs from the settings in {counted(len(found), 'thing')}", hint="each row's remedy")
    say("the collections are as the settings say")


@app.command()
def status(ctx: typer.Context, output: OutputOption = Format.table) -> None:
    """Show what each collection holds.

    Example: stockctl mongo status
    """
    from stockctl.mongo import schema

    settings = settings_of(ctx)
    with mongo_of(settings) as mongo:
        rows = schema.standing(mongo, settings)
        say(mongo.place)
    write_rows((row._asdict() for row in rows), output, schema.Standing._fields)
    if absent := [row.collection for row in rows if row.documents is None]:
        say(f"absent: {', '.join(absent)}; `stockctl mongo apply` makes them")
