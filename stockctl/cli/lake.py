"""``stockctl lake``: what the lake holds, and whether it is whole."""

from __future__ import annotations

from typing import Annotated

import typer

from stockctl.cli import lake_read, lake_upkeep
from stockctl.cli.context import say_next_batch, settings_of
from stockctl.cli.output import Format, OutputOption, progress, say, write_rows
from stockctl.errors import UnhealthyError

app = typer.Typer(no_args_is_help=True, help="Look into the lake and prove that it is whole.")


@app.command("list")
def list_(ctx: typer.Context, output: OutputOption = Format.table) -> None:
    """List what the lake holds, a line a table, date and ticker.

    Example: stockctl lake list
    """
    from zoneinfo import ZoneInfo

    from stockctl.lake.listing import Holding, holdings
    from stockctl.lake.reading import Lake
    from stockctl.sessions import from_ms

    settings = settings_of(ctx)
    zone = ZoneInfo(settings.timezone)
    with Lake(settings) as lake:
        found = holdings(lake)
    rows = (
        holding._asdict() | {"ts_min": from_ms(holding.ts_min, zone), "ts_max": from_ms(holding.ts_max, zone)}
        for holding in found
    )
    write_rows(rows, output, Holding._fields)
    if not found:
        say(f"the lake at {settings.lake.url} is empty")
        say_next_batch(settings, "lake")


app.command()(lake_read.read)
app.command()(lake_read.query)
app.command()(lake_read.gaps)
app.command()(lake_upkeep.compact)
app.command()(lake_upkeep.prune)


@app.command()
def verify(
    ctx: typer.Context,
    deep: Annotated[bool, typer.Option("--deep", help="Read every object: hashes, rows, ids that occur twice.")] = False,
    output: OutputOption = Format.table,
) -> None:
    """Prove that every claimed record is in the lake once; exit 10 and name what is not.

    Example: stockctl lake verify --deep
    """
    from stockctl.clients.store import existing_store
    from stockctl.lake.findings import Finding
    from stockctl.lake.verify import verify as check
    from stockctl.units import counted, format_size

    settings = settings_of(ctx)
    with progress("reading objects") as bar:
        task = bar.add_task("objects", total=None)
        report = check(
            existing_store(settings), deep=deep, advance=lambda done, total: bar.update(task, completed=done, total=total)
        )
    write_rows(
        (finding._asdict() for finding in report.findings), output, Finding._fields if output is not Format.table else None
    )
    say(
        f"{counted(report.partitions, 'partition')}, {counted(report.claims, 'claim')}, "
        f"{counted(report.objects, 'object')} of {format_size(report.bytes)}, "
        f"{counted(report.rows, 'row')}{', each read' if deep else ''}, "
        f"{counted(report.rejected, 'record')} in the dead letters"
    )
    if report.compacted:
        say(f"{counted(report.compacted, 'date is', 'dates are')} compacted")
    if report.floor is not None:
        below = f"below the floor {report.floor}"
        say(counted(report.pruned, f"row {below} was dropped on purpose", f"rows {below} were dropped on purpose"))
    wrong = sum(finding.wrong for finding in report.findings)
    if wrong:
        raise UnhealthyError(
            f"{counted(wrong, 'finding')} in the lake at {settings.lake.url}", hint="docs/lake.md tells what each kind means"
        )
    say(f"the lake at {settings.lake.url} is {'whole' if report.partitions else 'empty: nothing has been written there'}")
