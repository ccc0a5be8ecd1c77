"""Every error that stockctl raises on purpose, with the exit code that a command ends with.

    StockctlError        1  the work failed
    ├── UsageError       2  the command line asks for something that cannot be
    ├── ConfigError      3  a setting is absent or bad
    ├── RefusedError     4  the other side refused: key, password, rights
    ├── UnreachableError 5  the other side cannot be reached
    ├── TimedOutError    6  the other side answered, but did not get there in time
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
    """The work failed: ``str(error)`` says what happened and to what, ``hint`` the next thing to try."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(StockctlError):
    """The command line asks for something that cannot be: an unknown policy, a span that ends before it starts."""

    exit_code = 2


class ConfigError(StockctlError):
    """A setting is absent, unknown or has a value that cannot be used."""

    exit_code = 3


class RefusedError(StockctlError):
    """The other side answered and refused: a wrong key or password, a missing right, a key in use elsewhere."""

    exit_code = 4


class UnreachableError(StockctlError):
    """Nothing answers at the address, after a bounded wait."""

    exit_code = 5


class TimedOutError(StockctlError):
    """The other side is there, but the thing waited for did not happen in time."""

    exit_code = 6


class UnhealthyError(StockctlError):
    """A check found something wrong: a hole in the lake, a topic that differs from the settings."""

    exit_code = 10


TRY = "  try: "
"""How the line begins by which a command that failed says what to try next."""
EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "failed",
    2: "usage: the command line is wrong",
    3: "configuration: a setting is missing or invalid",
    4: "refused: API key, password or permissions",
    5: "unreachable",
    6: "timed out",
    10: "unhealthy, or differs",
}
"""Every exit code of the command, with its meaning."""

_SHOWN = 200
"""Most characters of a text that a message repeats."""


def unreadable(path: object, error: OSError, hint: str) -> UsageError:
    """The error for a file, named on the command line or by a caller, that cannot be read, in the system's plain words."""
    return UsageError(f"cannot read {path}: {error.strerror or error}", hint=hint)


def quoted(value: object) -> str:
    """``value`` as a message repeats it, in no language's own form: a text in quotes, a date or a number as people write it."""
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
