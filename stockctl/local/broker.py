"""The embedded broker: a stand-in for Kafka, and workarounds for its consumer groups."""

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

_LEAVE_GROUP = 13  # its API key in Kafka's protocol
_SESSIONS = 2
"""Session timeouts that a rebalance may take: Kafka waits one for a dead member, and a live one may be busy as long."""


def command(port: int, data: Path) -> list[str]:
    """The broker's command line.

    This is the binary itself: the wrapper that pip installs does not forward SIGTERM, and the broker would not save.
    """
    binary = Path(str(files("noida_db") / "noida-db"))
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)
    return [str(binary), "start", "--only", "kafka", "--host", "127.0.0.1", "--kafka-port", str(port), "--data-dir", str(data)]


def ready(settings: Settings) -> None:
    """Raise unless the broker answers. Creates the topics, before a client's first request creates them with defaults."""
    admin = Admin(settings)
    admin.wait(0.5)
    topics.apply(admin, settings.topics)


def forget_members(settings: Settings, group: str) -> None:
    """Remove every member from the consumer group ``group``; live members rejoin.

    The broker never expires a member that was killed: it waits for its answer, and the group would rebalance forever.
    """
    host, _, port = settings.kafka.bootstrap_servers.rpartition(":")
    for member in Admin(settings).members(group):
        try:
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                request = struct.pack(">hhi", _LEAVE_GROUP, 0, 1) + b"".join(map(_kafka_string, ("stockctl", group, member)))
                connection.sendall(struct.pack(">i", len(request)) + request)
                connection.recv(4)
        except OSError as error:
            raise UnreachableError(f"cannot remove {member} from the consumer group {group}: {error}") from error


class Rebalances:
    """Ends rebalances of ``group`` that take too long. Call it periodically: it returns a message if it ended one, or None.

    The broker keeps waiting for a dead member: one that was killed, or one that was frozen past its session timeout and
    rejoined as another. Occasionally it does not answer a live member when a second one joins.
    """

    def __init__(self, settings: Settings, group: str) -> None:
        self._settings, self._group = settings, group
        self._admin = Admin(settings)
        self._since: float | None = None

    def __call__(self) -> str | None:
        """Check once. StockctlError if the broker does not answer."""
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
            f"the consumer group {self._group} was rebalancing for {format_duration(round(waited))}: removed its members; live "
            "ones rejoin"
        )


def _kafka_string(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">h", len(encoded)) + encoded
