"""Files that a command reads."""

from __future__ import annotations

import sys
from pathlib import Path

from stockctl.errors import UsageError, unreadable
from stockctl.validation_errors import decode_problem


def text_of(file: str, hint: str) -> str:
    """The text in ``file``, or on stdin where that is ``-``. UsageError with ``hint`` where there is none to read."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise unreadable(file, error, hint) from error
    except UnicodeDecodeError as error:
        raise UsageError(decode_problem(error, file), hint=hint) from None
