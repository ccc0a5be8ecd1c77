"""``local up``: start the supervisor in the background, and wait until every service is ready."""

from __future__ import annotations

import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stockctl.errors import TRY, ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError, UsageError
from stockctl.feed import health
from stockctl.local import services
from stockctl.local.files import StackFiles, file_errors, stack_files
from stockctl.local.process_state import FROZEN, fix_for, frozen_supervisor
from stockctl.local.processes import LOG_LIMIT, last_lines, rotate, signals_deferred
from stockctl.local.serve import from_command_line, shared_file, to_toml
from stockctl.local.status import current_state, name_width
from stockctl.local.stop import stop, wait_until_stopped
from stockctl.settings import Settings
from stockctl.units import format_duration

Notify = Callable[[str], None]

_REMIND_SECONDS = 5.0
"""Seconds without progress after which ``notify`` gets what the start waits for."""
_OPTIONAL_SECONDS = 60.0
"""Seconds that the start waits for optional services once all others are ready."""
_STOP_SECONDS = 600.0
_ERRORS: dict[int | None, type[StockctlError]] = {
    one.exit_code: one for one in (UsageError, ConfigError, RefusedError, UnreachableError, TimedOutError)
}


@file_errors()
def start(
    settings: Settings,
    mode: services.Mode,
    command: Sequence[str],
    config: Path | None,
    *,
    notify: Notify,
    timeout: float = 120.0,
) -> dict[str, Any]:
    """Start the stack with ``command``, unless it is running; the supervisor's state once every service is ready.

    A running stack is restarted if one of its services has failed, or if the settings have changed since; UsageError if it has
    another feed or other symbols than requested. If the stack cannot be started within ``timeout`` seconds, or the caller is
    interrupted, everything that was started is stopped again. UsageError or StockctlError for a strategy that cannot be loaded,
    before anything starts or stops.
    """
    files = stack_files(settings)
    services.check_requirements(settings, mode)
    services.check_strategy(settings.signals)
    files.create()
    if (pid := frozen_supervisor(files, current_state(files))) is not None:
        raise StockctlError(f"the supervisor of the local stack is {FROZEN}", hint=fix_for("frozen", pid))
    if current_state(files).get("phase") == "stopping":
        notify("waiting for the local stack to stop, then starting it again")
        deque(wait_until_stopped(files), maxlen=0)
    state = _first_state(files, timeout)
    reason = _restart_reason(settings, mode, files, state, config) if state else None
    if state and not reason:
        state = _wait_until_ready(files, None, notify, timeout)
        files.ensure(shared_file(files), to_toml(state["settings"]))
        return state
    if mode == "live":
        health.reach(settings)
    if reason:
        notify(f"restarting the local stack: {reason}")
        for note in stop(settings, notify=notify):
            notify(f"note: {note}")
    notify(f"starting the local stack in {files.folder}")
    return _launch(files, command, notify, timeout)


def _launch(files: StackFiles, command: Sequence[str], notify: Notify, timeout: float) -> dict[str, Any]:
    log = files.log("supervisor")
    rotate(log, limit=LOG_LIMIT)
    process: subprocess.Popen[bytes] | None = None
    try:
        with log.open("ab") as stream, signals_deferred():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        return _wait_until_ready(files, process, notify, timeout)
    except BaseException:  # a start that failed or was interrupted leaves only its logs
        if process is not None and process.poll() is None:
            process.terminate()
            process.wait(_STOP_SECONDS)
        raise


def _first_state(files: StackFiles, timeout: float) -> dict[str, Any]:
    """The state of the running supervisor, once it has written one; empty if none is running."""
    deadline = time.monotonic() + timeout
    while files.held:
        if state := current_state(files):
            return state
        if time.monotonic() > deadline:
            raise TimedOutError(
                f"the supervisor of the local stack has not responded for {format_duration(timeout)}",
                hint=f"see {files.log('supervisor')}, then `stockctl local down`",
            )
        time.sleep(0.05)
    return {}


