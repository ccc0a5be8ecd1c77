"""Whether the local stack runs, whose addresses the profile ``local`` has unless others are set."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from stockctl.errors import UnreachableError
from stockctl.settings import Settings, local_stack_file

_LOOK = 1.0
"""Seconds to look whether something of this machine listens: it does so at once."""


def is_held(lock: Path) -> bool:
    """Whether a supervisor is alive. The kernel drops its lock with it, so this survives kill -9 and reboots."""
    import fcntl  # of the systems that a local stack runs on

    try:
        handle = os.open(lock, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        # Shared, so that those who only look do not stand in each other's way.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def absent_stack(settings: Settings, name: str, *, instead: str | None = None) -> UnreachableError | None:
    """The error of a local stack that does not run, where the address ``name`` is its own; None where it is not, or where
    something listens there.

    Addresses stay when the stack is stopped, and before its first start there are defaults. ``instead`` is what else to try.
    """
    if settings.profile != "local" or not settings.origin(name).startswith(("default", "local stack")):
        return None
    section, key = name.split(".")
    address = getattr(getattr(settings, section), key)
    if address is not None and not _is_silent(address):
        return None
    if is_held(local_stack_file(settings.state_dir.absolute()).with_name("lock")):
        return None  # it is starting, or starts again what has died
    return UnreachableError(
        "the local stack is not running: `stockctl local up` starts it",
        hint=instead or f"`stockctl local up`, or set {name}" + (f": nothing listens at {address}" if address else ""),
    )


def _is_silent(address: str) -> bool:
    """Whether it is of this machine, and nothing listens there."""
    place = urlsplit(address if "//" in address else f"//{address}")
    if place.hostname not in ("localhost", "127.0.0.1"):
        return False
    try:
        socket.create_connection((place.hostname, place.port or 0), timeout=_LOOK).close()
    except OSError:
        return True
    return False
