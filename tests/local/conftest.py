"""A supervisor of small children, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stockctl.local.files import StackFiles
from stockctl.local.processes import identity
from tests.command import HANG
from tests.conftest import wait_for


class Running:
    """A running supervisor, its files and its log."""

    def __init__(self, folder: Path, parts: tuple[dict[str, Any], ...]) -> None:
        self.folder = folder
        self.files = StackFiles(folder / "local")
        self.files.create()
        self.log = self.files.log("supervisor")
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.local.small_stack", str(folder), json.dumps(parts)], stdout=stream, stderr=stream
            )

    def part(self, name: str) -> dict[str, Any]:
        """The service in ``state.json``; empty while it is not there."""
        return next((part for part in self.files.read_state().get("parts", []) if part["name"] == name), {})

    def wait(self, state: str, *names: str) -> None:
        """Wait until these services are in ``state``."""
        wait_for(lambda: all(self.part(name).get("state") == state for name in names), f"{names} to be {state}", HANG)

    def kill(self, name: str) -> int:
        """``kill -9`` a service; its pid."""
        pid = int(self.part(name)["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self) -> int:
        """SIGTERM to the supervisor; its exit code."""
        self.process.terminate()
        return self.process.wait(HANG)

    @property
    def notes(self) -> list[str]:
        """The notes of the children, in order."""
        return (self.folder / "notes").read_text().splitlines()


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a supervisor of services, given as dicts; everything is stopped with the test."""
    started: list[Running] = []

    def start(*parts: dict[str, Any]) -> Running:
        started.append(Running(tmp_path, parts))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        for part in one.files.read_state().get("parts", []):
            if part["pid"] and identity(part["pid"]) == part["identity"]:
                os.kill(part["pid"], signal.SIGKILL)
