"""Refuses files, sockets and processes to a strategy, from its import on, and records the line that asked for one.

Two means. An audit hook (PEP 578) sees what Python code opens, and raises. And the process may have no more open files than it
has: so code that opens files without Python, as the readers of Arrow and of the lake do, fails too. Imports stay possible
wherever they stand, with whatever installed modules do while they are imported. A module beside the strategy is its code only
if one of its import statements names it: any other is data.
"""

from __future__ import annotations

import _thread
import importlib
import os
import sys
import sysconfig
import threading
import zoneinfo
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import machinery, util
from pathlib import Path
from types import FrameType
from typing import Any

from stockctl.backtest.check.messages import Place

_REFUSED = (
    "os.", "socket.", "subprocess.", "ctypes.", "sqlite3.", "shutil.", "tempfile.", "glob.", "pathlib.", "mmap.", "fcntl.",
    "pty.", "ftplib.", "http.", "imaplib.", "nntplib.", "poplib.", "smtplib.", "telnetlib.", "urllib.", "webbrowser.",
    "resource.", "signal.", "syslog.", "winreg.", "msvcrt.", "_winapi.", "_thread.", "gc.", "sys._current", "sys._getframe",
    "sys.addaudithook", "sys.setprofile", "sys.settrace",
)  # fmt: skip
"""Prefixes of the audit events that are refused."""
_FINDING = ("os.listdir", "os.scandir", "glob.")
"""Of these, what Python's import may do to find a module."""
_BOOTSTRAP: Any = importlib.import_module("importlib._bootstrap")
_FIND = _BOOTSTRAP._find_and_load.__code__
_IMPORT = (vars(_BOOTSTRAP), vars(importlib.import_module("importlib._bootstrap_external")))
"""The variables of Python's import, by which its frames are known."""
_ZONES: list[object] = []
"""Every time zone: one that is loaded needs no file."""


def load_zones() -> None:
    """Load every time zone; call it before a guard starts."""
    names = sorted(zoneinfo.available_timezones())
    _ZONES.extend(map(zoneinfo.ZoneInfo, names))
    # pandas loads each zone once more, by the class in Python.
    _ZONES.extend(map(importlib.import_module("zoneinfo._zoneinfo").ZoneInfo, names))


class RefusedError(RuntimeError):
    """A strategy asked for what it may not have."""


class Guard:
    """Guards the code in ``files``. It cannot be removed from the process.

    ``show`` is called with whether code of the strategy runs, rather than an import of other code.
    """

    def __init__(self, files: Iterable[str], show: Callable[[bool], None] = lambda _: None) -> None:
        self._files, self._show = frozenset(files), show
        self.refused: list[Place] = []
        self._busy = False
        self._paths = set(sys.path)
        self._folders = _folders(map(os.path.dirname, self._files))
        package = str(Path(__file__).parents[2])
        self._roots = _folders([*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, *zoneinfo.TZPATH, package])
        self._roots |= _folders(self._paths) - self._folders
        self._suffixes = tuple(machinery.all_suffixes())

    def start(self, open_files: int) -> None:
        """Refuse from now on, with the files ``[0, open_files)`` open. Call it before the strategy is loaded."""
        sys.dont_write_bytecode = True
        self._limit = _FileLimit(self, open_files, self._show)
        self._limit.patch_imports(self._files)
        _audit_threads()
        sys.addaudithook(self._audit)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Code of the strategy runs here: no file can be opened, by no code."""
        with self._limit.set(low=True):
            yield

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done here is not looked at."""
        busy, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = busy

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._busy or not (event == "open" or event.startswith(_REFUSED)):
            return
        with self.paused():
            place = self._refusal(event, arguments)
        if place is not None:
            self.refused.append(place)
            raise RefusedError(f"a strategy must not do this: {place.what}")

    def _refusal(self, event: str, arguments: tuple[Any, ...]) -> Place | None:
        """Why this is refused; None if it is allowed."""
        frames = list(_frames(sys._getframe(2)))
        own = next((index for index, frame in enumerate(frames) if frame.f_code.co_filename in self._files), None)
        if own is None:
            return None  # the kernel's own
        if event == "sys._getframe" and own > 0:
            return None  # named tuples and logging look at their caller
        target = arguments[0] if arguments else ""
        stage = _import_stage(frames[:own])
        if stage == "running" or (stage and event.startswith(_FINDING)):
            return None
        if event == "open" and stage and self._is_code(target, arguments, by_name=stage == "finding"):
            return None
        if event == "open" and not stage and own > 0 and self._is_source(target):
            return None  # a traceback or a warning shows a line
        frame = frames[own]
        return Place(f"{event} {target!r:.200}".rstrip(), frame.f_code.co_filename, frame.f_lineno)

    def _is_code(self, target: Any, arguments: tuple[Any, ...], *, by_name: bool) -> bool:
        """Whether Python's import may open the file: code of the strategy, or of what is installed.

        ``by_name``: it found the file itself, so it may be anywhere but beside the strategy.
        """
        mode = arguments[1] if len(arguments) > 1 else "r"
        if not isinstance(target, str) or not target.endswith(self._suffixes):
            return False
        if isinstance(mode, str) and set(mode) & set("wax+"):
            return False
        path = os.path.realpath(target)
        with suppress(ValueError):  # what is no name of compiled code
            path = util.source_from_cache(path)
        if path in self._files or target in self._files:
            return True
        # Of a folder in another one, the inner one says whose file it is.
        installed, own = _longest(path, self._roots), _longest(path, self._folders | _folders(set(sys.path) - self._paths))
        return installed >= own and (by_name or installed > 0)

    def _is_source(self, target: Any) -> bool:
        return (
            isinstance(target, str)
            and target.endswith(".py")
            and (target in self._files or os.path.realpath(target).startswith(tuple(self._roots)))
        )


