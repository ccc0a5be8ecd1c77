"""A stack of real services, for tests."""

from __future__ import annotations

import json
import os
import signal
import zlib
from pathlib import Path
from typing import Any

from stockctl.clients.mongo import Mongo
from stockctl.local.demo import lake_totals
from stockctl.local.services import health_problem
from stockctl.local.status import status as stack_status
from stockctl.mongo.schema import TRADES
from stockctl.settings import Settings, load_settings
from tests.command import HANG, Command
from tests.conftest import wait_for


def page_port(folder: Path) -> str:
    """A port for the dashboard of a stack in ``folder``: all stacks prefer the same one, and tests start several at once."""
    return str(20_000 + zlib.crc32(str(folder).encode()) % 10_000)


class Stack(Command):
    """A local stack in ``folder``, which should have a space in its name."""

    def __init__(self, folder: Path, **environment: str) -> None:
        folder.mkdir(exist_ok=True)
        own = {"STOCKCTL_LAKE__MAX_AGE": "1s", "STOCKCTL_DASHBOARD__PORT": page_port(folder)}
        super().__init__(folder, **own | environment)
        self.state_dir = folder / "state"

    def status(self, check: int | None = 0) -> dict[str, dict[str, Any]]:
        """``local status``, by service."""
        result = self.run("local", "status", "-o", "json", check=check)
        return {row["service"]: row for row in json.loads(result.stdout)}

    def settings(self) -> Settings:
        """The settings as the command sees them."""
        return load_settings(environ=self.environment)

    def rows(self) -> int:
        """Trades in the lake."""
        return lake_totals(self.settings()).get("trades", (0, 0, 0))[1]

    def documents(self) -> int:
        """Trades in MongoDB."""
        with Mongo(self.settings()) as mongo:
            return mongo.count(TRADES)

    def trouble(self, part: str) -> str:
        """The problem that a service reports; empty if it is healthy."""
        return health_problem(part, {part: self.port(part)}, timeout=HANG) or ""

    def held(self) -> int:
        """Trades in Kafka."""
        topics = json.loads(self.run("topics", "list", "-o", "json", real=True).stdout)
        return sum(int(row["records"]) for row in topics if row["topic"] == "trades")

    def verify(self) -> None:
        """Verify the lake. After a kill a feed event may be a duplicate, because an unacknowledged one is sent again."""
        result = self.run("lake", "verify", "--deep", "-o", "json", check=None)
        issues = [issue for issue in json.loads(result.stdout or "[]") if issue["kind"] != "truncated"]
        duplicates = [issue for issue in issues if issue["kind"] == "duplicate" and issue["key"].startswith("feed_events/")]
        assert issues == duplicates, result.stdout
        assert result.returncode in (0, 10 if duplicates else 0), result.stderr

    def port(self, part: str) -> int:
        """The port of a service."""
        return int(json.loads((self.state_dir / "local" / "ports.json").read_text())[part])

    def log(self, part: str) -> str:
        """The log of a service, of this run or of the last one."""
        return (self.state_dir / "local" / "logs" / f"{part}.log").read_text()

    def kill(self, *parts: str) -> dict[str, int]:
        """``kill -9`` these services, and wait until all run again; the number of restarts of each."""
        before = self.status()
        restarts = {part: before[part]["restarts"] + 1 for part in parts}
        for part in parts:
            os.kill(int(before[part]["pid"]), signal.SIGKILL)

        def back() -> bool:
            rows = {row.service: row for row in stack_status(self.settings())}
            return {part: rows[part].restarts for part in parts} == restarts and {row.state for row in rows.values()} == {
                "running"
            }

        wait_for(back, f"{parts} to be restarted", HANG)
        return restarts

    def wait_for_more(self) -> None:
        """Wait until more trades have come into the lake."""
        before = self.rows()
        wait_for(lambda: self.rows() > before, "more trades in the lake", HANG)
