"""Who may ask the dashboard what: hosts, origins, methods, the token, rates, headers, and errors as JSON."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import FileResponse
from starlette.testclient import TestClient

from stockctl.dashboard.access import PROBLEMS, protect
from stockctl.dashboard.access.rate import CLIENTS, Rate
from stockctl.errors import (
    ConfigError,
    RefusedError,
    StockctlError,
    TimedOutError,
    UnhealthyError,
    UnreachableError,
    UsageError,
)
from stockctl.settings.dashboard import DashboardSettings
from stockctl.symbols import UnknownSymbolError

TOKEN = "correct horse battery"
EVERYWHERE = "0.0.0.0"  # noqa: S104  # nothing listens in these tests
ERRORS: dict[str, tuple[Exception, int]] = {
    "usage": (UsageError("the range ends before it starts", hint="swap them"), 400),
    "symbol": (UnknownSymbolError("nothing is known of ZZZ"), 404),
    "config": (ConfigError("mongo.url is missing", hint="set it"), 503),
    "refused": (RefusedError("MongoDB refuses the password"), 502),
    "unreachable": (UnreachableError("nothing answers at db:27017"), 503),
    "late": (TimedOutError("MongoDB did not finish in time"), 503),
    "unhealthy": (UnhealthyError("an object is missing"), 500),
    "base": (StockctlError("cannot read"), 500),
}


def client(base_url: str = "http://localhost:8765", address: str = "127.0.0.1", **settings: Any) -> TestClient:
    """A client of an application with the rules around it."""
    return clients(**settings)(base_url, address)


def clients(**settings: Any) -> Callable[..., TestClient]:
    """Makes clients of one application."""
    app = FastAPI(docs_url=None, redoc_url=None, responses=PROBLEMS)
    protect(app, DashboardSettings(**settings))

    @app.get("/api/errors/{name}")
    def fail(name: str) -> None:
        raise ERRORS[name][0]

    @app.get("/api/defect")
    def defect() -> None:
        raise ValueError(f"the password is {TOKEN}")

    @app.get("/api/number")
    def number(of: int) -> dict[str, int]:
        return {"number": of}

    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(__file__, media_type="text/html")

    def made(base_url: str = "http://localhost:8765", address: str = "127.0.0.1") -> TestClient:
        return TestClient(app, base_url=base_url, client=(address, 50_000), follow_redirects=False)

    return made


# --- Hosts and origins


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1:1", "[::1]:8765", "[0:0::1]", "dash.example.com"])
def test_a_request_names_a_host_of_the_dashboard(host: str) -> None:
    assert client(hosts=["Dash.Example.com"]).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "user@localhost",
        "localhost:x",
        "[",
        "",
        "192.168.0.9",
    ],
)
def test_any_other_host_is_refused(host: str) -> None:
    """As a site does whose name was made to point to this machine."""
    response = client(hosts=["dash.example.com"]).get("/", headers={"Host": host})
    assert response.status_code == 421
    assert "dashboard.hosts" in response.json()["hint"]


def test_an_address_that_is_bound_is_a_host() -> None:
    one = client("http://192.168.0.9:8765", bind="192.168.0.9", token=TOKEN)
    assert one.get("/healthz").status_code == 200
    assert one.get("/healthz", headers={"Host": "192.168.0.8"}).status_code == 421


def test_bound_everywhere_the_address_that_the_request_came_to_is_a_host() -> None:
    """The test client's server has the address of its URL."""
    one = client("http://192.168.0.9:8765", bind=EVERYWHERE, token=TOKEN)
    assert one.get("/healthz").status_code == 200
    assert one.get("/healthz", headers={"Host": "evil.example"}).status_code == 421
    assert one.get("/healthz", headers={"Host": EVERYWHERE}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:8888"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_a_page_of_another_origin_gets_nothing_of_the_api(headers: dict[str, str]) -> None:
    response = client().get("/api/number?of=1", headers=headers)
    assert response.status_code == 403
    assert "another origin" in response.json()["error"]
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost:8765"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},  # a link to it
    ],
)
def test_our_page_and_links_do(headers: dict[str, str]) -> None:
    assert client().get("/api/number?of=1", headers=headers).json() == {"number": 1}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "ANYTHING"])
@pytest.mark.parametrize("path", ["/", "/login", "/api/number?of=1"])
def test_the_dashboard_takes_no_other_method(method: str, path: str) -> None:
    response = client().request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


