"""The supervisor: starts the parts of a stack, restarts what dies, stops them in order, and keeps its files true."""

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
from stockctl.local.processes import LOG_LIMIT, describe_exit, end, identity, rotate, spawn, tail
from stockctl.units import counted, format_duration

PartState = Literal["waiting", "starting", "running", "restarting", "failed", "stopping", "stopped"]

DEATHS, WITHIN = 5, 60.0
"""A part that dies this often within this many seconds is given up."""
WATCH_EVERY = 2.0
"""Seconds between two looks at a part that is watched."""
HOPELESS = {2, 3, 4}
"""Exit codes that a restart cannot mend: usage, configuration, refused."""

_log = logging.getLogger("stockctl.local")


@dataclass(frozen=True)
class Part:
    """One supervised process. Parts start when those named in ``after`` are running, and stop in the reverse of their order.

    ``prepare`` runs before each start. ``ready`` answers None, or what the part still waits for; it is asked until it answers
    None, so it must be quick. What either raises of ours is told, and it is tried again.
    ``watch`` is called again and again while the part runs, beside all else, so that it may take its time: it puts right what
    the part cannot, and answers what it did, or None.
    ``finish`` runs when the part has stopped, and answers what went wrong, or None.
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


class _Life:
    """What becomes of one part."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.process: subprocess.Popen[bytes] | None = None
        self.state: PartState = "waiting"
        self.detail = ""
        self.started = 0.0
        self.restarts = 0
        self.retry_at = 0.0
        self.watch_at = 0.0
        self.watching: threading.Thread | None = None
        self.exit: int | None = None
        """What the process left with that died last."""
        self.deaths: deque[float] = deque(maxlen=DEATHS)
        """When it died, by the monotonic clock; ``died`` by everybody's."""
        self.died: deque[float] = deque(maxlen=100)

    def shown(self) -> dict[str, Any]:
        pid = self.process.pid if self.process is not None and self.process.returncode is None else None
        return {
            "name": self.part.name,
            "state": self.state,
            "detail": self.detail,
            "pid": pid,
            "identity": identity(pid) if pid else None,
            "address": self.part.address,
            "started": self.started,
            "restarts": self.restarts,
            "died": list(self.died),
            "exit": self.exit,
        }


