"""Whether the local stack is running. The profile ``local`` has its addresses by default."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from stockctl.errors import UnreachableError
from stockctl.settings import Settings, local_stack_file

_CONNECT_WAIT = 1.0
"""Seconds to wait for a connection to a port of this machine."""


def is_held(lock: Path) -> bool:
    """Whether a supervisor is alive. The kernel drops its lock with it, so this survives kill -9 and reboots."""
    import fcntl  # not on every system

    try:
        handle = os.open(lock, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        # Shared, so that concurrent checks do not disturb each other.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def absent_stack(
    settings: Settings, name: str, *, at: str | None = None, instead: str | None = None
) -> UnreachableError | None:
    """The error of a local stack that is not running, if the setting ``name`` has its address; None if something listens there.

    The addresses stay after the stack has stopped; before its first start they are defaults. ``instead`` replaces the hint,
    ``at`` is the address if the setting is only a part of it.
    """
    if settings.profile != "local" or not settings.origin(name).startswith(("default", "local stack")):
        return None
    section, key = name.split(".")
    address = at or getattr(getattr(settings, section), key)
    if address is not None and not _is_silent(address):
        return None
    if is_held(local_stack_file(settings.state_dir.absolute()).with_name("lock")):
        return None  # it is starting, or restarts a service
    return UnreachableError(
        "the local stack is not running",
        hint=instead or f"`stockctl local up`, or set {name}" + (f": nothing listens at {address}" if address else ""),
    )


def _is_silent(address: str) -> bool:
    """Whether ``address`` is on this machine, and nothing listens there."""
    place = urlsplit(address if "//" in address else f"//{address}")
    if place.hostname not in ("localhost", "127.0.0.1"):
        return False
    try:
        socket.create_connection((place.hostname, place.port or 0), timeout=_CONNECT_WAIT).close()
    except OSError:
        return True
    return False
