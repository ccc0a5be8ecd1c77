"""A stack with damaged files can still be shown, stopped and started."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from stockctl.errors import ConfigError, StockctlError
from stockctl.local.files import StackFiles, stack_files
from stockctl.local.ports import choose_ports
from stockctl.local.processes import identity
from stockctl.local.reset import reset
from stockctl.local.status import status
from stockctl.local.stop import stop
from stockctl.settings import load_settings, local_stack_file
from tests.command import HANG, Command, clean_environment
from tests.conftest import wait_for
from tests.local.conftest import Running

Supervise = Callable[..., Running]

SETTINGS = {
    "zeros": b"\0" * 200,
    "no text": b"\xff\xfe",
    "deep": b"a = " + b"[" * 50_000,
    "a long number": b"a = " + b"9" * 5000,
    "an unknown setting": b'[kafka]\nboostrap = "x"\n',
    "a value for a table": b"kafka = 1\n",
    "cut at the end of a line": b'[kafka]\nbootstrap_servers = "127.0.0.1:1"\n',
    "a bad value": b'[kafka]\nsession_timeout = "soon"\n',
}


@pytest.mark.parametrize("damage", SETTINGS)
def test_damaged_settings_of_a_stack_are_named(tmp_path: Path, damage: str) -> None:
    """With the command that writes them again."""
    path = local_stack_file(tmp_path)
    path.parent.mkdir()
    path.write_bytes(SETTINGS[damage])
    with pytest.raises(ConfigError, match=str(path)) as caught:
        load_settings(environ=clean_environment(STOCKCTL_STATE_DIR=str(tmp_path)))
    assert "local up" in str(caught.value.hint)


def test_a_stack_with_damaged_settings_can_be_stopped_shown_and_deleted(tmp_path: Path) -> None:
    own = Command(tmp_path)
    path = local_stack_file(tmp_path / "state")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\0" * 200)
    assert "local up" in own.run("lake", "list", check=3).stderr
    own.run("local", "down")
    own.run("local", "status", check=10)
    own.run("local", "reset", "--yes")
    assert "there is no lake" in own.run("lake", "list", check=3).stderr


STATES = {
    "none": b"",
    "zeros": b"\0" * 500,
    "no object": b"[1]",
    "other types": b'{"pid": "1", "parts": 5}',
    "half": b'{"pid": 1, "identity"',
    "deep": b'{"parts": ' + b"[" * 50_000,
    "a name that leads elsewhere": b'{"pid": 1, "identity": "x", "parts": [{"name": "../../x", "state": "running"}]}',
}


def test_a_supervisor_rewrites_its_state(supervise: Supervise) -> None:
    """After any damage, and when it is deleted."""
    running = supervise({"name": "a"})
    running.wait("running", "a")
    for damage in STATES.values():
        running.files.state.write_bytes(damage)
        running.wait("running", "a")
    running.files.state.unlink()
    running.wait("running", "a")
    assert running.stop() == 0


def test_a_stack_that_cannot_write_its_state_can_be_stopped(supervise: Supervise, tmp_path: Path) -> None:
    """As on a full disk: the lock names the process."""
    running = supervise({"name": "a"})
    running.wait("running", "a")
    pid = running.process.pid
    assert running.files.holder == pid
    (running.files.folder / f".state.json.{pid}").mkdir()  # where it would write the next one
    running.files.state.write_bytes(b"\0" * 500)
    settings = load_settings(environ=clean_environment(STOCKCTL_STATE_DIR=str(tmp_path)), stack=False)
    assert status(settings)[0].state == "starting"
    messages: list[str] = []
    stop(settings, notify=messages.append)
    assert messages[0] == "stopping the local stack"
    wait_for(lambda: identity(pid) is None or running.process.poll() is not None, "the supervisor to leave", 60)
    assert running.files.holder is None


def test_a_folder_in_place_of_the_lock_is_named(tmp_path: Path) -> None:
    """As an archive that was unpacked in the wrong place leaves it."""
    settings = load_settings(environ=clean_environment(STOCKCTL_STATE_DIR=str(tmp_path)), stack=False)
    path = stack_files(settings).folder / "lock"
    path.mkdir(parents=True)
    for act in (status, lambda settings: stop(settings, notify=print), reset):
        with pytest.raises(StockctlError, match=f"cannot use {path}") as caught:
            act(settings)
        assert "delete" in str(caught.value.hint)


IN_THE_WAY: dict[str, Callable[[Path], None]] = {
    "a folder": Path.mkdir,
    "a folder that holds something": lambda path: (path / "x").mkdir(parents=True),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link that leads nowhere": lambda path: path.symlink_to("/no/such/file"),
}


@pytest.mark.parametrize("what", IN_THE_WAY)
def test_a_stack_can_be_stopped_without_its_state_file(supervise: Supervise, tmp_path: Path, what: str) -> None:
    running = supervise({"name": "a"})
    running.wait("running", "a")
    settings = load_settings(environ=clean_environment(STOCKCTL_STATE_DIR=str(tmp_path)), stack=False)
    running.process.send_signal(signal.SIGSTOP)  # it would put right what it can
    wait_for(lambda: status(settings)[0].state == "frozen", "the supervisor to be suspended", HANG)
    running.files.state.unlink()
    IN_THE_WAY[what](running.files.state)
    assert status(settings)[0].state == "frozen"
    assert {row.state for row in status(settings)[1:]} == {"unknown"}
    running.process.send_signal(signal.SIGCONT)
    stop(settings, notify=print)
    assert running.process.wait(HANG) == 0
    assert status(settings)[0].state == "stopped"
    reset(settings)
    assert not running.files.folder.exists()


@pytest.mark.parametrize("name", ["state.json", "settings.toml"])
def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path, name: str) -> None:
    own = Command(tmp_path)
    path = local_stack_file(tmp_path / "state").with_name(name)
    path.mkdir(parents=True)
    refused = own.run("local", "up", check=1).stderr
    assert f"cannot use {path}: Is a directory" in refused
    assert "delete that path" in refused
    if name == "settings.toml":
        assert f"cannot read {path}: Is a directory" in (refused := own.run("lake", "list", check=3).stderr)
        assert "delete that folder" in refused
    own.run("local", "down")
    own.run("local", "status", check=10)
    own.run("local", "reset", "--yes")


def test_damaged_ports_are_replaced_with_a_note(tmp_path: Path) -> None:
    files = StackFiles(tmp_path)
    for damage in (b"\0", b"[]", b'{"broker": "x"}', b'{"broker": -1}', b'{"broker": 99999999999999999999}', b"\xff"):
        files.ports.write_bytes(damage)
        ports, changes = choose_ports(files, ["broker"])
        assert changes == [f"{files.ports} is damaged: choosing new ports"]
        assert json.loads(files.ports.read_bytes()) == ports


def test_down_reports_a_damaged_state(tmp_path: Path) -> None:
    """A killed supervisor may have left parts, where the system does not end them."""
    settings = load_settings(environ=clean_environment(STOCKCTL_STATE_DIR=str(tmp_path)), stack=False)
    files = stack_files(settings)
    files.create()
    for damage in STATES.values():
        files.state.write_bytes(damage)
        messages: list[str] = []
        stop(settings, notify=messages.append)
        assert messages == [
            f"{files.state} is damaged: unknown whether a killed supervisor left services running",
            "the local stack is not running",
        ]
        assert {row.state for row in status(settings)} == {"stopped"}
