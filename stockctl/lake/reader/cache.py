"""Local copies of the lake's immutable files: fetched once from S3, read where they lie for ``file://``.

The cache is a folder of our own within ``lake.cache_dir``, shared by any number of processes. A file appears in it by a rename,
under a name that carries the hash of its bytes, so that one that is torn or damaged is never believed. Whoever leaves last
removes what was not used for longest, down to ``lake.cache_max_bytes``.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from stockctl.clients.store import AbsentError, Store
from stockctl.errors import ConfigError, StockctlError
from stockctl.lake.format.claims import lake_id
from stockctl.settings import Settings

_WORKERS = 16
"""Requests under way at a time: a request waits much longer for its answer than for its bytes."""
_MARK = 32
"""Characters of the hash that a file's name carries."""
_OURS = re.compile(rf"[0-9a-f]{{{_MARK}}}-.+|\.[0-9a-f]{{16}}", re.DOTALL)
"""Names that a file of the cache has, once it is whole and before."""

Check = Callable[[str, bytes], None]
"""Raises when the bytes fetched for a key are not what they should be."""


class LocalFiles:
    """Files of an immutable part of ``store``, as paths on this machine. A context: paths are good until it is left."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._endpoint = settings.s3.endpoint_url or ""
        self._folder = settings.lake.cache_dir.absolute() / "objects"
        self._limit = settings.lake.cache_max_bytes
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        if self._store.folder is None:
            with _usable(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
                self._lock = (self._folder / "lock").open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._lock is None:
            return
        with self._lock as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # someone else reads these files now, and trims when leaving
            _trim(self._folder, self._limit)

    @cached_property
    def _place(self) -> Path:
        """The folder of this lake's files.

        Another lake may have other bytes under the same keys: one of the same name at another endpoint, or one that was begun
        anew in the same place.
        """
        lake = "\n".join((self._endpoint, self._store.url, lake_id(self._store)))
        return self._folder / sha256(lake.encode()).hexdigest()[:16]

    def paths(self, keys: Iterable[str], check: Check = lambda *_: None) -> dict[str, Path]:
        """Where each key's bytes lie; keys without an object are left out.

        What is not here yet is fetched side by side, and ``check`` looks at it before it is kept.
        """
        wanted = list(keys)
        if self._store.folder is not None:
            folder = self._store.folder
            return {key: folder / key for key in wanted if (folder / key).is_file()}
        found: dict[str, Path] = {}
        with _usable(self._folder), ThreadPoolExecutor(_WORKERS, thread_name_prefix="fetch") as pool:
            held = {path: _listing(path) for path in {(self._place / key).parent for key in wanted}}
            for key, path in zip(wanted, pool.map(lambda key: self._path(key, held, check), wanted), strict=True):
                if path is not None:
                    found[key] = path
        return found

    def _path(self, key: str, held: dict[Path, dict[str, Path]], check: Check) -> Path | None:
        place = self._place / key
        known = held[place.parent].get(place.name)
        if known is not None:
            if _digest(known.read_bytes()) == known.name[:_MARK]:
                os.utime(known)
                return known
            known.unlink(missing_ok=True)
        try:
            data = self._store.get(key)
        except AbsentError:
            return None
        check(key, data)
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.parent / f".{secrets.token_hex(8)}"
        partial.write_bytes(data)
        return partial.rename(place.with_name(f"{_digest(data)}-{place.name}"))


@contextmanager
def file_of(key: str) -> Iterator[None]:
    """Say which object it is whose file cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise StockctlError(f"the object {key} was deleted while it was read", hint="ask again") from None
    except OSError as error:
        raise StockctlError(
            f"the object {key} cannot be read: {error.strerror}", hint="check its rights, and the disk"
        ) from error


def read_file(key: str, path: Path) -> bytes:
    """The bytes of the object at ``key``, whose file is at ``path``."""
    with file_of(key):
        return path.read_bytes()


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:_MARK]


def _listing(folder: Path) -> dict[str, Path]:
    """The files in a folder of the cache by the names they have in the store."""
    try:
        return {path.name[_MARK + 1 :]: path for path in folder.iterdir() if path.name[_MARK : _MARK + 1] == "-"}
    except FileNotFoundError:
        return {}


def _trim(folder: Path, limit: int) -> None:
    """Remove unfinished files, then the least recently used ones above ``limit`` bytes. Nobody else reads or writes now.

    What the cache has not made stays, and what may not be removed: another user may have fetched it.
    """
    held: list[tuple[float, int, Path]] = []
    for path in _files(folder):
        if path.name.startswith("."):
            _remove(path)
        else:
            status = path.stat()
            held.append((status.st_mtime, status.st_size, path))
    over = sum(size for _, size, _ in held) - limit
    for _, size, path in sorted(held):
        if over <= 0:
            break
        if _remove(path):
            over -= size


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names if _OURS.fullmatch(name))


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """Say which folder it is that cannot be used, and which setting names it."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot use the cache folder {folder}: {error.strerror}",
            hint="set lake.cache_dir to a folder with room and rights",
        ) from error
