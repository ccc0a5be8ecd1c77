"""What a supervisor has noted, held against the processes as they are: who is frozen notes nothing, and sees nobody die."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stockctl.local.files import StackFiles
from stockctl.local.processes import look

FROZEN = "suspended by a signal, such as Ctrl-Z's"


def observed(part: dict[str, Any]) -> dict[str, Any]:
    """``part``, of a supervisor that lives; ``frozen`` or ``died`` where it was noted as alive."""
    pid = part["pid"]
    if pid is None or part["state"] == "stopping":
        return part
    there = look(pid)
    if there is None or there.identity != part["identity"]:
        return {**part, "state": "died", "detail": f"pid {pid} is gone; the supervisor has not started it again", "pid": None}
    return {**part, "state": "frozen", "detail": FROZEN} if there.frozen else part


def unwatched(part: dict[str, Any], *, held: bool) -> dict[str, Any]:
    """``part`` as an earlier supervisor noted it: stopped, unless its process is there still; ``unknown`` if the stack is
    ``held`` by one that has noted nothing.
    """
    there = look(part["pid"]) if part.get("pid") else None
    if there is not None and there.identity == part["identity"]:
        return {**part, "state": "left over", "detail": "its supervisor was killed"}
    state = "unknown" if held else "stopped"
    return {**part, "state": state, "detail": "", "pid": None, "address": "", "restarts": 0}


def frozen_supervisor(files: StackFiles, state: Mapping[str, Any]) -> int | None:
    """The process of the supervisor that noted ``state``, or nothing yet, if it is frozen."""
    pid = state.get("pid") or files.holder
    there = look(pid) if pid else None
    return pid if there and there.frozen else None


def remedy(state: str, pid: int | None) -> str | None:
    """What to do about a process in a state that no restart ends; None for another state."""
    if state == "frozen":
        return f"`kill -CONT {pid}`, or `fg` after a Ctrl-Z, lets it go on; `stockctl local down` stops the stack"
    return "`stockctl local down` stops it" if state == "left over" else None
