"""Services receive signals wherever they are, and exit."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from stockctl.errors import UnreachableError
from stockctl.service import retry, wait_for
from tests.command import HANG, clean_environment
from tests.conftest import free_port

# A library's call that neither ends nor looks at signals, as librdkafka's may while no broker answers: in a loop, because a
# signal cuts C's sleep short.
STUCK = "while True: ctypes.CDLL(None).sleep(60)"
DEEP = """
import ctypes
from stockctl.service import running
from stockctl.settings import load_settings
with running(load_settings(environ={{}}), leave_within={leave_within}) as service:
    print("in", flush=True)
    {work}
print("out", flush=True)
"""


HEALTH = """
import os
from stockctl.service import running
from stockctl.settings import load_settings
with running(load_settings(environ=dict(os.environ)), health_port={port}) as service:
    service.health = lambda: None
    print("in", flush=True)
    service.stop.wait()
"""


@pytest.mark.parametrize(
    ("host", "answers", "refuses"),
    [
        (None, ["127.0.0.1"], ["127.0.0.2"]),
        ("127.0.0.2", ["127.0.0.2"], ["127.0.0.1"]),
        ("0.0.0.0", ["127.0.0.1", "127.0.0.2"], []),  # noqa: S104 - asked for, on a machine of tests
    ],
)
def test_health_is_served_to_this_machine_alone_unless_the_setting_says_otherwise(
    host: str | None, answers: list[str], refuses: list[str]
) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", HEALTH.format(port=port)],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment() | ({"STOCKCTL_HEALTH__HOST": host} if host else {}),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    for address in answers:
        connection = http.client.HTTPConnection(address, port, timeout=HANG)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        connection.close()
    for address in refuses:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, port), HANG)
    process.terminate()
    assert process.wait(HANG) == 0
    ended(process)


def started(work: str, leave_within: float | None) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", DEEP.format(work=work, leave_within=leave_within)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=clean_environment(),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def ended(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    with process.stdout:
        return process.stdout.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_service(number: int) -> None:
    process = started("service.stop.wait()", HANG)
    process.send_signal(number)
    assert process.wait(HANG) == 0
    assert ended(process) == "out\n"


def test_a_service_stuck_in_a_library_call_exits_with_6_when_its_time_is_up() -> None:
    process = started(STUCK, 1)
    began = time.monotonic()
    process.terminate()
    assert process.wait(HANG) == 6
    assert time.monotonic() - began >= 1
    assert ended(process) == ""


def test_a_second_ctrl_c_exits_at_once() -> None:
    process = started(f"service.stop.wait()\n    print('asked', flush=True)\n    {STUCK}", None)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"  # two signals at the same moment may arrive as one
    process.send_signal(signal.SIGINT)
    assert process.wait(HANG) == 130
    ended(process)


def test_a_retry_ends_with_success_or_with_the_last_error() -> None:
    failures = iter([UnreachableError("first"), UnreachableError("second")])
    reports: list[tuple[str, int]] = []

    def call() -> str:
        for error in failures:
            raise error
        return "done"

    def retryable(error: BaseException) -> bool:
        return isinstance(error, UnreachableError)

    done = retry(
        call, retryable, retry_after=lambda _: 0.0, on_retry=lambda error, attempt: reports.append((str(error), attempt))
    )
    assert done == "done"
    assert reports == [("first", 1), ("second", 2)]
    failures = iter(UnreachableError(str(number)) for number in range(9))
    with pytest.raises(UnreachableError, match="2"):
        retry(call, retryable, attempts=3, retry_after=lambda _: 0.0)
    with pytest.raises(UnreachableError, match="3"):
        retry(call, retryable, within=0.0)
    with pytest.raises(UnreachableError, match="4"):
        retry(call, lambda _: False)


def test_stop_ends_the_pause_of_a_retry_and_of_a_wait() -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()

    def fail() -> None:
        raise UnreachableError("away")

    began = time.monotonic()
    with pytest.raises(UnreachableError):
        retry(fail, lambda _: True, stop=stop, retry_after=lambda _: 2 * HANG)
    assert wait_for(lambda: None, within=2 * HANG, every=2 * HANG, stop=stop) is None
    assert time.monotonic() - began < HANG


def test_a_wait_returns_the_first_true_result_or_the_last_one() -> None:
    results = iter([0, 0, 7, 8])
    assert wait_for(lambda: next(results), within=HANG, every=0.001, longest=0.01) == 7
    assert wait_for(lambda: 0, within=0.0, every=0.001) == 0
