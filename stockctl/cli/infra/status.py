"""``stockctl infra check``, ``status`` and ``logs``."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from stockctl.cli.infra.options import ContextOption, OverlayOption, cluster_settings
from stockctl.cli.output import View, row_options, say, write_rows
from stockctl.errors import UnhealthyError, UsageError


@row_options()
def check(ctx: typer.Context, overlay: OverlayOption = None, context: ContextOption = None, *, view: View) -> None:
    """Check the cluster against the overlay's requirements.

    Exit code 10 if it does not meet them.

    Example: stockctl infra check
    """
    from datetime import UTC, datetime

    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra.cluster import check as check_cluster
    from stockctl.infra.render import render

    settings = cluster_settings(ctx, overlay, context=context)
    rendered = render(settings)
    with Kubernetes(settings.infra) as kubernetes:
        results = check_cluster(kubernetes, rendered, lambda: datetime.now(UTC))
        where = kubernetes.url
    write_rows(
        ({"part": part, "state": result.state, "detail": result.detail, "fix": result.fix} for part, result in results),
        view,
    )
    if failing := [part for part, result in results if result.state == "fail"]:
        raise UnhealthyError(
            f"the cluster at {where} does not meet the requirements: {', '.join(failing)}", hint="see `fix` in each row"
        )


@row_options()
def status(ctx: typer.Context, context: ContextOption = None, *, view: View) -> None:
    """Show each workload with its pods, restarts and lag.

    Exit code 10 if one is not ready.

    Example: stockctl infra status
    """
    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra.status import WorkloadStatus, workload_statuses

    settings = cluster_settings(ctx, context=context)
    with Kubernetes(settings.infra) as kubernetes:
        statuses = workload_statuses(kubernetes, settings.infra.namespace)
        where = f"{settings.infra.namespace} at {kubernetes.url}"
    write_rows((each._asdict() for each in statuses), view, WorkloadStatus._fields)
    if not statuses:
        raise UnhealthyError(f"stockctl runs nothing in {where}", hint="`stockctl infra up`")
    if unready := [each.workload for each in statuses if each.state != "ready"]:
        raise UnhealthyError(
            f"not ready in {where}: {', '.join(unready)}", hint="see the detail above, and `stockctl infra logs WORKLOAD`"
        )


def logs(
    ctx: typer.Context,
    workload: Annotated[str, typer.Argument(metavar="WORKLOAD", help="Such as lake; `infra status` lists them.")],
    context: ContextOption = None,
    tail: Annotated[int, typer.Option("--tail", min=1, metavar="N", help="Number of lines per pod.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue with each new line, until Ctrl-C.")] = False,
    container: Annotated[
        str | None, typer.Option("--container", metavar="NAME", help="Instead of the pod's first container.")
    ] = None,
    previous: Annotated[bool, typer.Option("--previous", help="The log of the previous run, after a restart.")] = False,
) -> None:
    """Print the last lines of a workload's logs.

    With --follow each new line, too.

    Example: stockctl infra logs lake --tail 20 --follow
    """
    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra import logs as cluster_logs

    if follow and previous:
        raise UsageError("the log of a previous run gets no new lines", hint="use --previous or --follow")
    settings = cluster_settings(ctx, context=context)
    namespace = settings.infra.namespace
    with Kubernetes(settings.infra) as kubernetes:
        if not follow:
            for line in cluster_logs.logs(kubernetes, namespace, workload, lines=tail, container=container, previous=previous):
                print(line)
            return
        with suppress(KeyboardInterrupt):
            for line in cluster_logs.follow(kubernetes, namespace, workload, say, lines=tail, container=container):
                print(line, flush=True)
