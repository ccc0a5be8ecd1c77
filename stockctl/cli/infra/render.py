"""``stockctl infra render``, ``diff`` and ``monitoring``."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.infra.options import ContextOption, OverlayOption, TagOption, cluster_settings
from stockctl.cli.output import View, row_options, say, show_differences
from stockctl.errors import UsageError

if TYPE_CHECKING:
    from stockctl.reconcile import Difference


class Monitoring(StrEnum):
    """The files for Prometheus and Grafana."""

    rules = "rules"
    dashboard = "dashboard"


def render(
    ctx: typer.Context,
    overlay: OverlayOption = None,
    image_tag: TagOption = None,
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Include the secrets; only into a pipe or a file, never on a terminal.")
    ] = False,
) -> None:
    """Print the manifests of an overlay as YAML.

    Filled in from the settings.

    Example: stockctl infra render --overlay ha > pipeline.yaml
    """
    from stockctl.infra.render import render as render_overlay
    from stockctl.infra.render import to_yaml

    if with_secrets and sys.stdout.isatty():
        raise UsageError(
            "refusing to write secrets to a terminal", hint="stockctl infra render --with-secrets | kubectl apply -f -"
        )
    rendered = render_overlay(cluster_settings(ctx, overlay, image_tag))
    sys.stdout.write(to_yaml(rendered.all if with_secrets else rendered.manifests))
    if rendered.secrets and not with_secrets:
        names = ", ".join(secret["metadata"]["name"] for secret in rendered.secrets)
        say(f"without the secrets {names}: --with-secrets includes them")


@row_options()
def diff(
    ctx: typer.Context,
    overlay: OverlayOption = None,
    image_tag: TagOption = None,
    context: ContextOption = None,
    *,
    view: View,
) -> None:
    """Show what `infra up` would change on the cluster.

    By a dry run on the server; exit code 10 if there is a difference.

    The table format is a unified diff.

    Example: stockctl infra diff --overlay ha
    """
    from stockctl.clients.kubernetes.client import Kubernetes
    from stockctl.infra.diff import differences
    from stockctl.infra.render import render as render_overlay

    settings = cluster_settings(ctx, overlay, image_tag, context)
    with Kubernetes(settings.infra) as kubernetes:
        subject = f"the objects in {settings.infra.namespace} at {kubernetes.url}"
        found = differences(kubernetes, settings.infra, render_overlay(settings))
        show_differences(found, view, subject, print_difference=print_difference)


def monitoring(
    what: Annotated[
        Monitoring,
        typer.Argument(metavar="rules|dashboard", help="Alert rules for Prometheus (YAML), or a dashboard for Grafana (JSON)."),
    ],
) -> None:
    """Print the alert rules or the Grafana dashboard.

    Example: stockctl infra monitoring rules > stockctl-rules.yaml
    """
    from stockctl.resources import resource

    suffix = "yaml" if what is Monitoring.rules else "json"
    sys.stdout.write(resource(f"manifests/monitoring/{what}.{suffix}").read_text(encoding="utf-8"))


def print_difference(difference: Difference) -> None:
    """Print a difference as text, with colours on a terminal."""
    from stockctl.cli.output import console
    from stockctl.infra.diff import as_text

    out, text = console(), as_text(difference)
    out.print(f"{text.state} {difference.kind} {difference.name}", markup=False, style="bold")
    for line in text.lines:
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        out.print(f"  {line}", markup=False, style=colour)
