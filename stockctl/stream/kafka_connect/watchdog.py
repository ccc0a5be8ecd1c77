"""Restarts failed tasks of the connector, which Kafka Connect itself leaves failed."""

from __future__ import annotations

import logging
import threading
import time
from math import nan

from prometheus_client import Counter, Gauge

from stockctl.clients.kafka import Admin
from stockctl.clients.kafka_connect import BusyError, Connect
from stockctl.errors import StockctlError
from stockctl.settings import Settings
from stockctl.stream.kafka_connect.config import secrets_of
from stockctl.stream.kafka_connect.connector import failure_of
from stockctl.stream.lag import read_lag
from stockctl.units import format_duration

log = logging.getLogger("stockctl.connect")

_restarts = Counter("stockctl_connect_restarts", "Restarts of failed tasks by connect watch")
_failed = Gauge("stockctl_connect_failed_tasks", "Failed tasks of the connector")
_running = Gauge("stockctl_connect_running_tasks", "Running tasks of the connector, 0 while Kafka Connect does not answer")
_lag = Gauge("stockctl_connect_lag_records", "Records in the topics that the connector has not committed, NaN while unknown")
_dead_letters = Gauge("stockctl_dead_letters_end_offset", "End offset of the dead letter topic")


class Watchdog:
    """Restarts the connector's failed tasks. The pause between restarts doubles from ``connect.watch_every`` to
    ``connect.backoff_max``, and is reset when the connector has run for as long as the pause.

    Kafka Connect's API reports neither lag nor dead letters: every ``log.every`` the watchdog reads them from Kafka, for
    Prometheus.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = Admin(settings)
        self._connect = Connect(settings, timeout=30.0)
        self._pause = settings.connect.watch_every
        self._next_restart = 0.0
        self._running_since: float | None = None
        self.problem: str | None = None
        """Why the connector does not run; None while it does."""
        self.restarts = 0

    def run(self, stop: threading.Event) -> None:
        """Check and restart until ``stop`` is set."""
        with self._connect:
            next_measurement = time.monotonic()
            while not stop.is_set():
                now = time.monotonic()
                self.check(now)
                if now >= next_measurement:
                    next_measurement = now + self._settings.log.every
                    self.measure()
                stop.wait(self._settings.connect.watch_every)

    def measure(self) -> None:
        """Read the connector's lag and the end of the dead letter topic from Kafka."""
        topic = self._settings.topics.dead_letters.name
        try:
            _lag.set(sum(row.lag for row in read_lag(self._admin, self._settings, [self._settings.connect.group])))
            if partitions := self._admin.partitions(topic):
                _dead_letters.set(sum(offsets.end for offsets in self._admin.offsets(partitions).values()))
        except StockctlError as error:
            _lag.set(nan)
            log.warning("the lag of the connector is unknown: %s", error)

    def check(self, now: float) -> None:
        """Check the tasks once, and restart failed ones if the pause is over. ``now`` is a time of the monotonic clock."""
        name = self._settings.connect.connector
        try:
            tasks = self._connect.status(name)
            failed = [task for task in tasks if task.state == "FAILED"]
            _failed.set(len(failed))
            _running.set(sum(task.number >= 0 and task.state == "RUNNING" for task in tasks))
            if not failed:
                self._on_running(now)
                return
            self._running_since = None
            secrets = secrets_of(self._connect.config(name) or {})
            self._on_problem("; ".join(failure_of(task, name, secrets) for task in failed))
            if now >= self._next_restart:
                self._connect.restart(name, only_failed=True)
                self.restarts += 1
                _restarts.inc()
                log.info("restarted the failed tasks; next restart in %s at the earliest", format_duration(self._pause))
                self._next_restart = now + self._pause
                self._pause = min(2 * self._pause, self._settings.connect.backoff_max)
        except BusyError:
            # The workers rebalance: the next check sees the result.
            return
        except StockctlError as error:
            _running.set(0)
            self._running_since = None
            self._on_problem(str(error))

    def _on_running(self, now: float) -> None:
        if self.problem is not None:
            log.info("%s is running again", self._settings.connect.connector)
        self.problem = None
        self._running_since = self._running_since if self._running_since is not None else now
        # The pauses stay long for a task that fails again within moments.
        if now - self._running_since >= self._pause:
            self._pause, self._next_restart = self._settings.connect.watch_every, 0.0

    def _on_problem(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
