"""A stack of small Python children, as a program: ``small_stack.py FOLDER PARTS`` runs the supervisor over ``PARTS`` (JSON)."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stockctl.errors import StockctlError
from stockctl.local.files import StackFiles
from stockctl.local.supervisor import LocalService, Supervisor
from stockctl.service import running
from stockctl.settings import load_settings

CHILD = """
import os, signal, sys, time
name, folder = sys.argv[1], sys.argv[2]
def note(what):
    with open(folder + "/notes", "a") as notes:
        notes.write(f"{what} {name}\\n")
def leave(*_):
    note("stop")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
note("start")
print(name, "is at work", flush=True)
open(f"{folder}/{name}.ready", "w").close()
while True:
    time.sleep(60)
"""


def hang() -> str | None:
    """Never returns."""
    threading.Event().wait()
    return None


def fail() -> str | None:
    """Always fails."""
    raise StockctlError("nobody answers")


WATCHES: dict[str, Callable[[], str | None]] = {"hangs": hang, "acts": lambda: "what was wrong is right again", "fails": fail}
"""The watches of a service."""


def part(folder: Path, name: str, code: str = CHILD, program: str = sys.executable, **rest: Any) -> LocalService:
    """A service that runs ``code`` with its name and the folder, and is ready when ``NAME.ready`` exists."""
    mark = folder / f"{name}.ready"
    rest["after"] = tuple(rest.get("after", ()))
    if "watch" in rest:
        rest["watch"] = WATCHES[rest["watch"]]
    return LocalService(
        name,
        (program, "-c", code, name, str(folder)),
        lambda: None if mark.exists() else f"waits for {mark.name}",
        **rest,
    )


if __name__ == "__main__":
    home = Path(sys.argv[1])
    files = StackFiles(home / "local")
    with files.hold() as mine, running(load_settings(environ={})) as role:
        if not mine:
            sys.exit("held by another")
        trouble = Supervisor(files, [part(home, **spec) for spec in json.loads(sys.argv[2])], {}).run(role.stop)
    sys.exit("; ".join(trouble) or 0)
