"""Who gets in, and plain HTTP on the same port."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any

import pytest
import websocket

from stockctl.sim import Simulator
from tests.command import HANG
from tests.sim.conftest import Client, Connect


def get(sim: Simulator, path: str) -> tuple[int, str]:
    """Status and body of a plain HTTP request."""
    try:
        with urllib.request.urlopen(sim.url.replace("ws:", "http:") + path, timeout=HANG) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def counters(sim: Simulator) -> dict[str, Any]:
    status, body = get(sim, "/counters")
    assert status == 200
    counters: dict[str, Any] = json.loads(body)
    return counters


@pytest.mark.parametrize("query", ["", "?", "?token=", "?token=wrong", "?key=secret"])
def test_a_bad_or_missing_key_is_refused_with_401(query: str) -> None:
    """At the handshake; the connection never opens."""
    with Simulator(token="secret", rate=0) as sim:
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            Client(sim.url + query)
        assert refused.value.status_code == 401
        assert (sim.counters.refused, sim.counters.connections) == (1, 0)
        Client(f"{sim.url}?token=secret").close()


def test_without_a_token_any_key_is_taken_but_not_none() -> None:
    """So that users need not set one."""
    with Simulator(rate=0) as sim:
        Client(f"{sim.url}?token=anything").close()
        Client(f"{sim.url}/?token={sim.token}").close()
        with pytest.raises(websocket.WebSocketBadStatusException):
            Client(sim.url)


def test_refusals_are_counted_down() -> None:
    """Two handshakes with 429, the third gets in."""
    with Simulator(rate=0) as sim:
        sim.refuse(429, times=2)
        for _ in range(2):
            with pytest.raises(websocket.WebSocketBadStatusException) as refused:
                Client(f"{sim.url}?token=sim")
            assert refused.value.status_code == 429
        Client(f"{sim.url}?token=sim").close()


def test_counters_are_served_over_http(connect: Connect) -> None:
    """At the same port, as JSON."""
    with Simulator(rate=0) as sim:
        client = connect(sim, "AAPL")
        sim.send_rows([{"s": "AAPL"}] * 12)
        assert len(client.rows(12)) == 12
        assert counters(sim) == {
            "connections": 1, "open": 1, "refused": 0, "frames": 2, "rows": 12, "pings": 0, "errors": 0,
            "requests": 0, "limited": 0, "subscribed": ["AAPL"],
        }  # fmt: skip


def test_a_running_simulator_takes_orders_over_http(connect: Connect) -> None:
    """GET /control/… does the fault at once."""
    with Simulator(rate=0) as sim:
        client = connect(sim, "AAPL")
        assert get(sim, "/control/malformed")[0] == 200
        with pytest.raises(json.JSONDecodeError):
            client.frame()
        assert get(sim, "/control/drop")[0] == 200
        assert client.ended()
        assert get(sim, "/control/refuse:503x2")[0] == 200
        assert get(sim, "/?token=sim")[0] == 503
        assert get(sim, "/?token=sim")[0] == 503
        assert get(sim, "/?token=sim")[0] == 426


def test_orders_that_cannot_be_are_refused_with_words() -> None:
    """An unknown fault: 404; a fault that needs a connection where there is none: 409."""
    with Simulator(rate=0) as sim:
        status, body = get(sim, "/control/explode")
        assert status == 404
        assert "drop, silent" in body
        assert get(sim, "/control/drop") == (409, "no connection is open\n")


def test_probes_do_not_disturb_it(capfd: pytest.CaptureFixture[str]) -> None:
    """Connections that say nothing or nonsense are no connections, print nothing and do not hold up its end."""
    with Simulator(rate=0) as sim:
        host, port = sim.url.removeprefix("ws://").split(":")
        socket.create_connection((host, int(port))).close()
        with socket.create_connection((host, int(port))) as nonsense, socket.create_connection((host, int(port))):
            nonsense.sendall(b"\x16\x03\x01 hello\r\n\r\n")
            nonsense.settimeout(HANG)
            assert nonsense.recv(100).startswith(b"HTTP/1.1 400") or nonsense.recv(100) == b""
            assert counters(sim)["connections"] == 0
            sim.stop()
    assert capfd.readouterr().err == ""
