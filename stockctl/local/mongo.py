"""The MongoDB stand-in: secantusdb, which speaks MongoDB's wire protocol. It is GPL software: run it, never import it."""

from __future__ import annotations

import sys
from pathlib import Path

from stockctl.settings import Settings


def command(port: int, data: Path) -> list[str]:
    """The server's command line; it stores its data in ``data``."""
    address = ("--host", "127.0.0.1", "--port", str(port))
    return [sys.executable, "-m", "secantus", *address, "--storage-path", str(data), "--log-level", "WARNING"]


def ready(settings: Settings) -> None:
    """Raise unless the server answers."""
    from stockctl.clients.mongo import Mongo

    with Mongo(settings, wait=0.5) as mongo:
        mongo.version()
