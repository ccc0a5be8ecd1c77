"""All errors that stockctl raises, each with the exit code of the command.

    StockctlError        1  the work failed
    ├── UsageError       2  the command line is invalid
    ├── ConfigError      3  a setting is missing or invalid
    ├── RefusedError     4  the other system refused: key, password, permissions
    ├── UnreachableError 5  the other system does not answer
    ├── TimedOutError    6  the other system did not finish in time
    └── UnhealthyError  10  a check found something wrong, or two things differ

SDK exceptions end in ``stockctl.clients``, which raises these instead:

    try:
        store.get("trades/…")
    except UnreachableError as error:
        print(error, error.hint)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time


class StockctlError(Exception):
    """The base of all errors. ``str(error)`` is what happened and to what, ``hint`` what to try next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(StockctlError):
    """The command line is invalid: an unknown policy, a time range that ends before it starts."""

    exit_code = 2


class ConfigError(StockctlError):
    """A setting is missing, unknown or invalid."""

    exit_code = 3


class RefusedError(StockctlError):
    """The other system refused: a wrong key or password, a missing permission, a key in use elsewhere."""

    exit_code = 4


class UnreachableError(StockctlError):
    """Nothing answers at the address within a limited time."""

    exit_code = 5


class TimedOutError(StockctlError):
    """The other system answers, but did not finish in time."""

    exit_code = 6


class UnhealthyError(StockctlError):
    """A check found something wrong: a missing object in the lake, a topic that differs from the settings."""

    exit_code = 10


TRY = "  try: "
"""Prefix of the line with the hint of a failed command."""
EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "failed",
    2: "usage: the command line is wrong",
    3: "configuration: a setting is missing or invalid",
    4: "refused: API key, password or permissions",
    5: "unreachable",
    6: "timed out",
    10: "unhealthy, or differs",
    130: "interrupted with Ctrl-C",
}
"""Exit codes of the command."""

_SHOWN = 200
"""Longest text in a message, in characters."""


def unreadable(path: object, error: OSError, hint: str) -> UsageError:
    """The error for a file of the command line or the caller that cannot be read, with the message of the system."""
    return UsageError(f"cannot read {path}: {error.strerror or error}", hint=hint)


def quoted(value: object) -> str:
    """``value`` for a message, without Python syntax: text in quotes, dates and numbers as people write them."""
    if isinstance(value, str):
        text = "".join(one if one.isprintable() else f"<U+{ord(one):04X}>" for one in value[: _SHOWN + 1])
        return f"'{text}'" if len(value) <= _SHOWN else f"'{text[:_SHOWN]}…'"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**300):
        return str(value)
    if isinstance(value, int):
        return "so large a number"
    return "a table" if isinstance(value, Mapping) else "a list"
