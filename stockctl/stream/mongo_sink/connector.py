"""The MongoDB sink connector in Kafka Connect: made as the settings say, compared, watched and restarted.

Connect itself leaves a failed task dead. ``Watch`` restarts it, less and less often while that doesn't help.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from math import nan
from typing import NamedTuple, TypeVar

from prometheus_client import Counter, Gauge

from stockctl.clients.kafka import Admin
from stockctl.clients.kafka_connect import AbsentConnectorError, BusyError, Connect, Task, scrubbed
from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError
from stockctl.health import PROBE_WAIT, Check, CheckResult
from stockctl.reconcile import Action, Change, Difference, absent
from stockctl.service import retry
from stockctl.settings import Settings
from stockctl.stream import topics
from stockctl.stream.lag import read_lag
from stockctl.stream.mongo_sink.config import CONVERTER_CLASS, PLUGIN, SINK_CLASS, internal_topics, masked, render, secrets_of
from stockctl.stream.mongo_sink.stack_trace import first_cause
from stockctl.units import counted, format_duration

log = logging.getLogger("stockctl.connect")

Result = TypeVar("Result")

_FOLDER = "into a folder of its own below the plugin.path of every worker, and restart the workers"
INSTALL = {
    SINK_CLASS: f"put the jar of {PLUGIN} (Maven: org.mongodb.kafka:mongo-kafka-connect:2.0.1, classifier all) {_FOLDER}",
    CONVERTER_CLASS: f"build record-converter.jar, as docs/connect.md shows, and put it {_FOLDER}",
}
"""How a worker gets each class that the connector needs."""
STEADY = 2.0
"""Seconds for which everything must run without a break, before it counts as running."""
_PAUSE = 0.5
_IDLE = frozenset(("PAUSED", "STOPPED"))  # states that somebody has asked for

_restarts = Counter("stockctl_connect_restarts", "Restarts of failed tasks by connect watch")
_failed = Gauge("stockctl_connect_failed_tasks", "Failed tasks of the connector")
_running = Gauge("stockctl_connect_running_tasks", "Running tasks of the connector, 0 while Kafka Connect does not answer")
_lag = Gauge("stockctl_connect_lag_records", "Records in the topics that the connector has not committed, NaN while not known")
_letters = Gauge("stockctl_dead_letters_end_offset", "End of the topic of dead letters, whoever sent them")


class Part(NamedTuple):
    """The connector, one of its tasks, or the lag of its group, with its state and what there is to say of it."""

    part: str
    state: str
    worker: str
    detail: str


def prepare(admin: Admin, settings: Settings) -> list[Change]:
    """Make the workers' internal topics, compacted, or correct them. They must be there before the first worker starts."""
    return [change for topic in internal_topics(settings) for change in topics.apply_one(admin, topic)]


def differences(connect: Connect, admin: Admin, settings: Settings) -> list[Difference]:
    """The differences of the connector and the workers' internal topics from the settings. Secrets are masked."""
    found = [one for topic in internal_topics(settings) for one in topics.compare(admin, topic)]
    name, fix = settings.connect.connector, "`stockctl connect apply`"
    wanted, existing = render(settings), connect.config(name)
    if existing is None:
        return [*found, absent("connector", name, fix)]
    shown, shown_existing = masked(wanted), masked(existing)
    for key in sorted(wanted.keys() | existing.keys()):
        if wanted.get(key) != existing.get(key):
            new, old = shown.get(key, "not set"), shown_existing.get(key, "not set")
            # A changed secret looks the same on both sides.
            found.append(Difference("connector", name, key, new, old if old != new else f"another {old}", fix))
    return found


