"""``stockctl mongo``: the collections in MongoDB."""

from __future__ import annotations

import typer

from stockctl.cli.options import mongo_of, settings_of
from stockctl.cli.output import Format, OutputOption, refuse_skipped, say, show_changes, show_differences, write_rows

app = typer.Typer(no_args_is_help=True, help="Create the collections in MongoDB, and compare them with the settings.")


@app.command()
def apply(ctx: typer.Context, output: OutputOption = Format.table) -> None:
    """Create or update collections, validators, indexes and expiry; drop nothing.

    Example: stockctl mongo apply
    """
    from stockctl.mongo import schema

    settings = settings_of(ctx)
    with mongo_of(settings) as mongo:
        changes = schema.apply(mongo, settings)
    show_changes(changes, output)
    refuse_skipped(changes)


@app.command()
def diff(ctx: typer.Context, output: OutputOption = Format.table) -> None:
    """Show the differences between MongoDB and the settings; exit code 10 if there are any.

    Example: stockctl mongo diff
    """
    from stockctl.mongo import schema

    settings = settings_of(ctx)
    with mongo_of(settings) as mongo:
        differences = schema.differences(mongo, settings)
    show_differences(differences, output, "the collections")


@app.command()
def status(ctx: typer.Context, output: OutputOption = Format.table) -> None:
    """Show the documents and indexes of each collection.

    Example: stockctl mongo status
    """
    from stockctl.mongo import schema

    settings = settings_of(ctx)
    with mongo_of(settings) as mongo:
        rows = schema.status(mongo, settings)
        say(mongo.place)
    write_rows((row._asdict() for row in rows), output, schema.CollectionStatus._fields)
    if absent := [row.collection for row in rows if row.documents is None]:
        say(f"absent: {', '.join(absent)}; `stockctl mongo apply` creates them")
