"""The connector made, compared, watched and restarted, on the embedded broker and a stand-in for Connect's REST API.

What only a real worker can show is in tests/real/test_connect.py.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from math import isnan
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from stockctl.check_runner import run
from stockctl.clients.kafka import Admin, Consumer, Partition, Producer
from stockctl.clients.kafka_connect import Connect
from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError
from stockctl.reconcile import Change
from stockctl.settings import Settings, env_name, load_settings
from stockctl.stream import topics
from stockctl.stream.kafka_connect import connector as room
from stockctl.stream.kafka_connect import health
from stockctl.stream.kafka_connect.config import CONVERTER_CLASS, SINK_CLASS
from stockctl.stream.kafka_connect.watchdog import Watchdog
from tests.command import HANG, Command, clean_environment
from tests.conftest import free_port, own_names, wait_for
from tests.stream.worker import Worker

TRACE = """\
org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception.
\tat org.apache.kafka.connect.runtime.WorkerSinkTask.deliverMessages(WorkerSinkTask.java:630)
Caused by: com.mongodb.MongoTimeoutException: Timed out while waiting for a server at mongodb://me:hunter2@host
\tat com.mongodb.internal.connection.BaseCluster.selectServer(BaseCluster.java:179)
"""


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in is stable at once: a few checks in a row suffice, with short pauses."""
    monkeypatch.setattr(room, "STEADY", 0.2)
    monkeypatch.setattr(room, "_PAUSE", 0.05)


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker() as running:
        yield running


def flags_of(broker: str, tmp_path: Path, worker: Worker) -> dict[str, str]:
    names = own_names(broker, tmp_path)
    mark = names["lake.group"]
    return names | {
        "connect.url": worker.url,
        "connect.connector": f"sink-{mark}",
        "mongo.url": "mongodb://host",
        "mongo.username": "me",
        "mongo.password": "hunter2",
        **{f"connect.{name}_topic": f"{name}-{mark}" for name in ("config", "offset", "status")},
    }


@pytest.fixture
def connected(broker: str, tmp_path: Path, worker: Worker) -> Settings:
    """Settings of a test of its own, with the worker for Kafka Connect."""
    own_settings = load_settings(environ=clean_environment(), flags=flags_of(broker, tmp_path, worker))
    worker.cluster = Admin(own_settings).cluster_id()
    return own_settings


@pytest.fixture
def member(connected: Settings) -> Iterator[None]:
    """A member of the connector's group, such as a running task."""
    consumer = Consumer(connected, connected.connect.group)
    Admin(connected).create_topic(connected.topics.trades.name, 1, 1, {})
    assigned = threading.Event()

    def assign(_: list[Partition]) -> dict[Partition, int]:
        assigned.set()
        return {}  # it is a member, and reads nothing

    consumer.subscribe(
        [connected.topics.trades.name],
        on_assign=assign,
        on_revoke=lambda _: None,
        on_lost=lambda _: None,
    )

    def reads() -> bool:
        consumer.consume(1, 0.1)
        return assigned.is_set()

    wait_for(reads, "the group")
    yield
    consumer.close()


def applied(settings: Settings) -> tuple[list[Change], list[str]]:
    messages: list[str] = []
    with Connect(settings) as connect:
        return room.apply(connect, Admin(settings), settings, messages.append), messages


def hasty(settings: Settings) -> Settings:
    """``settings`` that wait a second for what does not come."""
    return settings.model_copy(update={"connect": settings.connect.model_copy(update={"wait": 1.0})})


def failure(settings: Settings) -> StockctlError:
    with pytest.raises(StockctlError) as raised:
        applied(settings)
    assert "hunter2" not in f"{raised.value} {raised.value.hint}"
    return raised.value


@pytest.mark.usefixtures("member")
def test_apply_creates_topics_and_connector_once(connected: Settings, worker: Worker) -> None:
    changes, _ = applied(connected)
    assert [change.action for change in changes] == ["created"] * 4
    assert Admin(connected).topic_config(connected.connect.config_topic)["cleanup.policy"] == "compact"
    assert worker.configs[connected.connect.connector]["connection.uri"] == "mongodb://me:hunter2@host/?authSource=admin"
    assert [change.action for change in applied(connected)[0]] == ["unchanged"] * 4
    assert sum(asked.startswith("PUT /connectors/") for asked in worker.asked) == 1
    worker.state = "PAUSED"
    assert [change.action for change in applied(connected)[0]] == ["unchanged"] * 3 + ["changed"]


