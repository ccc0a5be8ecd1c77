"""Ports: free ones, remembered from one start to the next."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable

from stockctl.local.files import StackFiles


def choose_ports(files: StackFiles, names: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """A port of this machine for each name, the same as the last time where it is still free; and in words what changed."""
    remembered = files.read(files.ports)
    chosen: dict[str, int] = {}
    changes: list[str] = []
    # All are held open until all are chosen: no two names get the same.
    held: list[socket.socket] = []
    try:
        for name in names:
            listener = _listen(remembered.get(name, 0)) or _listen(0)
            if listener is None:
                raise OSError("this machine has no free port")
            held.append(listener)
            chosen[name] = int(listener.getsockname()[1])
            if name in remembered and chosen[name] != remembered[name]:
                changes.append(f"port {remembered[name]} of {name} is taken by somebody else: it has {chosen[name]} now")
    finally:
        for listener in held:
            listener.close()
    files.write(files.ports, json.dumps(remembered | chosen))
    return chosen, changes


def _listen(port: int) -> socket.socket | None:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None
