"""The clock, random numbers, the environment and memory of a process: changed, and watched for what a strategy reads of them.

What it reads is recorded with its line, also through a function of stockctl. Reading a clock, the environment or random numbers
of the process is never right; ``id`` and ``hash`` are recorded to explain a difference.
"""

from __future__ import annotations

import builtins
import datetime as datetimes
import os
import random
import sys
import time
from collections.abc import Callable, Iterable
from datetime import date, datetime
from functools import partial
from operator import add
from pathlib import Path
from typing import Any

from stockctl.backtest.check.messages import Condition, Place

_TIME, _LOCALTIME = time.time, time.localtime
SHIFT = 400 * 86_400 + 7 * 3_600 + 13 * 60 + 11.5
"""Seconds by which a shifted clock is ahead: another year, weekday, hour, minute and second."""

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_NOW = {"localtime": 0, "gmtime": 0, "ctime": 0, "strftime": 1, "asctime": 0}
"""Functions of ``time`` that mean now with only so many arguments."""
_THROUGH = (
    "random.py", "secrets.py", "uuid.py", "os.py", "<frozen os>", "_collections_abc.py", "<frozen _collections_abc>",
    "genericpath.py", "<frozen genericpath>", "posixpath.py", "<frozen posixpath>",
    "pathlib.py", "pathlib/__init__.py", "pathlib/_local.py",
)  # fmt: skip
"""Modules of Python whose caller is the one that reads."""


class Surroundings:
    """Watches what code in ``files`` reads."""

    def __init__(self, files: Iterable[str]) -> None:
        self._files = frozenset(files)
        self._package = str(Path(__file__).parents[2])
        self.reads: dict[str, list[Place]] = {}
        self._kept: list[object] = []
        self._classes: dict[bool, tuple[type[Any], type[Any]]] = {}

    def watch(self, changed: Iterable[Condition], seed: int) -> None:
        """Change these, and watch all. Call it before the strategy is loaded."""
        conditions = set(changed)
        self._watch_clock(SHIFT if "clock" in conditions else 0.0)
        if "environment" in conditions:
            _change_environment()
        if "repeat" in conditions:
            # So that addresses, and with them ids and the order of sets of objects, are others.
            draw = random.Random(seed)  # noqa: S311  # sizes of blocks are no secret
            blocks = [bytearray(draw.randrange(16, 4096)) for _ in range(20_000)]
            self._kept += [block for block in blocks if draw.random() < 0.5]
            self._kept += [[object() for _ in range(draw.randrange(1, 64))] for _ in range(200)]
        random.seed(seed if "random numbers" in conditions else 0)
        self._watch_random()
        self._watch_environment()
        for name in ("id", "hash"):
            self._wrap(builtins, name, "repeat")

    def _watch_clock(self, shift: float) -> None:
        nanoseconds = round(shift * 1e9)
        replaced: dict[int, Any] = {}
        for name in _CLOCKS:
            for function, amount in ((name, shift), (f"{name}_ns", nanoseconds)):
                if (original := getattr(time, function, None)) is not None:
                    replaced[id(original)] = self._wrap(time, function, "clock", partial(add, amount))
        for name, count in _NOW.items():
            original = getattr(time, name)
            replacement = self._now(original, name, count, lambda: _TIME() + shift)
            replaced[id(original)] = replacement
            setattr(time, name, replacement)
        fakes = _fake_datetimes(self, lambda: _TIME() + shift)
        self._classes = {False: (datetime, date), True: fakes}
        replaced |= {id(datetime): fakes[0], id(date): fakes[1]}
        # What stockctl imported by name before.
        for module in [value for name, value in sys.modules.items() if name.startswith("stockctl.")]:
            if module.__name__ != __name__:
                for variable, value in list(vars(module).items()):
                    if id(value) in replaced:
                        setattr(module, variable, replaced[id(value)])

    def show(self, *, watched: bool) -> None:
        """Let ``datetime`` have the classes that are watched. Compiled modules must not find them when they are imported."""
        datetimes.datetime, datetimes.date = self._classes[watched]  # type: ignore[misc]  # a class of C cannot be patched

    def _now(self, function: Callable[..., Any], name: str, count: int, now: Callable[[], float]) -> Callable[..., Any]:
        def replacement(*arguments: Any) -> Any:
            if len(arguments) > count:
                return function(*arguments)
            self.note("clock", f"time.{name}()")
            moment: Any = now() if name not in ("strftime", "asctime") else _LOCALTIME(now())
            return function(*arguments, moment)

        return replacement

    def _watch_random(self) -> None:
        for name in random.__all__:
            if getattr(getattr(random, name), "__self__", None) is random._inst and name not in ("seed", "setstate"):
                self._wrap(random, name, "random numbers")
        self._wrap(os, "urandom", "random numbers")
        random._urandom = os.urandom  # type: ignore[attr-defined]  # what SystemRandom, secrets and uuid4 draw from

    def _watch_environment(self) -> None:
        for name in ("__getitem__", "__iter__", "__len__"):
            self._wrap(type(os.environ), name, "environment", label="os.environ")
        for name in ("getpid", "getppid", "getcwd", "getlogin", "uname", "cpu_count", "stat", "lstat", "access", "times"):
            if hasattr(os, name):
                self._wrap(os, name, "environment")

    def _wrap(
        self,
        owner: Any,
        name: str,
        condition: Condition,
        change: Callable[[Any], Any] | None = None,
        label: str = "",
    ) -> Callable[..., Any]:
        function = getattr(owner, name)
        label = label or f"{getattr(owner, '__name__', '')}.{name}()".removeprefix("builtins.")

        def replacement(*arguments: Any, **options: Any) -> Any:
            self.note(condition, label)
            value = function(*arguments, **options)
            return value if change is None else change(value)

        replacement.__wrapped__ = function  # type: ignore[attr-defined]  # for callers that need the original
        setattr(owner, name, replacement)
        return replacement

    def note(self, condition: Condition, what: str) -> None:
        """Record the line of the strategy that reads this, if it is one."""
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename not in self._files:
            file = frame.f_code.co_filename
            if not file.startswith(self._package) and not file.endswith(_THROUGH):
                return
            frame = frame.f_back  # type: ignore[assignment]  # the loop ends there
        if frame is not None:
            place = Place(what, frame.f_code.co_filename, frame.f_lineno)
            if place not in (places := self.reads.setdefault(condition, [])):
                places.append(place)