@pytest.mark.usefixtures("member")
def test_a_change_is_retried_while_the_workers_rebalance(connected: Settings, worker: Worker) -> None:
    applied(connected)
    busy = (409, {"message": "rebalance in process"})
    with Connect(connected) as connect:
        worker.answers += [busy, busy]
        room._retry_while_busy(lambda: connect.put(connected.connect.connector, {"a": "1"}), connected.connect)
    assert worker.configs[connected.connect.connector] == {"a": "1"}


@pytest.mark.usefixtures("member")
def test_apply_waits_while_the_workers_rebalance(connected: Settings, worker: Worker) -> None:
    worker.busy = ["GET config", "GET status", "PUT config", "GET tasks"]
    changes, said = applied(connected)
    assert (changes[-1].action, worker.busy) == ("created", [])
    assert any("for the workers to rebalance" in words for words in said)
    worker.state, worker.busy = "PAUSED", ["GET config", "GET status", "PUT resume"]
    assert (applied(connected)[0][-1].action, worker.busy) == ("changed", [])
    worker.busy = ["GET tasks"] * 1000
    assert "still waiting for the workers to rebalance" in str(failure(hasty(connected)))


def test_apply_waits_for_running_tasks_and_says_so(connected: Settings, worker: Worker) -> None:
    worker.states = ["UNASSIGNED"]
    error = failure(hasty(connected))
    assert isinstance(error, TimedOutError)
    assert "task 0, which is UNASSIGNED, to run" in str(error)
    worker.states = []
    assert "the tasks of" in str(failure(hasty(connected)))
    worker.states = ["RUNNING"]
    assert "to join their consumer group" in str(failure(hasty(connected)))


def test_apply_reports_the_root_cause_of_a_failed_task(connected: Settings, worker: Worker) -> None:
    worker.states, worker.trace = ["RUNNING", "FAILED"], TRACE
    assert "task 1 of" in str(failure(connected))
    assert "failed: MongoDB does not answer: Timed out while waiting" in str(failure(connected))


@pytest.mark.usefixtures("member")
def test_apply_restarts_failed_tasks(connected: Settings, worker: Worker) -> None:
    applied(connected)
    worker.states, worker.trace, worker.heals = ["FAILED"], TRACE, True
    assert applied(connected)[0][-1].detail == "it had failed: restarted"
    assert applied(connected)[0][-1].action == "unchanged"


@pytest.mark.parametrize(
    ("there", "missing", "hint"),
    [
        (["org.apache.kafka.connect.file.FileStreamSinkConnector"], SINK_CLASS, "mongo-kafka-connect"),
        ([SINK_CLASS, "org.apache.kafka.connect.json.JsonConverter"], CONVERTER_CLASS, "record-converter.jar"),
    ],
)
def test_a_worker_without_a_class_is_an_error_that_says_how_to_install_it(
    connected: Settings, worker: Worker, there: list[str], missing: str, hint: str
) -> None:
    worker.classes = there
    error = failure(connected)
    assert isinstance(error, ConfigError)
    assert str(error).endswith(f"has no class {missing}")
    assert hint in (error.hint or "")
    assert "plugin.path" in (error.hint or "")
    [(_, finding)] = run(health.checks(connected))
    assert (finding.state, finding.detail, finding.fix) == ("fail", str(error), error.hint)


def test_a_worker_of_another_kafka_cluster_is_an_error(connected: Settings, worker: Worker) -> None:
    worker.cluster = "another"
    assert "uses another Kafka cluster: another" in str(failure(connected))


@pytest.mark.parametrize(
    ("setting", "words", "kind"),
    [
        ("connection.uri", "Unable to connect to the server.", UnreachableError),
        ("connection.uri", "Invalid user permissions authentication failed. hunter2", RefusedError),
        ("tasks.max", "must be at least 1", ConfigError),
    ],
)
def test_validation_errors_of_the_worker_are_reported(
    connected: Settings, worker: Worker, setting: str, words: str, kind: type[StockctlError]
) -> None:
    worker.errors = {setting: [words], "name": []}
    error = failure(connected)
    assert type(error) is kind
    assert f"{setting}: {words}".replace("hunter2", "****") in str(error)


