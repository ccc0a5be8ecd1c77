"""Joining small files: DuckDB takes milliseconds for each file that it opens, whatever its size.

gzip members, and zstd frames, may follow each other in one file; so what is joined are the bytes as they are. Each object is
compared with its claim on the way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from stockctl.lake.format.keys import DATE_KEY, date_of
from stockctl.lake.reader.cache import file_of, read_file

SMALL = 1_000_000
"""Bytes below which a file is joined with others."""
ENOUGH = 32
"""Small files from which on it is worth while."""
JOINED = 8_000_000
"""Bytes of a joined file, at least: few enough that all cores have one to read."""

_WORKERS = 8
_AHEAD = 256
"""Files read ahead of their writing."""

Item = TypeVar("Item")


def concatenate(paths: Mapping[str, Path], folder: Path, check: Callable[[str, bytes], None]) -> list[Path]:
    """``paths`` by key, with the small raw files of each date joined into files in ``folder``.

    ``check`` is given the key and bytes of each file that is joined, and raises if they are wrong.
    """
    left: list[Path] = []
    small: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, path in paths.items():
        with file_of(key):
            is_small = path.suffix != ".parquet" and path.stat().st_size < SMALL
        if is_small:
            small[f"{DATE_KEY}{date_of(key)}", path.suffix].append(key)
        else:
            left.append(path)
    if sum(map(len, small.values())) < ENOUGH:
        return list(paths.values())

    def read(key: str) -> bytes:
        data = read_file(key, paths[key])
        check(key, data)
        return data

    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="join") as pool:
        for (day, suffix), keys in small.items():
            (folder / day).mkdir(exist_ok=True)
            datas = (data for some in _pieces(keys, _AHEAD) for data in pool.map(read, some))
            left += _write(datas, folder / day, suffix)
    return left


def _write(datas: Iterable[bytes], folder: Path, suffix: str) -> Iterator[Path]:
    remaining = iter(datas)
    for number, first in enumerate(remaining):
        path = folder / f"{number}.jsonl{suffix}"
        with path.open("wb") as file:
            file.write(first)
            while file.tell() < JOINED and (data := next(remaining, None)) is not None:
                file.write(data)
        yield path


def _pieces(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    remaining = iter(items)
    while piece := list(islice(remaining, size)):
        yield piece
