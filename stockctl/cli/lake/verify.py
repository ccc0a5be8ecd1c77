"""``stockctl lake verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from stockctl.cli.options import settings_of
from stockctl.cli.output import View, progress, row_options, say, write_rows
from stockctl.errors import UnhealthyError


@row_options()
def verify(
    ctx: typer.Context,
    deep: Annotated[bool, typer.Option("--deep", help="Read every object: hashes, rows, duplicate ids.")] = False,
    *,
    view: View,
) -> None:
    """Prove that the lake has every record exactly once.

    Exit code 10 if it has damage.

    Example: stockctl lake verify --deep
    """
    from stockctl.lake.maintenance.issues import Issue
    from stockctl.lake.maintenance.verify import verify as check
    from stockctl.lake.store import existing_store
    from stockctl.units import counted, format_size

    view.check(Issue._fields)
    settings = settings_of(ctx)
    with progress("reading objects", shown=deep) as bar:
        task = bar.add_task("objects", total=None)
        report = check(
            existing_store(settings), deep=deep, advance=lambda done, total: bar.update(task, completed=done, total=total)
        )
    write_rows((issue._asdict() for issue in report.issues), view, Issue._fields if not view.is_table else None)
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
        say(counted(report.pruned, f"row {below} was deleted on purpose", f"rows {below} were deleted on purpose"))
    if report.damage:
        raise UnhealthyError(
            f"{counted(len(report.damage), 'issue')} in the lake at {settings.lake.url}",
            hint="docs/lake.md explains each kind of issue",
        )
    say(f"the lake at {settings.lake.url} is {'verified' if report.partitions else 'empty: nothing has been written to it'}")
