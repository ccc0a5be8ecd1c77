"""Commands on a real pseudo-terminal, in this process."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from stockctl.cli.main import app
from stockctl.errors import StockctlError

_STYLE = re.compile(r"\x1b\[[\d;]*m|\x1b\]8;[^\x1b]*\x1b\\")


class Shown(NamedTuple):
    """What a terminal received on stdout, without styles as ``lines``, and the messages of stderr."""

    raw: str
    lines: list[str]
    messages: str


@contextmanager
def terminal(patch: pytest.MonkeyPatch, columns: int) -> Iterator[list[bytes]]:
    """Stdout is a terminal of so many ``columns``; the list holds what it received once the block has ended."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    received: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                received.append(data)
        except OSError:  # the end of a terminal on Linux
            return

    reader = threading.Thread(target=read)
    reader.start()
    patch.setenv("TERM", "xterm-256color")
    for name in ("COLUMNS", "NO_COLOR"):
        patch.delenv(name, raising=False)
    with os.fdopen(theirs, "w") as stdout:
        patch.setattr("sys.stdout", stdout)
        try:
            yield received
        finally:
            stdout.flush()
            patch.undo()
    reader.join()
    os.close(ours)


def show(write: Callable[[], object], columns: int, **environment: str) -> Shown:
    """Call ``write`` with a terminal of so many ``columns`` as stdout; an error of a command is a message, too."""
    with pytest.MonkeyPatch.context() as patch:
        stderr = io.StringIO()
        patch.setattr("sys.stderr", stderr)
        with terminal(patch, columns) as received:
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                write()
            except StockctlError as error:
                stderr.write(f"error: {error}\n")
        raw = b"".join(received).decode().replace("\r\n", "\n")
        return Shown(raw, _STYLE.sub("", raw).splitlines(), stderr.getvalue())


def run(arguments: list[str], columns: int, **environment: str) -> Shown:
    """Run the command on a terminal of so many ``columns``."""
    return show(lambda: app(arguments, standalone_mode=False), columns, **environment)
