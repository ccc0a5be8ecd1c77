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
    deep: Annotated[bool, typer.Option("--deep", help="Read every object: hashes, rows, ids that occur twice.")] = False,
    *,
    view: View,
) -> None:
    """Prove that every claimed record is in the lake once; exit 10 and name what is not.

    Example: stockctl lake verify --deep
    """
    from stockctl.lake.maintenance.issues import Issue
    from stockctl.lake.maintenance.verify import verify as check
    from stockctl.lake.store import existing_store
    from stockctl.units import counted, format_size

    settings = settings_of(ctx)
    with progress("reading objects") as bar:
        task = bar.add_task("objects", total=None)
        report = check(
            existing_store(settings), deep=deep, advance=lambda done, total: bar.update(task, completed=done, total=total)
        )
    write_rows((finding._asdict() for finding in report.findings), view, Issue._fields if not view.is_table else None)
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