def _fake_datetimes(surroundings: Surroundings, now: Callable[[], float]) -> tuple[type[Any], type[Any]]:
    """Classes that stand for ``datetime`` and ``date``, whose present is ``now``. Values are of the real classes."""

    class Meta(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, cls.__mro__[1]) if cls in made else type.__instancecheck__(cls, value)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, cls.__mro__[1]) if cls in made else type.__subclasscheck__(cls, kind)

    def make(cls: Any, base: Any, arguments: Any, options: Any) -> Any:
        return base.__new__(base if cls in made else cls, *arguments, **options)

    class FakeDatetime(datetime, metaclass=Meta):
        __slots__ = ()

        def __new__(cls, *arguments: Any, **options: Any) -> Any:
            return make(cls, datetime, arguments, options)

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            surroundings.note("clock", "datetime.now()")
            return datetime.fromtimestamp(now(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            surroundings.note("clock", "datetime.utcnow()")
            return datetime.fromtimestamp(now(), datetimes.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            surroundings.note("clock", "datetime.today()")
            return datetime.fromtimestamp(now())  # noqa: DTZ006  # as it is: without a zone

        @classmethod
        def __get_pydantic_core_schema__(cls, _source: Any, handler: Any) -> Any:
            return handler.generate_schema(datetime)

    class FakeDate(date, metaclass=Meta):
        __slots__ = ()

        def __new__(cls, *arguments: Any, **options: Any) -> Any:
            return make(cls, date, arguments, options)

        @classmethod
        def today(cls) -> Any:
            surroundings.note("clock", "date.today()")
            return date.fromtimestamp(now())  # noqa: DTZ012  # as it is: without a zone

        @classmethod
        def __get_pydantic_core_schema__(cls, _source: Any, handler: Any) -> Any:
            return handler.generate_schema(date)

    made: set[type] = {FakeDatetime, FakeDate}
    for fake, name in ((FakeDatetime, "datetime"), (FakeDate, "date")):
        fake.__name__ = fake.__qualname__ = name
        fake.__module__ = "datetime"
    return FakeDatetime, FakeDate


def _change_environment() -> None:
    """Other variables, another zone and another folder."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ}
    os.environ.clear()
    os.environ.update(kept, TZ="Pacific/Kiritimati", LANG="C", HOME="/nonexistent", USER="nobody")
    if hasattr(time, "tzset"):
        time.tzset()
    os.chdir("/")
