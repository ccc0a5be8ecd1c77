"""Start and stop in order, restarts, failures, and the leftovers of a killed supervisor."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stockctl.check_runner import run
from stockctl.local import stop as stop_module
from stockctl.local.files import StackFiles
from stockctl.local.health import checks
from stockctl.local.processes import LOG_LIMIT, identity
from stockctl.local.status import status
from stockctl.local.stop import stop, stop_leftovers
from stockctl.settings import load_settings
from tests.command import HANG, Command
from tests.conftest import wait_for
from tests.local.conftest import Running

Supervise = Callable[..., Running]

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[2] + "/" + sys.argv[1] + ".ready", "w").close()
time.sleep(60)
"""


def test_services_start_after_their_dependencies_and_stop_in_reverse_order(supervise: Supervise) -> None:
    stack = supervise({"name": "a"}, {"name": "c", "after": ["b"]}, {"name": "b", "after": ["a"]})
    stack.wait("running", "a", "b", "c")
    assert stack.stop() == 0
    assert stack.notes == ["start a", "start b", "start c", "stop b", "stop c", "stop a"]
    assert {part["state"] for part in stack.files.read_state()["parts"]} == {"stopped"}


def test_a_service_waits_for_its_dependencies(supervise: Supervise) -> None:
    stack = supervise({"name": "a", "code": "import time; time.sleep(60)"}, {"name": "b", "after": ["a"]})
    wait_for(lambda: stack.part("a").get("detail") == "waits for a.ready", "the reason for waiting", HANG)
    assert stack.part("b")["state"] == "waiting"
    assert stack.part("b")["detail"] == "waits for a"
    (stack.folder / "a.ready").touch()
    stack.wait("running", "a", "b")


def test_a_service_that_dies_is_restarted_and_logged(supervise: Supervise) -> None:
    stack = supervise({"name": "a"}, {"name": "b"})
    stack.wait("running", "a", "b")
    pid = stack.kill("a")
    wait_for(lambda: stack.part("a")["restarts"] == 1 and stack.part("a")["state"] == "running", "a restart", HANG)
    assert stack.part("a")["pid"] not in (pid, None)
    assert stack.part("b")["restarts"] == 0
    assert "a was killed by SIGKILL; restarting in 500ms" in stack.log.read_text()
    assert stack.stop() == 0


def test_watches_run_periodically_and_block_nothing(supervise: Supervise) -> None:
    stack = supervise(*({"name": name, "watch": name} for name in ("hangs", "acts", "fails")))
    stack.wait("running", "hangs", "acts", "fails")
    wait_for(lambda: stack.log.read_text().count("acts: what was wrong is right again") >= 2, "two looks", HANG)
    stack.kill("hangs")
    wait_for(lambda: stack.part("hangs")["restarts"] == 1 and stack.part("hangs")["state"] == "running", "a restart", HANG)
    assert stack.stop() == 0
    assert stack.log.read_text().count("cannot watch fails: nobody answers") == 1


def test_a_service_that_keeps_dying_fails_with_the_end_of_its_log(supervise: Supervise) -> None:
    stack = supervise({"name": "a"}, {"name": "b", "code": "import os; print('no luck', flush=True); os._exit(1)"})
    stack.wait("failed", "b")
    assert stack.part("b")["detail"] == "exited with code 1; died 5 times within 1m: not restarted again"
    assert "not restarted again; the end of its log:\n    no luck" in stack.log.read_text()
    assert stack.part("a")["state"] == "running"
    assert stack.stop() == 1
    assert "b exited with code 1" in stack.log.read_text().splitlines()[-1]


def test_a_permanent_exit_code_is_not_restarted(supervise: Supervise) -> None:
    stack = supervise({"name": "a", "code": "raise SystemExit(3)"})
    stack.wait("failed", "a")
    assert stack.part("a")["restarts"] == 0


def test_a_service_without_its_program_fails_and_the_others_continue(supervise: Supervise) -> None:
    stack = supervise({"name": "a", "program": "/no/such/program"}, {"name": "b"})
    stack.wait("failed", "a")
    stack.wait("running", "b")
    assert stack.part("a")["detail"].startswith("cannot be started: [Errno 2]")


def test_a_service_that_ignores_sigterm_is_killed_and_reported(supervise: Supervise) -> None:
    stack = supervise({"name": "a", "code": STUBBORN, "grace": 0.3})
    stack.wait("running", "a")
    assert stack.stop() == 1
    assert "a did not exit within 300ms and was killed" in stack.log.read_text()


def test_children_exit_when_their_supervisor_is_killed(supervise: Supervise) -> None:
    stack = supervise({"name": "a"})
    stack.wait("running", "a")
    pid = stack.part("a")["pid"]
    stack.process.kill()
    wait_for(lambda: identity(pid) is None, "the child to leave", HANG)
    assert stack.notes == ["start a", "stop a"]
    # Its other threads may end after the child does.
    wait_for(lambda: not stack.files.held, "the lock to be released", HANG)


def test_leftovers_of_a_killed_supervisor_are_found_and_stopped(supervise: Supervise) -> None:
    stack = supervise({"name": "a", "code": STUBBORN})
    stack.wait("running", "a")
    part = stack.part("a")
    stack.process.kill()
    stack.process.wait()
    assert identity(part["pid"]) == part["identity"]
    messages: list[str] = []
    stop_leftovers(stack.files, messages.append, grace=0.3)
    assert identity(part["pid"]) is None
    assert messages == [f"stopping a (pid {part['pid']}), left running by a killed supervisor"]


