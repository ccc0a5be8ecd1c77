"""``stockctl infra up``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.infra.options import ContextOption, OverlayOption, TagOption, cluster_settings
from stockctl.cli.infra.render import print_difference
from stockctl.cli.options import DryRunOption, seconds
from stockctl.cli.output import (
    View,
    changes_as_they_happen,
    check_change_fields,
    console,
    row_options,
    say,
    show_plan,
)
from stockctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from stockctl.infra.workload_status import Progress
    from stockctl.reconcile import Change


@row_options()
def up(
    ctx: typer.Context,
    overlay: OverlayOption = None,
    image_tag: TagOption = None,
    context: ContextOption = None,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="WORKLOAD", help="One workload with what it needs, such as lake; deletes nothing."),
    ] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait until everything is ready.")
    ] = "10m",
    force_conflicts: Annotated[
        bool, typer.Option("--force-conflicts", help="Take over fields of other field managers.")
    ] = False,
    dry_run: DryRunOption = False,
    *,
    view: View,
) -> None:
    """Apply the overlay, and wait until every workload is ready.

    Running it again changes nothing. Objects that the overlay no longer has are deleted, except volumes.

    Example: stockctl infra up --image-tag 0.1.0
    """
    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra.diff import differences
    from stockctl.infra.render import render
    from stockctl.infra.up import Events
    from stockctl.infra.up import up as roll_out
    from stockctl.units import counted

    check_change_fields(view, dry_run=dry_run)
    limit = seconds("--timeout", timeout)
    if dry_run and only is not None:
        raise UsageError("--dry-run and --only exclude each other", hint="leave out one of them")
    settings = cluster_settings(ctx, overlay, image_tag, context)
    rendered = render(settings)
    if dry_run:
        with Kubernetes(settings.infra) as kubernetes:
            show_plan(differences(kubernetes, settings.infra, rendered), view, print_difference=print_difference)
        return
    counts: dict[str, int] = {}
    workloads: list[Progress] = []

    with Kubernetes(settings.infra) as kubernetes, changes_as_they_happen(view) as show_change, _progress() as show:

        def on_change(change: Change) -> None:
            counts[change.action] = counts.get(change.action, 0) + 1
            show_change(change)

        def on_progress(progress: list[Progress]) -> None:
            workloads[:] = progress
            show(progress)

        events = Events(on_change, on_progress, say)
        roll_out(kubernetes, settings.infra, rendered, events, only=only, force=force_conflicts, timeout=limit)
        where = f"in {settings.infra.namespace} at {kubernetes.url}"
    if counts.get("retained"):
        say("the volumes are retained with their data: delete them with `kubectl delete pvc` if you no longer need it")
    if set(counts) <= {"unchanged", "retained"}:
        say(f"nothing changed: all {counts['unchanged']} objects {where} match the settings")
    say(f"all {counted(len(workloads), 'workload is', 'workloads are')} ready")


@contextmanager
def _progress() -> Iterator[Callable[[list[Progress]], None]]:
    """Shows the progress of the workloads on stderr: a live table on a terminal, otherwise a line for each change."""
    from rich.live import Live

    out = console(stderr=True)
    before: dict[str, str] = {}

    def print_changes(progress: list[Progress]) -> None:
        for each in progress:
            line = f"{each.label}: {_state(each)}"
            if before.get(each.label) != line:
                say(line)
            before[each.label] = line

    if not out.is_terminal:
        yield print_changes
        return
    with Live(console=out, auto_refresh=False, redirect_stdout=sys.stdout.isatty()) as live:
        yield lambda progress: live.update(_table(progress), refresh=True)


def _state(progress: Progress) -> str:
    state = "ready" if progress.state == "ready" else f"{progress.ready} of {progress.wanted} ready"
    return f"{state}, {progress.reason}" if progress.reason else state


def _table(progress: list[Progress]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("workload", "ready", "state", box=None, pad_edge=False)
    colours = {"ready": "green", "waiting": "yellow", "failed": "red"}
    for each in progress:
        state = each.reason or each.state
        table.add_row(Text(each.label), f"{each.ready}/{each.wanted}", Text(state, style=colours[each.state]))
    return table
