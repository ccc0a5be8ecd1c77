"""The local stack's rows of ``stockctl status`` and ``stockctl doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

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
    return (
        []
        if supervisor.state == "stopped"
        else [Check(f"local {row.part}", partial(_part, row, ports, files.log(row.part))) for row in rows]
    )


def _part(row: stack.Row, ports: Mapping[str, int], log: Path) -> Finding:
    words = [row.state, row.address, f"restarted {row.restarts} times" if row.restarts else ""]
    detail = ", ".join(word for word in words if word)
    if row.state == "running":
        wrong = parts.trouble(row.part, ports, timeout=PROBE_WAIT)
        again = f"wait, and look again; if it stays so, see {log}, then `stockctl local down` and `stockctl local up`"
        return Finding(f"{detail}; {wrong}", "fail", again) if wrong else Finding(detail)
    # What has not run yet is starting; what has, has died since.
    if not row.restarts and not row.state.startswith("failed"):
        return Finding(detail, "warn", "wait, and look again")
    last = f"; its last line: {row.last_log}" if row.last_log else ""
    return Finding(f"{detail}{last}", "fail", f"see {log}, correct what it says, then `stockctl local up`")