def test_down_kills_a_stuck_supervisor_and_stops_its_services(
    supervise: Supervise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = supervise({"name": "a"}, {"name": "b", "code": STUBBORN})
    stack.wait("running", "a", "b")
    pids = [stack.part(name)["pid"] for name in ("a", "b")]
    stack.process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(stop_module, "_SILENT_SECONDS", 0.5)
    monkeypatch.setattr(stop_module, "_LEFTOVER_SECONDS", 0.5)
    [note] = stop(load_settings(environ={}, flags={"state_dir": str(tmp_path)}), notify=print)
    assert "made no progress for 500ms, and was killed" in note
    assert [identity(pid) for pid in pids] == [None, None]
    assert not stack.files.held


def test_a_frozen_supervisor_is_shown_and_down_stops_it_in_order(supervise: Supervise, tmp_path: Path) -> None:
    """SIGSTOP is what Ctrl-Z does. Frozen services are stopped too."""
    stack = supervise({"name": "a"}, {"name": "b"}, {"name": "c"})
    stack.wait("running", "a", "b", "c")
    settings = load_settings(environ={}, flags={"state_dir": str(tmp_path)})
    stack.process.send_signal(signal.SIGSTOP)
    died, frozen = stack.kill("a"), stack.part("b")["pid"]
    os.kill(frozen, signal.SIGSTOP)

    def states() -> list[str]:
        return [row.state for row in status(settings)]

    wait_for(lambda: states() == ["frozen", "died", "frozen", "running"], "all to be seen", HANG)
    asked = run(checks(settings))
    assert [finding.state for _, finding in asked] == ["fail", "fail", "fail", "ok"]
    assert f"pid {died} has exited" in asked[1].result.detail
    for found, pid in ((asked[0], stack.process.pid), (asked[2], frozen)):
        assert "suspended by a signal" in found.result.detail
        assert f"`kill -CONT {pid}`" in str(found.result.fix)
    stderr = Command(tmp_path, STOCKCTL_STATE_DIR=str(tmp_path)).run("local", "status", check=10).stderr
    assert "not running: supervisor, a, b" in stderr
    assert f"`kill -CONT {stack.process.pid}`" in stderr

    assert stop(settings, notify=print) == []
    assert stack.process.wait(HANG) == 0, stack.log.read_text()
    assert stack.notes[-2:] == ["stop c", "stop b"]
    assert states() == ["stopped"] * 4


def test_services_orphaned_by_a_killed_supervisor_are_shown(supervise: Supervise, tmp_path: Path) -> None:
    stack = supervise({"name": "a"}, {"name": "b", "code": STUBBORN})
    stack.wait("running", "a", "b")
    stack.process.kill()
    stack.process.wait()
    settings = load_settings(environ={}, flags={"state_dir": str(tmp_path)})
    wait_for(lambda: [row.state for row in status(settings)] == ["stopped", "stopped", "orphaned"], "a to leave", HANG)
    [(system, finding)] = run(checks(settings))
    assert (system, finding.state, finding.fix) == ("local b", "fail", "`stockctl local down` stops it")


def test_a_supervisor_whose_lock_was_deleted_stops_its_services(supervise: Supervise) -> None:
    """Nothing could find it any more, and the next stack would collide with its services."""
    stack = supervise({"name": "a"})
    stack.wait("running", "a")
    pid = stack.part("a")["pid"]
    shutil.rmtree(stack.files.folder)
    assert stack.process.wait(HANG) == 1
    assert identity(pid) is None
    assert stack.notes == ["start a", "stop a"]


def test_another_process_with_the_same_pid_is_left_alone(tmp_path: Path) -> None:
    """After a reboot the pid in the state file may be another process."""
    files = StackFiles(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        files.write(files.state, f'{{"parts": [{{"name": "a", "pid": {stranger.pid}, "identity": "an-earlier-boot/17"}}]}}')
        assert stop_leftovers(files, print) == 0
        assert stranger.poll() is None
        stranger.kill()


def test_a_closed_terminal_does_not_reach_the_children(supervise: Supervise) -> None:
    """Ctrl-C goes to the terminal's process group; only the supervisor may handle it."""
    stack = supervise({"name": "a"})
    stack.wait("running", "a")
    assert os.getpgid(stack.part("a")["pid"]) != os.getpgid(stack.process.pid)
    assert os.getsid(stack.part("a")["pid"]) == stack.part("a")["pid"]
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(HANG) == 0


def test_a_full_disk_is_logged_and_the_stack_still_stops_in_order(supervise: Supervise) -> None:
    stack = supervise({"name": "a"}, {"name": "b", "after": ["a"]})
    stack.wait("running", "a", "b")
    full = Path("/dev/full")
    (stack.files.folder / f".state.json.{stack.process.pid}").symlink_to(full)
    stack.files.log("a").with_name("a.log.1").symlink_to(full)
    with stack.files.log("a").open("ab") as log:
        log.write(bytes(LOG_LIMIT))
    wait_for(lambda: "cannot rotate the log of a" in stack.log.read_text(), "word of the log", HANG)
    stack.kill("b")
    wait_for(lambda: "cannot write the state" in stack.log.read_text(), "word of the state", HANG)
    wait_for(lambda: stack.notes.count("start b") == 2, "the restart", HANG)
    assert stack.stop() == 0, stack.log.read_text()
    assert stack.notes[-2:] == ["stop b", "stop a"]
    assert stack.log.read_text().count("cannot write the state") == 1


def test_a_starting_service_may_be_ended_by_sigterm(supervise: Supervise) -> None:
    """It has nothing to lose, and may have no signal handler yet."""
    stack = supervise({"name": "a", "code": "import time; time.sleep(60)"})
    stack.wait("starting", "a")
    assert stack.stop() == 0, stack.log.read_text()
