"""The state that a supervisor wrote, corrected by its processes: a frozen supervisor does not notice that a service died."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stockctl.local.files import StackFiles
from stockctl.local.processes import process_info

FROZEN = "suspended by a signal (such as Ctrl-Z)"


def observed(part: dict[str, Any]) -> dict[str, Any]:
    """``part`` of a running supervisor's state: ``frozen`` or ``died`` if that is what its process did since."""
    pid = part["pid"]
    if pid is None or part["state"] == "stopping":
        return part
    info = process_info(pid)
    if info is None or info.identity != part["identity"]:
        return {
            **part,
            "state": "died",
            "detail": f"pid {pid} has exited; the supervisor has not restarted it yet",
            "pid": None,
        }
    return {**part, "state": "frozen", "detail": FROZEN} if info.frozen else part


def leftover(part: dict[str, Any], *, held: bool) -> dict[str, Any]:
    """``part`` of an earlier supervisor's state: stopped, unless its process still runs; ``unknown`` if the lock is ``held`` by
    a supervisor that has not written its state.
    """
    info = process_info(part["pid"]) if part.get("pid") else None
    if info is not None and info.identity == part["identity"]:
        return {**part, "state": "orphaned", "detail": "its supervisor was killed"}
    state = "unknown" if held else "stopped"
    return {**part, "state": state, "detail": "", "pid": None, "address": "", "restarts": 0}


def frozen_supervisor(files: StackFiles, state: Mapping[str, Any]) -> int | None:
    """The pid of the supervisor, from its ``state`` or its lock, if it is frozen; else None."""
    pid = state.get("pid") or files.holder
    info = process_info(pid) if pid else None
    return pid if info and info.frozen else None


def fix_for(state: str, pid: int | None) -> str | None:
    """What to do about a process that is frozen or orphaned; None for another state."""
    if state == "frozen":
        return f"resume it by `kill -CONT {pid}`, or by `fg` after a Ctrl-Z; or stop the stack by `stockctl local down`"
    return "`stockctl local down` stops it" if state == "orphaned" else None
