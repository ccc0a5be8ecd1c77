"""The local stack from outside: start it, watch it become ready, stop it, look at it, delete it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError, UsageError
from stockctl.feed import health
from stockctl.local import services
from stockctl.local.files import StackFiles, file_errors
from stockctl.local.ports import choose_ports
from stockctl.local.process_state import FROZEN, frozen_supervisor, observed, remedy, unwatched
from stockctl.local.processes import LOG_LIMIT, ask_to_leave, describe_exit, end, identity, last_words, rotate, signals_held
from stockctl.local.supervisor import Supervisor
from stockctl.service import running
from stockctl.settings import STACK_FILE_END, Settings, local_stack_file
from stockctl.units import format_duration

Say = Callable[[str], None]

_log = logging.getLogger("stockctl.local")

LOOPING, WITHIN = 3, 300.0
"""A part that died this often within this many seconds is in a restart loop, also while it runs."""
_REMIND = 5.0  # seconds without news after which a waiting person is told what is waited for
_SILENT_SECONDS = 180.0  # without any news from a supervisor that stops: each part has less than that
_LEFTOVER_SECONDS = 30.0
_STOP_SECONDS = 600.0
_ERRORS = {one.exit_code: one for one in (UsageError, ConfigError, RefusedError, UnreachableError, TimedOutError)}


class Row(NamedTuple):
    """A part as ``local status`` shows it; ``uptime`` in seconds."""

    part: str
    state: str
    detail: str
    pid: int | None
    address: str
    uptime: float | None
    restarts: int
    last_log: str


def files_of(settings: Settings) -> StackFiles:
    """The files of the stack that belongs to these settings."""
    return StackFiles(local_stack_file(settings.state_dir.absolute()).parent)


@file_errors()
def serve(settings: Settings, mode: services.Mode, command: Sequence[str], config: Path | None) -> None:
    """Be the supervisor until SIGTERM or Ctrl-C. ``settings`` are the user's, without those of an earlier stack; ``config`` is
    their file, if one was named.

    StockctlError if another supervisor is at work, or if not everything stopped as it should.
    """
    files = files_of(settings)
    with files.hold() as mine:
        if not mine:
            raise StockctlError(f"a supervisor is at work in {files.folder} already", hint="`stockctl local status`")
        with running(settings) as role:
            # A closed terminal asks to stop, as Ctrl-C does.
            signal.signal(signal.SIGHUP, lambda *_: role.stop.set())
            services.check(settings, mode)
            if mode == "live":
                health.reach(settings)
            end_leftovers(files, _log.warning)
            ports, changes = choose_ports(files, services.part_names(mode))
            for change in changes:
                _log.warning("%s", change)
            plan = services.plan(settings, files, mode, ports, command, config)
            shared = _toml(plan.shared)
            files.write(_shared_file(files), shared)
            files.write(files.state, "{}")  # what is in its way is said before anything starts
            about = {
                "mode": mode,
                "notes": changes,
                "settings": dict(plan.shared),
                "ports": ports,
                "symbols_given": _are_given(settings),
                "effective": services.described(plan.settings),
            }
            kept = {_shared_file(files): shared}
            trouble = Supervisor(files, services.parts(plan, files, ports), about, kept).run(role.stop)
    if trouble:
        raise StockctlError("the local stack did not stop as it should: " + "; ".join(trouble))


def _are_given(settings: Settings) -> bool:
    """Whether the symbols stood on the command line: then they hold until the stack is stopped."""
    return settings.origin("symbols") == "command line"


def _shared_file(files: StackFiles) -> Path:
    return local_stack_file(files.folder.parent)


def _toml(values: Mapping[str, str | list[str]]) -> str:
    tables: dict[str, list[str]] = {"": ["# Written by `stockctl local up`: where its parts are. Read by the profile local."]}
    for name, value in values.items():
        table, _, key = name.rpartition(".")
        tables.setdefault(table, [f"\n[{table}]"]).append(f"{key} = {json.dumps(value)}")
    return "\n".join([*(line for lines in tables.values() for line in lines), STACK_FILE_END])


@file_errors()
def current(files: StackFiles) -> dict[str, Any]:
    """What the living supervisor says, its parts as they are; empty if there is none, or if it has not said anything yet."""
    if not files.held:
        return {}
    state = files.read_state()
    if not state or not state["pid"] or identity(state["pid"]) != state["identity"]:
        return {}
    return {**state, "parts": [observed(part) for part in state["parts"]]}


@file_errors()
def up(
    settings: Settings, mode: services.Mode, command: Sequence[str], config: Path | None, *, say: Say, timeout: float = 120.0
) -> dict[str, Any]:
    """Have the stack running, and answer with the supervisor's state once every part is ready.

    One that runs already is left as it is; it is started anew if a part of it was given up, or if the settings have changed
    since; UsageError if it has another feed, or other symbols than those asked for. If it cannot be started in ``timeout``
    seconds, or the caller is interrupted, what was started is stopped again.
    """
    files = files_of(settings)
    services.check(settings, mode)
    files.make()
    if (pid := frozen_supervisor(files, current(files))) is not None:
        raise StockctlError(f"the supervisor of the local stack is {FROZEN}", hint=remedy("frozen", pid))
    if current(files).get("phase") == "stopping":
        say("waiting for the local stack to stop, to start it anew")
        deque(_until_free(files), maxlen=0)
    state = _first_state(files, timeout)
    outdated = _outdated(settings, mode, files, state, config) if state else None
    if state and not outdated:
        state = _follow_start(files, None, say, timeout)
        files.keep(_shared_file(files), _toml(state["settings"]))
        return state
    if mode == "live":
        health.reach(settings)
    if outdated:
        say(f"{outdated}: the local stack is started anew")
        for note in down(settings, say=say):
            say(f"note: {note}")
    say(f"starting the local stack in {files.folder}")
    log = files.log("supervisor")
    rotate(log, limit=LOG_LIMIT)
    process: subprocess.Popen[bytes] | None = None
    try:
        with log.open("ab") as stream, signals_held():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        return _follow_start(files, process, say, timeout)
    except BaseException:
        # A start that failed, or was interrupted, leaves nothing behind but its logs.
        if process is not None and process.poll() is None:
            process.terminate()
            process.wait(_STOP_SECONDS)
        raise


def _width(state: Mapping[str, Any]) -> int:
    """How long the longest name of a part is."""
    return max(len(part["name"]) for part in state["parts"])


def _first_state(files: StackFiles, timeout: float) -> dict[str, Any]:
    """What the living supervisor says, once it says anything; empty if there is none."""
    deadline = time.monotonic() + timeout
    while files.held:
        if state := current(files):
            return state
        if time.monotonic() > deadline:
            raise TimedOutError("the supervisor of the local stack says nothing", hint=f"see {files.log('supervisor')}")
        time.sleep(0.05)
    return {}


def _outdated(
    settings: Settings, mode: services.Mode, files: StackFiles, state: Mapping[str, Any], config: Path | None
) -> str | None:
    """Why the stack of ``state`` has to be started anew to be as it should, or None. UsageError if it is another's."""
    shared = state["settings"]["symbols"]
    if not _are_given(settings) and state.get("symbols_given"):
        settings = settings.model_copy(update={"symbols": shared})
    if state["mode"] != mode or (_are_given(settings) and settings.symbols != shared):
        feed = "the real feed" if state["mode"] == "live" else "the simulator"
        raise UsageError(
            f"the local stack is running already, with {feed} and {', '.join(shared)}", hint="`stockctl local down` first"
        )
    if given_up := [part["name"] for part in state["parts"] if part["state"] == "failed"]:
        return f"the supervisor has given up {', '.join(given_up)}"
    ran = state.get("effective", {})
    wanted = (
        services.described(services.plan(settings, files, mode, state.get("ports", {}), (), config).settings) if ran else {}
    )
    changes = [f"{name} is {value} now" for name, value in wanted.items() if ran.get(name) != value]
    return "; ".join(changes) or None


