"""Options of commands that keep running."""

from __future__ import annotations

from typing import Annotated

import typer

HealthPortOption = Annotated[
    int | None,
    typer.Option("--health-port", metavar="PORT", min=0, max=65535, help="Serve /healthz and /metrics on this port."),
]
