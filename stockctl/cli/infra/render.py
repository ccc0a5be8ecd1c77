"""``stockctl infra render``, ``diff`` and ``monitoring``."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.infra.up import ContextOption, OverlayOption, TagOption, cluster_settings
from stockctl.cli.output import say
from stockctl.errors import UnhealthyError, UsageError
from stockctl.units import counted

if TYPE_CHECKING:
    from stockctl.infra.diff import Difference


class Monitoring(StrEnum):
    """What ships for Prometheus and Grafana."""

    rules = "rules"
    dashboard = "dashboard"


def render(
    ctx: typer.Context,
    overlay: OverlayOption = None,
    image_tag: TagOption = None,
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Put the secrets in too; into a pipe or a file, never on a terminal.")
    ] = False,
) -> None:
    """Write every object of an overlay to stdout as YAML, filled in from the profile's settings.

    Example: stockctl infra render --overlay ha > pipeline.yaml
    """
    from stockctl.infra.render import render as rendered
    from stockctl.infra.render import text

    if with_secrets and sys.stdout.isatty():
        raise UsageError("secrets are for a pipe, and stdout is a terminal", hint="… --with-secrets | kubectl apply -f -")
    objects = rendered(cluster_settings(ctx, overlay, image_tag))
    sys.stdout.write(text(objects.all if with_secrets else objects.manifests))
    if objects.secrets and not with_secrets:
        names = ", ".join(secret["metadata"]["name"] for secret in objects.secrets)
        say(f"left out: the secrets {names}; --with-secrets puts them in")


def diff(
    ctx: typer.Context,
    overlay: OverlayOption = None,
    image_tag: TagOption = None,
    context: ContextOption = None,
) -> None:
    """Show what `infra up` would change and delete on the cluster, as the cluster tells it; exit code 10 when it differs.

    Example: stockctl infra diff --overlay ha
    """
    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra.diff import differences
    from stockctl.infra.render import render as rendered

    settings = cluster_settings(ctx, overlay, image_tag, context)
    objects, found = rendered(settings), 0
    with Kubernetes(settings) as kubernetes:
        for difference in differences(kubernetes, settings, objects):
            _show(difference)
            found += 1
    if found:
        raise UnhealthyError(
            f"{counted(found, 'object differs', 'objects differ')} in {settings.infra.namespace} at {kubernetes.url}",
            hint="`stockctl infra up` changes them",
        )
    say(f"all {len(objects.all)} objects are as the settings want them")


def monitoring(
    what: Annotated[Monitoring, typer.Argument(help="Alert rules for Prometheus (YAML), or a dashboard for Grafana (JSON).")],
) -> None:
    """Write the alert rules for Prometheus, or the dashboard for Grafana, to stdout.

    Example: stockctl infra monitoring rules > stockctl-rules.yaml
    """
    from stockctl.resources import resource

    suffix = "yaml" if what is Monitoring.rules else "json"
    sys.stdout.write(resource(f"manifests/monitoring/{what}.{suffix}").read_text(encoding="utf-8"))


def _show(difference: Difference) -> None:
    from stockctl.cli.output import console

    out = console()
    out.print(f"{difference.state} {difference.name}", markup=False, style="bold")
    for line in difference.lines:
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        out.print(f"  {line}", markup=False, style=colour)