def apply(
    connect: Connect, admin: Admin, settings: Settings, say: Callable[[str], None], *, topics_only: bool = False
) -> list[Change]:
    """Make the internal topics, then the connector as the settings say, and wait until it runs.

    Doing it again changes nothing. ConfigError for a configuration that the worker refuses, or a worker without a
    class that it needs; StockctlError with the cause when a task fails; TimedOutError after ``connect.wait``.
    """
    changes = prepare(admin, settings)
    if topics_only:
        return changes
    name, config = settings.connect.connector, render(settings)
    connect.wait(settings.connect.wait, say=say)
    _check_worker(connect, admin)
    there = _patiently(lambda: connect.config(name), settings)
    before = {task.state for task in _patiently(lambda: _status(connect, name), settings)}
    change = Change("connector", name, "unchanged")
    if there != config:
        _check_config(connect, config)
        _patiently(lambda: connect.put(name, config), settings)
        action: Action = "created" if there is None else "changed"
        change = Change("connector", name, action, f"topics {config['topics']} to {config['database']}")
    if before & _IDLE:
        _patiently(lambda: connect.resume(name), settings)
        change = Change("connector", name, "changed", "it was paused: resumed")
    if "FAILED" in before:
        # A new configuration alone would leave the old failure in the status for a while.
        _patiently(lambda: connect.restart(name, only_failed=True), settings)
        change = Change("connector", name, "changed", "it had failed: restarted")
    _await_running(connect, admin, settings, config, say)
    return [*changes, change]


def _check_worker(connect: Connect, admin: Admin) -> None:
    theirs, ours = connect.about().get("kafka_cluster_id"), admin.cluster_id()
    if theirs and ours and theirs != ours:
        raise ConfigError(
            f"Kafka Connect at {connect.url} works on another Kafka: cluster {theirs}, and not {ours}",
            hint="correct connect.url or kafka.bootstrap_servers",
        )
    there = connect.classes()
    for name, hint in INSTALL.items():
        if name not in there:
            raise ConfigError(f"Kafka Connect at {connect.url} has no class {name}", hint=hint)


def _check_config(connect: Connect, config: dict[str, str]) -> None:
    problems = connect.problems(SINK_CLASS, config)
    if not problems:
        return
    words = scrubbed("; ".join(problems), secrets_of(config))
    message = f"Kafka Connect refuses the configuration: {words}"
    # Connect tries the connection to MongoDB, from where the worker is.
    if "connection.uri: Unable to connect" in words:
        hint = "can the worker reach MongoDB at mongo.url? connect.mongo_uri gives it an address of its own"
        raise UnreachableError(message, hint=hint)
    if "connection.uri" in words and "auth" in words.lower():
        raise RefusedError(message, hint="check mongo.username and STOCKCTL_MONGO__PASSWORD, or what connect.mongo_uri names")
    raise ConfigError(message, hint="`stockctl connect render` shows it")


def _patiently(call: Callable[[], Result], settings: Settings) -> Result:
    """The answer of ``call``, repeated while the workers rebalance, at most ``connect.wait``."""
    return retry(call, lambda error: isinstance(error, BusyError), within=settings.connect.wait, longest=2 * _PAUSE)


def _status(connect: Connect, name: str) -> list[Task]:
    """The connector's status; empty while the workers have none, as in the first moments."""
    try:
        return connect.status(name)
    except AbsentConnectorError:
        return []


def _await_running(
    connect: Connect, admin: Admin, settings: Settings, config: dict[str, str], say: Callable[[str], None]
) -> None:
    """Wait until connector and tasks run with ``config`` and read their topics, steadily."""
    name, bound = settings.connect.connector, settings.connect.wait
    deadline, steady_since, told = time.monotonic() + bound, None, ""
    while True:
        try:
            missing = _missing(connect, admin, settings, config)
        except (AbsentConnectorError, BusyError):
            missing = "the workers to share out their work"
        now = time.monotonic()
        if not missing:
            steady_since = steady_since or now
            if now - steady_since >= STEADY:
                return
        else:
            steady_since = None
            if now >= deadline:
                raise TimedOutError(
                    f"the connector {name} does not run after {format_duration(bound)}: still waiting for {missing}",
                    hint="`stockctl connect status`, and the worker's log",
                )
            if missing != told:
                say(f"waiting up to {format_duration(deadline - now)} for {missing}")
                told = missing
        time.sleep(_PAUSE)


