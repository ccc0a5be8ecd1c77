"""``stockctl infra up``, with the options and settings that the commands of the group share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.options import seconds, settings_of
from stockctl.cli.output import console, say
from stockctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from stockctl.infra.readiness import Progress
    from stockctl.reconcile import Change
    from stockctl.settings import Settings

OverlayOption = Annotated[str | None, typer.Option("--overlay", help="single-node, ha, or an overlay of your own.")]
TagOption = Annotated[str | None, typer.Option("--image-tag", help="Tag of stockctl's images.")]
ContextOption = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]


def cluster_settings(
    ctx: typer.Context, overlay: str | None = None, image_tag: str | None = None, context: str | None = None
) -> Settings:
    """The settings for a cluster. UsageError for the profile ``local``."""
    flags = {"infra.overlay": overlay, "infra.image_tag": image_tag, "infra.context": context}
    settings = settings_of(ctx, flags, stack=False)
    if settings.profile == "local":
        raise UsageError(
            "the profile local is for one machine, not for a cluster",
            hint="choose another profile: stockctl -p prod infra …, or STOCKCTL_PROFILE=prod",
        )
    return settings


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
) -> None:
    """Apply the overlay to the cluster, and wait until every workload is ready.

    Running it again changes nothing. Objects that the overlay no longer has are deleted, except volumes.

    Example: stockctl infra up --image-tag 0.1.0
    """
    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra.render import render
    from stockctl.infra.up import Events
    from stockctl.infra.up import up as roll_out
    from stockctl.units import counted

    limit = seconds("--timeout", timeout)
    settings = cluster_settings(ctx, overlay, image_tag, context)
    rendered = render(settings)
    counts: dict[str, int] = {}
    workloads: list[Progress] = []

    def on_change(change: Change) -> None:
        counts[change.action] = counts.get(change.action, 0) + 1
        if change.action != "unchanged":
            print(f"{change.action} {change.kind} {change.name}", flush=True)

    with Kubernetes(settings) as kubernetes, _progress() as show:

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
