"""What tests fetch or build once and keep in the user's cache, also where several processes ask for it at once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path


def cached(name: str) -> Path:
    """The file or folder ``name`` of the cache, there or not."""
    return user_cache_path("stockctl-tests") / name


@contextmanager
def alone(folder: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """``folder``, made, for this process alone: another one waits until it is done or dead, after calling ``waiting``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def at_once(file: Path) -> Iterator[Path]:
    """A name to write to; what is there when the block has ended well becomes ``file``, else nothing is left of it."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        yield part
        if part.exists():
            part.replace(file)
    finally:
        part.unlink(missing_ok=True)
