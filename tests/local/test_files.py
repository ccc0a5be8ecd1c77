"""The lock, the state file, logs and ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stockctl.local.files import StackFiles
from stockctl.local.ports import choose_ports
from stockctl.local.processes import identity, rotate, signals_deferred, tail
from tests.conftest import free_port

HOLD = """
import pathlib, sys, time
from stockctl.local.files import StackFiles
with StackFiles(pathlib.Path(sys.argv[1])).hold() as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def files(tmp_path: Path) -> StackFiles:
    files = StackFiles(tmp_path / "a folder")
    files.create()
    return files


def test_the_lock_has_one_holder_and_is_released_when_it_dies(files: StackFiles) -> None:
    assert not files.held
    with subprocess.Popen([sys.executable, "-c", HOLD, str(files.folder)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert files.held
        with files.hold() as mine:
            assert not mine
        holder.kill()
        holder.wait()
        assert not files.held
    with files.hold() as mine:
        assert mine


def test_checking_the_lock_does_not_take_it(files: StackFiles) -> None:
    with files.hold() as mine:
        assert mine
        assert files.held
        assert files.held


def test_a_partial_state_file_counts_as_absent(files: StackFiles) -> None:
    """A power cut may leave anything."""
    files.state.write_text('{"parts": [')
    assert files.read_state() == {}
    files.state.write_text("[]")
    assert files.read_state() == {}


def test_identity_distinguishes_processes() -> None:
    own = identity(os.getpid())
    assert own is not None
    assert own == identity(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert identity(other.pid) not in (None, own)
        other.kill()
        other.wait()
        assert identity(other.pid) is None


def test_ports_are_free_distinct_and_remembered(files: StackFiles) -> None:
    first, changes = choose_ports(files, ["broker", "sim", "produce"])
    assert changes == []
    assert len(set(first.values())) == 3
    assert choose_ports(files, ["broker", "sim", "produce"]) == (first, [])
    assert choose_ports(files, ["broker"]) == ({"broker": first["broker"]}, [])
    assert choose_ports(files, ["sim"])[0] == {"sim": first["sim"]}


def test_a_port_in_use_is_replaced_with_a_note(files: StackFiles) -> None:
    first, _ = choose_ports(files, ["broker", "sim"])
    with socket.create_server(("127.0.0.1", first["broker"])):
        second, changes = choose_ports(files, ["broker", "sim"])
    assert second["broker"] != first["broker"]
    assert second["sim"] == first["sim"]
    assert changes == [f"port {first['broker']} of broker is in use by another process: using port {second['broker']} instead"]
    assert choose_ports(files, ["broker", "sim"]) == (second, [])


def test_a_preferred_port_is_taken_if_it_is_free_and_kept(files: StackFiles) -> None:
    """One that the user chose goes before that of the last start; a default does not."""
    wanted = free_port()
    with socket.create_server(("127.0.0.1", wanted)):
        ports, changes = choose_ports(files, ["page"], {"page": (wanted, False)})
    assert ports["page"] != wanted
    assert changes == [f"port {wanted} of page is in use by another process: using port {ports['page']} instead"]
    assert choose_ports(files, ["page"], {"page": (wanted, False)}) == (ports, [])
    assert choose_ports(files, ["page"], {"page": (wanted, True)}) == ({"page": wanted}, [])
    assert choose_ports(files, ["page"]) == ({"page": wanted}, [])


def test_a_long_log_is_rotated_and_its_writer_continues(files: StackFiles) -> None:
    log = files.log("part")
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 50 + b"\nsecond\n")
        rotate(log, limit=1000)
        assert tail(log) == ["second"]
        rotate(log, limit=20)
        writer.write(b"third\n")
    assert log.read_text() == "third\n"
    assert tail(log.with_name("part.log.1"), 5)[-1] == "second"


def test_the_tail_of_a_log_skips_empty_lines_and_accepts_any_bytes(files: StackFiles) -> None:
    log = files.log("part")
    assert tail(log) == []
    log.write_bytes(b"a\n\xff\xfe b\n\n  \n")
    assert tail(log, 2) == ["a", "\ufffd\ufffd b"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_deferred_signal_arrives_after_the_work(number: signal.Signals) -> None:
    """Also where SIGTERM is to be as Ctrl-C, as the demo has it."""
    done = []

    def work() -> None:
        with signals_deferred():
            os.kill(os.getpid(), number)
            done.append("all of it")

    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert done == ["all of it"]
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