def test_head_is_answered_as_get() -> None:
    one = client()
    assert one.head("/api/number?of=1").status_code == one.head("/").status_code == 200
    assert one.head("/api/events").status_code == 405  # its answer never ends


# --- The token


@pytest.mark.parametrize("bind", [EVERYWHERE, "::", "192.168.0.9", "2001:db8::1", "::ffff:10.0.0.1", "dash.example.com"])
def test_an_address_that_others_reach_needs_a_token(bind: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no dashboard\.token") as caught:
        protect(FastAPI(), DashboardSettings(bind=bind))
    assert "set dashboard.token" in (caught.value.hint or "")
    protect(FastAPI(), DashboardSettings(bind=bind, token=TOKEN))


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "::ffff:127.0.0.1"])
def test_loopback_needs_none(bind: str) -> None:
    protect(FastAPI(), DashboardSettings(bind=bind))


@pytest.mark.parametrize("token", ["", "x" * 15])
def test_a_short_token_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="fewer than 16 characters"):
        protect(FastAPI(), DashboardSettings(token=token))
    protect(FastAPI(), DashboardSettings(token="x" * 16))


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/api/number?of=1", "/static/plotly.min.js", "/nothing", "/login/"]
)
def test_with_a_token_everything_needs_the_cookie(path: str) -> None:
    response = client(token=TOKEN).get(path)
    assert response.status_code == 401
    assert response.json() == {"error": "this needs the token of the dashboard", "hint": "log in at /login"}


@pytest.mark.parametrize("path", ["/login", "/healthz", "/favicon.ico"])
def test_but_the_login_health_and_the_icon(path: str) -> None:
    assert client(token=TOKEN).get(path).status_code == 200


def test_a_browser_is_sent_to_the_login_and_comes_back_to_its_view() -> None:
    """A redirect keeps the fragment of the link, with the token."""
    response = client(token=TOKEN).get("/?symbol=AAPL&every=1m", headers={"Accept": "text/html"})
    assert (response.status_code, response.headers["location"]) == (303, "/login?next=%2F%3Fsymbol%3DAAPL%26every%3D1m")


@pytest.mark.parametrize("body", [{"json": {"token": TOKEN}}, {"data": {"token": TOKEN}}])
def test_the_token_gives_a_cookie_that_opens_the_page(body: dict[str, Any]) -> None:
    one = client(token=TOKEN)
    response = one.post("/login", **body)
    assert response.status_code in (200, 303)
    assert response.headers.get("location", "/") == "/"
    cookie = response.headers["set-cookie"]
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert "secure" not in cookie.lower()
    assert TOKEN not in cookie
    assert one.get("/api/number?of=2").json() == {"number": 2}
    assert one.get("/login").headers["location"] == "/"


def test_under_https_the_cookie_is_secure() -> None:
    response = client("https://localhost", token=TOKEN).post("/login", json={"token": TOKEN})
    assert "secure" in response.headers["set-cookie"].lower()


def test_the_cookie_of_another_start_opens_nothing() -> None:
    earlier, now = client(token=TOKEN), client(token=TOKEN)
    value = earlier.post("/login", json={"token": TOKEN}).cookies["stockctl_dashboard"]
    for cookie in (value, TOKEN, "", "é", value[:-1]):
        header = {b"Cookie": f"stockctl_dashboard={cookie}".encode()}
        assert now.get("/", headers=header).status_code == 401
    assert earlier.get("/").status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"json": {"token": "wrong horse battery"}}, 401),
        ({"content": b'{"token": "\\ud800"}', "headers": {"Content-Type": "application/json"}}, 401),
        ({"json": {"token": 1}}, 400),
        ({"json": {}}, 400),
        ({"json": [TOKEN]}, 400),
        ({"content": b"[" * 4000, "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"\xff", "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"\xff=", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 400),
        ({"content": TOKEN.encode(), "headers": {"Content-Type": "text/plain"}}, 400),
        ({"json": {"token": "x" * 5000}}, 400),
        ({"json": {"token": TOKEN}, "headers": {"Origin": "http://evil.example"}}, 403),
    ],
)
def test_no_other_login_gives_a_cookie(body: dict[str, Any], status: int) -> None:
    response = client(token=TOKEN).post("/login", **body)
    assert response.status_code == status, response.text
    assert "set-cookie" not in response.headers
    assert set(response.json()) == {"error", "hint"}