def _folders(paths: Iterable[str]) -> set[str]:
    """The real paths, each with a slash at its end."""
    return {os.path.join(os.path.realpath(path), "") for path in paths}  # noqa: PTH118  # with a slash at the end


def _longest(path: str, folders: Iterable[str]) -> int:
    """The length of the longest of ``folders`` that holds ``path``; 0 if none does."""
    return max((len(folder) for folder in folders if path.startswith(folder)), default=0)


def _import_stage(frames: list[FrameType]) -> str:
    """What an import that the strategy began does in the innermost of ``frames``.

    ``finding`` the code of a module, ``reading`` a file that the strategy named to a loader, or ``running`` a module. Empty if
    no import is under way.
    """
    steps = [index for index, frame in enumerate(frames) if any(frame.f_globals is each for each in _IMPORT)]
    if not steps:
        return ""
    # What stands inside of the outermost import, and is neither it nor its replacement here, is a module that runs.
    if any(all(frame.f_globals is not each for each in (*_IMPORT, globals())) for frame in frames[: steps[-1]]):
        return "running"
    return "finding" if any(frames[index].f_code is _FIND for index in steps) else "reading"


def _audit_threads() -> None:
    """Raise the event of new threads, which Python 3.11 does not."""
    start = _thread.start_new_thread

    def start_new_thread(function: Callable[..., object], *arguments: Any) -> int:
        sys.audit("_thread.start_new_thread", function)
        return start(function, *arguments)

    _thread.start_new_thread = start_new_thread
    threading._start_new_thread = start_new_thread  # type: ignore[attr-defined]  # what Thread.start calls up to 3.12


class _FileLimit:
    """The limit of open files: as low as it can be while code of the strategy runs, and as it was during imports."""

    def __init__(self, guard: Guard, open_files: int, show: Callable[[bool], None]) -> None:
        self._guard, self._low, self._show = guard, open_files, show
        self._resource = importlib.import_module("resource") if os.name == "posix" else None
        self._high = self._resource.getrlimit(self._resource.RLIMIT_NOFILE)[0] if self._resource else 0
        self._is_low = False

    @contextmanager
    def set(self, *, low: bool) -> Iterator[None]:
        before = self._is_low
        self._apply(low)
        try:
            yield
        finally:
            self._apply(before)

    def _apply(self, low: bool) -> None:
        if low == self._is_low:
            return
        self._is_low = low
        self._show(low)
        if self._resource is not None:
            kind = self._resource.RLIMIT_NOFILE
            with self._guard.paused():
                _, hard = self._resource.getrlimit(kind)
                self._resource.setrlimit(kind, (self._low if low else self._high, hard))

    def patch_imports(self, files: frozenset[str]) -> None:
        """Raise the limit during imports, except while a module of ``files`` is executed."""
        find_and_load = _BOOTSTRAP._find_and_load

        def importing(*arguments: Any) -> Any:
            with self.set(low=False):
                return find_and_load(*arguments)

        execute = machinery.SourceFileLoader.exec_module

        def exec_module(loader: machinery.SourceFileLoader, module: Any) -> None:
            # The code is read here, by Python's own import; a module of the strategy runs without files.
            if loader.path not in files:
                with self.set(low=False):  # also where a module runs later than it was imported
                    execute(loader, module)
                return
            code = loader.get_code(module.__name__)
            if code is not None:
                with self.set(low=True):
                    exec(code, module.__dict__)  # noqa: S102  # as Python's own loader does

        # Every import of a module that is not loaded yet calls this: statements, importlib, and compiled code.
        _BOOTSTRAP._find_and_load = importing
        machinery.SourceFileLoader.exec_module = exec_module  # type: ignore[assignment, method-assign]  # for this process alone


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
