"""The local stack's rows of ``stockctl status`` and ``stockctl doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from stockctl.checks import PROBE_WAIT, Check, Finding
from stockctl.local import parts, stack
from stockctl.local.files import Port
from stockctl.settings import Settings


def overview(settings: Settings) -> list[Check]:
    """A row for each part of the local stack, one in all if it is stopped; none in other profiles."""
    if settings.profile != "local":
        return []
    return checks(settings) or [Check("local stack", lambda: Finding("stopped", "warn", "`stockctl local up` starts it"))]


def checks(settings: Settings) -> list[Check]:
    """A check of each part of a local stack that runs."""
    if settings.profile != "local":
        return []
    supervisor, *rows = stack.status(settings)
    files = stack.files_of(settings)
    ports = files.read(files.ports, dict[str, Port]) or {}
    return [] if supervisor.state == "stopped" else [Check(f"local {row.part}", partial(_part, row, ports)) for row in rows]


def _part(row: stack.Row, ports: Mapping[str, int]) -> Finding:
    words = [row.state, row.address, f"restarted {row.restarts} times" if row.restarts else ""]
    detail = ", ".join(word for word in words if word)
    if row.state == "running":
        wrong = parts.trouble(row.part, ports, timeout=PROBE_WAIT)
        return Finding(f"{detail}; {wrong}", "fail", f"its last line: {row.last_log}") if wrong else Finding(detail)
    if row.state.startswith("failed"):
        return Finding(detail, "fail", f"correct that, then `stockctl local up`; its last line: {row.last_log}")
    # What has not run yet is starting; what has, has died since.
    return Finding(detail, "fail" if row.restarts else "warn", f"its last line: {row.last_log}")