def _missing(connect: Connect, admin: Admin, settings: Settings, config: dict[str, str]) -> str:
    """What the connector lacks to run; empty if nothing. StockctlError when a part of it has failed."""
    name = settings.connect.connector
    found = _status(connect, name)
    if not found:
        return f"the connector {name} to be known to the workers"
    for task in found:
        if task.state == "FAILED":
            cause = _cause(task, secrets_of(config))
            raise StockctlError(f"{_named(task)} of {name} failed: {cause}", hint="correct that, then `stockctl connect apply`")
    if len(found) == 1:
        return f"the tasks of {name}"
    if other := [f"{_named(task)}, which is {task.state}" for task in found if task.state != "RUNNING"]:
        return f"{', '.join(other)}, to run"
    if not all(config.items() <= held.items() for held in connect.task_configs(name)):
        return f"the tasks of {name} to take the configuration"
    if not admin.members(settings.connect.group):
        return f"the tasks of {name} to join their consumer group"
    return ""


def _named(task: Task) -> str:
    return "the connector" if task.number < 0 else f"task {task.number}"


def _cause(task: Task, secrets: Sequence[str]) -> str:
    return scrubbed(first_cause(task.trace), secrets) or "no reason given"


def status(connect: Connect, admin: Admin, settings: Settings) -> list[Part]:
    """The connector, its tasks with the first cause of a failure in words, and the lag of its group.

    AbsentConnectorError if there is no such connector.
    """
    name = settings.connect.connector
    found = connect.status(name)
    secrets = secrets_of(connect.config(name) or {})
    parts = [
        Part(_named(task).removeprefix("the "), task.state, task.worker, _cause(task, secrets) if task.trace else "")
        for task in found
    ]
    read = read_lag(admin, settings, [settings.connect.group])
    rows = [row for row in read if row.topic != settings.topics.dead_letters.name]
    behind = ", ".join(f"{row.topic}/{row.partition} {row.lag:,}" for row in rows if row.lag)
    lost = sum(row.lost for row in rows)
    detail = f"{counted(sum(row.lag for row in rows), 'record')} behind" + (f": {behind}" if behind else "")
    detail += f"; {lost:,} were deleted by retention before it read them" if lost else ""
    return [*parts, Part("lag", "LOST" if lost else "", "", detail)]


def unhealthy(parts: Sequence[Part]) -> list[str]:
    """Names of the parts that don't run; ``tasks`` if there is none at all."""
    bad = [part.part for part in parts if part.state in (*_IDLE, "FAILED", "UNASSIGNED", "LOST")]
    return bad if any(part.part.startswith("task") for part in parts) or bad else ["tasks"]


def remedy(parts: Sequence[Part]) -> str:
    """What to try where something does not run."""
    if any(part.state in _IDLE for part in parts):
        return "`stockctl connect apply` resumes what was paused or stopped"
    return "`stockctl connect restart --failed`, once the cause is gone; `stockctl connect watch` does so by itself"


