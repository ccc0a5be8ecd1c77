"""The files of a local stack: its folder, its lock, its state, its logs.

A power cut, a full disk or a hand may leave anything in them: what is no state, or no ports, is none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from stockctl.clients.local_stack import is_held
from stockctl.clients.store import sync
from stockctl.errors import StockctlError
from stockctl.local.processes import identity
from stockctl.records import UNREADABLE, decode

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Kind = TypeVar("Kind")


class _Process(msgspec.Struct, kw_only=True):
    pid: _Number | None = None
    identity: str | None = None


class _Part(_Process, kw_only=True):
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+$")]
    state: str = "stopped"
    detail: str = ""
    address: str = ""
    started: float | None = None
    restarts: _Number = 0
    died: list[float] = []
    exit: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31)] | None = None


class _Shared(msgspec.Struct, rename=lambda name: name.replace("__", ".")):
    """The settings that a stack shares with other commands."""

    kafka__bootstrap_servers: str
    kafka__security_protocol: str
    finnhub__url: str
    finnhub__rest_url: str
    lake__url: str
    mongo__url: str
    symbols: Annotated[list[str], msgspec.Meta(min_length=1)]


class _State(_Process, kw_only=True):
    """What a supervisor says of itself and its parts."""

    phase: str = "stopped"
    mode: Literal["sim", "live"] = "sim"
    started: float | None = None
    notes: list[str] = []
    trouble: list[str] = []
    settings: _Shared | None = None
    ports: dict[str, Port] = {}
    symbols_given: bool = False
    effective: dict[str, Any] = {}
    parts: list[_Part] = []


@contextlib.contextmanager
def file_errors() -> Iterator[None]:
    """Say which file it is that cannot be used, and what to do; also as a decorator."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        path = error.filename2 or error.filename  # what a new file is to replace comes second
        name = f" {path}" if path else ""
        raise StockctlError(
            f"cannot use{name}: {error.strerror}",
            hint="delete what is in the way, or set state_dir to a folder with room and rights",
        ) from error


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

    @property
    def _lock(self) -> Path:
        return self.folder / "lock"

    def log(self, part: str) -> Path:
        """The log of a part."""
        return self.folder / "logs" / f"{part}.log"

    def make(self) -> None:
        """Make the folders; only this user may look inside, since logs are nobody else's business."""
        (self.folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)

    def read_state(self) -> dict[str, Any]:
        """What ``state`` holds; empty if there is none, whatever is in its place: a stack can be stopped without it."""
        try:
            state = self.read(self.state, _State)
        except OSError:
            return {}
        return {} if state is None else msgspec.to_builtins(state)

    def read(self, path: Path, kind: type[Kind]) -> Kind | None:
        """The ``kind`` in ``path``, as JSON; None if there is none."""
        try:
            return decode(path.read_bytes(), kind)
        except (FileNotFoundError, *UNREADABLE):
            return None

    def write(self, path: Path, text: str) -> None:
        """Put ``text`` in ``path`` in one step: a reader sees the old or the new, never a part, after a power cut too."""
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        sync(fresh)
        fresh.replace(path)
        sync(path)

    def keep(self, path: Path, text: str) -> None:
        """See that ``path`` holds ``text``, whatever has become of it."""
        with contextlib.suppress(OSError):
            if path.read_bytes() == text.encode():
                return
        self.write(path, text)

    @property
    def holder(self) -> int | None:
        """The process that holds the lock, as it noted there; None if nobody does, or the note is damaged."""
        noted = self.read(self._lock, _Process) if self.held else None
        return noted.pid if noted and noted.pid and identity(noted.pid) == noted.identity else None

    @property
    def lock_file(self) -> tuple[int, int] | None:
        """Which file the lock is, by device and number; None if it was deleted."""
        try:
            found = self._lock.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_dev, found.st_ino

    @property
    def held(self) -> bool:
        """Whether a supervisor is alive."""
        return is_held(self._lock)

    @contextlib.contextmanager
    def hold(self) -> Iterator[bool]:
        """Be the only one: gives True while the lock is held, False if another has it."""
        self.make()
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            mine = _locked(handle)
            if mine:
                noted = msgspec.json.encode(_Process(pid=os.getpid(), identity=identity(os.getpid())))
                with contextlib.suppress(OSError):  # a full disk: ``state`` names the process too
                    os.pwrite(handle, noted, 0)
                    os.truncate(handle, len(noted))
            yield mine
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
