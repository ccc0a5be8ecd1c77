"""The files of a local stack: its folder, its lock, its state, its logs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stockctl.clients.local_stack import is_held


@dataclass(frozen=True)
class StackFiles:
    """Where the local stack of one ``state_dir`` keeps what it needs; ``folder`` is ``state_dir/local``."""

    folder: Path

    @property
    def state(self) -> Path:
        """What the supervisor last said of itself and its parts, as JSON."""
        return self.folder / "state.json"

    @property
    def ports(self) -> Path:
        """The ports that were chosen, as JSON."""
        return self.folder / "ports.json"

    def log(self, part: str) -> Path:
        """The log of a part."""
        return self.folder / "logs" / f"{part}.log"

    def make(self) -> None:
        """Make the folders; only this user may look inside, since logs are nobody else's business."""
        (self.folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)

    def read_state(self) -> dict[str, Any]:
        """What ``state`` holds; empty if there is none."""
        return self.read(self.state)

    def read(self, path: Path) -> dict[str, Any]:
        """The JSON object in ``path``; empty if there is none."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, path: Path, text: str) -> None:
        """Put ``text`` in ``path`` in one step: a reader sees the old or the new, never a part."""
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)

    @property
    def held(self) -> bool:
        """Whether a supervisor is alive."""
        return is_held(self.folder / "lock")

    @contextlib.contextmanager
    def hold(self) -> Iterator[bool]:
        """Be the only one: gives True while the lock is held, False if another has it."""
        self.make()
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield _locked(handle)
        finally:
            os.close(handle)


def _locked(handle: int) -> bool:
    deadline = time.monotonic() + 1.0
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Somebody who only looks holds it for an instant.
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True
