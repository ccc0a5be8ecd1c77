"""The files of a local stack: its folder, lock, state and logs.

A power cut, a full disk or a person may leave anything in them: an invalid file counts as absent.
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

from stockctl.clients.local_stack_lock import is_held
from stockctl.clients.object_store import sync
from stockctl.errors import StockctlError
from stockctl.local.processes import identity
from stockctl.records import UNREADABLE, decode
from stockctl.settings import Settings, local_stack_file

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
    optional: bool = False


class _Shared(msgspec.Struct, rename=lambda name: name.replace("__", ".")):
    """The settings that a stack shares with other commands."""

    kafka__bootstrap_servers: str
    kafka__security_protocol: str
    finnhub__url: str
    finnhub__rest_url: str
    lake__url: str
    mongo__url: str
    symbols: Annotated[list[str], msgspec.Meta(min_length=1)]
    dashboard__port: str = "8765"


class _State(_Process, kw_only=True):
    """The state of a supervisor and its services, which it calls parts."""

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
    """Report an OSError with the file's path and what to do; also as a decorator."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        path = error.filename2 or error.filename  # filename2 is the file that a new one replaces
        name = f" {path}" if path else ""
        raise StockctlError(
            f"cannot use{name}: {error.strerror or error}",
            hint="delete that path, or set state_dir to a writable folder with free space",
        ) from error


@dataclass(frozen=True)
class StackFiles:
    """The files of the local stack of one ``state_dir``; ``folder`` is ``state_dir/local``."""

    folder: Path

    @property
    def state(self) -> Path:
        """The supervisor's last state, as JSON."""
        return self.folder / "state.json"

    @property
    def ports(self) -> Path:
        """The port of each service, as JSON."""
        return self.folder / "ports.json"

    @property
    def _lock(self) -> Path:
        return self.folder / "lock"

    def log(self, service: str) -> Path:
        """The log of a service."""
        return self.folder / "logs" / f"{service}.log"

    def create(self) -> None:
        """Create the folders, readable by this user only."""
        (self.folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)

    def read_state(self) -> dict[str, Any]:
        """The content of ``state``; empty if it is missing or invalid, because a stack can be stopped without it."""
        try:
            state = self.read(self.state, _State)
        except OSError:
            return {}
        return {} if state is None else msgspec.to_builtins(state)

    def read(self, path: Path, kind: type[Kind]) -> Kind | None:
        """The ``kind`` in the JSON file ``path``; None if it is missing or invalid."""
        try:
            return decode(path.read_bytes(), kind)
        except (FileNotFoundError, *UNREADABLE):
            return None

    def write(self, path: Path, text: str) -> None:
        """Write ``text`` to ``path`` atomically: readers see the old or the new text, also after a power cut."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        sync(temporary)
        temporary.replace(path)
        sync(path)

    def ensure(self, path: Path, text: str) -> None:
        """Write ``text`` to ``path`` unless it is its content already."""
        with contextlib.suppress(OSError):
            if path.read_bytes() == text.encode():
                return
        self.write(path, text)

    @property
    def holder(self) -> int | None:
        """The process that holds the lock, from the lock file; None if none does, or the file is damaged."""
        process = self.read(self._lock, _Process) if self.held else None
        return process.pid if process and process.pid and identity(process.pid) == process.identity else None

    @property
    def lock_file(self) -> tuple[int, int] | None:
        """Device and inode of the lock file; None if it was deleted."""
        try:
            stat = self._lock.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return stat.st_dev, stat.st_ino

    @property
    def held(self) -> bool:
        """Whether a supervisor holds the lock."""
        return is_held(self._lock)

    @contextlib.contextmanager
    def hold(self) -> Iterator[bool]:
        """Hold the lock: yields True if this process has it, False if another one does."""
        self.create()
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            acquired = _lock(handle)
            if acquired:
                process = msgspec.json.encode(_Process(pid=os.getpid(), identity=identity(os.getpid())))
                with contextlib.suppress(OSError):  # disk full: ``state`` names the process too
                    os.pwrite(handle, process, 0)
                    os.truncate(handle, len(process))
            yield acquired
        finally:
            os.close(handle)


def _lock(handle: int) -> bool:
    deadline = time.monotonic() + 1.0
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A process that only checks the lock holds it for an instant.
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def stack_files(settings: Settings) -> StackFiles:
    """The files of the stack of these settings."""
    return StackFiles(local_stack_file(settings.state_dir.absolute()).parent)
