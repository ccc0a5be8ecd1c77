"""The ``stockctl`` command as tests run it: a process with its own settings and folder, to its end or in the background.

It is forked from a process that has imported it already (``tests/forkserver.py``), which saves the second that imports take;
exit code, signals, files and output are a process's own. ``real=True`` starts the installed script itself, where start-up,
imports or the installation are what is tested; ``pytest --real-processes`` does so everywhere.
"""

from __future__ import annotations

import atexit
import functools
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Protocol

from tests.forkserver import Job

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
HANG = 300.0
"""Seconds after which a command that should have ended hangs: a bound, however busy the machine is, and no expectation."""

_asking = threading.Lock()


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """What an interpreter reads of ``environment`` as it starts."""
    return {key: value for key, value in environment.items() if key.startswith(("PYTHON", "LC_", "LANG", "LD_"))}


STARTED_WITH = read_at_start(os.environ)

real_processes = False
"""Whether every command is a process of its own (``pytest --real-processes``)."""


def clean_environment(**more: str) -> dict[str, str]:
    """The environment of this process without stockctl's and AWS's own variables, plus ``more``."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("STOCKCTL_", "AWS_"))}
    return kept | {"NO_COLOR": "1"} | more


class Process(Protocol):
    """What tests need of ``subprocess.Popen``."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended; ``subprocess.TimeoutExpired`` after ``timeout`` seconds."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""

    def terminate(self) -> None:
        """SIGTERM."""

    def kill(self) -> None:
        """SIGKILL."""


class Forked:
    """A process that the fork server started; as ``subprocess.Popen``."""

    def __init__(self, pid: int, answers: socket.socket, arguments: list[str]) -> None:
        self.pid, self.args = pid, arguments
        self.returncode: int | None = None
        self._answers = answers

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._answers], [], [], timeout)[0]:
            answer = self._answers.recv(4, socket.MSG_WAITALL)
            assert len(answer) == 4, "the fork server died"
            self.returncode = int.from_bytes(answer, "big", signed=True)
            self._answers.close()
        return self.returncode

    def __del__(self) -> None:
        self._answers.close()


@functools.cache
def _fork_server() -> socket.socket:
    """The fork server of this process, started when first asked for; it leaves when this end of its socket is closed."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", "from tests import forkserver; forkserver.main()", str(theirs.fileno())],
            cwd=ROOT,
            # Neither OpenBLAS nor Arrow's allocator may start a thread as it is imported: a fork would lose it.
            env=clean_environment(OPENBLAS_NUM_THREADS="1", JE_ARROW_MALLOC_CONF="background_thread:false"),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )

    def stop() -> None:
        ours.close()
        process.wait()

    atexit.register(stop)
    return ours


def fork(job: Job, stdin: IO[bytes] | None, stdout: int, stderr: int) -> Forked:
    """Start ``job`` by the fork server; its output goes to the descriptors given."""
    request = pickle.dumps(job)
    answers, theirs = socket.socketpair()
    with theirs, Path(os.devnull).open("rb") as nothing:
        descriptors = [(stdin or nothing).fileno(), stdout, stderr, theirs.fileno()]
        with _asking:  # tests start commands from threads too
            server = _fork_server()
            socket.send_fds(server, [len(request).to_bytes(8, "big")], descriptors)
            server.sendall(request)
    pid = answers.recv(4, socket.MSG_WAITALL)
    assert len(pid) == 4, "the fork server died; what it said stands in this test's output"
    return Forked(int.from_bytes(pid, "big"), answers, job.arguments)


class Command:
    """The ``stockctl`` command with its own settings and folder."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = clean_environment(**{"STOCKCTL_STATE_DIR": str(folder / "state")} | environment)

    def run(
        self, *arguments: str, timeout: float = HANG, check: int | None = 0, text: str | None = None, real: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; the exit code must be ``check`` unless that is None."""
        result = self.run_bytes(*arguments, timeout=timeout, text=text, real=real)
        decoded = subprocess.CompletedProcess(
            result.args, result.returncode, *(_lines(part) for part in (result.stdout, result.stderr))
        )
        if check is not None:
            assert decoded.returncode == check, (
                f"stockctl {' '.join(arguments)}: exit {decoded.returncode}\n{decoded.stdout}\n{decoded.stderr}"
            )
        return decoded

    def run_bytes(
        self, *arguments: str, timeout: float = HANG, text: str | None = None, real: bool = False
    ) -> subprocess.CompletedProcess[bytes]:
        """Run to the end, with the output as it came."""
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            stdin.write((text or "").encode())
            stdin.seek(0)
            process = self._begin(arguments, stdin, stdout.fileno(), stderr.fileno(), real)
            try:
                code = process.wait(timeout)
            finally:
                process.kill()  # only if it still runs
                process.wait()
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess(["stockctl", *arguments], code, stdout.read(), stderr.read())

    def start(self, *arguments: str, log: Path | None = None, real: bool = False) -> Process:
        """Start in the background, output into ``log`` (default: a file named after the command)."""
        log = log or self.folder / f"{arguments[0]}.log"
        with log.open("a") as stream:
            return self._begin(arguments, None, stream.fileno(), stream.fileno(), real)

    def _begin(self, arguments: tuple[str, ...], stdin: IO[bytes] | None, stdout: int, stderr: int, real: bool) -> Process:
        command = [str(BIN / "stockctl"), *arguments]
        if real or real_processes or read_at_start(self.environment) != STARTED_WITH:
            return subprocess.Popen(
                command,
                stdin=stdin or subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=self.environment,
                cwd=self.folder,
                text=True,
            )
        return fork(Job(command, self.environment, str(self.folder)), stdin, stdout, stderr)


def _lines(output: bytes) -> str:
    """As text, with universal newlines."""
    return output.decode().replace("\r\n", "\n")
