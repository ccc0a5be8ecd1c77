"""The local stack's rows of ``stockctl status`` and ``stockctl doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from stockctl.health import PROBE_WAIT, Check, CheckResult
from stockctl.local import services, stack
from stockctl.local.files import Port
from stockctl.local.process_state import remedy
from stockctl.settings import Settings
from stockctl.units import counted


def overview(settings: Settings) -> list[Check]:
    """A row for each part of the local stack, one in all if it is stopped; none in other profiles."""
    if settings.profile != "local":
        return []
    return checks(settings) or [Check("local stack", lambda: CheckResult("stopped", "warn", "`stockctl local up` starts it"))]


def checks(settings: Settings) -> list[Check]:
    """A check of each part of a local stack that runs, or whose supervisor was killed; of the supervisor if it is frozen."""
    if settings.profile != "local":
        return []
    supervisor, *rows = stack.status(settings)
    if supervisor.state == "stopped":
        rows = [row for row in rows if row.state != "stopped"]
    elif supervisor.state == "frozen":
        rows.insert(0, supervisor)
    files = stack.files_of(settings)
    ports = files.read(files.ports, dict[str, Port]) or {}
    return [Check(f"local {row.part}", partial(_part, row, ports, files.log(row.part))) for row in rows]


def _part(row: stack.Row, ports: Mapping[str, int], log: Path) -> CheckResult:
    state = f"{row.state}: {row.detail}" if row.detail else row.state
    words = [state, row.address, f"restarted {counted(row.restarts, 'time')}" if row.restarts else ""]
    detail = ", ".join(word for word in words if word)
    if (fix := remedy(row.state, row.pid)) is not None:
        return CheckResult(detail, "fail", fix)
    if row.state == "running" and not row.detail:
        wrong = services.trouble(row.part, ports, timeout=PROBE_WAIT)
        again = f"wait, and look again; if it stays so, see {log}, then `stockctl local down` and `stockctl local up`"
        return CheckResult(f"{detail}; {wrong}", "fail", again) if wrong else CheckResult(detail)
    # What has not run yet is starting; what has, has died since.
    if not row.restarts and row.state not in ("failed", "died"):
        return CheckResult(detail, "warn", "wait, and look again")
    last = f"; its last line: {row.last_log}" if row.last_log else ""
    return CheckResult(f"{detail}{last}", "fail", f"see {log}, correct what it says, then `stockctl local up`")