def _restart_reason(
    settings: Settings, mode: services.Mode, files: StackFiles, state: Mapping[str, Any], config: Path | None
) -> str | None:
    """Why the stack of ``state`` must be restarted, or None. UsageError if it runs with another feed or other symbols."""
    symbols = state["settings"]["symbols"]
    if not from_command_line(settings) and state.get("symbols_given"):
        settings = settings.model_copy(update={"symbols": symbols})
    if state["mode"] != mode or (from_command_line(settings) and settings.symbols != symbols):
        feed = "the real feed" if state["mode"] == "live" else "the simulator"
        raise UsageError(
            f"the local stack is already running with {feed} and {', '.join(symbols)}",
            hint="stop it first: `stockctl local down`",
        )
    if failed := [part["name"] for part in state["parts"] if part["state"] == "failed"]:
        return f"{' and '.join(failed)} failed"
    before = state.get("effective", {})
    if not before:
        return None
    plan = services.plan(settings, files, mode, state.get("ports", {}), (), config)
    after = services.effective_settings(plan.settings, settings)
    changes = [f"{name} is now {value}" for name, value in after.items() if before.get(name) != value]
    return "; ".join(changes) or None


def _wait_until_ready(
    files: StackFiles, process: subprocess.Popen[bytes] | None, notify: Notify, timeout: float
) -> dict[str, Any]:
    deadline = time.monotonic() + timeout
    ready: set[str] = set()
    remind_at = time.monotonic() + _REMIND_SECONDS
    optional_until = deadline
    waiting = "the supervisor"
    while time.monotonic() < deadline:
        state = current_state(files)
        if not state and not files.held and (process is None or process.poll() is not None):
            lines, hint = _end_of_log(files.log("supervisor"))
            raise StockctlError(f"the supervisor of the local stack exited:{lines}", hint=hint)
        for part in state.get("parts", ()):
            if part["state"] == "failed" and not part["optional"]:
                raise _failure(part, files)
            if part["state"] == "running" and part["name"] not in ready:
                ready.add(part["name"])
                notify(f"  {part['name']:<{name_width(state)}} ready  {part['address']}")
                remind_at = time.monotonic() + _REMIND_SECONDS
                optional_until = time.monotonic() + _OPTIONAL_SECONDS
        missing = [part for part in state.get("parts", ()) if part["name"] not in ready]
        if state.get("settings") and _is_enough(missing, time.monotonic() > optional_until):
            notes = [_without(part, files) for part in missing]
            return {**state, "notes": [*state["notes"], *notes]}
        waiting = ", ".join(f"{part['name']} ({part['detail'] or part['state']})" for part in missing) or waiting
        if time.monotonic() >= remind_at:
            notify(f"  still waiting for {waiting}")
            remind_at = time.monotonic() + _REMIND_SECONDS
        time.sleep(0.1)
    raise TimedOutError(
        f"the local stack was not ready within {format_duration(timeout)}: still waiting for {waiting}",
        hint=f"see the logs in {files.folder / 'logs'}",
    )


def _is_enough(missing: Sequence[Mapping[str, Any]], late: bool) -> bool:
    """Whether a stack counts as started without ``missing``: optional services that have failed, or are ``late``."""
    return all(part["optional"] and (late or part["state"] == "failed") for part in missing)


def _failure(part: Mapping[str, Any], files: StackFiles) -> StockctlError:
    """The error of a service that failed, or is not ready: the end of its log, and the exit code of its process."""
    lines, hint = _end_of_log(files.log(part["name"]))
    return _ERRORS.get(part.get("exit"), StockctlError)(
        f"{part['name']} {part['detail']}; the end of its log:{lines}", hint=hint
    )


def _without(part: Mapping[str, Any], files: StackFiles) -> str:
    """The note about an optional service that is not ready."""
    lines, hint = _end_of_log(files.log(part["name"]))
    reason = part["detail"] if part["state"] == "failed" else f"is not ready ({part['detail'] or part['state']})"
    return f"the stack is up without {part['name']}, which {reason}; the end of its log:{lines}\n{TRY}{hint}"


def _end_of_log(log: Path) -> tuple[str, str]:
    """The last lines of ``log``, and a hint: that of the command which ended there, if it gave one, and the log's path."""
    lines, hint = last_lines(log, 6)
    return "".join(f"\n  {line}" for line in lines), f"{hint}; see {log}" if hint else f"see {log}"
