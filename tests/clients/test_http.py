"""What the environment says of proxies and certificates, and what of it cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from stockctl.clients.finnhub.rest import FinnhubRest
from stockctl.clients.kafka_connect import Connect
from stockctl.errors import ConfigError
from stockctl.settings import load_settings
from stockctl.sim import Simulator
from tests.command import clean_environment
from tests.conftest import free_port
from tests.stream.worker import Worker

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *map(str.lower, PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def ask_finnhub(url: str) -> object:
    flags = {"finnhub.rest_url": url, "finnhub.request_tries": "1"}
    with FinnhubRest(load_settings(environ=clean_environment(), flags=flags, stack=False)) as gateway:
        return gateway.quote("AAPL")


def ask_connect(url: str) -> object:
    with Connect(load_settings(environ=clean_environment(), flags={"connect.url": url}, stack=False)) as connect:
        return connect.about()


@pytest.fixture(params=[ask_finnhub, ask_connect])
def ask(request: pytest.FixtureRequest) -> Iterator[Callable[[], object]]:
    """A request to a server on this machine."""
    if request.param is ask_finnhub:
        with Simulator(rate=0) as sim:
            yield lambda: ask_finnhub(sim.rest_url)
    else:
        with Worker() as worker:
            yield lambda: ask_connect(worker.url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://me:hunter2@proxy:1080"),
        ("https_proxy", "http://me:hunter2/@proxy:3128"),
        ("HTTP_PROXY", "ftp://me:hunter2@proxy"),
        ("NO_PROXY", "::1/128"),
        ("SSL_CERT_FILE", "/absent"),
        ("SSL_CERT_FILE", __file__),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(
    ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name.upper()) as raised:
        ask()
    assert "hunter2" not in f"{raised.value} {raised.value.hint}"


def test_this_machine_is_asked_without_a_proxy(ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES[:3]:
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert ask()
