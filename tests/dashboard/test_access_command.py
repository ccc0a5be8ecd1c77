"""The rules of access on the installed command: what it refuses to start with, and what its log and its sockets show."""

from __future__ import annotations

import http.client
import json
import re
import socket
from pathlib import Path

import pytest

from tests.command import HANG, Command
from tests.conftest import free_port, listening, wait_for

TOKEN = "correct horse battery"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"BIND": "192.0.2.1"}, "there is no dashboard.token"),
        ({"BIND": "192.0.2.1", "TOKEN": "show nobody"}, "fewer than 16 characters"),
        ({"TOKEN": "show nobody"}, "fewer than 16 characters"),
    ],
)
def test_it_does_not_start_where_others_could_read(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    command = Command(tmp_path, **{f"STOCKCTL_DASHBOARD__{name}": value for name, value in settings.items()})
    result = command.run("dashboard", "--port", "0", check=3)
    assert words in result.stderr
    assert "openssl rand" in result.stderr
    assert "show nobody" not in result.stdout + result.stderr


def test_the_token_opens_it_and_is_nowhere(tmp_path: Path) -> None:
    """Over real sockets, with what no client library sends."""
    command = Command(tmp_path, STOCKCTL_DASHBOARD__TOKEN=TOKEN)
    log, port = tmp_path / "dashboard.log", free_port()
    process = command.start("dashboard", "--port", str(port), log=log, real=True)

    def ask(method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    try:
        wait_for(lambda: "http://127.0.0.1:" in log.read_text() or process.poll() is not None, "the dashboard", HANG)
        assert process.poll() is None, log.read_text()
        assert ask("GET", "/healthz")[::2] == (200, "ok\n")
        assert ask("GET", "/")[0] == 401
        assert ask("GET", "/", Host="evil.example")[0] == 421
        assert ask("GET", "/healthz", Host="[")[0] == 421
        assert ask("HEAD", "/login")[::2] == (200, "")
        assert ask("GET", "/login?token=" + "x" * 5000)[0] == 414
        assert ask("POST", "/login", json.dumps({"token": "wrong"}), **{"Content-Type": "application/json"})[0] == 401
        status, headers, _ = ask("POST", "/login", json.dumps({"token": TOKEN}), **{"Content-Type": "application/json"})
        assert status == 200
        cookie = headers["set-cookie"].partition(";")[0]
        assert re.fullmatch(r"stockctl_dashboard=[0-9a-f]{64}", cookie)
        status, headers, page = ask("GET", "/", Cookie=cookie)
        assert status == 200
        assert "<title>" in page
        assert headers["server"] is None
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        assert ask("GET", "/", Cookie=cookie, **upgrade, **{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})[0] == 403
    finally:
        process.terminate()
        assert process.wait(HANG) == 0
    written = log.read_text()
    assert "a wrong token from 127.0.0.1" in written
    assert TOKEN not in written
    assert cookie.partition("=")[2] not in written


def test_a_request_that_has_not_ended_when_the_service_stops_is_answered(tmp_path: Path) -> None:
    """It waits for a MongoDB that takes connections, and says nothing."""
    log, port = tmp_path / "dashboard.log", free_port()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"mongodb://127.0.0.1:{silent.getsockname()[1]}"
        command = Command(tmp_path, STOCKCTL_MONGO__URL=address, STOCKCTL_MONGO__CONNECT_WAIT="4s")
        process = command.start("dashboard", "--port", str(port), log=log, real=True)
        asked, other = (http.client.HTTPConnection("127.0.0.1", port, timeout=HANG) for _ in range(2))
        try:
            wait_for(lambda: listening(port) or process.poll() is not None, "the dashboard", HANG)
            asked.request("GET", "/api/snapshot?symbol=AAPL")
            other.request("GET", "/healthz")
            assert other.getresponse().status == 200
            process.terminate()
            response = asked.getresponse()
            assert (response.status, json.load(response)["error"]) == (503, "the dashboard stops")
            assert process.wait(HANG) == 0
        finally:
            process.kill()
            asked.close()
            other.close()
    assert "Traceback" not in log.read_text()
    assert "failed" not in log.read_text()