def _follow_start(files: StackFiles, process: subprocess.Popen[bytes] | None, say: Say, timeout: float) -> dict[str, Any]:
    deadline = time.monotonic() + timeout
    ready: set[str] = set()
    remind_at = time.monotonic() + _REMIND
    waiting = "the supervisor"
    while time.monotonic() < deadline:
        state = current(files)
        if not state and not files.held and (process is None or process.poll() is not None):
            last, hint = _end_of(files.log("supervisor"))
            raise StockctlError(f"the supervisor of the local stack has ended:{last}", hint=hint)
        for part in state.get("parts", ()):
            if part["state"] == "failed":
                last, hint = _end_of(files.log(part["name"]))
                raise _ERRORS.get(part.get("exit"), StockctlError)(
                    f"{part['name']} {part['detail']}; its last lines:{last}", hint=hint
                )
            if part["state"] == "running" and part["name"] not in ready:
                ready.add(part["name"])
                say(f"  {part['name']:<{_width(state)}} ready  {part['address']}")
                remind_at = time.monotonic() + _REMIND
        missing = [part for part in state.get("parts", ()) if part["name"] not in ready]
        if state.get("settings") and not missing:
            return state
        waiting = ", ".join(f"{part['name']} ({part['detail'] or part['state']})" for part in missing) or waiting
        if time.monotonic() >= remind_at:
            say(f"  still waiting for {waiting}")
            remind_at = time.monotonic() + _REMIND
        time.sleep(0.1)
    raise TimedOutError(
        f"the local stack was not ready within {format_duration(timeout)}: waited for {waiting}",
        hint=f"see {files.folder / 'logs'}",
    )


