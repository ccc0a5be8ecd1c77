"""The supervisor: starts the services of a stack, restarts those that die, stops them in order, and writes its state."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stockctl.errors import StockctlError
from stockctl.local.files import StackFiles
from stockctl.local.processes import LOG_LIMIT, describe_exit, identity, rotate, spawn, stop_process, tail
from stockctl.units import counted, format_duration

ServiceState = Literal["waiting", "starting", "running", "restarting", "failed", "stopping", "stopped"]

MAX_DEATHS, MAX_DEATHS_SECONDS = 5, 60.0
"""A service that dies this often within this many seconds has failed: it is not restarted again."""
WATCH_EVERY = 2.0
"""Seconds between two calls of a service's ``watch``."""
PERMANENT = {2, 3, 4}
"""Exit codes that a restart cannot fix: usage, configuration, refused."""

_log = logging.getLogger("stockctl.local")


@dataclass(frozen=True)
class LocalService:
    """One supervised process. Services start when those named in ``after`` are running, and stop in reverse order.

    ``prepare`` runs before each start. ``ready`` returns None, or what the service still waits for; it is polled until it
    returns None, so it must be fast. A StockctlError of either becomes the service's detail, and the call is retried.
    ``watch`` is called periodically in a thread while the service runs, and may block: it repairs what the service cannot, and
    returns what it did, or None.
    ``finish`` runs after the service has stopped, and returns a problem, or None.
    A stack counts as started without an ``optional`` service that fails.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[], str | None] = lambda: None
    prepare: Callable[[], None] = lambda: None
    after: tuple[str, ...] = ()
    address: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: float = 20.0
    watch: Callable[[], str | None] | None = None
    finish: Callable[[], str | None] = lambda: None
    optional: bool = False


class _Run:
    """The process of one service, and its state."""

    def __init__(self, service: LocalService) -> None:
        self.service = service
        self.process: subprocess.Popen[bytes] | None = None
        self.state: ServiceState = "waiting"
        self.detail = ""
        self.started = 0.0
        self.restarts = 0
        self.retry_at = 0.0
        self.watch_at = 0.0
        self.watching: threading.Thread | None = None
        self.exit: int | None = None
        """The return code of the last process that died."""
        self.deaths: deque[float] = deque(maxlen=MAX_DEATHS)
        """When it died, by the monotonic clock; ``died`` by the wall clock."""
        self.died: deque[float] = deque(maxlen=100)

    def as_json(self) -> dict[str, Any]:
        pid = self.process.pid if self.process is not None and self.process.returncode is None else None
        return {
            "name": self.service.name,
            "state": self.state,
            "detail": self.detail,
            "pid": pid,
            "identity": identity(pid) if pid else None,
            "address": self.service.address,
            "started": self.started,
            "restarts": self.restarts,
            "died": list(self.died),
            "exit": self.exit,
            "optional": self.service.optional,
        }


class Supervisor:
    """Runs ``services`` until it is stopped, or until the lock that its caller holds is deleted: nothing could stop it then.

    ``about`` becomes part of ``state.json``. ``ensured`` is the text of other files, which are rewritten when they change.
    """

    def __init__(
        self,
        files: StackFiles,
        services: Sequence[LocalService],
        about: Mapping[str, Any],
        ensured: Mapping[Path, str] | None = None,
    ) -> None:
        self._files = files
        self._lock_file = files.lock_file
        self._ensured = ensured or {}
        self._runs = {service.name: _Run(service) for service in services}
        self._about = {"pid": os.getpid(), "identity": identity(os.getpid()), "started": time.time(), **about}
        self._phase = "starting"
        self._problems: list[str] = []
        self._logged: set[str] = set()

    def run(self, stop: threading.Event) -> list[str]:
        """Keep the services running until ``stop`` is set, then stop them in order; the problems while stopping."""
        for run in self._runs.values():
            self._rotate(run)
        self._write()
        try:
            while not stop.is_set() and self._holds_lock():
                for run in self._runs.values():
                    self._step(run)
                settled = all(run.state in ("running", "failed") for run in self._runs.values())
                self._phase = "running" if settled else self._phase
                self._write()
                # Once settled, one poll per second is enough; before, a person waits for the start.
                stop.wait(1.0 if settled else 0.1)
        finally:
            self._stop()
        return self._problems

    def _holds_lock(self) -> bool:
        if self._files.lock_file == self._lock_file:
            return True
        self._problems.append(f"the lock in {self._files.folder} was deleted while the stack was running")
        _log.error("%s: stopping all services", self._problems[-1])
        return False

    def _step(self, run: _Run) -> None:
        now = time.monotonic()
        if run.process is not None and run.process.poll() is not None:
            self._died(run, describe_exit(run.process.returncode), run.process.returncode)
        try:
            if run.state in ("waiting", "restarting") and now >= run.retry_at:
                missing = [name for name in run.service.after if self._runs[name].state != "running"]
                run.detail = f"waits for {', '.join(missing)}" if missing else ""
                if not missing:
                    run.service.prepare()
                    self._start(run)
            elif run.state == "starting":
                run.detail = run.service.ready() or ""
                if not run.detail:
                    run.state = "running"
                    _log.info("%s is ready", run.service.name)
            if run.state in ("starting", "running") and run.service.watch is not None and now >= run.watch_at:
                self._watch(run, run.service.watch)
        except StockctlError as error:
            run.detail = str(error)
        self._rotate(run, limit=LOG_LIMIT)

    def _start(self, run: _Run) -> None:
        service = run.service
        try:
            run.process = spawn(
                service.command,
                log=self._files.log(service.name),
                folder=self._files.folder,
                environment={**os.environ, **service.environment},
            )
        except OSError as error:
            self._died(run, f"cannot be started: {error}", 3)
            return
        run.state, run.started = "starting", time.time()
        self._write()  # at once, so that the process can be found if this supervisor is killed
        _log.info("%s started, pid %d", service.name, run.process.pid)

    def _watch(self, run: _Run, watch: Callable[[], str | None]) -> None:
        """Call ``watch`` in a thread, unless the previous call has not returned yet."""
        if run.watching is not None and run.watching.is_alive():
            return
        run.watch_at = time.monotonic() + WATCH_EVERY

        def call() -> None:
            try:
                if (action := watch()) is not None:
                    _log.warning("%s: %s", run.service.name, action)
            except StockctlError as error:
                self._log_once(f"cannot watch {run.service.name}: {error}")

        # A daemon thread, so that a blocked call does not keep the supervisor from exiting.
        run.watching = threading.Thread(target=call, name=f"watch {run.service.name}", daemon=True)
        run.watching.start()

    def _died(self, run: _Run, cause: str, code: int) -> None:
        now = time.monotonic()
        run.process, run.exit = None, code
        run.deaths.append(now)
        run.died.append(time.time())
        recent = sum(now - death < MAX_DEATHS_SECONDS for death in run.deaths)
        if code in PERMANENT or recent >= MAX_DEATHS:
            run.state = "failed"
            times = f"; died {counted(recent, 'time')} within {format_duration(MAX_DEATHS_SECONDS)}: not restarted again"
            run.detail = cause if code in PERMANENT else cause + times
            lines = "".join(f"\n    {line}" for line in tail(self._files.log(run.service.name), 10))
            _log.error("%s %s; the end of its log:%s", run.service.name, run.detail, lines)
            return
        pause = min(0.5 * 2 ** (recent - 1), 10.0)
        run.state, run.restarts, run.retry_at = "restarting", run.restarts + 1, now + pause
        run.detail = f"{cause}; restarting in {format_duration(pause)}"
        _log.warning("%s %s", run.service.name, run.detail)

    def _stop(self) -> None:
        self._phase = "stopping"
        for run in reversed(self._runs.values()):
            if run.state == "failed":
                self._problems.append(f"{run.service.name} {run.detail}")
            self._stop_service(run)
            if run.started and (problem := run.service.finish()) is not None:
                self._problems.append(problem)
                _log.error("%s", problem)
            self._write()
        self._phase = "stopped"
        self._write()

    def _stop_service(self, run: _Run) -> None:
        name, process = run.service.name, run.process
        if process is not None and process.poll() is None:
            # Before it is ready, a service may have no signal handler yet, and has nothing to lose.
            expected = {0} if run.state == "running" else {0, -signal.SIGTERM}
            run.state, run.detail = "stopping", ""
            self._write()
            _log.info("stopping %s", name)
            if not stop_process(process.pid, lambda: process.poll() is not None, run.service.grace):
                self._problems.append(f"{name} did not exit within {format_duration(run.service.grace)} and was killed")
            elif process.returncode not in expected:
                self._problems.append(f"{name} {describe_exit(process.returncode)} when it was stopped")
        run.process, run.state = None, "stopped"

    def _write(self) -> None:
        state = {
            **self._about,
            "phase": self._phase,
            "trouble": self._problems,
            "parts": [run.as_json() for run in self._runs.values()],
        }
        try:
            for path, text in {**self._ensured, self._files.state: json.dumps(state, indent=1)}.items():
                self._files.ensure(path, text)
        except OSError as error:
            self._log_once(f"cannot write the state: {error}")

    def _rotate(self, run: _Run, *, limit: int = 0) -> None:
        try:
            rotate(self._files.log(run.service.name), limit=limit)
        except OSError as error:
            self._log_once(f"cannot rotate the log of {run.service.name}: {error}")

    def _log_once(self, message: str) -> None:
        """Log an error that the services can run and stop with, such as a full disk; the same one only once."""
        if message not in self._logged:
            self._logged.add(message)
            _log.error("%s", message)
