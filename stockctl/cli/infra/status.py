"""``stockctl infra check``, ``status`` and ``logs``: what a cluster is, and what runs on it now."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from stockctl.cli.infra.up import ContextOption, OverlayOption, cluster_settings
from stockctl.cli.output import Format, OutputOption, say, write_rows
from stockctl.errors import UnhealthyError, UsageError


def check(
    ctx: typer.Context, overlay: OverlayOption = None, context: ContextOption = None, output: OutputOption = Format.table
) -> None:
    """Check whether the cluster does for the overlay: version, nodes, storage, clocks; exit code 10 when it does not.

    Example: stockctl infra check
    """
    from datetime import UTC, datetime

    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra.cluster import check as report
    from stockctl.infra.render import render

    settings = cluster_settings(ctx, overlay, context=context)
    rendered = render(settings)
    with Kubernetes(settings) as kubernetes:
        results = report(kubernetes, rendered, lambda: datetime.now(UTC))
        where = kubernetes.url
    write_rows(
        ({"part": part, "state": found.state, "detail": found.detail, "fix": found.fix} for part, found in results), output
    )
    if failing := [part for part, found in results if found.state == "fail"]:
        raise UnhealthyError(f"not as it should be at {where}: {', '.join(failing)}", hint="each row's `fix`")


def status(ctx: typer.Context, context: ContextOption = None, output: OutputOption = Format.table) -> None:
    """Show each workload: pods, restarts, image, and how far behind it is; exit code 10 when one is not ready.

    Example: stockctl infra status
    """
    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra.status import Row, rows

    settings = cluster_settings(ctx, context=context)
    with Kubernetes(settings) as kubernetes:
        found = rows(kubernetes, settings.infra.namespace)
        where = f"{settings.infra.namespace} at {kubernetes.url}"
    write_rows((row._asdict() for row in found), output, Row._fields)
    if not found:
        raise UnhealthyError(f"nothing of stockctl runs in {where}", hint="`stockctl infra up`")
    if unready := [row.role for row in found if row.state != "ready"]:
        raise UnhealthyError(
            f"not ready in {where}: {', '.join(unready)}", hint="`stockctl infra logs ROLE`, and the detail above"
        )


def logs(
    ctx: typer.Context,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="The role, such as lake; `infra status` lists them.")],
    context: ContextOption = None,
    tail: Annotated[int, typer.Option("--tail", min=1, help="Lines of each pod.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each line as it comes, until Ctrl-C.")] = False,
    container: Annotated[str | None, typer.Option("--container", help="Another container than the pod's first.")] = None,
    previous: Annotated[bool, typer.Option("--previous", help="The run before this one, after a restart.")] = False,
) -> None:
    """Write the last lines that the pods of a role logged, and with --follow each one that comes.

    Example: stockctl infra logs lake --tail 20 --follow
    """
    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra import logs as room

    if follow and previous:
        raise UsageError("a run that is over has no lines to come", hint="--previous or --follow")
    settings = cluster_settings(ctx, context=context)
    namespace = settings.infra.namespace
    with Kubernetes(settings) as kubernetes:
        if not follow:
            for line in room.logs(kubernetes, namespace, role, lines=tail, container=container, previous=previous):
                print(line)
            return
        with suppress(KeyboardInterrupt):
            for line in room.follow(kubernetes, namespace, role, say, lines=tail, container=container):
                print(line, flush=True)
