"""The options and settings that the commands of ``stockctl infra`` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.options import settings_of
from stockctl.errors import UsageError

if TYPE_CHECKING:
    from stockctl.settings import Settings

OverlayOption = Annotated[
    str | None, typer.Option("--overlay", metavar="NAME", help="single-node, ha, or an overlay of your own.")
]
TagOption = Annotated[str | None, typer.Option("--image-tag", metavar="TAG", help="Tag of stockctl's images.")]
ContextOption = Annotated[str | None, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig.")]


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
