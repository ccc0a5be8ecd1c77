"""Refuses files, sockets and processes to a strategy, from its import on, and records the line that asked for one.

Two means. An audit hook (PEP 578) sees what Python code opens, and raises. And the process may have no more open files than it
has: so code that opens files without Python, as the readers of Arrow and of the lake do, fails too. Imports stay possible, with
what modules of the environment read while they are imported.
"""

from __future__ import annotations

import _thread
import builtins
import importlib
import os
import sys
import sysconfig
import threading
import zoneinfo
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import machinery
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
_AT_IMPORT = (
    "os.listdir", "os.scandir", "os.putenv", "os.unsetenv", "os.add_dll_directory", "ctypes.", "sys._getframe", "gc.", "glob.",
)  # fmt: skip
"""Of these, what a module of the environment may do while it is imported."""
_ZONES: list[zoneinfo.ZoneInfo] = []
"""Every time zone: one that is loaded needs no file."""


def load_zones() -> None:
    """Load every time zone; call it before a guard starts."""
    _ZONES.extend(map(zoneinfo.ZoneInfo, sorted(zoneinfo.available_timezones())))


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
        package = str(Path(__file__).parents[2])
        places = [*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, *zoneinfo.TZPATH, package]
        self._roots = tuple(os.path.join(os.path.realpath(place), "") for place in places)  # noqa: PTH118  # with a slash at the end
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
        if any(frame.f_code.co_filename.startswith("<frozen importlib") for frame in frames[:own]):
            if event.startswith(_AT_IMPORT) or (event == "open" and self._may_import(target, arguments)):
                return None
        elif event == "open" and own > 0 and self._is_source(target):
            return None  # a traceback or a warning shows a line
        frame = frames[own]
        return Place(f"{event} {target!r:.200}".rstrip(), frame.f_code.co_filename, frame.f_lineno)

    def _may_import(self, target: Any, arguments: tuple[Any, ...]) -> bool:
        """Whether a module that is imported may open the file: code, and reading what belongs to the environment."""
        mode = arguments[1] if len(arguments) > 1 else "r"
        if not isinstance(target, str) or (isinstance(mode, str) and set(mode) & set("wax+")):
            return False
        return target.endswith(self._suffixes) or os.path.realpath(target).startswith(self._roots)

    def _is_source(self, target: Any) -> bool:
        return (
            isinstance(target, str)
            and target.endswith(".py")
            and (target in self._files or os.path.realpath(target).startswith(self._roots))
        )


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
        import_, import_module = builtins.__import__, importlib.import_module

        def importing(function: Callable[..., Any]) -> Callable[..., Any]:
            def replacement(*arguments: Any, **options: Any) -> Any:
                if not self._is_low:
                    return function(*arguments, **options)
                with self.set(low=False):
                    return function(*arguments, **options)

            return replacement

        execute = machinery.SourceFileLoader.exec_module

        def exec_module(loader: machinery.SourceFileLoader, module: Any) -> None:
            # The code is read here, by Python's own import; a module of the strategy runs without files.
            if loader.path not in files:
                execute(loader, module)
                return
            code = loader.get_code(module.__name__)
            if code is not None:
                with self.set(low=True):
                    exec(code, module.__dict__)  # noqa: S102  # as Python's own loader does

        # Of these two, and of the loader, every import goes through one.
        builtins.__import__ = importing(import_)
        importlib.import_module = importing(import_module)
        machinery.SourceFileLoader.exec_module = exec_module  # type: ignore[assignment, method-assign]  # for this process alone


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
