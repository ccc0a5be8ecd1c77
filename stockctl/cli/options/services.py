"""Options of commands that keep running."""

from __future__ import annotations

from typing import Annotated

import typer

HealthPortOption = Annotated[
    int | None, typer.Option("--health-port", metavar="PORT", help="Serve /healthz and /metrics on this port.")
]
