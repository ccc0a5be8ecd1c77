"""`make kube` where it cannot build."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.command import HANG
from tests.conftest import wait_for
from tests.kube import build


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one `go` on PATH, which the test writes."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "program", lambda: tmp_path / "cache" / "kube")
    return tmp_path / "go"


def write(go: Path, script: str) -> None:
    go.write_text(f"#!/bin/sh\n{script}\n")
    go.chmod(0o755)


def test_without_go_it_names_what_to_install(go: Path) -> None:
    with pytest.raises(SystemExit, match=r"there is no go here: install Go 1\.26\.0 or newer from https://go.dev/dl/"):
        build.build()


@pytest.mark.parametrize(
    ("script", "reported"),
    [
        ("echo go1.19.8", "here is go1.19.8: install Go 1.26.0"),
        ("echo 'go: go.mod requires go >= 1.26.0 (running go 1.24.1; GOTOOLCHAIN=local)' >&2; exit 1", "running go 1.24.1;"),
    ],
)
def test_an_older_go_is_refused(go: Path, script: str, reported: str) -> None:
    write(go, script)
    with pytest.raises(SystemExit) as raised:
        build.build()
    assert reported in str(raised.value)


def test_it_reports_the_build_and_leaves_no_partial_file(go: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(go, '[ "$1" = env ] && echo go1.27.0 && exit; echo half > "$5"; echo "no such module" >&2; exit 1')
    with pytest.raises(SystemExit, match=r"go could not build it in .*/cache"):
        build.build()
    written = capfd.readouterr()
    assert "building Kubernetes' API server from Go modules: 6 to 13 minutes" in written.out
    assert "no such module" in written.err
    assert sorted(path.name for path in (go.parent / "cache").iterdir()) == ["go.mod", "go.sum", "lock", "log", "main.go"]
    assert (go.parent / "cache" / "log").read_text() == "no such module\n"


def test_what_is_built_is_not_built_again(go: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(go, '[ "$1" = env ] && echo go1.26.0 && exit; echo program > "$5"')
    build.build()
    assert (go.parent / "cache" / "kube").read_text() == "program\n"
    go.unlink()
    build.build()
    assert "is there: " in capsys.readouterr().out


def test_a_second_process_waits_and_builds_nothing(go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    building = "echo once more >> runs; while [ ! -e end ]; do sleep 0.05; done; echo program"
    write(go, f'[ "$1" = env ] && echo go1.26.0 && exit; {building} > "$5"')
    folder = tmp_path / "cache"
    messages: list[str] = []
    # Reading what was captured would lose what another thread writes at that moment.
    monkeypatch.setattr("builtins.print", lambda *words, **_: messages.append(" ".join(map(str, words))))

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(build.build)
        try:
            wait_for((folder / "runs").exists, "the first build")
            second = pool.submit(build.build)
            wait_for(lambda: "waiting for it; see " in "".join(messages) or second.done(), "the second one to wait")
            assert not second.done()
        finally:
            (folder / "end").touch()
        first.result(HANG)
        second.result(HANG)
    assert (folder / "runs").read_text() == "once more\n"
    assert "is there: " in messages[-1]
