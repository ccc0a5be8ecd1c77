"""The gateway to Finnhub's REST API: what is read, each way of failing with its error, and the key in none of them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stockctl.clients.finnhub.rest import FinnhubRest, LimitReachedError, NoAccessError, rest_token
from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError
from stockctl.settings import Settings, load_settings
from stockctl.sim import Simulator, rest
from tests.clock import Clock
from tests.command import clean_environment
from tests.conftest import free_port

KEY = "c0ffee+c0ffee/c0ffee"


def settings(url: str, token: str | None = KEY, **finnhub: Any) -> Settings:
    options = {"rest_url": url, "token": token, "backoff_max": "20ms", "request_window": "400ms"} | finnhub
    return load_settings(
        environ=clean_environment(), flags={f"finnhub.{name}": value for name, value in options.items()}, stack=False
    )


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(rate=0, token=KEY, requests_per_second=1000, requests_per_minute=1000) as running:
        yield running


@pytest.fixture
def gateway(sim: Simulator) -> Iterator[FinnhubRest]:
    with FinnhubRest(settings(sim.rest_url)) as client:
        yield client


def failure(url: str, **finnhub: Any) -> StockctlError:
    """What a request raises; it must not hold the key, nor hang on to an exception whose request does."""
    with FinnhubRest(settings(url, **finnhub)) as gateway, pytest.raises(StockctlError) as raised:
        gateway.quote("AAPL")
    error = raised.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "c0ffee" not in f"{error!r} {error.hint}"
    return error


def test_each_answer_is_read(sim: Simulator, gateway: FinnhubRest) -> None:
    annual = gateway.reported("AAPL", "annual")
    assert all(json.loads(one)["form"].startswith("10-K") for one in annual)
    recent = gateway.reported("AAPL", "quarterly", date(2025, 1, 1))
    assert {json.loads(one)["form"] for one in recent} == {"10-Q"}
    assert all(json.loads(one)["endDate"] >= "2025" for one in recent)
    numbers = {entry.access_number for entry in gateway.filings("AAPL")}
    assert {json.loads(one)["accessNumber"] for one in annual} <= numbers
    assert gateway.quote("AAPL").c == 265.0
    assert gateway.reported("NOSUCH", "annual") == []


def test_the_list_of_symbols_is_fetched_where_the_answer_points_to(gateway: FinnhubRest) -> None:
    assert "AAPL" in {one.symbol for one in gateway.symbols() if one.type == "Common Stock"}


def test_what_passes_is_tried_again(sim: Simulator, gateway: FinnhubRest) -> None:
    sim.fail_requests(502, times=3)
    assert gateway.quote("AAPL").c == 265.0
    assert sim.counters.requests == 4


def test_another_who_uses_the_key_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the window each time: the server says no more than that its limit is reached."""
    clock = Clock()
    monkeypatch.setattr(rest, "time", clock)
    with Simulator(rate=0, requests_per_minute=2, request_window=0.4) as sim, FinnhubRest(settings(sim.rest_url)) as first:
        first.quote("AAPL")
        first.quote("AAPL")
        with FinnhubRest(settings(sim.rest_url), stop=clock) as second:
            assert second.quote("AAPL").c == 265.0
        assert sim.counters.limited == 4
        assert clock.waits == [0.1] * 4


def test_a_key_is_needed_where_the_address_is_finnhubs() -> None:
    with pytest.raises(ConfigError, match=r"finnhub\.token"):
        FinnhubRest(settings("https://finnhub.io/api/v1", token=None))
    assert rest_token(settings("http://127.0.0.1:1", token=None)) == "sim"


@pytest.mark.parametrize("key", ["ké", "two\nlines"])
def test_a_key_that_no_header_may_hold_is_a_setting_to_correct(key: str) -> None:
    with pytest.raises(ConfigError, match=r"finnhub\.token"):
        FinnhubRest(settings("http://127.0.0.1:1", token=key))


def test_a_wrong_key_is_refused() -> None:
    with Simulator(rate=0, token="another") as sim:
        error = failure(sim.rest_url)
        assert sim.counters.requests == 0
    assert type(error) is RefusedError
    assert error.exit_code == 4
    assert "Invalid API key." in str(error)


@pytest.mark.parametrize(
    ("status", "kind", "code", "words"),
    [
        (403, NoAccessError, 4, "plan of this key does not include /quote of AAPL: You don't have access"),
        (429, LimitReachedError, 4, "is still exceeded: API limit reached"),
        (502, UnreachableError, 5, "answers /quote of AAPL with HTTP 502"),
        (404, StockctlError, 1, "HTTP 404"),
        (200, StockctlError, 1, "an unreadable response .*.*it begins '<html>"),
    ],
)
def test_each_answer_that_is_no_success_has_its_error(
    sim: Simulator, status: int, kind: type[StockctlError], code: int, words: str
) -> None:
    sim.fail_requests(status, times=50)
    error = failure(sim.rest_url, request_tries=3)
    assert type(error) is kind
    assert error.exit_code == code
    assert sim.counters.requests == (3 if status in (429, 502) else 1)
    with pytest.raises(kind, match=words):
        raise error
    if status == 403:
        assert "free plan" in (error.hint or "")


def test_where_nothing_listens_is_unreachable() -> None:
    error = failure(f"http://127.0.0.1:{free_port()}", request_tries=2)
    assert isinstance(error, UnreachableError)
    assert "Connection refused" in str(error)


def test_who_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        assert failure(url, request_timeout="200ms", request_tries=2).exit_code == TimedOutError.exit_code


class Server:
    """A server that answers each request by ``answer``: status, headers, body; and notes what it was asked, with which key."""

    def __init__(self, answer: Any) -> None:
        asked: list[Any] = []
        self.asked = asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, self.headers.get("X-Finnhub-Token")))
                status, headers, body = answer(len(asked), self.path)
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_the_key_goes_to_no_other_host() -> None:
    with Server(lambda _n, _path: (200, {}, b"[]")) as elsewhere:
        target = f"{elsewhere.url}/list.json".replace("127.0.0.1", "localhost")
        with Server(lambda _n, _path: (302, {"Location": target}, b"")) as server, FinnhubRest(settings(server.url)) as gateway:
            assert gateway.symbols() == []
        assert server.asked == [("/stock/symbol?exchange=US", KEY)]
        assert elsewhere.asked == [("/list.json", None)]


def test_an_answer_that_sends_in_circles_ends() -> None:
    with Server(lambda _n, path: (302, {"Location": path}, b"")) as server:
        assert "HTTP 302" in str(failure(server.url))
        assert len(server.asked) == 4


def test_the_wait_that_is_asked_for_is_kept() -> None:
    clock = Clock()

    def answer(number: int, _path: str) -> tuple[int, dict[str, str], bytes]:
        return (503, {"Retry-After": "7"}, b"") if number == 1 else (200, {}, b'{"c":1.5}')

    with Server(answer) as server, FinnhubRest(settings(server.url), stop=clock) as gateway:
        assert gateway.quote("AAPL").c == 1.5
    assert clock.waits == [7]


def test_a_key_that_the_server_sends_back_is_not_shown() -> None:
    with Server(lambda _n, _path: (401, {}, json.dumps({"error": f"{KEY} is wrong"}).encode())) as server:
        assert "**** is wrong" in str(failure(server.url))
