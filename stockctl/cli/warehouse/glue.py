"""``stockctl glue``: the lake's tables and partitions in the Glue Data Catalog, and crawlers over them."""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.options import DryRunOption, Group, SinceDateOption, day, settings_of
from stockctl.cli.output import (
    Format,
    View,
    YesOption,
    check_change_fields,
    confirm,
    row_options,
    say,
    say_dry_run,
    show_apply,
    show_changes,
    show_differences,
    show_plan,
    write_object,
    write_rows,
)
from stockctl.errors import UnhealthyError, UsageError
from stockctl.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stockctl.clients.aws.glue import Glue
    from stockctl.reconcile import Change
    from stockctl.settings import Settings

app = Group(help="Manage the lake's tables in the Glue Data Catalog.")


class Who(StrEnum):
    """Who gets a policy."""

    crawler = "crawler"
    redshift = "redshift"
    operator = "operator"


FromPaths = Annotated[
    bool, typer.Option("--from-paths", help="Crawlers that read S3 paths and create their own tables found_….")
]


@contextmanager
def _glue(ctx: typer.Context) -> Iterator[tuple[Glue, Settings]]:
    from stockctl.clients.aws.glue import Glue

    settings = settings_of(ctx)
    yield Glue(settings), settings


@app.command()
@row_options()
def apply(
    ctx: typer.Context,
    adopt: Annotated[bool, typer.Option("--adopt", help="Take over tables and crawlers that someone else made.")] = False,
    from_paths: FromPaths = False,
    create_role: Annotated[bool, typer.Option("--create-role", help="Create the crawlers' role first.")] = False,
    dry_run: DryRunOption = False,
    *,
    view: View,
) -> None:
    """Create or update tables and crawlers; delete nothing.

    Example: stockctl glue apply
    """
    check_change_fields(view, dry_run=dry_run)
    from stockctl.warehouse import iam_policies
    from stockctl.warehouse.glue import catalog

    with _glue(ctx) as (glue, settings):

        def apply() -> list[Change]:
            if create_role:
                name, created = iam_policies.create_role(settings)
                say(f"{'created' if created else 'updated'} the role {name}; IAM may need some seconds to apply it")
            return catalog.apply(glue, settings, adopt=adopt, from_paths=from_paths)

        show_apply(
            view,
            dry_run=dry_run,
            differences=lambda: catalog.differences(glue, settings, from_paths=from_paths),
            apply=apply,
        )


@app.command()
@row_options()
def diff(ctx: typer.Context, from_paths: FromPaths = False, *, view: View) -> None:
    """Compare the catalog with the settings.

    Exit code 10 if they differ.

    Example: stockctl glue diff
    """
    from stockctl.warehouse.glue import catalog

    with _glue(ctx) as (glue, settings):
        differences = catalog.differences(glue, settings, from_paths=from_paths)
    show_differences(differences, view, "the catalog")


@app.command()
@row_options()
def run(
    ctx: typer.Context,
    tables: Annotated[list[str] | None, typer.Argument(metavar="[TABLE]...", help="Tables to crawl; default: all.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the crawlers, and show what they added.")] = False,
    dry_run: DryRunOption = False,
    *,
    view: View,
) -> None:
    """Start the crawlers.

    Example: stockctl glue run --wait
    """
    from stockctl.settings import require
    from stockctl.warehouse.glue import crawlers

    with _glue(ctx) as (glue, settings):
        view.check(crawlers.Run._fields)
        require(settings, "glue.role")
        known = [table.name for table in crawlers.crawled(settings.lake)]
        if wrong := [name for name in tables or () if name not in known]:
            raise UsageError(f"there is no crawler for {', '.join(wrong)}", hint=f"use some of {', '.join(known)}")
        if dry_run:
            planned = crawlers.plan(glue, settings, tables or known)
            write_rows((item._asdict() for item in planned), view, crawlers.Run._fields)
            say_dry_run(empty=all(item.state == crawlers.RUNNING for item in planned))
            return
        runs = []
        try:
            for item in crawlers.run(glue, settings, tables or known, wait=wait, say=say):
                runs.append(item)
        finally:  # one that failed takes nothing from what the others did
            if runs:
                write_rows((item._asdict() for item in runs), view, crawlers.Run._fields)
    if not wait:
        say("`stockctl glue status` shows when they have finished")


