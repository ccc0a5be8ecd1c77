"""Serve the dashboard until the service stops."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from stockctl.dashboard.app import create_app
from stockctl.dashboard.live.hub import Hub
from stockctl.dashboard.live.threads import Live
from stockctl.errors import StockctlError
from stockctl.service import Service
from stockctl.settings import Settings

log = logging.getLogger("stockctl.dashboard")


class _Server(uvicorn.Server):
    """Leaves the signals to the service, which stops it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: Settings, service: Service, *, notify: Callable[[str], None]) -> None:
    """Listen on ``dashboard.bind`` and ``dashboard.port``; ``notify`` receives the address. StockctlError if it is taken."""
    hub = Hub(settings)
    app = create_app(settings, hub)
    listener = _listen(settings.dashboard.bind, settings.dashboard.port)
    host, port = listener.getsockname()[:2]
    server = _Server(
        uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=2, lifespan="on")
    )

    def stop() -> None:
        service.stop.wait()
        server.should_exit = True
        hub.close()

    threading.Thread(target=stop, name="stop", daemon=True).start()
    service.health = lambda: None if server.started else "is starting"
    notify(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    Live(settings, hub, service.stop).start()
    server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128)
    except OSError as error:
        raise StockctlError(
            f"cannot listen on port {port} of {host}: {error.strerror or error}",
            hint="choose another --port, or correct dashboard.bind; `stockctl local up` again takes a free port",
        ) from error
