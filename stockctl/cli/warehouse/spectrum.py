"""``stockctl spectrum``: the lake in Redshift, as external tables and views, and SQL over them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stockctl.cli.options import DryRunOption, Group, settings_of, text_of
from stockctl.cli.output import (
    View,
    check_change_fields,
    numbered,
    row_options,
    say,
    show_apply,
    show_differences,
    write_rows,
)
from stockctl.errors import UnhealthyError, UsageError

if TYPE_CHECKING:
    from stockctl.settings import Settings
    from stockctl.warehouse.partitions import LakePartitions

app = Group(help="Manage the lake in Redshift Spectrum, and run SQL.")


def _lake(settings: Settings) -> LakePartitions:
    from stockctl.lake.store import existing_store
    from stockctl.warehouse.partitions import lake_partitions
    from stockctl.warehouse.tables import lake_url

    return lake_partitions(existing_store(settings), lake_url(settings))


@app.command()
def render(ctx: typer.Context) -> None:
    """Print the SQL that `apply` runs on an empty Redshift.

    It does not connect to Redshift, and assumes that Redshift sees the Parquet of each compacted date, as after `glue sync`.

    Example: stockctl spectrum render > spectrum.sql
    """
    from stockctl.warehouse.spectrum import ddl

    settings = settings_of(ctx)
    for statement in ddl.statements(settings, _lake(settings)):
        sys.stdout.write(f"{statement.sql};\n\n")


@app.command()
@row_options()
def apply(
    ctx: typer.Context,
    adopt: Annotated[bool, typer.Option("--adopt", help="Take over tables and views that someone else made.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Drop partitions that are not in the lake, unless the tables are Glue's.")
    ] = False,
    dry_run: DryRunOption = False,
    *,
    view: View,
) -> None:
    """Create or update external tables and views in Redshift.

    Nothing is dropped without --prune.

    Run it again after `lake compact` and `glue sync`: the views contain the compacted dates.

    Example: stockctl spectrum apply
    """
    check_change_fields(view, dry_run=dry_run)
    from stockctl.clients.redshift.client import connect
    from stockctl.warehouse.spectrum import schema

    settings = settings_of(ctx)
    lake = _lake(settings)
    with connect(settings) as redshift:
        show_apply(
            view,
            dry_run=dry_run,
            differences=lambda: schema.differences(redshift, settings, lake),
            apply=lambda: schema.apply(redshift, settings, lake, adopt=adopt, prune=prune),
        )


@app.command()
@row_options()
def diff(ctx: typer.Context, *, view: View) -> None:
    """Compare Redshift with the settings and the lake.

    Exit code 10 if they differ.

    Example: stockctl spectrum diff
    """
    from stockctl.clients.redshift.client import connect
    from stockctl.warehouse.spectrum import schema

    settings = settings_of(ctx)
    lake = _lake(settings)
    with connect(settings) as redshift:
        differences = schema.differences(redshift, settings, lake)
    show_differences(differences, view, "Redshift, the lake")


@app.command()
@row_options()
def status(ctx: typer.Context, *, view: View) -> None:
    """Show schema, tables and views as Redshift sees them.

    Exit code 10 if one differs from the settings.

    Example: stockctl spectrum status
    """
    from stockctl.clients.redshift.client import connect
    from stockctl.warehouse.spectrum import schema

    settings = settings_of(ctx)
    lake = _lake(settings)
    with connect(settings) as redshift:
        rows = schema.status(redshift, settings, lake)
    write_rows((row._asdict() for row in rows), view, schema.ObjectStatus._fields)
    if differing := [f"{row.kind} {row.name}" for row in rows if row.state not in schema.SOUND]:
        raise UnhealthyError(
            f"these differ from the settings: {', '.join(differing)}", hint="`stockctl spectrum diff` shows how to fix each"
        )


@app.command()
@row_options()
def query(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="File with one statement, or - for stdin.")],
    local: Annotated[bool, typer.Option("--local", help="Run it on the lake with DuckDB, without Redshift.")] = False,
    explain_scan: Annotated[
        bool, typer.Option("--explain-scan", help="Show the partitions and bytes that it scans, instead of its rows.")
    ] = False,
    *,
    view: View,
) -> None:
    """Run SQL in Redshift, or on the lake with --local.

    CSV and JSON lines stream in constant memory.

    With --local the same SQL runs on the lake; anything that means something else in DuckDB is rejected by name.

    Example: stockctl spectrum query report.sql -o csv > report.csv
    """
    settings = settings_of(ctx)
    text = _text(file)
    if local and explain_scan:
        raise UsageError("--explain-scan needs Redshift, and --local does not use it", hint="leave one of them out")
    if local:
        from stockctl.warehouse.redshift_on_duckdb import session as lake

        with lake.query(settings, text) as (columns, rows):
            _write(columns, rows, view)
        return
    from stockctl.clients.redshift.client import connect

    with connect(settings) as redshift:
        if explain_scan:
            from stockctl.warehouse.spectrum.scan_stats import Scan, explain

            scans = explain(redshift, settings.redshift, text)
            write_rows((scan._asdict() for scan in scans), view, Scan._fields)
            if not scans:
                say("nothing was scanned: the statement reads no external table, or its filters match no partition")
            return
        columns, rows = redshift.query(text)
        _write(columns, rows, view)


def _write(columns: Sequence[str], rows: Iterable[Sequence[Any]], view: View) -> None:
    names = numbered(columns)
    write_rows((dict(zip(names, row, strict=True)) for row in rows), view, names, kinds=False)


def _text(file: str) -> str:
    """The statement in the file, or on stdin, without a semicolon at its end."""
    text = text_of(file, "name a file with SQL, or - for stdin").rstrip().rstrip(";").rstrip()
    if not text:
        raise UsageError(f"there is no SQL in {'stdin' if file == '-' else file}", hint="write one SELECT")
    return text