@app.command()
@row_options()
def status(ctx: typer.Context, since: SinceDateOption = None, *, view: View) -> None:
    """Compare lake, catalog and crawlers.

    Exit code 10 if they differ.

    Example: stockctl glue status
    """
    from stockctl.lake.store import existing_store
    from stockctl.reconcile import Difference
    from stockctl.warehouse.glue.partition_sync import TableStatus
    from stockctl.warehouse.glue.partition_sync import status as compare

    shown, first = 20, day("--since", since)
    with _glue(ctx) as (glue, settings):
        tables, differences = compare(glue, existing_store(settings), settings, first)
    if view.is_table:
        write_rows((table._asdict() for table in tables), view, TableStatus._fields)
        for difference in differences[:shown]:
            say(f"{difference.summary}: {difference.fix}")
        if len(differences) > shown:
            say(f"… and {len(differences) - shown} more: `stockctl glue status -o jsonl`")
    else:
        write_rows((difference._asdict() for difference in differences), view, Difference._fields)
    if differences:
        raise UnhealthyError(
            f"{counted(len(differences), 'difference')} between lake, catalog and crawlers",
            hint="the `fix` of each difference; `stockctl glue sync` registers the partitions",
        )
    say("the catalog has the partitions of the lake")


@app.command()
@row_options()
def sync(
    ctx: typer.Context,
    since: SinceDateOption = None,
    prune: Annotated[bool, typer.Option("--prune", help="Delete partitions that are not in the lake.")] = False,
    dry_run: DryRunOption = False,
    *,
    view: View,
) -> None:
    """Register the lake's partitions, without a crawler.

    From the claim log.

    Example: stockctl glue sync --since 2026-11-20
    """
    from stockctl.lake.store import existing_store
    from stockctl.warehouse.glue.partition_sync import SyncResult, plan
    from stockctl.warehouse.glue.partition_sync import sync as register

    first = day("--since", since)
    with _glue(ctx) as (glue, settings):
        if dry_run:
            show_plan(plan(glue, existing_store(settings), settings, since=first, prune=prune), view)
            return
        view.check(SyncResult._fields)
        changes, done = register(glue, existing_store(settings), settings, since=first, prune=prune)
    for change in changes:
        if change.action != "unchanged":
            say(f"{change.action} {change.kind} {change.name}")
    write_rows((item._asdict() for item in done), view, SyncResult._fields)
    if foreign := sum(item.foreign for item in done):
        say(f"{counted(foreign, 'partition is', 'partitions are')} not in this lake, or no longer: `--prune` deletes them")
    if unread := sum(item.unread for item in done):
        raise UnhealthyError(
            f"{counted(unread, 'partition holds', 'partitions hold')} zstd, which Redshift Spectrum does not read: left out",
            hint="set lake.compression to gzip; `stockctl lake compact` turns trades that lie there into Parquet",
        )


@app.command()
def policy(
    ctx: typer.Context,
    who: Annotated[Who, typer.Option("--role", help="Who gets the permissions.")] = Who.crawler,
    trust: Annotated[bool, typer.Option("--trust", help="Print the trust policy of the role instead.")] = False,
) -> None:
    """Print an IAM policy as JSON.

    For crawlers, Redshift, or the user of these commands.

    Example: stockctl glue policy --role redshift > policy.json
    """
    from stockctl.warehouse import iam_policies

    settings = settings_of(ctx)
    reader = iam_policies.Reader(who.value)
    if trust and reader is iam_policies.Reader.operator:
        raise UsageError("an operator has no role that a service assumes", hint="leave --trust out")
    write_object(iam_policies.trust(reader) if trust else iam_policies.policy(settings, reader), Format.json)


@app.command()
@row_options()
def delete(ctx: typer.Context, yes: YesOption = False, dry_run: DryRunOption = False, *, view: View) -> None:
    """Delete tables and crawlers of stockctl; the lake stays.

    Example: stockctl glue delete --yes
    """
    check_change_fields(view)
    from stockctl.warehouse.glue import catalog

    with _glue(ctx) as (glue, settings):
        database = settings.glue.database
        if dry_run:
            show_changes(catalog.delete(glue, settings.glue, dry_run=True), view, dry_run=True)
            return
        confirm(f"Delete the crawlers and tables of stockctl, and the database {database}?", "stockctl glue delete", yes=yes)
        changes = catalog.delete(glue, settings.glue)
    show_changes(changes, view)
