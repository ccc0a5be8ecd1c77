"""Long-running roles: leaving cleanly on a signal, readable logs, a health port."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stockctl.errors import StockctlError
from stockctl.settings import Settings


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{at} {record.name.removeprefix('stockctl.')} {level}{record.getMessage()}"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "role": record.name.removeprefix("stockctl."),
            "message": record.getMessage(),
        }
        return json.dumps(line | getattr(record, "fields", {}), ensure_ascii=False)


def configure_logging(settings: Settings) -> None:
    """Send the logs of ``stockctl`` to stderr in the form that the settings name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if settings.log.format == "json" else _TextFormatter())
    logger = logging.getLogger("stockctl")
    logger.handlers = [handler]
    logger.setLevel(settings.log.level)
    logger.propagate = False


class Role:
    """One running role: ``stop`` is set by SIGTERM or Ctrl-C; ``health`` tells what is wrong, None when nothing is."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.health: Callable[[], str | None] = lambda: "is starting"

    def _signalled(self, number: int, _frame: Any) -> None:
        if self.stop.is_set() and number == signal.SIGINT:
            # Asked twice: leave at once. What was not committed is read again by the next start.
            os._exit(128 + number)
        self.stop.set()


@contextmanager
def running(settings: Settings, *, health_port: int | None = None) -> Iterator[Role]:
    """Run a role: logging configured, signals set ``role.stop``, ``/healthz`` and ``/metrics`` served on ``health_port``."""
    configure_logging(settings)
    role = Role()
    previous = {number: signal.signal(number, role._signalled) for number in (signal.SIGTERM, signal.SIGINT)}
    server = _serve_health(role, health_port) if health_port is not None else None
    try:
        yield role
    finally:
        if server is not None:
            server.shutdown()
            server.server_close()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _serve_health(role: Role, port: int) -> ThreadingHTTPServer:
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif self.path == "/healthz":
                trouble = role.health()
                self._answer(503 if trouble else 200, "text/plain; charset=utf-8", f"{trouble or 'ok'}\n".encode())
            else:
                self._answer(404, "text/plain", b"try /healthz or /metrics\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            """Probes come every few seconds: they are not logged."""

    try:
        server = ThreadingHTTPServer(("", port), Handler)
    except OSError as error:
        raise StockctlError(
            f"cannot serve health on port {port}: {error.strerror}", hint="choose another --health-port"
        ) from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
