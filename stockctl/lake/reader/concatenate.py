"""Concatenating small files: DuckDB needs milliseconds to open a file, whatever its size.

A file may have several gzip members or zstd frames, so the compressed bytes are concatenated. Each object is compared with its
claim at the same time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from stockctl.lake.format.keys import DATE_KEY, date_of
from stockctl.lake.reader.cache import file_errors, read_file

SMALL = 1_000_000
"""Files with fewer bytes are concatenated."""
ENOUGH = 32
"""Number of small files from which concatenating saves time."""
JOINED = 8_000_000
"""Minimum bytes of a concatenated file: small enough that every core has one to read."""

_WORKERS = 8
_AHEAD = 256
"""Files that are read ahead."""

Item = TypeVar("Item")


def concatenate(paths: Mapping[str, Path], folder: Path, check: Callable[[str, bytes], None]) -> list[Path]:
    """``paths`` (by key), with the small raw files of each date concatenated into files in ``folder``.

    ``check`` gets the key and the bytes of each concatenated file, and raises an error if they are wrong.
    """
    files: list[Path] = []
    small: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, path in paths.items():
        with file_errors(key):
            is_small = path.suffix != ".parquet" and path.stat().st_size < SMALL
        if is_small:
            small[f"{DATE_KEY}{date_of(key)}", path.suffix].append(key)
        else:
            files.append(path)
    if sum(map(len, small.values())) < ENOUGH:
        return list(paths.values())

    def read(key: str) -> bytes:
        data = read_file(key, paths[key])
        check(key, data)
        return data

    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="join") as pool:
        for (day, suffix), keys in small.items():
            (folder / day).mkdir(exist_ok=True)
            contents = (data for some in _pieces(keys, _AHEAD) for data in pool.map(read, some))
            files += _write(contents, folder / day, suffix)
    return files


def _write(contents: Iterable[bytes], folder: Path, suffix: str) -> Iterator[Path]:
    remaining = iter(contents)
    for number, first in enumerate(remaining):
        path = folder / f"{number}.jsonl{suffix}"
        with path.open("wb") as file:
            file.write(first)
            # allow-word tell: the method of Python's files
            while file.tell() < JOINED and (data := next(remaining, None)) is not None:
                file.write(data)
        yield path


def _pieces(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    remaining = iter(items)
    while piece := list(islice(remaining, size)):
        yield piece
