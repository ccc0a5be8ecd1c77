"""Long-running services: a clean exit on a signal, retries and waits that a signal ends, readable logs, a health port."""

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
from typing import Any, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    stop_any,
    stop_never,
    stop_when_event_set,
    wait_random_exponential,
)
from tenacity.nap import sleep_using_event

from stockctl.errors import StockctlError, TimedOutError
from stockctl.settings import LogSettings, Settings


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


def configure_logging(settings: LogSettings) -> None:
    """Send the logs of ``stockctl`` to stderr in the form that the settings name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if settings.format == "json" else _TextFormatter())
    logger = logging.getLogger("stockctl")
    logger.handlers = [handler]
    logger.setLevel(settings.level)
    logger.propagate = False


log = logging.getLogger("stockctl.service")

Result = TypeVar("Result")


class Service:
    """A running service: SIGTERM or Ctrl-C sets ``stop``; ``health`` returns what is wrong, None if nothing is."""

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
                log.warning("leaving now: the work in progress did not end within %.0f s of the signal", leave_within)
                os._exit(TimedOutError.exit_code)
            if not number:
                return
            if self.stop.is_set() and number[0] == signal.SIGINT:
                # The second Ctrl-C: leave at once. The next start reads again what was not committed.
                os._exit(128 + signal.SIGINT)
            if leave_within is not None and deadline is None:
                deadline = time.monotonic() + leave_within
            self.stop.set()


def retry(
    call: Callable[[], Result],
    retryable: Callable[[BaseException], bool],
    *,
    stop: threading.Event | None = None,
    within: float | None = None,
    attempts: int | None = None,
    first: float = 0.2,
    longest: float = 5.0,
    retry_after: Callable[[BaseException], float | None] = lambda _: None,
    on_retry: Callable[[BaseException, int], None] = lambda *_: None,
) -> Result:
    """The result of ``call``, which is called again when it raises a ``retryable`` error.

    Raises the last error once ``stop`` is set, ``within`` seconds are over or ``attempts`` calls failed; ``stop`` also ends
    a pause. The first pause is at most ``first`` seconds, each later one at most twice the one before and never above
    ``longest``, chosen at random below that so that many clients do not return at once. An error for which ``retry_after``
    returns seconds sets its own pause. ``on_retry`` gets the error and the number of the failed attempt before each pause.
    """
    stop = stop or threading.Event()
    backoff = wait_random_exponential(multiplier=first, max=longest)

    def pause(state: RetryCallState) -> float:
        asked = retry_after(_error_of(state))
        return float(backoff(state)) if asked is None else asked

    return Retrying(
        retry=retry_if_exception(retryable),
        wait=pause,
        stop=stop_any(
            stop_when_event_set(stop),
            stop_never if within is None else stop_after_delay(within),
            stop_never if attempts is None else stop_after_attempt(attempts),
        ),
        sleep=sleep_using_event(stop),
        before_sleep=lambda state: on_retry(_error_of(state), state.attempt_number),
        reraise=True,
    )(call)


def _error_of(state: RetryCallState) -> BaseException:
    return state.outcome.exception()  # type: ignore[union-attr, return-value]  # tenacity asks only after a failed attempt


def wait_for(
    look: Callable[[], Result],
    *,
    within: float,
    every: float,
    longest: float | None = None,
    stop: threading.Event | None = None,
) -> Result:
    """The first true result of ``look``; its last one if ``within`` seconds are over, or ``stop`` is set, before that.

    ``look`` is called at least once, then every ``every`` seconds; with ``longest`` each pause is twice the one before, up to
    that many seconds. It decides by itself what a wrong state is: its errors end the wait.
    """
    deadline, stop = time.monotonic() + within, stop or threading.Event()
    while not (result := look()) and time.monotonic() <= deadline and not stop.wait(every):
        every = every if longest is None else min(2 * every, longest)
    return result


@contextmanager
def running(settings: Settings, *, health_port: int | None = None, leave_within: float | None = None) -> Iterator[Service]:
    """Run a service: logs are configured, signals set its ``stop``, ``health_port`` of ``health.host`` serves ``/healthz``
    and ``/metrics``.

    The process exits with code 6 if the service has not ended ``leave_within`` seconds after the signal, whatever it waits for:
    only for services that lose nothing when they die at any moment.
    """
    configure_logging(settings.log)
    service = Service()
    server = _serve_health(service, settings.health.host, health_port) if health_port is not None else None
    try:
        with _signals_for(service, leave_within):
            yield service
    finally:
        if server is not None:
            server.shutdown()
            server.server_close()


@contextmanager
def _signals_for(service: Service, leave_within: float | None) -> Iterator[None]:
    # A thread receives the signals: Python's handlers wait until the main thread returns from the library call it is in.
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    thread = threading.Thread(target=service._obey, args=(receiver, leave_within), name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        sender.close()
        thread.join()
        receiver.close()


def _serve_health(service: Service, host: str, port: int) -> ThreadingHTTPServer:
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif self.path == "/healthz":
                trouble = service.health()
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
            """Do not log probes: they come every few seconds."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise StockctlError(
            f"cannot serve health on port {port} of {host}: {error.strerror or error}",
            hint="choose another --health-port, or correct health.host",
        ) from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
