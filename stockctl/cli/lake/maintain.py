"""``stockctl lake compact|prune``: maintenance of the lake's dates."""

from __future__ import annotations

from datetime import date as Date
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from stockctl.cli.options import DateOption, DryRunOption, day, settings_of
from stockctl.cli.output import View, YesOption, confirm, progress, row_options, say, say_dry_run, write_rows
from stockctl.errors import UsageError


@row_options()
def compact(
    ctx: typer.Context,
    before: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only dates before this one: 2026-11-23, today, -7d.")
    ] = None,
    date: DateOption = None,
    keep_days: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Leave the newest days as they are; default: 1, today.", show_default=False),
    ] = None,
    dry_run: DryRunOption = False,
    *,
    view: View,
) -> None:
    """Write the trades of past dates as Parquet.

    Readers use it from then on.

    Raw objects stay. If late trades of a date arrive, the next run writes the date again.

    Example: stockctl lake compact --keep-days 2
    """
    from datetime import timedelta

    from stockctl.lake.maintenance.compact import Compacted, compactable
    from stockctl.lake.maintenance.compact import compact as run

    settings = settings_of(ctx)
    if sum(option is not None for option in (before, date, keep_days)) > 1:
        raise UsageError("--before, --date and --keep-days exclude each other", hint="use one of them")
    zone = ZoneInfo(settings.lake.timezone)
    since, limit = day("--date", date, zone), day("--before", before, zone)
    if limit is not None:
        until = limit
    elif since is not None:
        until = since + timedelta(days=1)
    else:
        until = _today(zone) + timedelta(days=1 - (1 if keep_days is None else keep_days))
    view.check(Compacted._fields)
    if dry_run:
        compacted = [row._asdict() for row in compactable(settings, since=since, before=until)]
    else:
        with progress("writing rows") as bar:
            task = bar.add_task("rows", total=None)
            compacted = [
                row._asdict()
                for row in run(
                    settings,
                    since=since,
                    before=until,
                    advance=lambda _day, done, total: bar.update(task, completed=done, total=total),
                )
            ]
    write_rows(compacted, view, Compacted._fields if compacted or not view.is_table else None)
    if not compacted:
        say("nothing to compact: every requested date is compacted already, or has no trades")
    if dry_run:
        say_dry_run(empty=not compacted)


@row_options()
def prune(
    ctx: typer.Context,
    before: Annotated[str, typer.Option(metavar="DATE", help="Delete the dates before this one: 2026-01-01, -90d.")],
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    *,
    view: View,
) -> None:
    """Delete old dates permanently.

    Raw objects and Parquet; the log records the new floor.

    Example: stockctl lake prune --before 2026-01-01
    """
    from stockctl.lake.maintenance import prune as maintenance
    from stockctl.lake.store import existing_store
    from stockctl.units import counted, format_size

    settings = settings_of(ctx)
    zone = ZoneInfo(settings.lake.timezone)
    floor = day("--before", before, zone)
    if floor > _today(zone):
        raise UsageError(f"{floor} is in the future", hint="readers ignore dates below the floor: it can be today at most")
    view.check(maintenance.Prunable._fields)
    store = existing_store(settings)
    dates = maintenance.prunable(store, floor)
    shown = view if dry_run or yes else view.unlimited
    write_rows([item._asdict() for item in dates], shown, maintenance.Prunable._fields if dates or not view.is_table else None)
    if not dates:
        say(f"the lake at {settings.lake.url} has no data before {floor}")
        return
    objects = counted(sum(item.objects for item in dates), "object")
    size = format_size(sum(item.bytes for item in dates))
    say(f"{objects} of {size}, from {min(item.trade_date for item in dates)} on")
    if dry_run:
        say_dry_run()
        return
    confirm(f"Delete {objects} of {size} from {settings.lake.url}?", f"stockctl lake prune --before {floor}", yes=yes)
    with progress("deleting objects") as bar:
        task = bar.add_task("objects", total=None)
        maintenance.prune(store, floor, dates, lambda done, total: bar.update(task, completed=done, total=total))
    say(f"deleted; the lake's floor is {floor}")


def _today(zone: ZoneInfo) -> Date:
    from datetime import datetime

    return datetime.now(zone).date()
