"""The local stack's rows of ``stockctl status`` and ``stockctl doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from stockctl.check_runner import PROBE_WAIT, Check, CheckResult
from stockctl.local.files import Port, stack_files
from stockctl.local.process_state import fix_for
from stockctl.local.services import health_problem
from stockctl.local.status import ServiceStatus, status
from stockctl.settings import Settings
from stockctl.units import counted


def overview(settings: Settings) -> list[Check]:
    """A check for each service of the local stack, a single one if it is stopped; none in other profiles."""
    if settings.profile != "local":
        return []
    return checks(settings) or [Check("local stack", lambda: CheckResult("stopped", "warn", "`stockctl local up` starts it"))]


def checks(settings: Settings) -> list[Check]:
    """A check for each service of the running stack, or orphaned by a killed supervisor; and for a frozen supervisor."""
    if settings.profile != "local":
        return []
    supervisor, *statuses = status(settings)
    if supervisor.state == "stopped":
        statuses = [each for each in statuses if each.state != "stopped"]
    elif supervisor.state == "frozen":
        statuses.insert(0, supervisor)
    files = stack_files(settings)
    ports = files.read(files.ports, dict[str, Port]) or {}
    return [Check(f"local {each.service}", partial(_check, each, ports, files.log(each.service))) for each in statuses]


def _check(row: ServiceStatus, ports: Mapping[str, int], log: Path) -> CheckResult:
    state = f"{row.state}: {row.detail}" if row.detail else row.state
    facts = [state, row.address, f"restarted {counted(row.restarts, 'time')}" if row.restarts else ""]
    detail = ", ".join(filter(None, facts))
    if (fix := fix_for(row.state, row.pid)) is not None:
        return CheckResult(detail, "fail", fix)
    if row.state == "running" and not row.detail:
        problem = health_problem(row.service, ports, timeout=PROBE_WAIT)
        restart = f"wait, and check again; if it persists, see {log}, then `stockctl local down` and `stockctl local up`"
        return CheckResult(f"{detail}; {problem}", "fail", restart) if problem else CheckResult(detail)
    # Without restarts it is still starting; with restarts it has died since.
    if not row.restarts and row.state not in ("failed", "died"):
        return CheckResult(detail, "warn", "wait, and check again")
    last = f"; its last line: {row.last_log}" if row.last_log else ""
    return CheckResult(f"{detail}{last}", "fail", f"see {log}, fix the error there, then `stockctl local up`")
