"""A pipeline for the page: a simulator, ``produce``, the writers of MongoDB and of the lake, and ``dashboard``."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from stockctl.settings import env_name
from tests.command import HANG, Command, Process
from tests.conftest import MongoServer, free_port, listening, own_names, wait_for
from tests.mongo.conftest import mongo_names

SYMBOLS = "AAPL,MSFT,NVDA"


class Pipeline(Command):
    """The commands with settings of their own. ``address`` is the dashboard's."""

    def __init__(self, broker: str, mongo: MongoServer, folder: Path, *, rate: int = 60) -> None:
        self.sim_port, self.port = free_port(), free_port()
        self.rate = rate
        self.running: dict[str, Process] = {}
        names = own_names(broker, folder) | mongo_names(mongo, folder)
        names |= {
            "symbols": SYMBOLS,
            "finnhub.url": f"ws://127.0.0.1:{self.sim_port}",
            "finnhub.rest_url": f"http://127.0.0.1:{self.sim_port}/api/v1",
            "finnhub.token": "sim",
            "lake.max_age": "1s",
            "dashboard.frame_every": "50ms",
            "dashboard.requests_per_second": "1000",
        }
        super().__init__(folder, **{env_name(name): value for name, value in names.items()})

    @property
    def address(self) -> str:
        """Of the dashboard."""
        return f"http://127.0.0.1:{self.port}"

    def start_all(self) -> None:
        """Start everything, and wait until trades are in MongoDB and the dashboard answers."""
        self.run("topics", "apply")
        self.serve("sim", "sim", "--port", str(self.sim_port), "--rate", str(self.rate), "--symbols", SYMBOLS)
        wait_for(lambda: listening(self.sim_port), "the simulator", HANG)
        self.serve("lake", "consume", "s3")
        self.serve("mongo", "consume", "mongo")
        self.serve("produce", "produce")
        self.start_dashboard()
        wait_for(lambda: self.documents() > 0, "trades in MongoDB", HANG)
        wait_for(lambda: "rows in" in self.said("lake"), "trades in the lake", HANG)

    def start_dashboard(self) -> None:
        """Start the dashboard, and wait until it answers."""
        process = self.serve("dashboard", "dashboard", "--port", str(self.port))
        wait_for(lambda: listening(self.port) or process.poll() is not None, "the dashboard", HANG)
        assert process.poll() is None, self.said("dashboard")

    def serve(self, name: str, *arguments: str) -> Process:
        """Start a command that goes on."""
        process = self.running[name] = self.start(*arguments, log=self.folder / f"{name}.log")
        return process

    def end(self, name: str, *, kill: bool = False) -> None:
        """Stop a command, or kill it; wait until it is gone."""
        process = self.running.pop(name)
        process.kill() if kill else process.terminate()
        process.wait(HANG)

    def end_all(self) -> None:
        """Stop whatever runs, the sources first."""
        for name in ("produce", "sim", "mongo", "lake", "dashboard"):
            if name in self.running:
                self.end(name)

    def said(self, name: str) -> str:
        """The end of the log of a command."""
        file = self.folder / f"{name}.log"
        return file.read_text()[-3000:] if file.exists() else ""

    def control(self, what: str) -> None:
        """Send the simulator a command, such as ``drop``."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.sim_port}/control/{what}", timeout=HANG) as response:
            assert response.status == 200

    def documents(self) -> int:
        """Trades in MongoDB."""
        from stockctl.clients.mongo import Mongo
        from stockctl.mongo.schema import TRADES
        from stockctl.settings import load_settings

        with Mongo(load_settings(environ=self.environment)) as mongo:
            return mongo.count(TRADES)

    def api(self, path: str) -> Any:
        """An answer of the dashboard."""
        with urllib.request.urlopen(self.address + path, timeout=HANG) as response:  # noqa: S310  # our own
            return json.load(response)
