"""Checks: what a room tells of the system that it stands on, and running many of them side by side.

A room's ``checks(settings)`` answers with what ``stockctl doctor`` asks of it, its ``overview(settings)`` with its rows of
``stockctl status``. A probe that raises one of our errors has failed: the error's words are the cause, its hint the fix.
Whatever else it raises is a defect, which fails its own check and hides no other.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Literal, NamedTuple

from stockctl.errors import StockctlError
from stockctl.units import format_duration, format_size

State = Literal["ok", "warn", "fail"]

PROBE_WAIT = 5.0
"""Seconds that a probe waits for a system to answer at all."""
ENOUGH_SPACE = 5_000_000_000
"""Free bytes below which a disk is worth a warning: about a day of 50 busy symbols."""
LEAST_SPACE = 200_000_000
"""Free bytes below which a disk counts as full."""


class Finding(NamedTuple):
    """What a probe found. ``latency`` is in seconds, of one request; ``fix`` is the next thing to do when all is not well."""

    detail: str
    state: State = "ok"
    fix: str | None = None
    latency: float | None = None


class Check(NamedTuple):
    """A named probe of one outside system."""

    system: str
    probe: Callable[[], Finding]


class Result(NamedTuple):
    """A check's name with what its probe found."""

    system: str
    finding: Finding


def run(checks: Sequence[Check], *, timeout: float = 30.0) -> list[Result]:
    """Run ``checks`` side by side; each one's result, in their order, after at most ``timeout`` seconds.

    A probe that has not answered by then, or that raises an error, has failed.
    """
    deadline = time.monotonic() + timeout
    answers = [(check, _start(check)) for check in checks]
    return [Result(check.system, _answer(future, deadline, timeout)) for check, future in answers]


def _start(check: Check) -> Future[Finding]:
    future: Future[Finding] = Future()

    def probe() -> None:
        try:
            future.set_result(check.probe())
        except BaseException as error:  # noqa: BLE001 - carried to the thread that asked, which raises it
            future.set_exception(error)

    # A daemon: a probe that hangs in a system call must not keep the command from ending.
    threading.Thread(target=probe, name=f"check {check.system}", daemon=True).start()
    return future


def _answer(future: Future[Finding], deadline: float, timeout: float) -> Finding:
    try:
        return future.result(timeout=max(0.0, deadline - time.monotonic()))
    except StockctlError as error:
        return Finding(str(error), "fail", error.hint)
    except TimeoutError:
        return Finding(f"no answer within {format_duration(timeout)}", "fail", "check the network between here and there")
    except Exception as error:  # noqa: BLE001 - a defect of one check must not hide what the others found
        return Finding(f"unexpected {type(error).__name__}: {error}", "fail", "report it: this is a defect of stockctl")


def disk(folder: Path) -> Check:
    """The check of the disk on which ``folder`` lies, or will lie: space and the right to write."""

    def probe() -> Finding:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        detail = f"{format_size(free)} free at {folder}"
        if not os.access(there, os.W_OK | os.X_OK):
            return Finding(
                f"no right to write in {there}", "fail", f"give this user the right, or set state_dir instead of {folder}"
            )
        if free < LEAST_SPACE:
            return Finding(detail, "fail", "make room on that disk, or set state_dir to another")
        if free < ENOUGH_SPACE:
            return Finding(detail, "warn", "make room on that disk soon")
        return Finding(detail)

    return Check("disk", probe)
