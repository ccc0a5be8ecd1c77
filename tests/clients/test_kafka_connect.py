"""The REST API of Kafka Connect: each way of failing in words of ours, with its exit code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from stockctl.clients.kafka_connect import AbsentConnectorError, BusyError, Connect
from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError
from stockctl.settings import Settings, load_settings
from tests.command import HANG, clean_environment
from tests.conftest import free_port
from tests.stream.worker import Worker


def settings(url: str | None, **connect: str) -> Settings:
    flags = {"connect.url": url} | {f"connect.{name}": value for name, value in connect.items()}
    return load_settings(environ=clean_environment(), flags=flags, stack=False)


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker() as running:
        yield running


def test_what_a_worker_knows_is_read(worker: Worker) -> None:
    with Connect(settings(worker.url + "/")) as connect:
        assert connect.about()["version"] == "4.3.1"
        assert connect.classes() == set(worker.classes)
        assert connect.config("a") is None
        connect.put("a", {"x": "1"})
        assert connect.config("a") == {"x": "1"}
        assert [(task.number, task.state) for task in connect.status("a")] == [(-1, "RUNNING"), (0, "RUNNING")]
        connect.restart("a", only_failed=True)
        assert worker.asked[-1] == "POST /connectors/a/restart?includeTasks=true&onlyFailed=true"
        connect.delete("a")
        with pytest.raises(AbsentConnectorError):
            connect.delete("a")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"message": "who are you"}, RefusedError),
        (403, "no", RefusedError),
        (404, "<html>another server</html>", UnreachableError),
        (404, {"message": "Connector a not found"}, AbsentConnectorError),
        (409, {"message": "rebalance in process"}, BusyError),
        (500, {"message": "Request cannot be completed because a rebalance is expected"}, BusyError),
        (400, {"message": "Connector configuration is invalid"}, ConfigError),
        (500, {"message": "Request timed out. The worker is currently starting"}, TimedOutError),
        (500, {"message": "IO Error"}, StockctlError),
        (503, "a proxy's page", UnreachableError),
        (418, ["odd"], StockctlError),
    ],
)
def test_each_answer_that_is_no_success_has_its_error(
    worker: Worker, status: int, body: Any, kind: type[StockctlError]
) -> None:
    worker.answers.append((status, body))
    with Connect(settings(worker.url)) as connect, pytest.raises(StockctlError) as raised:
        connect.status("a")
    assert type(raised.value) is kind
    assert worker.url in str(raised.value)
    assert raised.value.hint


@pytest.mark.parametrize("body", ["<html>Please log in</html>", "", "{", {"hello": "world"}, ["a"], 7, "null"])
def test_what_answers_otherwise_than_a_worker_is_reported(worker: Worker, body: Any) -> None:
    """As a login page, or another service at that address."""
    with Connect(settings(worker.url)) as connect:
        for ask in (
            lambda: connect.status("a"),
            lambda: connect.task_configs("a"),
            lambda: connect.problems("A", {}),
            connect.classes,
        ):
            worker.answers.append((200, body))
            with pytest.raises(UnreachableError, match=f"at {worker.url} .*HTTP 200, (text/html|application/json)"):
                ask()


def test_a_login_page_takes_no_configuration(worker: Worker) -> None:
    worker.answers.append((200, "<html>Please log in</html>"))
    with Connect(settings(worker.url)) as connect, pytest.raises(UnreachableError, match="text/html"):
        connect.put("a", {"x": "1"})


def test_nobody_there_is_unreachable() -> None:
    with Connect(settings(f"http://127.0.0.1:{free_port()}")) as connect, pytest.raises(UnreachableError, match="refused"):
        connect.about()


@pytest.mark.parametrize("url", ["host:8083", "ftp://host", "http://"])
def test_an_address_that_is_none_is_an_error_of_ours(url: str) -> None:
    with pytest.raises(StockctlError), Connect(settings(url)) as connect:
        connect.about()


def test_without_an_address_the_setting_is_named() -> None:
    with pytest.raises(ConfigError, match=r"connect\.url"):
        Connect(settings(None))


def test_the_wait_is_limited_and_reported_once() -> None:
    messages: list[str] = []
    url = f"http://127.0.0.1:{free_port()}"
    with Connect(settings(url)) as connect, pytest.raises(UnreachableError, match="for 1s"):
        connect.wait(1, say=messages.append)
    assert messages == [f"waiting up to 1s for Kafka Connect at {url}"]


def test_a_worker_that_is_starting_is_waited_for(worker: Worker) -> None:
    worker.answers += [(404, "starting"), (409, {"message": "rebalance"})]
    with Connect(settings(worker.url)) as connect:
        connect.wait(HANG)
    assert worker.answers == []


def test_the_login_goes_into_the_request_and_into_no_text(worker: Worker) -> None:
    worker.answers.append((401, {"message": "no"}))
    with Connect(settings(worker.url, username="me", password="hunter2")) as connect, pytest.raises(RefusedError) as raised:
        connect.about()
    assert "hunter2" not in f"{raised.value!r} {raised.value.hint}"
