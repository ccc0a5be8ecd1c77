"""``stockctl infra down``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.infra.up import ContextOption, cluster_settings
from stockctl.cli.options import seconds_of
from stockctl.cli.output import YesOption, confirm, say
from stockctl.units import counted

if TYPE_CHECKING:
    from stockctl.infra.apply import Change


def down(
    ctx: typer.Context,
    context: ContextOption = None,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete the volumes too: what is in Kafka and not in the lake is lost.")
    ] = False,
    yes: YesOption = False,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait until everything is gone.")
    ] = "5m",
) -> None:
    """Take down what `infra up` made: the roles, then Kafka and MongoDB; volumes are kept.

    Example: stockctl infra down --yes
    """
    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra.down import down as take_down
    from stockctl.infra.down import removable

    seconds = seconds_of("--timeout", timeout)
    settings = cluster_settings(ctx, context=context)
    with Kubernetes(settings) as kubernetes:
        where = f"{settings.infra.namespace} at {kubernetes.url}"
        found = removable(kubernetes, settings)
        objects = sum(map(len, found.workloads)) + len(found.others)
        if not objects and not (delete_data and found.volumes):
            say(f"nothing of stockctl is in {where}" + (", but its volumes" if found.volumes else ""))
            return
        volumes = ", ".join(each["metadata"]["name"] for each in found.volumes)
        say(f"in {where}: {counted(objects, 'object')}, and the volumes {volumes or 'none'}")
        kept = "the volumes and their data too" if delete_data else "and keep the volumes"
        flags = " --delete-data" if delete_data else ""
        confirm(f"Delete these objects, {kept}?", f"stockctl infra down{flags}", yes=yes)

        def changed(change: Change) -> None:
            print(f"{change.state} {change.name}", flush=True)

        take_down(kubernetes, found, changed, delete_data=delete_data, timeout=seconds)
    if found.volumes and not delete_data:
        say("the volumes are kept: `stockctl infra up` goes on with them, with the same passwords")
    say(f"the namespace {settings.infra.namespace} stays, with what others made in it")
