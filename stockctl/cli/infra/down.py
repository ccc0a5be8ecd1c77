"""``stockctl infra down``."""

from __future__ import annotations

from typing import Annotated

import typer

from stockctl.cli.infra.options import ContextOption, cluster_settings
from stockctl.cli.options import DryRunOption, seconds
from stockctl.cli.output import (
    View,
    YesOption,
    changes_as_they_happen,
    check_change_fields,
    confirm,
    row_options,
    say,
    show_changes,
)
from stockctl.units import counted


@row_options()
def down(
    ctx: typer.Context,
    context: ContextOption = None,
    delete_data: Annotated[
        bool,
        typer.Option("--delete-data", help="Delete the volumes too: records in Kafka that are not in the lake yet are lost."),
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait until everything is deleted.")
    ] = "5m",
    *,
    view: View,
) -> None:
    """Delete the objects of `infra up`; keep the volumes.

    The workloads first, then Kafka and MongoDB.

    Example: stockctl infra down --yes
    """
    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra.down import down as delete
    from stockctl.infra.down import plan_deletion, planned_changes

    check_change_fields(view)
    limit = seconds("--timeout", timeout)
    settings = cluster_settings(ctx, context=context)
    with Kubernetes(settings.infra) as kubernetes:
        where = f"{settings.infra.namespace} at {kubernetes.url}"
        deletion = plan_deletion(kubernetes, settings.infra)
        objects = sum(map(len, deletion.workloads)) + len(deletion.others)
        if not objects and not (delete_data and deletion.volumes):
            show_changes([], view)
            say(f"stockctl runs nothing in {where}" + ("; only its volumes are left" if deletion.volumes else ""))
            return
        volumes = ", ".join(each["metadata"]["name"] for each in deletion.volumes)
        say(f"in {where}: {counted(objects, 'object')}; volumes: {volumes or 'none'}")
        volumes_too = "with the volumes and their data" if delete_data else "and keep the volumes"
        flags = " --delete-data" if delete_data else ""
        if dry_run:
            show_changes(planned_changes(deletion, delete_data=delete_data), view, dry_run=True)
            return
        confirm(f"Delete these objects, {volumes_too}?", f"stockctl infra down{flags}", yes=yes)
        with changes_as_they_happen(view) as show_change:
            delete(kubernetes, deletion, show_change, delete_data=delete_data, timeout=limit)
    if deletion.volumes and not delete_data:
        say("the volumes are retained: `stockctl infra up` uses them again, with the same passwords")
    say(f"the namespace {settings.infra.namespace} stays, with the objects of others in it")
