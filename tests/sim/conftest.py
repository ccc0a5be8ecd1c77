"""A client of the simulator, as the feed has one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websocket

from stockctl.sim import Simulator
from tests.command import HANG


class Client:
    """A WebSocket connection that speaks JSON."""

    def __init__(self, url: str) -> None:
        self.socket = websocket.create_connection(url, timeout=HANG)

    def ask(self, kind: str, *symbols: str) -> None:
        for symbol in symbols:
            self.socket.send(json.dumps({"type": kind, "symbol": symbol}))

    def text(self) -> str:
        """The next text."""
        text = self.socket.recv()
        assert isinstance(text, str)
        return text

    def frame(self) -> dict[str, Any]:
        """The next text as JSON."""
        frame: dict[str, Any] = json.loads(self.text())
        return frame

    def rows(self, count: int) -> list[dict[str, Any]]:
        """At least ``count`` rows, from the next trade frames; anything else on the way fails."""
        rows: list[dict[str, Any]] = []
        while len(rows) < count:
            frame = self.frame()
            assert frame["type"] == "trade", frame
            rows += frame["data"]
        return rows

    def ended(self) -> bool:
        """Whether the connection is at its end, without a closing handshake; takes one text if not."""
        try:
            self.socket.recv()
        except (websocket.WebSocketConnectionClosedException, ConnectionResetError):
            return True
        return False

    def close(self) -> None:
        self.socket.shutdown()  # type: ignore[no-untyped-call]  # the library has no types


Connect = Callable[..., Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connects to a simulator, subscribes, and waits until the simulator knows."""
    clients: list[Client] = []

    def open_one(sim: Simulator, *symbols: str, token: str | None = None) -> Client:
        client = Client(f"{sim.url}?token={token or sim.token}")
        clients.append(client)
        client.ask("subscribe", *symbols)
        sim.wait_for(lambda counters: set(symbols) <= set(counters.subscribed))
        return client

    yield open_one
    for client in clients:
        client.close()