class Watch:
    """Restarts what of the connector has failed, after pauses that double from ``connect.watch_every`` to the longest one.

    Connect's API tells neither its lag nor its dead letters: every ``log.every`` the watch asks Kafka, for Prometheus.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = Admin(settings)
        self._connect = Connect(settings, timeout=30.0)
        self._pause = settings.connect.watch_every
        self._not_before = 0.0
        self._well_since: float | None = None
        self._told = ""
        self.trouble: str | None = None
        """What is wrong at present, in words."""
        self.restarts = 0

    def run(self, stop: threading.Event) -> None:
        """Look, and restart, until ``stop`` is set."""
        with self._connect:
            measure_at = time.monotonic()
            while not stop.is_set():
                now = time.monotonic()
                self.look(now)
                if now >= measure_at:
                    measure_at = now + self._settings.log.every
                    self.measure()
                stop.wait(self._settings.connect.watch_every)

    def measure(self) -> None:
        """Ask Kafka how far behind the connector is, and how many dead letters there are."""
        letters = self._settings.topics.dead_letters.name
        try:
            _lag.set(sum(row.lag for row in read_lag(self._admin, self._settings, [self._settings.connect.group])))
            if partitions := self._admin.partitions(letters):
                _letters.set(sum(held.end for held in self._admin.offsets(partitions).values()))
        except StockctlError as error:
            _lag.set(nan)
            log.warning("the connector's lag is not known: %s", error)

    def look(self, now: float) -> None:
        """Look once, and restart what has failed if its pause is over; ``now`` on the monotonic clock."""
        name = self._settings.connect.connector
        try:
            tasks = self._connect.status(name)
            failed = [task for task in tasks if task.state == "FAILED"]
            _failed.set(len(failed))
            _running.set(sum(task.number >= 0 and task.state == "RUNNING" for task in tasks))
            if not failed:
                self._is_well(now)
                return
            self._well_since = None
            secrets = secrets_of(self._connect.config(name) or {})
            self._tell("; ".join(f"{_named(task)} of {name} failed: {_cause(task, secrets)}" for task in failed))
            if now >= self._not_before:
                self._connect.restart(name, only_failed=True)
                self.restarts += 1
                _restarts.inc()
                log.info("restarted what had failed; the next restart not before %s from now", format_duration(self._pause))
                self._not_before = now + self._pause
                self._pause = min(2 * self._pause, self._settings.connect.backoff_max)
        except BusyError:
            # Tasks move between workers: what failed is told afterwards.
            return
        except StockctlError as error:
            _running.set(0)
            self._well_since = None
            self._tell(str(error))

    def _is_well(self, now: float) -> None:
        if self.trouble is not None:
            log.info("%s runs again", self._settings.connect.connector)
        self.trouble, self._told = None, ""
        self._well_since = self._well_since if self._well_since is not None else now
        # A task that fails again within moments goes on with the longer pauses.
        if now - self._well_since >= self._pause:
            self._pause, self._not_before = self._settings.connect.watch_every, 0.0

    def _tell(self, trouble: str) -> None:
        self.trouble = trouble
        if trouble != self._told:
            log.warning("%s", trouble)
            self._told = trouble


def checks(settings: Settings) -> list[Check]:
    """The check of Kafka Connect, where ``connect.url`` is set: a worker answers, on our cluster, and has the classes."""

    def probe() -> CheckResult:
        with Connect(settings, timeout=PROBE_WAIT) as connect:
            connect.wait(0)
            latency = connect.wait(0)
            about = connect.about()
            _check_worker(connect, Admin(settings))
            return CheckResult(f"Kafka Connect {about.get('version', '')} at {connect.url}", latency=latency)

    return [Check("connect", probe)] if settings.connect.url is not None else []


def overview(settings: Settings) -> list[Check]:
    """The row of ``stockctl status`` for the connector, where ``connect.url`` is set."""

    def probe() -> CheckResult:
        admin = Admin(settings)
        admin.wait(PROBE_WAIT)
        with Connect(settings, timeout=PROBE_WAIT) as connect:
            try:
                parts = status(connect, admin, settings)
            except AbsentConnectorError:
                return CheckResult("absent", "warn", "`stockctl connect apply` makes it")
        states = ", ".join(f"{part.part} {part.state}" for part in parts[:-1])
        causes = "; ".join(part.detail for part in parts[:-1] if part.detail)
        detail = "; ".join(filter(None, (states, causes, parts[-1].detail)))
        if unhealthy(parts):
            return CheckResult(detail, "fail", remedy(parts))
        return CheckResult(detail)

    return [Check(f"connector {settings.connect.connector}", probe)] if settings.connect.url is not None else []
