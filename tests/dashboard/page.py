"""What a page does with the API, without a browser: a snapshot, the frames after it, and a new snapshot when it is asked to."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing, suppress
from typing import Any

from tests.command import HANG
from tests.conftest import wait_for


def get(address: str, path: str, **values: str | None) -> Any:
    """An answer of the API."""
    query = urllib.parse.urlencode({name: value for name, value in values.items() if value is not None})
    with urllib.request.urlopen(f"{address}{path}?{query}", timeout=HANG) as response:  # noqa: S310  # our own
        return json.load(response)


class Page:
    """A page on ``view``. Its fields are what it shows; a thread of its own applies the frames."""

    def __init__(self, address: str, **view: str) -> None:
        self.address, self.view = address, view
        self.numbers: dict[str, Any] = {}
        self.bars: dict[int, dict[str, Any]] = {}
        self.events: list[str] = []
        """The names of the events that came."""
        self.ids: list[str] = []
        self.is_stale = False
        self._closed = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._load()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave, as a browser does."""
        self._closed.set()
        self._hang_up()
        self._thread.join(HANG)

    def wait_for(self, trades: int) -> None:
        """Wait until the page shows so many trades."""
        wait_for(lambda: self.numbers.get("trades") == trades, f"a page that shows {trades} trades", HANG)

    def _hang_up(self) -> None:
        """End the stream: else it would be noticed with the next frame only, or heartbeat."""
        if self._connection is not None and self._connection.sock is not None:
            with suppress(OSError):  # the server was first
                self._connection.sock.shutdown(socket.SHUT_RDWR)

    def _load(self) -> None:
        snapshot = get(self.address, "/api/snapshot", **self.view)
        self.id, self.numbers = snapshot["id"], snapshot["numbers"]
        self.bars = {bar["bar"]: bar for bar in snapshot["bars"]}

    def _follow(self) -> None:
        while not self._closed.is_set():
            try:
                self._read()
                if not self._closed.is_set():
                    self._load()
            except (urllib.error.URLError, http.client.HTTPException, OSError):
                # As a browser's EventSource, which tries again after a while.
                self._closed.wait(0.2)

    def _read(self) -> None:
        """Apply frames until the stream ends, or asks for a new snapshot."""
        query = urllib.parse.urlencode({**self.view, "after": self.id})
        self._connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.address).netloc, timeout=20)
        with closing(self._connection) as connection:
            connection.request("GET", f"/api/events?{query}")
            event = ""
            for line in connection.getresponse():
                if self._closed.is_set():
                    return
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    event = value
                elif name == "id":
                    self.ids.append(value)
                elif name == "data":
                    self.events.append(event)
                    if event == "resync":
                        return
                    self._apply(event, json.loads(value))

    def _apply(self, event: str, data: dict[str, Any]) -> None:
        if event == "view":
            self.numbers = data["numbers"]
            for bar in data["bars"]:
                self.bars[bar["bar"]] = bar
        elif event in ("stale", "fresh"):
            self.is_stale = event == "stale"
