"""Running checks side by side."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from stockctl.errors import RefusedError
from stockctl.health import Check, Finding, disk, run


def test_checks_run_side_by_side_and_answer_in_their_order() -> None:
    """Each of the two waits for the other, so one after the other would never end."""
    meeting = threading.Barrier(2)

    def probe(detail: str) -> Finding:
        meeting.wait()
        return Finding(detail)

    results = run([Check("a", lambda: probe("first")), Check("b", lambda: probe("second"))])
    assert [(result.system, result.finding.detail) for result in results] == [("a", "first"), ("b", "second")]


def test_an_error_of_ours_is_the_cause_and_its_hint_the_fix() -> None:
    def probe() -> Finding:
        raise RefusedError("the key was refused", hint="renew it")

    [(_, finding)] = run([Check("a", probe)])
    assert finding == Finding("the key was refused", "fail", "renew it")


def test_a_probe_that_hangs_fails_and_keeps_nobody_waiting() -> None:
    release = threading.Event()

    def probe() -> Finding:
        release.wait()
        return Finding("late")

    [(_, hanging), (_, quick)] = run([Check("a", probe), Check("b", lambda: Finding("here"))], timeout=1)
    release.set()
    assert (hanging.state, hanging.detail) == ("fail", "no answer within 1s")
    assert quick.detail == "here"


def test_a_defect_of_a_probe_fails_its_own_check_alone() -> None:
    def probe() -> Finding:
        raise KeyError("defect")

    [(_, defect), (_, other)] = run([Check("a", probe), Check("b", lambda: Finding("here"))])
    assert (defect.state, defect.detail) == ("fail", "unexpected KeyError: 'defect'")
    assert defect.fix
    assert other == Finding("here")


def test_an_interruption_is_no_finding() -> None:
    def probe() -> Finding:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([Check("a", probe)])


def test_the_disk_check_takes_a_folder_that_is_yet_to_be_made(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    [(system, finding)] = run([disk(folder)])
    assert system == "disk"
    assert f"free at {folder}" in finding.detail
    assert not folder.exists()
