"""``stockctl infra up``, and what every command of the group knows: its options, its settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.options import seconds_of, settings_of
from stockctl.cli.output import console, say
from stockctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from stockctl.infra.apply import Change
    from stockctl.infra.readiness import Progress
    from stockctl.settings import Settings

OverlayOption = Annotated[str | None, typer.Option("--overlay", help="single-node, ha, or one of your own manifests.")]
TagOption = Annotated[str | None, typer.Option("--image-tag", help="Tag of the images of stockctl.")]
ContextOption = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]


def cluster_settings(
    ctx: typer.Context, overlay: str | None = None, image_tag: str | None = None, context: str | None = None
) -> Settings:
    """The settings of a profile for a cluster. UsageError for the profile ``local``."""
    flags = {"infra.overlay": overlay, "infra.image_tag": image_tag, "infra.context": context}
    settings = settings_of(ctx, flags, stack=False)
    if settings.profile == "local":
        raise UsageError(
            "the profile local has defaults for one machine without an account",
            hint="stockctl -p prod infra …, or STOCKCTL_PROFILE",
        )
    return settings


def up(
    ctx: typer.Context,
    overlay: OverlayOption = None,
    image_tag: TagOption = None,
    context: ContextOption = None,
    only: Annotated[
        str | None, typer.Option("--only", metavar="ROLE", help="One role with what it needs, such as lake; deletes nothing.")
    ] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait until everything is ready.")
    ] = "10m",
    force_conflicts: Annotated[
        bool, typer.Option("--force-conflicts", help="Take over fields that other managers hold.")
    ] = False,
) -> None:
    """Apply the overlay as the settings want it, and wait until every workload is ready.

    Running it again changes nothing. What it made and no longer wants is deleted, volumes excepted.

    Example: stockctl infra up --image-tag 0.1.0
    """
    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra.render import render
    from stockctl.infra.up import Watch
    from stockctl.infra.up import up as bring_up
    from stockctl.units import counted

    seconds = seconds_of("--timeout", timeout)
    settings = cluster_settings(ctx, overlay, image_tag, context)
    rendered = render(settings)
    counts: dict[str, int] = {}
    ready: list[Progress] = []

    def changed(change: Change) -> None:
        counts[change.state] = counts.get(change.state, 0) + 1
        if change.state != "unchanged":
            print(f"{change.state} {change.name}", flush=True)

    with Kubernetes(settings) as kubernetes, _progress() as show:

        def progress(told: list[Progress]) -> None:
            ready[:] = told
            show(told)

        watch = Watch(changed, progress, say)
        bring_up(kubernetes, settings, rendered, watch, only=only, force=force_conflicts, timeout=seconds)
        where = f"in {settings.infra.namespace} at {kubernetes.url}"
    if counts.get("kept"):
        say("kept: volumes hold data; `kubectl delete` them when nobody needs it")
    if set(counts) <= {"unchanged", "kept"}:
        say(f"nothing changed: all {counts['unchanged']} objects {where} are as the settings want them")
    say(f"all {counted(len(ready), 'workload is', 'workloads are')} ready")


@contextmanager
def _progress() -> Iterator[Callable[[list[Progress]], None]]:
    """Shows how far the workloads are, on stderr: a live table on a terminal, otherwise a line whenever one changes."""
    from rich.live import Live

    out = console(stderr=True)
    before: dict[str, str] = {}

    def lines(told: list[Progress]) -> None:
        for each in told:
            line = f"{each.label}: {_state(each)}"
            if before.get(each.label) != line:
                say(line)
            before[each.label] = line

    if not out.is_terminal:
        yield lines
        return
    with Live(console=out, auto_refresh=False, redirect_stdout=sys.stdout.isatty()) as live:
        yield lambda told: live.update(_table(told), refresh=True)


def _state(told: Progress) -> str:
    words = "ready" if told.state == "ready" else f"{told.ready} of {told.wanted} ready"
    return f"{words}, {told.why}" if told.why else words


def _table(told: list[Progress]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("workload", "ready", "state", box=None, pad_edge=False)
    colours = {"ready": "green", "waiting": "yellow", "failed": "red"}
    for each in told:
        words = each.why or each.state
        table.add_row(Text(each.label), f"{each.ready}/{each.wanted}", Text(words, style=colours[each.state]))
    return table
