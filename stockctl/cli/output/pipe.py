"""A reader of stdout that leaves early, as in ``stockctl lake read | head``: no failure of the command."""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stockctl.errors import StockctlError

_left = False


def reader_has_left() -> bool:
    """Whether nobody reads stdout any more: a command that writes without end ends then."""
    return _left


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Write to stdout inside. Once the reader has left, the rest is skipped, and the command goes on; also as a decorator."""
    global _left  # of the process, as stdout is
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StockctlError(f"cannot write to stdout: {error.strerror}", hint="send it to where there is space") from error
        if not isinstance(error, BrokenPipeError) or not _is_broken(sys.stdout.fileno()):
            raise  # the pipe of something else
        _left = True
        # What is written from now on, and the flush at the end of the process, goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_broken(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