@pytest.mark.usefixtures("member")
def test_diff_names_topics_and_settings_and_shows_no_secret(connected: Settings, worker: Worker) -> None:
    admin = Admin(connected)
    with Connect(connected) as connect:
        assert [(one.kind, one.actual) for one in room.differences(connect, admin, connected)] == [
            *[("topic", "absent")] * 3,
            ("connector", "absent"),
        ]
        applied(connected)
        assert room.differences(connect, admin, connected) == []
        there = worker.configs[connected.connect.connector]
        there |= {"connection.uri": "mongodb://me:other@host/?authSource=admin", "tasks.max": "9", "more": "1"}
        found = {one.field: (one.wanted, one.actual) for one in room.differences(connect, admin, connected)}
        shown = "mongodb://****@host/?authSource=admin"
        assert found == {"connection.uri": (shown, f"another {shown}"), "tasks.max": ("1", "9"), "more": ("not set", "1")}
        admin.set_topic_config(connected.connect.status_topic, {"cleanup.policy": "delete"})
        assert "cleanup.policy" in {one.field for one in room.differences(connect, admin, connected)}


def watching(settings: Settings, **connect: str) -> Watchdog:
    flags = {f"connect.{name}": value for name, value in connect.items()}
    names = ("url", "connector")
    flags |= {f"connect.{name}": str(getattr(settings.connect, name)) for name in names}
    return Watchdog(load_settings(environ=clean_environment(), flags=flags))


def test_the_watchdog_restarts_failed_tasks_less_and_less_often(connected: Settings, worker: Worker) -> None:
    worker.configs[connected.connect.connector] = {"connection.uri": "mongodb://me:hunter2@host"}
    worker.states, worker.trace = ["FAILED"], TRACE
    watch = watching(connected, watch_every="1s", backoff_max="4s")
    at: list[float] = []
    for second in range(20):
        before = watch.restarts
        watch.check(float(second))
        if watch.restarts > before:
            at.append(second)
    assert at == [0, 1, 3, 7, 11, 15, 19]
    assert watch.problem is not None
    assert "MongoDB does not answer" in watch.problem
    assert "hunter2" not in watch.problem

    worker.states = ["RUNNING"]
    watch.check(20.0)
    assert watch.problem is None
    worker.states = ["FAILED"]
    watch.check(21.0)
    assert watch.restarts == len(at), "it ran for a moment only"
    worker.states = ["RUNNING"]
    watch.check(30.0)
    watch.check(40.0)
    worker.states = ["FAILED"]
    watch.check(41.0)
    watch.check(42.0)
    assert watch.restarts == len(at) + 2, "after it had run well the pauses are short again"
    watch._connect.close()


def test_the_watchdog_survives_a_worker_that_is_unreachable(connected: Settings, worker: Worker) -> None:
    watch = watching(connected, url="", watch_every="1s")
    watch._connect.close()
    watch._connect = Connect(
        load_settings(environ=clean_environment(), flags={"connect.url": f"http://127.0.0.1:{free_port()}"})
    )
    watch.check(0.0)
    assert watch.problem is not None
    assert "refused" in watch.problem
    watch._connect.close()


def test_the_watchdog_survives_a_login_page(connected: Settings, worker: Worker) -> None:
    watch = watching(connected)
    worker.answers.append((200, "<html>Please log in</html>"))
    watch.check(0.0)
    assert watch.problem is not None
    assert "no Kafka Connect answers" in watch.problem
    watch._connect.close()


def metric(name: str) -> float | None:
    """The value of a Prometheus metric."""
    return REGISTRY.get_sample_value(name)


