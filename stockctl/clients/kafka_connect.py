"""Kafka Connect: the REST API of its workers, with errors as StockctlErrors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import httpx

from stockctl.clients.closing import Closing
from stockctl.clients.http import http_client
from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError
from stockctl.service import retry
from stockctl.settings import Settings, require
from stockctl.units import format_duration

Result = TypeVar("Result")

_TIMEOUT = httpx.Timeout(95.0, connect=5.0)
"""A worker that cannot reach its brokers answers after 90 s, with a useful message."""


class AbsentConnectorError(StockctlError):
    """The connector does not exist."""


class BusyError(StockctlError):
    """The workers are rebalancing (HTTP 409, for some requests 500), and will answer soon."""


class Task(NamedTuple):
    """A task, or the connector itself (number −1): its state, its worker, and the stack trace of a failure."""

    number: int
    state: str
    worker: str
    trace: str


class Connect(Closing):
    """The REST API of the workers in the settings."""

    def __init__(self, settings: Settings, *, timeout: float | None = None) -> None:
        """``timeout`` limits each request, in seconds. ConfigError without ``connect.url``. It sends no request."""
        connect = settings.connect
        self.url = str(require(settings, "connect.url")).rstrip("/")
        login = None
        if connect.username is not None:
            login = (connect.username, require(settings, "connect.password").get_secret_value())
        self._http = http_client(base_url=self.url, auth=login, timeout=timeout or _TIMEOUT)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def wait(self, seconds: float, *, say: Callable[[str], None] = lambda _: None) -> float:
        """Wait until a worker answers, at most ``seconds``; return the latency of the last request. Calls ``say`` once."""

        def ask() -> float:
            started = time.monotonic()
            self.about()
            return time.monotonic() - started

        def report(_error: BaseException, attempt: int) -> None:
            if attempt == 1:
                say(f"waiting up to {format_duration(seconds)} for Kafka Connect at {self.url}")

        try:
            return retry(
                ask, lambda error: isinstance(error, UnreachableError | BusyError), within=seconds, longest=0.5, on_retry=report
            )
        except (UnreachableError, BusyError) as error:
            raise UnreachableError(f"{error}, for {format_duration(seconds)}", hint=error.hint) from error

    def about(self) -> dict[str, str]:
        """``version`` of the worker that answered, and ``kafka_cluster_id``."""
        return self._ask("GET", "/", "ask for the version", read=dict)

    def classes(self) -> set[str]:
        """Names of the classes of connectors and converters that the worker has."""

        def read(answer: Any) -> set[str]:
            return {item["class"] for item in answer}

        return self._ask("GET", "/connector-plugins", "list the classes", params={"connectorsOnly": "false"}, read=read)

    def config(self, name: str) -> dict[str, str] | None:
        """The connector's configuration, secrets included; None if there is no such connector."""
        try:
            return self._ask("GET", f"/connectors/{name}/config", f"read the configuration of {name}", read=dict)
        except AbsentConnectorError:
            return None

    def task_configs(self, name: str) -> list[dict[str, str]]:
        """The configuration of each task, secrets included."""
        path, doing = f"/connectors/{name}/tasks", f"read the tasks of {name}"
        return self._ask("GET", path, doing, read=lambda answer: [dict(item["config"]) for item in answer])

    def problems(self, kind: str, config: Mapping[str, str]) -> list[str]:
        """The errors of a configuration for the class ``kind``, each with the name of the setting."""

        def read(answer: Any) -> list[str]:
            values = [item["value"] for item in answer["configs"]]
            return [f"{value['name']}: {words}" for value in values for words in value["errors"]]

        path = f"/connector-plugins/{kind}/config/validate"
        return self._ask("PUT", path, "check the configuration", dict(config), read=read)

    def put(self, name: str, config: Mapping[str, str]) -> None:
        """Create the connector, or update its configuration."""
        self._ask("PUT", f"/connectors/{name}/config", f"configure {name}", dict(config), read=_nothing)

    def status(self, name: str) -> list[Task]:
        """The connector itself first, then its tasks. AbsentConnectorError if it does not exist."""

        def read(answer: Any) -> list[Task]:
            parts = [answer["connector"] | {"id": -1}, *answer["tasks"]]
            return [Task(one["id"], one["state"], one["worker_id"], one.get("trace", "")) for one in parts]

        return self._ask("GET", f"/connectors/{name}/status", f"read the status of {name}", read=read)

    def restart(self, name: str, *, only_failed: bool) -> None:
        """Restart the connector and its tasks, or only those that failed."""
        asked = {"includeTasks": "true", "onlyFailed": str(only_failed).lower()}
        self._ask("POST", f"/connectors/{name}/restart", f"restart {name}", params=asked, read=_nothing)

    def resume(self, name: str) -> None:
        """Resume a connector that was paused or stopped."""
        self._ask("PUT", f"/connectors/{name}/resume", f"resume {name}", read=_nothing)

    def delete(self, name: str) -> None:
        """Delete the connector. AbsentConnectorError if it does not exist."""
        self._ask("DELETE", f"/connectors/{name}", f"delete {name}", read=_nothing)

    def _ask(
        self,
        method: str,
        path: str,
        doing: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        read: Callable[[Any], Result],
    ) -> Result:
        """Apply ``read`` to the JSON of the response (None without one). UnreachableError if a worker cannot have sent it."""
        where = f"cannot {doing}: Kafka Connect at {self.url}"
        try:
            answer = self._http.request(method, path, json=body, params=params)
        except (httpx.ConnectTimeout, httpx.NetworkError, httpx.ProtocolError, httpx.UnsupportedProtocol) as error:
            raise UnreachableError(
                f"{where}: {str(error) or type(error).__name__}",
                hint="is a worker running? correct connect.url if it is elsewhere",
            ) from error
        except httpx.TimeoutException as error:
            raise TimedOutError(f"{where} does not answer", hint="the worker's log; can it reach its Kafka?") from error
        except httpx.HTTPError as error:
            raise StockctlError(f"{where}: {error}") from error
        if not answer.is_success:
            raise self._described(answer, where)
        try:
            return read(answer.json() if answer.content else None)
        except (ValueError, KeyError, TypeError, AttributeError):
            kind = answer.headers.get("content-type", "no type")
            raise UnreachableError(
                f"cannot {doing}: no Kafka Connect answers at {self.url} (HTTP {answer.status_code}, {kind})",
                hint="correct connect.url; is there a login page in front of the worker?",
            ) from None

    def _described(self, answer: httpx.Response, where: str) -> StockctlError:
        status, words = answer.status_code, _words(answer)
        message = f"{where}: {words} (HTTP {status})"
        if status in (401, 403):
            return RefusedError(message, hint="check connect.username and STOCKCTL_CONNECT__PASSWORD")
        if status == 404 and "application/json" not in answer.headers.get("content-type", ""):
            # A worker answers so for a moment while it starts.
            return UnreachableError(f"no Kafka Connect answers at {self.url} (HTTP 404)", hint="correct connect.url")
        if status == 404:
            return AbsentConnectorError(message, hint="`stockctl connect apply` creates it")
        if status == 409 or (status == 500 and "rebalance" in words.lower()):
            return BusyError(message, hint="try again in a minute")
        if status == 400:
            return ConfigError(message, hint="`stockctl connect render` shows the configuration that was sent")
        if status in (502, 503, 504):
            return UnreachableError(message, hint="is a worker running behind that address?")
        if status == 500 and "timed out" in words.lower():
            return TimedOutError(message, hint="the worker's log; can it reach its Kafka?")
        return StockctlError(message, hint="the worker's log")


def _nothing(_: Any) -> None:
    """For responses without content."""


def _words(answer: httpx.Response) -> str:
    try:
        words = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        words = answer.reason_phrase
    # A worker's messages have many lines, and end with advice for direct users of its API.
    return " ".join(str(words).split("You can also find")[0].split())


def scrubbed(text: str, secrets: Sequence[str]) -> str:
    """``text`` without ``secrets``: a stack trace or a response may include the configuration."""
    for secret in secrets:
        text = text.replace(secret, "****")
    return text
