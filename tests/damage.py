"""Damage to files, for tests: what a power cut, a bad disk, another program or a hand may leave."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.lakes import TOO_DEEP

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**18,
    10**30,
    1e308,
    0.5,
    "",
    "\0",
    "²",
    "NaN",
    "2026-13-45",
    "9999-12-31T23:59:59.999999Z",
    "2026-11-23T00:00:00",
    "../../../escape",
    "/etc/escape",
    "trades/../../escape",
    "_log/../../escape.json",
    "America",
    "x" * 5000,
    [],
    {},
    [None],
    {"a": {"b": [1, "2"]}},
)
"""Values that stand in for another one."""

RAW = (
    b"",
    b"\0" * 100,
    b"\xff\xfe",
    b"null",
    b"[]",
    b"1",
    b'""',
    b"{}",
    TOO_DEEP,
    b'{"a":' * 50_000,
    b"9" * 5000,
    b"not json\n",
)
"""Whole contents."""


def bytes_of(data: bytes, random: Random) -> bytes:
    """``data`` with one damage to its bytes."""
    at, other = (random.randrange(len(data) + 1) for _ in range(2))
    odd = bytes(random.randrange(256) for _ in range(random.randrange(1, 9)))
    ways: list[Callable[[], bytes]] = [
        lambda: data[:at],
        lambda: data[:at] + odd + data[at:],
        lambda: data[:at] + data[other:],
        lambda: data[:at] + b"\0" * (len(data) - at),
        lambda: data[:at] + bytes(byte ^ 1 << random.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :],
        lambda: data + data,
        lambda: random.choice(RAW),
    ]
    return random.choice(ways)()


def value_of(value: Any, random: Random) -> Any:
    """``value``, as JSON has it, with one part changed, left out, or standing twice."""
    if random.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return random.choice(ODD)
    if isinstance(value, dict):
        key = random.choice(list(value))
        if random.random() < 0.15:
            return {name: part for name, part in value.items() if name != key}
        if random.random() < 0.1:
            return {
                random.choice([key.upper(), f"{key} ", "../escape"]) if name == key else name: value[name] for name in value
            }
        return value | {key: value_of(value[key], random)}
    index = random.randrange(len(value))
    if random.random() < 0.2:
        return value[:index] + value[index + 1 :] if random.random() < 0.5 else value + value[index:]
    return [*value[:index], value_of(value[index], random), *value[index + 1 :]]


def damaged(data: bytes, random: Random) -> bytes:
    """``data`` with one damage, to its bytes or, if it is JSON, to a value."""
    if random.random() < 0.6:
        try:
            return json.dumps(value_of(json.loads(data), random)).encode(errors="surrogatepass")
        except ValueError:
            pass
    return bytes_of(data, random)


class Tree:
    """A folder as it was: damage is undone by ``restore``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        self._folders = {path for path in folder.rglob("*") if path.is_dir()}

    def restore(self) -> None:
        """Make it as it was."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path not in self.files and path not in self._folders:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path, data in self.files.items():
            if not path.is_file() or path.read_bytes() != data:
                if path.is_dir():
                    shutil.rmtree(path)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)

    def apply(self, path: Path, random: Random) -> None:
        """Damage the file at ``path``: what it holds, its name, or that it is there at all."""
        fate = random.random()
        if fate < 0.9:
            path.write_bytes(damaged(self.files[path], random))
            return
        if fate < 0.95:
            name = random.choice([f"{path.name}.old", "junk", "²" * 3, "2026-99-99.json", f"x{path.name}"])
            shutil.copyfile(path, path.with_name(name))
        path.unlink()
        if fate > 0.98:
            path.mkdir()