def test_the_watchdog_measures_lag_and_dead_letters(connected: Settings, worker: Worker) -> None:
    admin, producer = Admin(connected), Producer(connected)
    topics.apply(admin, connected.topics)
    for topic, count in ((connected.topics.trades.name, 10), (connected.topics.dead_letters.name, 3)):
        producer.send(topic, [(b"{}", "AAPL")] * count, time.time_ns() // 1_000_000, lambda *_: None)
    assert producer.flush(HANG) == 0
    worker.configs[connected.connect.connector] = {}
    worker.states = ["RUNNING", "FAILED", "RUNNING"]
    stop = threading.Event()
    thread = threading.Thread(target=Watchdog(connected).run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: metric("stockctl_dead_letters_end_offset") == 3, "the dead letters")
        assert metric("stockctl_connect_lag_records") == 10
        assert (metric("stockctl_connect_running_tasks"), metric("stockctl_connect_failed_tasks")) == (2, 1)
    finally:
        stop.set()
        thread.join()


def test_the_watchdog_reports_unknown_values(connected: Settings, worker: Worker) -> None:
    worker.configs[connected.connect.connector] = {}
    watch = watching(connected, watch_every="1s")
    watch.check(0.0)
    assert metric("stockctl_connect_running_tasks") == 1
    worker.answers = [(500, {"message": "ill"})]
    watch.check(1.0)
    assert metric("stockctl_connect_running_tasks") == 0
    watch._connect.close()
    away = {"kafka.bootstrap_servers": f"127.0.0.1:{free_port()}", "connect.url": worker.url}
    nobody = Watchdog(load_settings(environ=clean_environment(), flags=away))
    nobody.measure()
    assert isnan(metric("stockctl_connect_lag_records") or 0.0)
    nobody._connect.close()


@pytest.mark.usefixtures("member")
def test_doctor_and_status_check_connect_if_it_is_set(connected: Settings, worker: Worker) -> None:
    assert health.checks(load_settings(environ=clean_environment(), flags={}, stack=False)) == []
    assert health.overview(load_settings(environ=clean_environment(), flags={}, stack=False)) == []
    [(_, healthy)] = run(health.checks(connected))
    assert (healthy.state, healthy.detail) == ("ok", f"Kafka Connect 4.3.1 at {worker.url}")
    [(_, absent)] = run(health.overview(connected))
    assert (absent.state, absent.detail) == ("warn", "absent")
    applied(connected)
    [(_, running)] = run(health.overview(connected))
    assert (running.state, running.detail) == ("ok", "connector RUNNING, task 0 RUNNING; 0 records behind")
    for state, states in (("PAUSED", ["PAUSED"]), ("STOPPED", [])):
        worker.state, worker.states = state, states
        [(_, idle)] = run(health.overview(connected))
        assert (idle.state, idle.fix) == ("fail", "`stockctl connect apply` resumes what was paused or stopped")
    worker.state, worker.states, worker.trace = "RUNNING", ["FAILED"], TRACE
    [(_, failed)] = run(health.overview(connected))
    assert (failed.state, "restart --failed" in (failed.fix or "")) == ("fail", True)
    assert "MongoDB does not answer" in failed.detail
    worker.classes = []
    assert run(health.checks(connected))[0].result.state == "fail"


def test_the_command_has_the_documented_exit_codes(broker: str, tmp_path: Path, worker: Worker, connected: Settings) -> None:
    flags = flags_of(broker, tmp_path, worker) | {"connect.wait": "1s"}
    command = Command(tmp_path, **{env_name(name): value for name, value in flags.items()})
    assert "hunter2" not in command.run("connect", "render").stdout
    command.run("connect", "diff", check=10)
    command.run("connect", "status", check=1)
    worker.asked.clear()
    planned = json.loads(command.run("connect", "apply", "--topics-only", "--dry-run", "-o", "json").stdout)
    assert {row["kind"] for row in planned} == {"topic"}
    command.run("connect", "apply", "--topics-only")
    assert worker.asked == []
    command.run("connect", "apply", check=6)
    worker.state, worker.states = "PAUSED", ["PAUSED"]
    assert (
        "not running: connector, task 0\n  try: `stockctl connect apply`" in command.run("connect", "status", check=10).stderr
    )
    worker.state = "RUNNING"
    worker.states, worker.trace = ["FAILED"], TRACE
    result = command.run("connect", "status", "-o", "json", check=10)
    assert json.loads(result.stdout)[1]["detail"].startswith("MongoDB does not answer")
    asked = list(worker.asked)
    planned = command.run("connect", "restart", "--failed", "--dry-run")
    assert planned.stderr == "task 0 is FAILED and would be restarted\ndry run: nothing was changed\n"
    planned = json.loads(command.run("connect", "delete", "--dry-run", "-o", "json").stdout)
    assert [(row["kind"], row["action"]) for row in planned] == [("connector", "deleted")]
    assert not [one for one in worker.asked[len(asked) :] if not one.startswith("GET ")]
    command.run("connect", "restart", "--failed")
    assert worker.asked[-1].endswith("onlyFailed=true")
    asked = list(worker.asked)
    assert "try: stockctl connect delete --yes" in command.run("connect", "delete", check=2).stderr
    assert worker.asked == asked
    assert json.loads(command.run("connect", "delete", "--yes", "-o", "json").stdout)[0]["action"] == "deleted"
    command.environment |= {"STOCKCTL_CONNECT__URL": f"http://127.0.0.1:{free_port()}", "STOCKCTL_CONNECT__WAIT": "200ms"}
    for verb in ("status", "diff", "apply", "delete --yes"):
        command.run("connect", *verb.split(), check=5)
    del command.environment["STOCKCTL_CONNECT__URL"]
    assert "connect.url" in command.run("connect", "status", check=3).stderr
