"""The WebSocket to the feed: what is received, each way of failing in words of ours, and the key in none of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from stockctl.clients.finnhub.websocket import SIMULATOR_TOKEN, FeedConnection, FeedLostError, TooManyConnectsError, feed_token
from stockctl.errors import ConfigError, RefusedError, StockctlError, UnreachableError
from stockctl.settings import Settings, load_settings
from stockctl.sim import Simulator, numbered_rows
from tests.command import HANG, clean_environment
from tests.conftest import free_port

KEY = "c0ffee+c0ffee/c0ffee"


def settings(url: str, token: str | None = KEY, **finnhub: Any) -> Settings:
    flags = {"finnhub.url": url, "finnhub.token": token} | {f"finnhub.{name}": value for name, value in finnhub.items()}
    return load_settings(environ=clean_environment(), flags=flags)


def failure(url: str, **finnhub: Any) -> StockctlError:
    """What connecting raises; it must not hold the key, nor hang on to an exception that may."""
    with pytest.raises(StockctlError) as raised:
        FeedConnection(settings(url, **finnhub))
    error = raised.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "c0ffee" not in f"{error!r} {error.hint}"
    return error


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(rate=0) as running:
        yield running


@pytest.fixture
def connection(sim: Simulator) -> Iterator[FeedConnection]:
    connection = FeedConnection(settings(sim.url))
    yield connection
    connection.close()


def test_frames_of_subscribed_symbols_are_received_as_they_were_sent(sim: Simulator, connection: FeedConnection) -> None:
    connection.subscribe("AAPL")
    sim.wait_for(lambda counters: counters.subscribed == ["AAPL"])
    sim.send_rows(numbered_rows(2))
    text = connection.receive(HANG)
    assert text is not None
    assert text.startswith(b'{"data":[{')
    sim.send_raw('{"type":"ping"}')
    assert connection.receive(HANG) == b'{"type":"ping"}'


def test_nothing_within_the_time_is_none(connection: FeedConnection) -> None:
    assert connection.receive(0.05) is None
    assert connection.receive(0.05) is None


def test_the_key_is_sent_as_it_is_whatever_its_characters() -> None:
    with Simulator(rate=0, token=KEY) as sim:
        FeedConnection(settings(sim.url)).close()
        assert sim.counters.connections == 1


def test_a_dropped_connection_is_lost(sim: Simulator, connection: FeedConnection) -> None:
    sim.drop()
    with pytest.raises(FeedLostError, match=r"ended the connection: Connection to remote host was lost$") as raised:
        connection.receive(HANG)
    assert raised.value.__context__ is None


def test_sending_on_a_lost_connection_is_an_error_of_ours(sim: Simulator, connection: FeedConnection) -> None:
    sim.drop()

    def subscribe_on_and_on() -> None:
        while True:
            connection.subscribe("AAPL")

    with pytest.raises(FeedLostError):
        subscribe_on_and_on()


def test_a_key_that_the_server_sends_back_is_not_shown() -> None:
    goodbye = (1008).to_bytes(2, "big") + f"key {KEY} is unknown".encode()
    connection = FeedConnection(settings(handshaken(bytes([0x88, len(goodbye)]) + goodbye)))
    with pytest.raises(FeedLostError, match=r"closed with 1008 key \*\*\*\* is unknown"):
        connection.receive(HANG)
    connection.close()


def test_a_redirect_that_has_the_key_is_reported_without_it() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as client:
            query = client.recv(65_536).split()[1].decode()
            client.sendall(f"HTTP/1.1 302 Found\r\nLocation: http://elsewhere{query}\r\n\r\n".encode())

    threading.Thread(target=serve, daemon=True).start()
    assert "elsewhere/?token=****" in str(failure(f"ws://127.0.0.1:{listener.getsockname()[1]}"))


def handshaken(*pieces: bytes) -> str:
    """The address of a server that takes one WebSocket, sends the first piece, and each other one when it is sent something."""
    import base64
    import hashlib

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as client:
            request = client.recv(65_536).decode()
            key = next(line.split(": ")[1] for line in request.splitlines() if line.startswith("Sec-WebSocket-Key"))
            accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())  # noqa: S324
            client.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                + accept
                + b"\r\n\r\n"
                + pieces[0]
            )
            left = list(pieces[1:])
            while client.recv(65_536):
                if left:
                    client.sendall(left.pop(0))

    threading.Thread(target=serve, daemon=True).start()
    return f"ws://127.0.0.1:{listener.getsockname()[1]}"


def test_the_code_and_reason_of_a_close_frame_are_reported() -> None:
    goodbye = (1012).to_bytes(2, "big") + b"please reconnect"
    connection = FeedConnection(settings(handshaken(bytes([0x88, len(goodbye)]) + goodbye)))
    with pytest.raises(FeedLostError, match="closed with 1012 please reconnect"):
        connection.receive(HANG)
    connection.close()


def test_a_ping_of_the_protocol_is_a_frame_without_text() -> None:
    connection = FeedConnection(settings(handshaken(bytes([0x89, 2]) + b"hi")))
    assert connection.receive(HANG) == b""
    connection.close()


def test_bytes_that_are_no_utf8_are_received_all_the_same() -> None:
    connection = FeedConnection(settings(handshaken(bytes([0x81, 3]) + b'"\xff"')))
    assert connection.receive(HANG) == b'"\xff"'
    connection.close()


def test_a_frame_that_comes_in_pieces_survives_a_wait_that_ended_in_its_middle() -> None:
    connection = FeedConnection(settings(handshaken(bytes([0x81, 5]) + b"he", b"llo")))
    assert connection.receive(0.3) is None
    connection.subscribe("AAPL")
    assert connection.receive(HANG) == b"hello"
    connection.close()


def test_a_wrong_key_is_refused() -> None:
    with Simulator(token="another") as sim:
        error = failure(sim.url)
    assert type(error) is RefusedError
    assert "refuses the key (HTTP 401)" in str(error)
    assert "STOCKCTL_FINNHUB__TOKEN" in (error.hint or "")


def test_http_429_reports_too_many_connections(sim: Simulator) -> None:
    sim.refuse(429)
    error = failure(sim.url)
    assert isinstance(error, TooManyConnectsError)
    assert "the API key is in use elsewhere" in str(error)


def test_another_http_status_is_reported(sim: Simulator) -> None:
    sim.refuse(503)
    error = failure(sim.url)
    assert isinstance(error, UnreachableError)
    assert "HTTP 503" in str(error)


def test_where_nothing_listens_is_unreachable() -> None:
    error = failure(f"ws://127.0.0.1:{free_port()}")
    assert isinstance(error, UnreachableError)
    assert "Connection refused" in str(error)


def test_a_name_that_nobody_has_is_unreachable() -> None:
    assert isinstance(failure("ws://feed.invalid"), UnreachableError)


def test_a_server_without_tls_is_unreachable_over_tls(sim: Simulator) -> None:
    error = failure(sim.url.replace("ws:", "wss:"))
    assert isinstance(error, UnreachableError)
    assert "the TLS handshake with" in str(error)


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        error = failure(f"ws://127.0.0.1:{mute.getsockname()[1]}", connect_timeout="0.3s")
    assert isinstance(error, UnreachableError)
    assert "timed out" in str(error)


def test_the_real_feed_needs_a_key_and_the_simulator_none() -> None:
    with pytest.raises(ConfigError, match=r"finnhub\.token"):
        feed_token(settings("wss://ws.finnhub.io", token=None))
    assert feed_token(settings("ws://127.0.0.1:1", token=None)) == SIMULATOR_TOKEN
    assert feed_token(settings("ws://127.0.0.1:1")) == KEY
