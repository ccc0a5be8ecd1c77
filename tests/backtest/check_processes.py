"""The processes of ``backtest check``, forked from one that has imported the check and nothing else: for tests of many checks.

Each job of a check still runs in a process of its own, which loads the strategy; only the start of Python and its imports are
shared. Tests of whether the processes themselves are as they must be start real ones.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from stockctl.backtest.check.launch import Launcher
from stockctl.backtest.check.messages import Job

_SERVER = """
import json, os, sys, traceback
from stockctl.backtest.check import process
process._warm_up({})
for line in iter(sys.stdin.readline, ""):
    request = json.loads(line)
    if not (child := os.fork()):
        status = 1
        try:
            os.chdir(request["folder"])
            os.environ.clear()
            os.environ.update(request["environment"])
            sys.path[:] = [request["folder"], *request["path"]]
            for name, flags, number in ((request["plan"], os.O_RDONLY, 0), (request["answer"], os.O_WRONLY | os.O_CREAT, 1)):
                os.dup2(os.open(name, flags), number)
            sys.stdin = open(0, closefd=False)
            process.main()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def _server(hash_seed: str) -> subprocess.Popen[str]:
    """The process that forks those with ``hash_seed``."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        text=True,
    )

    def stop() -> None:
        process.communicate()

    atexit.register(stop)
    return process


class _Forked:
    """As ``subprocess.Popen``, for what ``Launcher`` does with it."""

    def __init__(self, hash_seed: str, plan: Path, folder: Path) -> None:
        self._process = _server(hash_seed)
        environment = dict(os.environ) | {"PYTHONHASHSEED": hash_seed}
        request = {"plan": str(plan), "answer": str(plan.with_suffix(".outcomes")), "folder": str(folder)}
        paths = [str(Path(one).resolve()) for one in sys.path if one]
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request | {"environment": environment, "path": paths}) + "\n")
        self._process.stdin.flush()
        self._code: int | None = None

    def wait(self) -> int:
        if self._code is None:
            assert self._process.stdout is not None
            self._code = int(self._process.stdout.readline())
        return self._code

    def kill(self) -> None:
        """Nothing: it ends by itself."""


@pytest.fixture
def forked_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks of this test are forked."""
    start = Launcher._start

    def fork(launcher: Launcher, jobs: Sequence[Job], hash_seed: str, path: Path) -> _Forked:
        with monkeypatch.context() as context:
            # The plan is written by the launcher itself.
            context.setattr(subprocess, "Popen", lambda *_, **__: None)
            start(launcher, jobs, hash_seed, path)
        return _Forked(hash_seed, path, launcher.folder)

    monkeypatch.setattr(Launcher, "_start", fork)