def _end_of(log: Path) -> tuple[str, str]:
    """The last lines of ``log``, and what to try: what the command says that ended there, and to look at the log."""
    lines, advice = last_words(log, 6)
    return "".join(f"\n  {line}" for line in lines), f"{advice}; see {log}" if advice else f"see {log}"


@file_errors()
def down(settings: Settings, *, say: Say) -> list[str]:
    """Stop the stack: feed, then writer once everything in Kafka is in the lake, then broker; what went wrong, in words.

    No stack is no error. A supervisor that does not stop is killed, and what it leaves is stopped.
    """
    files = files_of(settings)
    if not files.held:
        with files.hold() as mine:
            ended = end_leftovers(files, say) if mine else 0
        say("stopped what a killed supervisor had left" if ended else "the local stack is not running")
        return []
    try:
        _follow_stop(files, say)
    except TimedOutError as error:
        state = current(files)
        if not state:
            raise
        os.kill(state["pid"], signal.SIGKILL)
        with files.hold():
            end_leftovers(files, say)
        return [f"{error}: it was killed"]
    return list(files.read_state().get("trouble", ()))


def _follow_stop(files: StackFiles, say: Say) -> None:
    told: set[str] = set()
    signalled = False
    for state in _until_free(files):
        pid = state.get("pid") or files.holder
        if pid and not signalled:
            say("stopping the local stack")
            with suppress(ProcessLookupError):
                ask_to_leave(pid)
            signalled = True
        for part in state.get("parts", ()):
            if part["state"] == "stopped" and part["name"] not in told:
                told.add(part["name"])
                say(f"  {part['name']:<{_width(state)}} stopped")


