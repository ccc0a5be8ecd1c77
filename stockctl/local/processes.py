"""Child processes that cannot outlive their supervisor, and log files that stay small."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stockctl.errors import TRY

LOG_LIMIT = 5_000_000
"""A log longer than this many bytes is rotated to ``.1``."""

_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


def spawn(command: Sequence[str], *, log: Path, folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start ``command`` with its output appended to ``log``, in a session of its own: Ctrl-C reaches the supervisor only.

    On Linux it gets SIGTERM when its parent dies for any reason. Call this from the main thread, because for Linux the parent
    is the thread that started the child. OSError if it cannot be started.
    """
    with log.open("ab") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),
        )


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Defer Ctrl-C and SIGTERM to the end of the block, so that no child starts without being recorded. Main thread only."""
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def _die_with(parent: int) -> Callable[[], None] | None:
    if _prctl is None:
        return None
    prctl = _prctl

    def set_death_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)

    return set_death_signal


class ProcessInfo(NamedTuple):
    """A running process. No later process with its pid has its ``identity``; ``frozen`` means suspended by SIGSTOP, Ctrl-Z or
    a debugger.
    """

    identity: str
    frozen: bool


def process_info(pid: int) -> ProcessInfo | None:
    """The process ``pid`` as it is now; None if it has exited."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] == "Z" else ProcessInfo(f"{boot}/{fields[19]}", fields[0] in "Tt")
    # Two options, because BSD's ps takes everything after the first "=" of one as a heading.
    output = subprocess.run(
        ["ps", "-o", "state=", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = output.stdout.strip().partition(" ")
    return ProcessInfo(started.strip(), state.startswith("T")) if started and not state.startswith("Z") else None


def identity(pid: int) -> str | None:
    """A text that identifies the process ``pid``, different for a later one with that pid; None if it has exited."""
    info = process_info(pid)
    return info.identity if info else None


def terminate(pid: int) -> None:
    """Send SIGTERM to ``pid``, and SIGCONT in case it is frozen. ProcessLookupError if it has exited."""
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGCONT)


def stop_process(pid: int, has_exited: Callable[[], bool], grace: float) -> bool:
    """Send SIGTERM to ``pid``, and SIGKILL to its session if it has not exited within ``grace`` seconds: then False."""
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        try:
            if number is signal.SIGKILL:
                os.killpg(pid, number)
            else:
                terminate(pid)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if has_exited():
                return number is signal.SIGTERM
            time.sleep(0.02)
    return False


def describe_exit(code: int) -> str:
    """A return code of ``subprocess`` in words: ``exited with code 1``, ``was killed by SIGKILL``."""
    return f"exited with code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"


def tail(log: Path, lines: int = 1) -> list[str]:
    """The last ``lines`` non-empty lines of ``log``."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 16_384))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def last_lines(log: Path, lines: int = 1) -> tuple[list[str], str]:
    """The last ``lines`` of ``log``, and the hint of a command that failed there; empty if the log does not end with one."""
    text = tail(log, lines + 1)
    hint = text.pop().removeprefix(TRY) if text and text[-1].startswith(TRY) else ""
    return text[-lines:], hint


def rotate(log: Path, *, limit: int = 0) -> None:
    """Copy ``log`` to ``.1`` and truncate it if it is longer than ``limit`` bytes. Its writer keeps the same file."""
    if log.exists() and log.stat().st_size > limit:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)
