"""``local down``: stop the stack, and the services that a killed supervisor left running."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from stockctl.errors import TimedOutError
from stockctl.local.files import StackFiles, file_errors, stack_files
from stockctl.local.processes import identity, stop_process, terminate
from stockctl.local.status import current_state, name_width
from stockctl.settings import Settings
from stockctl.units import format_duration

_SILENT_SECONDS = 180.0
"""Seconds without progress after which a stopping supervisor counts as stuck; each service takes less."""
_LEFTOVER_SECONDS = 30.0


@file_errors()
def stop(settings: Settings, *, notify: Callable[[str], None]) -> list[str]:
    """Stop the stack: the feed, then the writers once all records of Kafka are stored, then the broker; the problems.

    Does nothing if the stack is not running. A supervisor that does not stop is killed, with its services.
    """
    files = stack_files(settings)
    if not files.held:
        with files.hold() as acquired:
            count = stop_leftovers(files, notify) if acquired else 0
        notify("stopped the services that a killed supervisor left running" if count else "the local stack is not running")
        return []
    try:
        _stop_supervisor(files, notify)
    except TimedOutError as error:
        state = current_state(files)
        if not state:
            raise
        os.kill(state["pid"], signal.SIGKILL)
        with files.hold():
            stop_leftovers(files, notify)
        return [f"{error}, and was killed"]
    return list(files.read_state().get("trouble", ()))


def _stop_supervisor(files: StackFiles, notify: Callable[[str], None]) -> None:
    reported: set[str] = set()
    signalled = False
    for state in wait_until_stopped(files):
        pid = state.get("pid") or files.holder
        if pid and not signalled:
            notify("stopping the local stack")
            with suppress(ProcessLookupError):
                terminate(pid)
            signalled = True
        for part in state.get("parts", ()):
            if part["state"] == "stopped" and part["name"] not in reported:
                reported.add(part["name"])
                notify(f"  {part['name']:<{name_width(state)}} stopped")


def wait_until_stopped(files: StackFiles) -> Iterator[dict[str, Any]]:
    """The supervisor's state at each poll until it has exited, then its last one. TimedOutError without any progress."""
    last, since = current_state(files), time.monotonic()
    while files.held:
        state = current_state(files)
        yield state
        if state != last:
            last, since = state, time.monotonic()
        if time.monotonic() - since > _SILENT_SECONDS:
            raise TimedOutError(
                f"the supervisor of the local stack made no progress for {format_duration(_SILENT_SECONDS)}",
                hint=f"see {files.log('supervisor')}",
            )
        time.sleep(0.05)
    yield files.read_state()


def stop_leftovers(files: StackFiles, notify: Callable[[str], None], *, grace: float | None = None) -> int:
    """Stop the services that a killed supervisor left running; their number. The caller must hold the lock.

    Each gets ``grace`` seconds to exit after SIGTERM.
    """
    count = 0
    if files.state.exists() and not files.read_state():
        notify(f"{files.state} is damaged: unknown whether a killed supervisor left services running")
    for part in reversed(files.read_state().get("parts", [])):
        pid, name = part["pid"], part["identity"]
        if pid is not None and identity(pid) == name:
            notify(f"stopping {part['name']} (pid {pid}), left running by a killed supervisor")
            stop_process(pid, lambda pid=pid, name=name: identity(pid) != name, _LEFTOVER_SECONDS if grace is None else grace)  # type: ignore[misc]
            count += 1
    return count
