"""The MongoDB sink connector in Kafka Connect: created, compared with the settings, and its status."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from stockctl.clients.kafka import Admin
from stockctl.clients.kafka_connect import AbsentConnectorError, BusyError, Connect, Task, scrubbed
from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError
from stockctl.reconcile import Action, Change, Difference, absent
from stockctl.service import retry
from stockctl.settings import ConnectSettings, Settings
from stockctl.stream import topics
from stockctl.stream.kafka_connect.config import (
    CONVERTER_CLASS,
    PLUGIN,
    SINK_CLASS,
    internal_topics,
    masked,
    render,
    secrets_of,
)
from stockctl.stream.kafka_connect.stack_trace import root_cause
from stockctl.stream.lag import lag_summary, read_lag
from stockctl.units import format_duration

Result = TypeVar("Result")

APPLY = "`stockctl connect apply`"
_FOLDER = "into a folder of its own in the plugin.path of every worker, and restart the workers"
INSTALL = {
    SINK_CLASS: f"put the jar of {PLUGIN} (Maven: org.mongodb.kafka:mongo-kafka-connect:2.0.1, classifier all) {_FOLDER}",
    CONVERTER_CLASS: f"build record-converter.jar, as docs/connect.md shows, and put it {_FOLDER}",
}
"""How to install each class that the connector needs on a worker."""
STEADY = 2.0
"""Seconds without interruption after which the connector counts as running."""
_PAUSE = 0.5
_PAUSED = frozenset(("PAUSED", "STOPPED"))


class PartStatus(NamedTuple):
    """The state of the connector, of one of its tasks, or of its consumer group (``lag``)."""

    part: str
    state: str
    worker: str
    detail: str


def create_topics(admin: Admin, settings: Settings) -> list[Change]:
    """Create or change the workers' internal topics, which must exist, compacted, before the first worker starts."""
    return [change for topic in internal_topics(settings) for change in topics.apply_one(admin, topic)]


def differences(connect: Connect, admin: Admin, settings: Settings, *, topics_only: bool = False) -> list[Difference]:
    """The differences of the connector and the workers' internal topics from the settings. Secrets are masked.

    With ``topics_only`` no worker is asked, as none need run yet.
    """
    found = [one for topic in internal_topics(settings) for one in topics.compare(admin, topic)]
    if topics_only:
        return found
    name = settings.connect.connector
    wanted, existing = render(settings), connect.config(name)
    if existing is None:
        return [*found, absent("connector", name, APPLY)]
    shown, shown_existing = masked(wanted), masked(existing)
    for key in sorted(wanted.keys() | existing.keys()):
        if wanted.get(key) != existing.get(key):
            new, old = shown.get(key, "not set"), shown_existing.get(key, "not set")
            # A changed secret looks the same on both sides.
            found.append(Difference("connector", name, key, new, old if old != new else f"another {old}", APPLY))
    return found


def apply(
    connect: Connect, admin: Admin, settings: Settings, say: Callable[[str], None], *, topics_only: bool = False
) -> list[Change]:
    """Create the internal topics, create or change the connector, and wait until it runs. Safe to repeat.

    ConfigError if the worker rejects the configuration or lacks a class that it needs; StockctlError with the cause if a task
    fails; TimedOutError after ``connect.wait``.
    """
    changes = create_topics(admin, settings)
    if topics_only:
        return changes
    name, config = settings.connect.connector, render(settings)
    connect.wait(settings.connect.wait, say=say)
    check_worker(connect, admin)
    existing = _retry_while_busy(lambda: connect.config(name), settings.connect)
    states = {task.state for task in _retry_while_busy(lambda: _tasks(connect, name), settings.connect)}
    change = Change("connector", name, "unchanged")
    if existing != config:
        _check_config(connect, config)
        _retry_while_busy(lambda: connect.put(name, config), settings.connect)
        action: Action = "created" if existing is None else "changed"
        change = Change("connector", name, action, f"topics {config['topics']} to {config['database']}")
    if states & _PAUSED:
        _retry_while_busy(lambda: connect.resume(name), settings.connect)
        change = Change("connector", name, "changed", "it was paused: resumed")
    if "FAILED" in states:
        # After a new configuration alone, the status would show the old failure for a while.
        _retry_while_busy(lambda: connect.restart(name, only_failed=True), settings.connect)
        change = Change("connector", name, "changed", "it had failed: restarted")
    _wait_until_running(connect, admin, settings.connect, config, say)
    return [*changes, change]


def check_worker(connect: Connect, admin: Admin) -> None:
    """ConfigError if the worker is connected to another Kafka cluster than ``admin``, or lacks a class."""
    worker_cluster, cluster = connect.about().get("kafka_cluster_id"), admin.cluster_id()
    if worker_cluster and cluster and worker_cluster != cluster:
        raise ConfigError(
            f"Kafka Connect at {connect.url} uses another Kafka cluster: {worker_cluster}, not {cluster}",
            hint="correct connect.url or kafka.bootstrap_servers",
        )
    classes = connect.classes()
    for name, hint in INSTALL.items():
        if name not in classes:
            raise ConfigError(f"Kafka Connect at {connect.url} has no class {name}", hint=hint)


