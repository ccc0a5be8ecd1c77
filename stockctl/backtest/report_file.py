"""The file of a report: whether it can be written, and writing it so that no reader sees a part of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stockctl.errors import UsageError, quoted


def check_report_path(path: Path) -> None:
    """UsageError if no file can be written at ``path``. What is there stays as it is."""
    with _said(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if _is_special(path):
            return
        temporary = _temporary(path)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        temporary.unlink()


def write_report(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all, in place of what is there. UsageError if that is not possible.

    A link stays, and its target is written; a device or a pipe takes the text.
    """
    with _said(path):
        if _is_special(path):
            path.write_text(text, encoding="utf-8")
            return
        temporary = _temporary(path)
        try:
            temporary.write_text(text, encoding="utf-8")
            with suppress(FileNotFoundError):
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            temporary.replace(_target(path))
        finally:
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """A name beside the file, in the folder where it really lies."""
    target = _target(path)
    return target.with_name(f".{target.name[:200]}.{os.getpid()}")


def _target(path: Path) -> Path:
    """The file that ``path`` leads to. OSError for a loop of links, which ``resolve`` passes over since Python 3.13."""
    with suppress(FileNotFoundError):
        path.stat()
    return path.resolve()


def _is_special(path: Path) -> bool:
    """Whether ``path`` is a device, a pipe or a socket, which no file may replace."""
    return path.exists() and not path.is_file()


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """What the system says about ``path``, as an error for the user."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        problem = (error.strerror if isinstance(error, OSError) else None) or str(error)
        message = f"the report {quoted(str(path))} cannot be written: {problem}"
        raise UsageError(message, hint="name a file in a folder that exists and that you may write to") from error
