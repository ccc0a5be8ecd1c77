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
"""A log longer than this many bytes is moved to its ``.1`` and begun anew."""

_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


def spawn(command: Sequence[str], *, log: Path, folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start ``command`` with its output appended to ``log``, away from the terminal, whose Ctrl-C is the supervisor's alone.

    On Linux it gets SIGTERM when its parent dies, however that happens. Call from the main thread: Linux means the thread
    that started the child. OSError if it cannot be started.
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
            preexec_fn=_tether(os.getpid()),
        )


@contextmanager
def signals_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the end of this, so that a child that has been started is also known. Main thread only."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _tether(parent: int) -> Callable[[], None] | None:
    if _prctl is None:
        return None
    prctl = _prctl

    def tether() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return tether


class Alive(NamedTuple):
    """A process that is there: ``identity`` names it and no later process of its number; ``frozen`` is one that SIGSTOP,
    Ctrl-Z or a debugger has suspended.
    """

    identity: str
    frozen: bool


def look(pid: int) -> Alive | None:
    """The process ``pid`` as it is now; None if it is gone."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] == "Z" else Alive(f"{boot}/{fields[19]}", fields[0] in "Tt")
    # Two options: BSD's ps takes all that follows the first "=" of one for a heading.
    shown = subprocess.run(["ps", "-o", "state=", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = shown.stdout.strip().partition(" ")
    return Alive(started.strip(), state.startswith("T")) if started and not state.startswith("Z") else None


def identity(pid: int) -> str | None:
    """A text that names the process ``pid`` and no later process of that number; None if it is gone."""
    found = look(pid)
    return found.identity if found else None


def ask_to_leave(pid: int) -> None:
    """SIGTERM to ``pid``, which gets it also if it is frozen: it is woken. ProcessLookupError if it is gone."""
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGCONT)


def end(pid: int, gone: Callable[[], bool], grace: float) -> bool:
    """Ask ``pid`` to leave, and SIGKILL to its session if it is not ``gone`` within ``grace`` seconds: then False."""
    for number, bound in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        try:
            if number is signal.SIGKILL:
                os.killpg(pid, number)
            else:
                ask_to_leave(pid)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + bound
        while time.monotonic() < deadline:
            if gone():
                return number is signal.SIGTERM
            time.sleep(0.02)
    return False


def describe_exit(code: int) -> str:
    """What ``code`` of ``subprocess`` says: ``left with exit 1``, ``was killed by SIGKILL``."""
    return f"left with exit {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"


def tail(log: Path, lines: int = 1) -> list[str]:
    """The last ``lines`` non-empty lines of ``log``."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 16_384))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def last_words(log: Path, lines: int = 1) -> tuple[list[str], str]:
    """The last ``lines`` of ``log``, and beside them what to try next, if that is how a command ended there; else empty."""
    found = tail(log, lines + 1)
    advice = found.pop().removeprefix(TRY) if found and found[-1].startswith(TRY) else ""
    return found[-lines:], advice


def rotate(log: Path, *, limit: int = 0) -> None:
    """Move ``log`` to its ``.1`` if it is longer than ``limit`` bytes. Whoever writes it goes on: it is emptied in place."""
    if log.exists() and log.stat().st_size > limit:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)