class Supervisor:
    """Runs ``parts`` until it is told to stop, or until the lock is deleted, which its caller holds: nobody could stop it then.

    ``about`` goes into ``state.json`` for whoever reads it. ``kept`` are texts of other files that are kept as they are.
    """

    def __init__(
        self, files: StackFiles, parts: Sequence[Part], about: Mapping[str, Any], kept: Mapping[Path, str] | None = None
    ) -> None:
        self._files = files
        self._lock_file = files.lock_file
        self._kept = kept or {}
        self._lives = {part.name: _Life(part) for part in parts}
        self._about = {"pid": os.getpid(), "identity": identity(os.getpid()), "started": time.time(), **about}
        self._phase = "starting"
        self._trouble: list[str] = []
        self._told: set[str] = set()

    def run(self, stop: threading.Event) -> list[str]:
        """Keep the parts running until ``stop`` is set, then stop them in order; what went wrong while stopping."""
        for life in self._lives.values():
            self._shorten(life)
        self._write()
        try:
            while not stop.is_set() and self._holds_lock():
                for life in self._lives.values():
                    self._step(life)
                settled = all(life.state in ("running", "failed") for life in self._lives.values())
                self._phase = "running" if settled else self._phase
                self._write()
                # Settled, one look a second is enough; before that a person is waiting.
                stop.wait(1.0 if settled else 0.1)
        finally:
            self._stop()
        return self._trouble

    def _holds_lock(self) -> bool:
        if self._files.lock_file == self._lock_file:
            return True
        self._trouble.append(f"the lock in {self._files.folder} was deleted while the stack ran")
        _log.error("%s: all parts are stopped", self._trouble[-1])
        return False

    def _step(self, life: _Life) -> None:
        now = time.monotonic()
        if life.process is not None and life.process.poll() is not None:
            self._died(life, describe_exit(life.process.returncode), life.process.returncode)
        try:
            if life.state in ("waiting", "restarting") and now >= life.retry_at:
                missing = [name for name in life.part.after if self._lives[name].state != "running"]
                life.detail = f"waits for {', '.join(missing)}" if missing else ""
                if not missing:
                    life.part.prepare()
                    self._start(life)
            elif life.state == "starting":
                life.detail = life.part.ready() or ""
                if not life.detail:
                    life.state = "running"
                    _log.info("%s is ready", life.part.name)
            if life.state in ("starting", "running") and life.part.watch is not None and now >= life.watch_at:
                self._watch(life, life.part.watch)
        except StockctlError as error:
            life.detail = str(error)
        self._shorten(life, limit=LOG_LIMIT)

    def _start(self, life: _Life) -> None:
        part = life.part
        try:
            life.process = spawn(
                part.command,
                log=self._files.log(part.name),
                folder=self._files.folder,
                environment={**os.environ, **part.environment},
            )
        except OSError as error:
            self._died(life, f"cannot be started: {error}", 3)
            return
        life.state, life.started = "starting", time.time()
        self._write()  # at once: whoever comes after a killed supervisor finds the process by it
        _log.info("%s started, pid %d", part.name, life.process.pid)

    def _watch(self, life: _Life, watch: Callable[[], str | None]) -> None:
        """Call ``watch`` beside the loop, which waits for nobody; not while the call before has not come back."""
        if life.watching is not None and life.watching.is_alive():
            return
        life.watch_at = time.monotonic() + WATCH_EVERY

        def look() -> None:
            try:
                if (done := watch()) is not None:
                    _log.warning("%s: %s", life.part.name, done)
            except StockctlError as error:
                self._tell_once(f"cannot watch {life.part.name}: {error}")

        # A daemon: who does not answer keeps no supervisor from leaving.
        life.watching = threading.Thread(target=look, name=f"watch {life.part.name}", daemon=True)
        life.watching.start()

    def _died(self, life: _Life, how: str, code: int) -> None:
        now = time.monotonic()
        life.process, life.exit = None, code
        life.deaths.append(now)
        life.died.append(time.time())
        recent = sum(now - death < WITHIN for death in life.deaths)
        if code in HOPELESS or recent >= DEATHS:
            life.state = "failed"
            life.detail = (
                how if code in HOPELESS else f"{how}; {counted(recent, 'death')} within {format_duration(WITHIN)}: given up"
            )
            last = "".join(f"\n    {line}" for line in tail(self._files.log(life.part.name), 10))
            _log.error("%s %s; its last lines:%s", life.part.name, life.detail, last)
            return
        pause = min(0.5 * 2 ** (recent - 1), 10.0)
        life.state, life.restarts, life.retry_at = "restarting", life.restarts + 1, now + pause
        life.detail = f"{how}; again in {format_duration(pause)}"
        _log.warning("%s %s", life.part.name, life.detail)

    def _stop(self) -> None:
        self._phase = "stopping"
        for life in reversed(self._lives.values()):
            if life.state == "failed":
                self._trouble.append(f"{life.part.name} {life.detail}")
            self._stop_part(life)
            if life.started and (problem := life.part.finish()) is not None:
                self._trouble.append(problem)
                _log.error("%s", problem)
            self._write()
        self._phase = "stopped"
        self._write()

    def _stop_part(self, life: _Life) -> None:
        name, process = life.part.name, life.process
        if process is not None and process.poll() is None:
            # Before it is ready a part may not answer the signal yet, and holds nothing that could be lost.
            expected = {0} if life.state == "running" else {0, -signal.SIGTERM}
            life.state, life.detail = "stopping", ""
            self._write()
            _log.info("stopping %s", name)
            if not end(process.pid, lambda: process.poll() is not None, life.part.grace):
                self._trouble.append(f"{name} did not leave within {format_duration(life.part.grace)} and was killed")
            elif process.returncode not in expected:
                self._trouble.append(f"{name} {describe_exit(process.returncode)} when it was stopped")
        life.process, life.state = None, "stopped"

    def _write(self) -> None:
        state = {
            **self._about,
            "phase": self._phase,
            "trouble": self._trouble,
            "parts": [life.shown() for life in self._lives.values()],
        }
        try:
            for path, text in {**self._kept, self._files.state: json.dumps(state, indent=1)}.items():
                self._files.keep(path, text)
        except OSError as error:
            self._tell_once(f"cannot note the state: {error}")

    def _shorten(self, life: _Life, *, limit: int = 0) -> None:
        try:
            rotate(self._files.log(life.part.name), limit=limit)
        except OSError as error:
            self._tell_once(f"cannot shorten the log of {life.part.name}: {error}")

    def _tell_once(self, words: str) -> None:
        """Log what the parts run without, and are stopped as they should be: a note on a full disk, somebody's answer."""
        if words not in self._told:
            self._told.add(words)
            _log.error("%s", words)
