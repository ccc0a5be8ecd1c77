"""Commands by the fork server: each is what a process of its own would be."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import command as commands
from tests.command import HANG, ROOT, Command, Forked, Process
from tests.conftest import wait_for

STARTER = re.compile(r'  File ".*(?:/bin/stockctl|/tests/forkserver\.py)", line .*\n(?:    .*\n)*')
"""A traceback's outermost frame, where alone the two ways of starting differ."""


@pytest.fixture
def alone(tmp_path: Path) -> Command:
    """The command with nothing configured, in an empty folder."""
    return Command(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "xdg"))


@pytest.mark.parametrize(
    ("arguments", "text", "code"),
    [
        ("--version", None, 0),
        ("config path", None, 0),
        ("config show --origin -o json", None, 0),
        ("spectrum query - --local -o csv", "SELECT 'é' AS a, 1 AS b\r\n;", 0),
        ("spectrum query - --local", None, 2),
        ("nonsense", None, 2),
        ("--config absent.toml topics list", None, 3),
        ("--debug --config absent.toml topics list", None, 3),
        ("config init absent/stockctl.toml", None, 2),
    ],
)
def test_code_and_output_are_those_of_a_process_of_its_own(alone: Command, arguments: str, text: str | None, code: int) -> None:
    """Of settings from the environment, files of the folder, what stands on stdin, and tracebacks too."""
    (alone.folder / "lake").mkdir()
    alone.environment |= {
        "STOCKCTL_SYMBOLS": "TSLA",
        "TZ": "Asia/Tokyo",
        "STOCKCTL_LAKE__URL": (alone.folder / "lake").as_uri(),
    }
    forked, real = (alone.run_bytes(*arguments.split(), text=text, real=real) for real in (False, True))
    assert (forked.returncode, forked.stdout) == (real.returncode, real.stdout)
    assert STARTER.sub("", forked.stderr.decode()) == STARTER.sub("", real.stderr.decode())
    assert forked.returncode == code
    assert forked.stdout + forked.stderr


def test_a_traceback_that_differs_elsewhere_would_be_noticed() -> None:
    """The comparison above leaves out one frame and no more."""
    frame = '  File "/a/tests/forkserver.py", line 1, in main\n    stockctl()\n'
    rest = '  File "/a/stockctl/cli/main.py", line 1, in main\n    app()\nConfigError: no\n'
    assert STARTER.sub("", frame + rest) == rest


def sim(command: Command, *, real: bool) -> Process:
    """A simulator that has begun to serve."""
    log = command.folder / f"sim-{real}.log"
    process = command.start("sim", log=log, real=real)
    wait_for(lambda: "ws://" in log.read_text() or process.poll() is not None, "the simulator", HANG)
    assert process.poll() is None, log.read_text()
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
@pytest.mark.parametrize("real", [False, True])
def test_signals_come_and_give_the_same_code(alone: Command, number: signal.Signals, code: int, real: bool) -> None:
    process = sim(alone, real=real)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0)
    process.send_signal(number)
    assert process.wait(HANG) == process.poll() == process.returncode == code
    process.kill()  # nothing is left to be killed


def test_no_signal_is_lost_while_a_process_begins(alone: Command) -> None:
    """The server itself leaves Ctrl-C to the tests, and hands that on to nobody."""
    for _ in range(20):
        process = alone.start("sim")
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG) in (0, 130, -signal.SIGINT)


def test_two_at_once_are_apart(tmp_path: Path) -> None:
    """Each has its own environment, folder and output, and one's end is not the other's."""
    both = []
    for symbol in ("AAPL", "MSFT"):
        (tmp_path / symbol).mkdir()
        both.append(Command(tmp_path / symbol, XDG_CONFIG_HOME=str(tmp_path), STOCKCTL_SYMBOLS=symbol))
    running = [sim(command, real=False) for command in both]
    assert len({process.pid for process in running}) == 2
    shown = [command.start("config", "show", "-o", "json", log=command.folder / "shown") for command in both]
    assert [process.wait(HANG) for process in shown] == [0, 0]
    for command, symbol in zip(both, ("AAPL", "MSFT"), strict=True):
        rows = {row["setting"]: row["value"] for row in json.loads((command.folder / "shown").read_text())}
        assert (rows["symbols"], rows["state_dir"]) == (symbol, str(command.folder / "state"))
        assert f"{command.folder}/stockctl.toml (absent)" in command.run("config", "path").stdout
    running[0].kill()
    assert running[0].wait(HANG) == -signal.SIGKILL
    assert running[1].poll() is None
    running[1].terminate()
    assert running[1].wait(HANG) == 0


@pytest.mark.parametrize("name", ["PYTHONPROFILEIMPORTTIME", "LC_TIME"])
def test_what_an_interpreter_reads_as_it_starts_is_read(alone: Command, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the environment has more of it than that of the tests, less, or as much after a test has changed both."""
    monkeypatch.setattr(commands, "real_processes", False)

    def forks() -> bool:
        process = alone.start("--version")
        assert process.wait(HANG) == 0
        return isinstance(process, Forked)

    assert forks()
    alone.environment[name] = "1"
    assert not forks()
    monkeypatch.setenv(name, "1")
    assert not forks()
    monkeypatch.setattr(commands, "STARTED_WITH", commands.STARTED_WITH | {name: "1"})
    assert forks()
    del alone.environment[name]
    assert not forks()


def test_an_interpreter_of_its_own_obeys_its_environment(alone: Command) -> None:
    assert "import time:" not in alone.run("--version").stderr
    alone.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    assert "import time:" in alone.run("--version").stderr


def test_a_killed_test_process_leaves_no_server_behind(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom tests.command import Command, Forked\n"
        "process = Command(Path(sys.argv[1])).start('--version')\n"
        "assert isinstance(process, Forked) and process.wait() == 0\n"
        "print('served', flush=True)\ntime.sleep(3600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        assert tests.stdout.readline() == "served\n"
        tests.kill()
        # The server holds this pipe too: it ends when the last of them has gone.
        assert tests.stdout.read() == ""


@pytest.mark.parametrize(
    ("imports", "words"),
    [
        ("threading.Thread(target=time.sleep, args=(600,), daemon=True).start()", "an import started a thread"),
        ("kept.append(open('/dev/zero'))", "an import opened something"),
    ],
)
def test_what_a_fork_cannot_copy_is_not_served(imports: str, words: str) -> None:
    """Every command would lose such a thread, or share such a file with all others."""
    lines = ["import threading, time", "from tests import forkserver", "kept = []"]
    code = "\n".join([*lines, f"forkserver.import_everything = lambda: {imports}", "forkserver.main()"])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        result = subprocess.run(
            [sys.executable, "-c", code, str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            capture_output=True,
            text=True,
            timeout=HANG,
        )
    assert result.returncode == 1
    assert words in result.stderr
