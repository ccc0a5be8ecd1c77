"""Running health checks concurrently."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from stockctl.check_runner import Check, CheckResult, disk, run
from stockctl.errors import RefusedError


def test_checks_run_concurrently_and_results_keep_their_order() -> None:
    """Each probe waits for the other, so running them one after the other would never end."""
    meeting = threading.Barrier(2)

    def probe(detail: str) -> CheckResult:
        meeting.wait()
        return CheckResult(detail)

    results = run([Check("a", lambda: probe("first")), Check("b", lambda: probe("second"))])
    assert [(result.system, result.result.detail) for result in results] == [("a", "first"), ("b", "second")]


def test_the_message_of_a_stockctl_error_is_the_detail_and_its_hint_the_fix() -> None:
    def probe() -> CheckResult:
        raise RefusedError("the key was refused", hint="renew it")

    [(_, result)] = run([Check("a", probe)])
    assert result == CheckResult("the key was refused", "fail", "renew it")


def test_a_probe_that_hangs_fails_after_the_timeout() -> None:
    release = threading.Event()

    def probe() -> CheckResult:
        release.wait()
        return CheckResult("late")

    [(_, hanging), (_, quick)] = run([Check("a", probe), Check("b", lambda: CheckResult("here"))], timeout=1)
    release.set()
    assert (hanging.state, hanging.detail) == ("fail", "no answer within 1s")
    assert quick.detail == "here"


@pytest.mark.parametrize("error", [KeyError("defect"), TimeoutError("defect")])
def test_an_unexpected_exception_fails_only_its_own_check(error: Exception) -> None:
    """A timeout of the probe's own is no check that has not answered."""

    def probe() -> CheckResult:
        raise error

    [(_, defect), (_, other)] = run([Check("a", probe), Check("b", lambda: CheckResult("here"))])
    assert (defect.state, defect.detail) == ("fail", f"unexpected {type(error).__name__}: {error}")
    assert defect.fix
    assert other == CheckResult("here")


def test_a_keyboard_interrupt_is_raised() -> None:
    def probe() -> CheckResult:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([Check("a", probe)])


def test_the_disk_check_accepts_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    [(system, result)] = run([disk(folder)])
    assert system == "disk"
    assert f"free at {folder}" in result.detail
    assert not folder.exists()
