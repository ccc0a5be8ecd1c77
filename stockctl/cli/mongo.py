"""``stockctl mongo``: the collections in MongoDB."""

from __future__ import annotations

import typer

from stockctl.cli.options import DryRunOption, Group, mongo_of, settings_of
from stockctl.cli.output import (
    View,
    check_change_fields,
    row_options,
    say,
    show_apply,
    show_differences,
    write_rows,
)
from stockctl.errors import UnhealthyError

app = Group(help="Create and compare the collections in MongoDB.")


@app.command()
@row_options()
def apply(ctx: typer.Context, dry_run: DryRunOption = False, *, view: View) -> None:
    """Create or update the collections; drop nothing.

    With their validators, indexes and expiry.

    Example: stockctl mongo apply
    """
    check_change_fields(view, dry_run=dry_run)
    from stockctl.mongo import schema

    settings = settings_of(ctx)
    with mongo_of(settings) as mongo:
        show_apply(
            view,
            dry_run=dry_run,
            differences=lambda: schema.differences(mongo, settings.mongo),
            apply=lambda: schema.apply(mongo, settings.mongo),
        )


@app.command()
@row_options()
def diff(ctx: typer.Context, *, view: View) -> None:
    """Compare the collections with the settings.

    Exit code 10 if they differ.

    Example: stockctl mongo diff
    """
    from stockctl.mongo import schema

    settings = settings_of(ctx)
    with mongo_of(settings) as mongo:
        differences = schema.differences(mongo, settings.mongo)
    show_differences(differences, view, "the collections")


@app.command()
@row_options()
def status(ctx: typer.Context, *, view: View) -> None:
    """Show the documents and indexes of each collection.

    Exit code 10 if one is absent.

    Example: stockctl mongo status
    """
    from stockctl.mongo import schema

    settings = settings_of(ctx)
    with mongo_of(settings) as mongo:
        rows = schema.status(mongo, settings.mongo)
        say(mongo.place)
    write_rows((row._asdict() for row in rows), view, schema.CollectionStatus._fields)
    if absent := [row.collection for row in rows if row.documents is None]:
        raise UnhealthyError(f"absent: {', '.join(absent)}", hint=schema.APPLY)
