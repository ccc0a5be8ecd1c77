"""``local status``: the supervisor and its services, from the supervisor's state and the processes themselves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from stockctl.local import services
from stockctl.local.files import StackFiles, file_errors, stack_files
from stockctl.local.process_state import FROZEN, frozen_supervisor, leftover, observed
from stockctl.local.processes import describe_exit, identity, last_lines
from stockctl.settings import Settings
from stockctl.units import format_duration

LOOP_DEATHS, LOOP_SECONDS = 3, 300.0
"""A service that died this often within this many seconds is in a restart loop, even while it runs."""


class ServiceStatus(NamedTuple):
    """A service, or the supervisor; ``uptime`` is in seconds."""

    service: str
    state: str
    detail: str
    pid: int | None
    address: str
    uptime: float | None
    restarts: int
    last_log: str


@file_errors()
def current_state(files: StackFiles) -> dict[str, Any]:
    """The running supervisor's state, its ``parts`` corrected by their processes; empty if none runs or it has no state yet."""
    if not files.held:
        return {}
    state = files.read_state()
    if not state or not state["pid"] or identity(state["pid"]) != state["identity"]:
        return {}
    return {**state, "parts": [observed(part) for part in state["parts"]]}


@file_errors()
def status(settings: Settings) -> list[ServiceStatus]:
    """The supervisor and each service as they are now."""
    files = stack_files(settings)
    state = current_state(files)
    now = time.time()
    statuses = []
    for part in [_supervisor(files, state), *_parts(files, state)]:
        log, _ = last_lines(files.log(part["name"]))
        statuses.append(
            ServiceStatus(
                part["name"],
                part["state"],
                "; ".join(filter(None, (part.get("detail"), _restart_loop(part, now, files)))),
                part["pid"],
                part.get("address", ""),
                round(now - part["started"], 1) if part["pid"] and part.get("started") else None,
                part.get("restarts", 0),
                log[0] if log else "",
            )
        )
    return statuses


def name_width(state: Mapping[str, Any]) -> int:
    """The length of the longest service name in a supervisor's state."""
    return max(len(part["name"]) for part in state["parts"])


def page_of(state: Mapping[str, Any]) -> str | None:
    """The address of the dashboard in a supervisor's state; None unless it is running."""
    return next((p["address"] for p in state["parts"] if (p["name"], p["state"]) == ("dashboard", "running")), None)


def _supervisor(files: StackFiles, state: Mapping[str, Any]) -> dict[str, Any]:
    supervisor = {"name": "supervisor", "pid": state.get("pid"), "started": state.get("started")}
    if (pid := frozen_supervisor(files, state)) is not None:
        return {**supervisor, "state": "frozen", "detail": f"{FROZEN}: it neither starts nor stops services", "pid": pid}
    return {**supervisor, "state": state.get("phase", "starting" if files.held else "stopped")}


def _restart_loop(part: Mapping[str, Any], now: float, files: StackFiles) -> str:
    """How often a service in a restart loop died, its last exit, and the path of its log; empty if it is in none."""
    deaths = sum(now - died < LOOP_SECONDS for died in part.get("died", ()))
    if deaths < LOOP_DEATHS or part["state"] == "stopped":
        return ""
    last = "" if part["exit"] is None else f", last time it {describe_exit(part['exit'])}"
    return f"died {deaths} times within {format_duration(LOOP_SECONDS)}{last}; see {files.log(part['name'])}"


def _parts(files: StackFiles, state: Mapping[str, Any]) -> list[dict[str, Any]]:
    if state:
        return list(state["parts"])
    last = files.read_state().get("parts") or [{"name": name} for name in services.service_names("sim")]
    return [leftover(part, held=files.held) for part in last]