def test_tries_are_limited_for_each_client() -> None:
    make = clients(token=TOKEN)
    guessing, other = make(address="192.0.2.1"), make(address="192.0.2.2")
    answers = [guessing.post("/login", json={"token": f"wrong horse battery {number}"}) for number in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert guessing.post("/login", json={"token": TOKEN}).status_code == 429  # not even the right one
    assert other.post("/login", json={"token": TOKEN}).status_code == 200


def test_a_wrong_token_is_logged_without_it(caplog: pytest.LogCaptureFixture) -> None:
    client(token=TOKEN, address="192.0.2.1").post("/login", json={"token": "wrong horse battery"})
    assert caplog.messages == ["a wrong token from 192.0.2.1"]


# --- Rates


def test_a_client_that_asks_too_often_has_to_wait() -> None:
    make = clients(requests_per_second=1)
    one, other = make(address="192.0.2.1"), make(address="192.0.2.2")
    statuses = [one.get("/healthz").status_code for _ in range(20)]
    assert statuses[:5] == [200] * 5
    assert 429 in statuses
    refused = next(answer for answer in iter(lambda: one.get("/healthz"), None) if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"] == "too many requests"
    assert other.get("/healthz").status_code == 200


def test_a_network_of_ipv6_is_one_client() -> None:
    make = clients(requests_per_second=1)
    statuses = [make(address=f"2001:db8::{number}").get("/healthz").status_code for number in range(1, 20)]
    assert 429 in statuses
    assert make(address="2001:db8:0:1::1").get("/healthz").status_code == 200


def test_tokens_come_back_with_time_and_clients_are_forgotten() -> None:
    now = 0.0
    rate = Rate(per_second=2, burst=3, clock=lambda: now)
    assert [rate.take("a") for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    now = 0.5
    assert [rate.take("a") for _ in range(2)] == [0, 0.5]
    now = 100.0
    assert [rate.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    for number in range(CLIENTS + 100):
        rate.take(str(number))
    assert len(rate._clients) == CLIENTS
    assert rate.take("a") == 0


# --- Headers and errors


@pytest.mark.parametrize("path", ["/", "/nothing", "/api/defect", "/api/errors/usage", "/static/plotly.min.js", "/docs"])
def test_every_answer_has_the_headers(path: str) -> None:
    headers = client().get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-store" if path.startswith("/api/") else "no-cache")


def test_refusals_have_them_too() -> None:
    response = client().get("/", headers={"Host": "evil.example"})
    assert "default-src 'self'" in response.headers["content-security-policy"]


def test_a_browser_that_has_a_file_gets_none() -> None:
    one = client()
    first = one.get("/static/plotly.min.js")
    assert first.content.startswith(b"/**\n* plotly.js v")
    again = one.get("/static/plotly.min.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_says_what_happened_and_what_to_try(name: str) -> None:
    error, status = ERRORS[name]
    response = client().get(f"/api/errors/{name}")
    assert response.status_code == status
    assert response.json() == {"error": str(error), "hint": getattr(error, "hint", None)}


def test_a_defect_is_logged_and_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "stockctl.dashboard"):
        response = client().get("/api/defect")
    assert response.status_code == 500
    assert response.json()["error"] == "unexpected ValueError"
    assert "Traceback" not in response.text
    assert "test_access.py" in caplog.text
    assert TOKEN not in response.text + caplog.text


def test_a_wrong_parameter_is_named() -> None:
    response = client().get("/api/number?of=many")
    assert response.status_code == 400
    assert response.json()["error"].startswith("of: ")


def test_nothing_is_at_other_paths() -> None:
    response = client().get("/a%0Ab")
    assert (response.status_code, response.json()["error"]) == (404, "there is nothing at /a%0Ab")


def test_a_long_address_is_refused() -> None:
    assert client().get(f"/api/number?of={'1' * 5000}").status_code == 414
    assert client().get(f"/{'x' * 5000}").status_code == 414


def test_no_page_of_the_api_has_a_script_of_its_own_or_a_foreign_address() -> None:
    one = client()
    for page in ("/docs", "/login"):
        text = (one if page == "/docs" else client(token=TOKEN)).get(page).text
        assert "<script>" not in text
        assert "//" not in text.replace("<!DOCTYPE", "")
    assert one.get("/static/swagger-ui.css").status_code == one.get("/static/swagger-ui-bundle.js").status_code == 200
