"""Long-running roles: leaving cleanly on a signal, trying again what fails for a while, readable logs, a health port."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    stop_any,
    stop_never,
    stop_when_event_set,
    wait_random_exponential,
)
from tenacity.nap import sleep_using_event

from stockctl.errors import StockctlError, TimedOutError
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


log = logging.getLogger("stockctl.role")


class Service:
    """One running role: ``stop`` is set by SIGTERM or Ctrl-C; ``health`` tells what is wrong, None when nothing is."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.health: Callable[[], str | None] = lambda: "is starting"

    def _obey(self, signals: socket.socket, leave_within: float | None) -> None:
        deadline: float | None = None
        while True:
            signals.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
            try:
                number = signals.recv(1)
            except TimeoutError:
                log.warning("leaving now: the work in hand did not end within %.0f s of the signal", leave_within)
                os._exit(TimedOutError.exit_code)
            if not number:
                return
            if self.stop.is_set() and number[0] == signal.SIGINT:
                # Asked twice: leave at once. What was not committed is read again by the next start.
                os._exit(128 + signal.SIGINT)
            if leave_within is not None and deadline is None:
                deadline = time.monotonic() + leave_within
            self.stop.set()


def retrying(
    stop: threading.Event,
    passes: Callable[[BaseException], bool],
    *,
    within: float | None = None,
    first: float = 0.2,
    longest: float = 5.0,
    tell: Callable[[RetryCallState], None] | None = None,
) -> Retrying:
    """Calls again what fails with an error that ``passes``; raises it once ``stop`` is set or ``within`` seconds are over.

    The first pause is at most ``first`` seconds, each later one at most twice the one before and never above ``longest``, at
    random below that, so that many do not come back at once. ``tell`` is called before each pause.
    """
    return Retrying(
        retry=retry_if_exception(passes),
        wait=wait_random_exponential(multiplier=first, max=longest),
        stop=stop_any(stop_never if within is None else stop_after_delay(within), stop_when_event_set(stop)),
        sleep=sleep_using_event(stop),
        before_sleep=tell,
        reraise=True,
    )


@contextmanager
def running(settings: Settings, *, health_port: int | None = None, leave_within: float | None = None) -> Iterator[Service]:
    """Run a role: logging configured, signals set ``role.stop``, ``/healthz`` and ``/metrics`` served on ``health_port``
    of ``health.host``.

    A role that has not ended ``leave_within`` seconds after the signal is left with exit code 6, whatever it waits for: only
    for roles that lose nothing by dying at any moment.
    """
    configure_logging(settings)
    role = Service()
    server = _serve_health(role, settings.health.host, health_port) if health_port is not None else None
    try:
        with _signals_for(role, leave_within):
            yield role
    finally:
        if server is not None:
            server.shutdown()
            server.server_close()


@contextmanager
def _signals_for(role: Service, leave_within: float | None) -> Iterator[None]:
    # A thread hears the signals: Python's handlers wait until the main thread comes back from the library that it is deep in.
    heard, told = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    thread = threading.Thread(target=role._obey, args=(heard, leave_within), name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        told.close()
        thread.join()
        heard.close()


def _serve_health(role: Service, host: str, port: int) -> ThreadingHTTPServer:
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
        server = ThreadingHTTPServer((host, port), Handler)
    except (OSError, OverflowError) as error:
        wrong = error.strerror if isinstance(error, OSError) else "ports end at 65535"
        raise StockctlError(
            f"cannot serve health on port {port} of {host}: {wrong}",
            hint="choose another --health-port, or correct health.host",
        ) from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