def _until_free(files: StackFiles) -> Iterator[dict[str, Any]]:
    """The supervisor's state, again and again until it has left; then the last one. TimedOutError without any news of it."""
    news, since = current(files), time.monotonic()
    while files.held:
        state = current(files)
        yield state
        if state != news:
            news, since = state, time.monotonic()
        if time.monotonic() - since > _SILENT_SECONDS:
            raise TimedOutError(
                f"the supervisor of the local stack has done nothing to stop for {format_duration(_SILENT_SECONDS)}",
                hint=f"see {files.log('supervisor')}",
            )
        time.sleep(0.05)
    yield files.read_state()


def end_leftovers(files: StackFiles, say: Say, *, grace: float | None = None) -> int:
    """Stop what a killed supervisor has left behind; how many that were. Call it with the lock held.

    Each gets ``grace`` seconds to leave on its own.
    """
    ended = 0
    if files.state.exists() and not files.read_state():
        say(f"{files.state} is damaged: what a killed supervisor may have left is not known")
    for part in reversed(files.read_state().get("parts", [])):
        pid, name = part["pid"], part["identity"]
        if pid is not None and identity(pid) == name:
            say(f"stopping {part['name']} (pid {pid}), left by a killed supervisor")
            end(pid, lambda pid=pid, name=name: identity(pid) != name, _LEFTOVER_SECONDS if grace is None else grace)  # type: ignore[misc]
            ended += 1
    return ended


@file_errors()
def status(settings: Settings) -> list[Row]:
    """The supervisor and each part, as they are now."""
    files = files_of(settings)
    state = current(files)
    now = time.time()
    rows = []
    for part in [_supervisor(files, state), *_parts(files, state)]:
        log, _ = last_words(files.log(part["name"]))
        rows.append(
            Row(
                part["name"],
                part["state"],
                "; ".join(filter(None, (part.get("detail"), _loop(part, now, files)))),
                part["pid"],
                part.get("address", ""),
                round(now - part["started"], 1) if part["pid"] and part.get("started") else None,
                part.get("restarts", 0),
                log[0] if log else "",
            )
        )
    return rows


def _supervisor(files: StackFiles, state: Mapping[str, Any]) -> dict[str, Any]:
    supervisor = {"name": "supervisor", "pid": state.get("pid"), "started": state.get("started")}
    if (pid := frozen_supervisor(files, state)) is not None:
        return {**supervisor, "state": "frozen", "detail": f"{FROZEN}: it starts and stops nothing", "pid": pid}
    return {**supervisor, "state": state.get("phase", "starting" if files.held else "stopped")}


def _loop(part: Mapping[str, Any], now: float, files: StackFiles) -> str:
    """How often a part in a restart loop has died, how it ended last, and where its log is; empty if it is in none."""
    recent = sum(now - died < WITHIN for died in part.get("died", ()))
    if recent < LOOPING or part["state"] == "stopped":
        return ""
    last = "" if part["exit"] is None else f", the last time it {describe_exit(part['exit'])}"
    return f"died {recent} times within {format_duration(WITHIN)}{last}; its log is {files.log(part['name'])}"


def _parts(files: StackFiles, state: Mapping[str, Any]) -> list[dict[str, Any]]:
    if state:
        return list(state["parts"])
    last = files.read_state().get("parts") or [{"name": name} for name in services.part_names("sim")]
    return [unwatched(part, held=files.held) for part in last]


@file_errors()
def contents(settings: Settings) -> list[tuple[Path, int]]:
    """The folders that ``reset`` deletes, with their sizes in bytes."""
    state_dir = settings.state_dir.absolute()
    found = [state_dir / name for name in ("local", "lake", "lake-live") if (state_dir / name).is_dir()]
    return [(folder, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())) for folder in found]


@file_errors()
def reset(settings: Settings) -> None:
    """Delete the stack's state and its lakes below ``state_dir``. StockctlError while it is running."""
    files = files_of(settings)
    with files.hold() as mine:
        if not mine:
            raise StockctlError("the local stack is running", hint="`stockctl local down` first")
        end_leftovers(files, _log.warning)
        for folder, _ in contents(settings):
            shutil.rmtree(folder)
