"""Ports: free ones, remembered from one start to the next."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterable

from stockctl.errors import StockctlError
from stockctl.local.files import Port, StackFiles

_RANGE = range(15_000, 32_000)
"""Below the ports that systems give to outgoing connections, so that none of those takes a port while its part is away."""


def choose_ports(files: StackFiles, names: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """A port of this machine for each name, the same as the last time where it is still free; and in words what changed."""
    remembered = files.read(files.ports, dict[str, Port])
    chosen: dict[str, int] = {}
    changes: list[str] = []
    if remembered is None:
        remembered = {}
        if files.ports.exists():
            changes.append(f"{files.ports} is damaged: ports are chosen anew")
    # All are held open until all are chosen: no two names get the same.
    held: list[socket.socket] = []
    try:
        for name in names:
            listener = _listen(remembered.get(name)) or _listen_somewhere()
            held.append(listener)
            chosen[name] = int(listener.getsockname()[1])
            if name in remembered and chosen[name] != remembered[name]:
                changes.append(f"port {remembered[name]} of {name} is taken by somebody else: it has {chosen[name]} now")
    finally:
        for listener in held:
            listener.close()
    files.write(files.ports, json.dumps(remembered | chosen))
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
    raise StockctlError(f"found no free port between {_RANGE[0]} and {_RANGE[-1]}", hint="stop something that listens there")
