"""The ports of the services: free ones, kept from one start to the next."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterable, Mapping

from stockctl.errors import StockctlError
from stockctl.local.files import Port, StackFiles

_RANGE = range(15_000, 32_000)
"""Below the ephemeral ports, so that no outgoing connection takes a port while its service restarts."""


def choose_ports(
    files: StackFiles, names: Iterable[str], preferred: Mapping[str, tuple[int, bool]] | None = None
) -> tuple[dict[str, int], list[str]]:
    """A free port for each of ``names``, the same as last time if possible; and a message for each change.

    ``preferred`` has ports to take if they are free, each with whether the user chose it: then it goes before the last one.
    """
    saved = files.read(files.ports, dict[str, Port])
    chosen: dict[str, int] = {}
    changes: list[str] = []
    if saved is None:
        saved = {}
        if files.ports.exists():
            changes.append(f"{files.ports} is damaged: choosing new ports")
    # Keep all open until the last is chosen, so that no two services get the same port.
    listeners: list[socket.socket] = []
    try:
        for name in names:
            wanted, by_user = (preferred or {}).get(name, (None, False))
            candidates = (wanted, saved.get(name)) if by_user else (saved.get(name), wanted)
            listener = next((each for each in map(_listen, candidates) if each is not None), None) or _listen_somewhere()
            listeners.append(listener)
            chosen[name] = int(listener.getsockname()[1])
            expected = wanted if by_user or name not in saved else saved[name]
            if expected is not None and chosen[name] != expected:
                changes.append(f"port {expected} of {name} is in use by another process: using port {chosen[name]} instead")
    finally:
        for listener in listeners:
            listener.close()
    files.write(files.ports, json.dumps(saved | chosen))
    return chosen, changes


def _listen(port: int | None) -> socket.socket | None:
    try:
        return None if port is None else socket.create_server(("127.0.0.1", port))
    except OSError:
        return None


def _listen_somewhere() -> socket.socket:
    for port in random.SystemRandom().sample(_RANGE, 1000):
        if (listener := _listen(port)) is not None:
            return listener
    raise StockctlError(f"no free port between {_RANGE[0]} and {_RANGE[-1]}", hint="stop a process that listens in that range")