def _check_config(connect: Connect, config: dict[str, str]) -> None:
    problems = connect.problems(SINK_CLASS, config)
    if not problems:
        return
    text = scrubbed("; ".join(problems), secrets_of(config))
    message = f"Kafka Connect rejects the configuration: {text}"
    # The worker connects to MongoDB when it validates the configuration.
    if "connection.uri: Unable to connect" in text:
        hint = "can the worker reach MongoDB at mongo.url? connect.mongo_uri sets another address for the worker"
        raise UnreachableError(message, hint=hint)
    if "connection.uri" in text and "auth" in text.lower():
        raise RefusedError(message, hint="check mongo.username and STOCKCTL_MONGO__PASSWORD, or the login in connect.mongo_uri")
    raise ConfigError(message, hint="`stockctl connect render` shows the configuration")


def _retry_while_busy(call: Callable[[], Result], settings: ConnectSettings) -> Result:
    """The result of ``call``, repeated while the workers rebalance, for at most ``connect.wait``."""
    return retry(call, lambda error: isinstance(error, BusyError), within=settings.wait, longest=2 * _PAUSE)


def _tasks(connect: Connect, name: str) -> list[Task]:
    """The connector's status; empty before the workers have one."""
    try:
        return connect.status(name)
    except AbsentConnectorError:
        return []


def _wait_until_running(
    connect: Connect, admin: Admin, settings: ConnectSettings, config: dict[str, str], say: Callable[[str], None]
) -> None:
    """Wait until connector and tasks have run with ``config`` and read their topics for ``STEADY`` seconds."""
    name, limit = settings.connector, settings.wait
    deadline, running_since, reported = time.monotonic() + limit, None, ""
    while True:
        try:
            missing = _missing(connect, admin, settings, config)
        except (AbsentConnectorError, BusyError):
            missing = "the workers to rebalance"
        now = time.monotonic()
        if not missing:
            running_since = running_since or now
            if now - running_since >= STEADY:
                return
        else:
            running_since = None
            if now >= deadline:
                raise TimedOutError(
                    f"the connector {name} is not running after {format_duration(limit)}: still waiting for {missing}",
                    hint="`stockctl connect status`, and the log of the worker",
                )
            if missing != reported:
                say(f"waiting up to {format_duration(deadline - now)} for {missing}")
                reported = missing
        time.sleep(_PAUSE)


def _missing(connect: Connect, admin: Admin, settings: ConnectSettings, config: dict[str, str]) -> str:
    """What the connector still waits for; empty if it runs. StockctlError if the connector or a task has failed."""
    name = settings.connector
    tasks = _tasks(connect, name)
    if not tasks:
        return f"the workers to start the connector {name}"
    for task in tasks:
        if task.state == "FAILED":
            raise StockctlError(failure_of(task, name, secrets_of(config)), hint=f"correct the cause, then {APPLY}")
    if len(tasks) == 1:
        return f"the tasks of {name}"
    if starting := [f"{_label(task)}, which is {task.state}" for task in tasks if task.state != "RUNNING"]:
        return f"{', '.join(starting)}, to run"
    if not all(config.items() <= task_config.items() for task_config in connect.task_configs(name)):
        return f"the tasks of {name} to use the new configuration"
    if not admin.members(settings.group):
        return f"the tasks of {name} to join their consumer group"
    return ""


def _label(task: Task) -> str:
    return "the connector" if task.number < 0 else f"task {task.number}"


def failure_of(task: Task, name: str, secrets: Sequence[str]) -> str:
    """Why a task of the connector ``name`` failed, with ``secrets`` removed."""
    return f"{_label(task)} of {name} failed: {_cause(task, secrets)}"


def _cause(task: Task, secrets: Sequence[str]) -> str:
    return scrubbed(root_cause(task.trace), secrets) or "no reason given"


def status(connect: Connect, admin: Admin, settings: Settings) -> list[PartStatus]:
    """The connector, its tasks with the root cause of a failure, and the lag of its group.

    AbsentConnectorError if the connector does not exist.
    """
    name = settings.connect.connector
    tasks = connect.status(name)
    secrets = secrets_of(connect.config(name) or {})
    parts = [
        PartStatus(_label(task).removeprefix("the "), task.state, task.worker, _cause(task, secrets) if task.trace else "")
        for task in tasks
    ]
    rows = [
        row for row in read_lag(admin, settings, [settings.connect.group]) if row.topic != settings.topics.dead_letters.name
    ]
    lost = any(row.lost for row in rows)
    return [*parts, PartStatus("lag", "LOST" if lost else "", "", lag_summary(rows))]


def unhealthy(parts: Sequence[PartStatus]) -> list[str]:
    """The names of the parts that don't run; ``tasks`` if there are no tasks."""
    failing = [part.part for part in parts if part.state in (*_PAUSED, "FAILED", "UNASSIGNED", "LOST")]
    return failing if any(part.part.startswith("task") for part in parts) or failing else ["tasks"]


def fix_for(parts: Sequence[PartStatus]) -> str:
    """What to do if something does not run."""
    if any(part.state in _PAUSED for part in parts):
        return f"{APPLY} resumes what was paused or stopped"
    return "correct the cause, then `stockctl connect restart --failed`; `stockctl connect watch` restarts automatically"
