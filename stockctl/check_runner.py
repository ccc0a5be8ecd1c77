"""Health checks, and running them concurrently.

A module's ``checks(settings)`` are its rows of ``stockctl doctor``, its ``overview(settings)`` its rows of ``stockctl status``.
A probe that raises a StockctlError has failed: the error's message becomes the detail, its hint the fix. Any other exception is
a defect of stockctl; it fails only its own check.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Literal, NamedTuple

from stockctl.errors import StockctlError
from stockctl.units import format_duration, format_size

State = Literal["ok", "warn", "fail"]

PROBE_WAIT = 5.0
"""Seconds that a probe waits for a system to answer."""
ENOUGH_SPACE = 5_000_000_000
"""Free bytes below which a disk is worth a warning: about a day of 50 busy symbols."""
LEAST_SPACE = 200_000_000
"""Free bytes below which a disk counts as full."""


class CheckResult(NamedTuple):
    """The result of a probe. ``latency`` is in seconds, of one request; ``fix`` is what to do unless ``state`` is ok."""

    detail: str
    state: State = "ok"
    fix: str | None = None
    latency: float | None = None


class Check(NamedTuple):
    """A probe of one system, with the system's name."""

    system: str
    probe: Callable[[], CheckResult]


class SystemHealth(NamedTuple):
    """The name of a system with the result of its check."""

    system: str
    result: CheckResult


def run(checks: Sequence[Check], *, timeout: float = 30.0) -> list[SystemHealth]:
    """Run ``checks`` concurrently; return their results in the same order after at most ``timeout`` seconds.

    A check fails when its probe raises an exception or has not answered by then.
    """
    deadline = time.monotonic() + timeout
    futures = [(check, _start(check)) for check in checks]
    return [SystemHealth(check.system, _result(future, deadline, timeout)) for check, future in futures]


def _start(check: Check) -> Future[CheckResult]:
    future: Future[CheckResult] = Future()

    def probe() -> None:
        try:
            future.set_result(check.probe())
        except BaseException as error:  # noqa: BLE001 - the thread that waits for the result raises it
            future.set_exception(error)

    # A daemon thread: a probe that hangs in a system call must not block the exit of the command.
    threading.Thread(target=probe, name=f"check {check.system}", daemon=True).start()
    return future


def _result(future: Future[CheckResult], deadline: float, timeout: float) -> CheckResult:
    wait([future], timeout=max(0.0, deadline - time.monotonic()))
    if not future.done():
        return CheckResult(
            f"no answer within {format_duration(timeout)}", "fail", "check the network between this machine and the system"
        )
    try:
        return future.result()
    except StockctlError as error:
        return CheckResult(str(error), "fail", error.hint)
    except Exception as error:  # noqa: BLE001 - a defect of one check must not hide the results of the others
        return CheckResult(f"unexpected {type(error).__name__}: {error}", "fail", "report it: this is a defect of stockctl")


def disk(folder: Path) -> Check:
    """The check of the disk of ``folder``, which need not exist yet: free space and write permission."""

    def probe() -> CheckResult:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        detail = f"{format_size(free)} free at {folder}"
        if not os.access(existing, os.W_OK | os.X_OK):
            return CheckResult(
                f"permission denied: write in {existing}",
                "fail",
                f"grant this user write permission, or set state_dir instead of {folder}",
            )
        if free < LEAST_SPACE:
            return CheckResult(detail, "fail", "free space on that disk, or set state_dir to another one")
        if free < ENOUGH_SPACE:
            return CheckResult(detail, "warn", "free space on that disk soon")
        return CheckResult(detail)

    return Check("disk", probe)
