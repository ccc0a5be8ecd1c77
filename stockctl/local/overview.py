"""The local stack's rows of ``stockctl status``."""

from __future__ import annotations

from functools import partial

from stockctl.checks import Check, Finding
from stockctl.local import stack
from stockctl.settings import Settings


def overview(settings: Settings) -> list[Check]:
    """A row for each part of the local stack, one in all if it is stopped; none in other profiles."""
    if settings.profile != "local":
        return []
    supervisor, *parts = stack.status(settings)
    if supervisor.state == "stopped":
        return [Check("local stack", lambda: Finding("stopped", "warn", "`stockctl local up` starts it"))]
    return [Check(f"local {row.part}", partial(_part, row)) for row in parts]


def _part(row: stack.Row) -> Finding:
    words = [row.state, row.address, f"restarted {row.restarts} times" if row.restarts else ""]
    detail = ", ".join(word for word in words if word)
    if row.state == "running":
        return Finding(detail)
    return Finding(detail, "fail" if row.state.startswith("failed") else "warn", f"its last line: {row.last_log}")
