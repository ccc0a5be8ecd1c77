"""What ``local status`` makes of what a supervisor says of its parts."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from stockctl.local.files import StackFiles
from stockctl.local.process import identity
from tests.command import Command


def said(name: str, state: str, detail: str = "", restarts: int = 0) -> dict[str, Any]:
    """What ``state.json`` says of a part."""
    started = {"pid": os.getpid(), "started": time.time()} if state == "running" else {"pid": None, "started": None}
    return {"name": name, "state": state, "detail": detail, "address": "", "restarts": restarts, **started}


@pytest.mark.parametrize(
    ("state", "detail"),
    [
        ("failed", "left with exit 1; 5 deaths within 1m: given up"),
        ("restarting", "was killed by SIGKILL; again in 500ms"),
    ],
)
def test_one_part_that_does_not_run_is_exit_10_and_named(tmp_path: Path, state: str, detail: str) -> None:
    """The test stands for the supervisor: it holds the lock and says how its parts are."""
    files = StackFiles(tmp_path / "state" / "local")
    with files.hold() as mine:
        assert mine
        about = {"phase": "running", "pid": os.getpid(), "identity": identity(os.getpid()), "started": time.time()}
        for parts, code in (
            ([said("broker", "running"), said("produce", "running", restarts=1)], 0),
            ([said("broker", "running"), said("produce", state, detail, restarts=1)], 10),
        ):
            files.write(files.state, json.dumps(about | {"parts": parts}))
            done = Command(tmp_path).run("local", "status", "-o", "json", check=code)
            shown = {row["part"]: row["state"] for row in json.loads(done.stdout)}
            assert shown.keys() == {"supervisor", "broker", "produce"}
        assert shown["produce"] == f"{state}: {detail}"
        assert "not running: produce" in done.stderr
