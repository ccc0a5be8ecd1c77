"""The embedded broker: a stand-in that speaks Kafka's protocol, with what it needs of us."""

from __future__ import annotations

import os
import socket
import struct
import time
from importlib.resources import files
from pathlib import Path

from stockctl.clients.kafka import Admin
from stockctl.errors import UnreachableError
from stockctl.settings import Settings
from stockctl.stream import topics
from stockctl.units import format_duration

_LEAVE_GROUP = 13  # Kafka's number of that request
_SESSIONS = 2
"""Sessions that a rebalance may take: Kafka waits one for a member that is gone, and one that lives may be busy as long."""


def command(port: int, data: Path) -> list[str]:
    """The broker's command line.

    It is the binary itself: the wrapper that pip installs would not pass SIGTERM on, and the broker would not save.
    """
    binary = Path(str(files("noida_db") / "noida-db"))
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)
    return [str(binary), "start", "--only", "kafka", "--host", "127.0.0.1", "--kafka-port", str(port), "--data-dir", str(data)]


def ready(settings: Settings) -> None:
    """Raises unless the broker answers. Makes the topics, before a client's first request would make others in their place."""
    admin = Admin(settings)
    admin.wait(0.5)
    topics.apply(admin, settings)


def forget_members(settings: Settings, group: str) -> None:
    """Take every member out of ``group``; one that lives joins again.

    The broker never gives up on a member that was killed: it waits for its answer, and the group stands still for ever.
    """
    host, _, port = settings.kafka.bootstrap_servers.rpartition(":")
    for member in Admin(settings).members(group):
        try:
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                request = struct.pack(">hhi", _LEAVE_GROUP, 0, 1) + b"".join(map(_text, ("stockctl", group, member)))
                connection.sendall(struct.pack(">i", len(request)) + request)
                connection.recv(4)
        except OSError as error:
            raise UnreachableError(f"cannot take {member} out of the group {group}: {error}") from error


class Rebalances:
    """Ends a rebalance of ``group`` that takes too long. Call it now and then: it answers what it did, or None.

    The broker keeps waiting for a member that is gone: one that was killed, or one that was frozen past its session and
    has joined again as another. Now and then it does not answer one that lives, when a second joins.
    """

    def __init__(self, settings: Settings, group: str) -> None:
        self._settings, self._group = settings, group
        self._admin = Admin(settings)
        self._since: float | None = None

    def __call__(self) -> str | None:
        """Look once. StockctlError if the broker does not answer."""
        if not self._admin.rebalancing(self._group):
            self._since = None
            return None
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if (waited := now - self._since) < _SESSIONS * self._settings.kafka.session_timeout:
            return None
        forget_members(self._settings, self._group)
        self._since = None
        return (
            f"the group {self._group} was rebalancing for {format_duration(round(waited))}: its members were taken out, and "
            "those that live join again"
        )


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">h", len(encoded)) + encoded
