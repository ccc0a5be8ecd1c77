"""Local copies of the lake's immutable objects: downloaded once from S3, read in place for ``file://``.

The cache is a folder in ``lake.cache_dir`` that processes share. A file gets its name by a rename, and the name includes the
hash of its bytes, so that a partial or damaged file is never used. The last process to close the cache deletes the least
recently used files, down to ``lake.cache_max_bytes``.
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
from typing import IO, Self

from stockctl.clients.object_store import AbsentError, Store
from stockctl.errors import ConfigError, StockctlError
from stockctl.lake.format.claims import lake_id
from stockctl.settings import Settings

_WORKERS = 16
"""Concurrent requests: a request waits much longer for its response than for its bytes."""
_HASH_LENGTH = 32
"""Characters of the hash in the name of a file."""
_CACHED = re.compile(rf"[0-9a-f]{{{_HASH_LENGTH}}}-.+|\.[0-9a-f]{{16}}", re.DOTALL)
"""Names of complete and of partial files in the cache."""

Check = Callable[[str, bytes], None]
"""Raises an error if the bytes of a key are wrong."""


class LocalFiles:
    """Objects of ``store`` as files on this machine. A context manager: the files exist until the context ends."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._endpoint = settings.s3.endpoint_url or ""
        self._folder = settings.lake.cache_dir.absolute() / "objects"
        self._limit = settings.lake.cache_max_bytes
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        if self._store.folder is None:
            with _folder_errors(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
                self._lock = (self._folder / "lock").open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is None:
            return
        with self._lock as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another process uses the cache, and trims it when it closes it
            _trim(self._folder, self._limit)

    @cached_property
    def _lake_folder(self) -> Path:
        """The folder of this lake in the cache.

        Another lake may have the same keys with other bytes: one with the same URL at another endpoint, or one that was
        recreated at the same URL.
        """
        lake = "\n".join((self._endpoint, self._store.url, lake_id(self._store)))
        return self._folder / sha256(lake.encode()).hexdigest()[:16]

    def paths(self, keys: Iterable[str], check: Check = lambda *_: None) -> dict[str, Path]:
        """The file of each key; keys without an object are left out.

        Missing files are downloaded concurrently; ``check`` sees the bytes before they are stored.
        """
        all_keys = list(keys)
        if self._store.folder is not None:
            folder = self._store.folder
            return {key: folder / key for key in all_keys if (folder / key).is_file()}
        files: dict[str, Path] = {}
        with _folder_errors(self._folder), ThreadPoolExecutor(_WORKERS, thread_name_prefix="fetch") as pool:
            cached = {path: _cached_files(path) for path in {(self._lake_folder / key).parent for key in all_keys}}
            for key, path in zip(all_keys, pool.map(lambda key: self._path(key, cached, check), all_keys), strict=True):
                if path is not None:
                    files[key] = path
        return files

    def _path(self, key: str, cached: dict[Path, dict[str, Path]], check: Check) -> Path | None:
        target = self._lake_folder / key
        existing = cached[target.parent].get(target.name)
        if existing is not None:
            if _digest(existing.read_bytes()) == existing.name[:_HASH_LENGTH]:
                os.utime(existing)
                return existing
            existing.unlink(missing_ok=True)
        try:
            data = self._store.get(key)
        except AbsentError:
            return None
        check(key, data)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f".{secrets.token_hex(8)}"
        partial.write_bytes(data)
        return partial.rename(target.with_name(f"{_digest(data)}-{target.name}"))


@contextmanager
def file_errors(key: str) -> Iterator[None]:
    """Raise file errors as StockctlErrors that name the object."""
    try:
        yield
    except FileNotFoundError:
        raise StockctlError(f"the object {key} was deleted while it was read", hint="run the command again") from None
    except OSError as error:
        raise StockctlError(
            f"the object {key} cannot be read: {error.strerror}", hint="check its permissions, and the disk"
        ) from error


def read_file(key: str, path: Path) -> bytes:
    """The bytes of the object at ``key``, whose file is at ``path``."""
    with file_errors(key):
        return path.read_bytes()


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:_HASH_LENGTH]


def _cached_files(folder: Path) -> dict[str, Path]:
    """The files in a folder of the cache, by their names in the store."""
    try:
        return {
            path.name[_HASH_LENGTH + 1 :]: path
            for path in folder.iterdir()
            if path.name[_HASH_LENGTH : _HASH_LENGTH + 1] == "-"
        }
    except FileNotFoundError:
        return {}


def _trim(folder: Path, limit: int) -> None:
    """Delete partial files, then the least recently used files above ``limit`` bytes. No other process uses the cache now.

    Files that the cache did not write stay, and files that cannot be deleted: they may belong to another user.
    """
    files: list[tuple[float, int, Path]] = []
    for path in _files(folder):
        if path.name.startswith("."):
            _remove(path)
        else:
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    excess = sum(size for _, size, _ in files) - limit
    for _, size, path in sorted(files):
        if excess <= 0:
            break
        if _remove(path):
            excess -= size


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names if _CACHED.fullmatch(name))


@contextmanager
def _folder_errors(folder: Path) -> Iterator[None]:
    """Raise OSErrors as a ConfigError that names the folder and its setting."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot use the cache folder {folder}: {error.strerror}",
            hint="set lake.cache_dir to a folder with free space that you can write to",
        ) from error
