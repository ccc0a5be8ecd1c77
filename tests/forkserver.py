"""Starts commands by forking one process that has imported all of them: ``stockctl`` without the second that imports take.

The server has one thread and has opened nothing but its socket, and it refuses to serve otherwise: a fork copies no other
thread, and shares every open connection. What it forks is a process like any other, with arguments, environment, folder, files,
signals and an exit code of its own. Each request brings a socket, over which it sends the process's id and,
at the end, its exit code.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import pickle
import pkgutil
import select
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import NamedTuple, NoReturn


class Job(NamedTuple):
    """A command to run: its arguments, its environment, and the folder that it starts in."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str


LATER = (
    "boto3",
    "confluent_kafka.admin",
    "holidays.financial.ny_stock_exchange",
    "kubernetes.client",
    "obstore.store",
    "pandas",  # DuckDB looks for it
    "pyarrow.parquet",
    "pymongo",
    "sqlglot.dialects.redshift",
)
"""What is imported only as something is done with it."""


def import_everything() -> None:
    """Every module of the package, and what they import only when they are called."""
    import stockctl

    for module in pkgutil.walk_packages(stockctl.__path__, "stockctl."):
        if module.name != "stockctl.__main__":
            importlib.import_module(module.name)
    for name in LATER:
        importlib.import_module(name)


def opened() -> list[str]:
    """What this process holds open, as far as the system reports."""
    folder = Path("/proc/self/fd")
    return sorted(str(one.readlink()) for one in folder.iterdir() if one.is_symlink()) if folder.is_dir() else []


def serve(server: socket.socket) -> Job:
    """Fork a process for every job that comes, and report how each ended. Returns in the forked process alone, with its job."""
    ended_read, ended_write = os.pipe()
    os.set_blocking(ended_write, False)
    signal.set_wakeup_fd(ended_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([server.fileno(), ended_read], [], [])
        if ended_read in ready:
            os.read(ended_read, 4096)
            while running:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                with running.pop(pid) as client, contextlib.suppress(OSError):  # the client may be gone
                    client.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
        if server.fileno() in ready:
            head, descriptors, _, _ = socket.recv_fds(server, 8, 4, socket.MSG_WAITALL)
            if not head:
                sys.exit(0)  # the tests have ended
            request = server.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
            client = socket.socket(fileno=descriptors[3])
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                for held in (server, client, *running.values()):
                    held.close()
                os.close(ended_read)
                os.close(ended_write)
                return begin(pickle.loads(request), descriptors[:3])  # noqa: S301 - our own test's words
            running[pid] = client
            for descriptor in descriptors[:3]:
                os.close(descriptor)
            with contextlib.suppress(OSError):
                client.sendall(pid.to_bytes(4, "big"))


def begin(job: Job, descriptors: list[int]) -> Job:
    """Become what a process started for ``job`` would be."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # one that came meanwhile arrives now
    os.chdir(job.folder)
    os.environ.clear()
    os.environ.update(job.environment)
    time.tzset()
    sys.argv = job.arguments
    return job


def main() -> NoReturn:
    """Import, then serve; in a forked process, be the command."""
    sys.path.remove("")  # the folder that a command starts in holds none of its modules
    # Without it DuckDB takes us for an interactive session, and draws progress bars on stdout when it is slow.
    sys.modules["__main__"].__file__ = __file__
    server = socket.socket(fileno=int(sys.argv[1]))
    before = opened()
    # Ctrl-C is for the tests. Blocked and not ignored, so that a forked process loses none that comes as it begins.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    import_everything()
    threads = [thread.name for thread in threading.enumerate()]
    tasks = Path("/proc/self/task")
    natives = len(list(tasks.iterdir())) if tasks.is_dir() else 1
    assert len(threads) == natives == 1, f"an import started a thread, and a fork would lose it: {threads}, {natives} in all"
    assert opened() == before, f"an import opened something, and each fork would share it: {before}, now {opened()}"
    gc.collect()
    gc.freeze()
    serve(server)

    from stockctl.__main__ import main as stockctl

    try:
        stockctl()
    except SystemExit as left:
        leave(left.code)
    except BaseException:  # noqa: BLE001 - what no handler takes, an interpreter shows
        traceback.print_exc()
        leave(1)
    leave(0)


def leave(code: object) -> NoReturn:
    """End as an interpreter does, but for freeing every object: that would copy all that the fork shares."""
    threading._shutdown()  # type: ignore[attr-defined]  # as an interpreter does: it waits for threads that are no daemons
    atexit._run_exitfuncs()
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit((code or 0) & 0xFF)
