"""Options of commands that change something."""

from __future__ import annotations

from typing import Annotated

import typer

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]
