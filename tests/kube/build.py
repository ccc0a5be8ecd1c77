"""Builds Kubernetes' API server for tests from its Go modules, once, into the user's cache: ``make kube``."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cache import alone, at_once, cached

SOURCES = [Path(__file__).with_name(name) for name in ("go.mod", "go.sum", "main.go")]


def program() -> Path:
    """Where the program with etcd, API server and controllers in it is, once it is built."""
    mark = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:12]
    return cached(f"kube-{mark}") / "kube"


def wanted() -> tuple[int, ...]:
    """The oldest Go that the modules can be built with."""
    (version,) = re.findall(r"^go ([\d.]+)$", SOURCES[0].read_text(), re.MULTILINE)
    return _numbers(version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def complaint(folder: Path) -> str | None:
    """Why Go cannot build in ``folder``, and what to install; None if it can."""
    oldest = ".".join(map(str, wanted()))
    remedy = (
        f"install Go {oldest} or newer from https://go.dev/dl/ (a distribution's own is often older), and put its bin/ on PATH"
    )
    try:
        # Go of 1.21 or newer fetches by itself the one that go.mod asks for, unless GOTOOLCHAIN forbids it.
        result = subprocess.run(["go", "env", "GOVERSION"], cwd=folder, capture_output=True, text=True, timeout=600)
    except FileNotFoundError:
        return f"Kubernetes' API server is built from Go modules, and there is no go here: {remedy}"
    found = re.match(r"go([\d.]+\d)", result.stdout)
    if found and _numbers(found[1]) >= wanted():
        return None
    installed = result.stdout.strip() or result.stderr.strip()
    return f"Kubernetes' API server is built from Go modules that ask for Go {oldest}, and here is {installed}: {remedy}"


def build() -> None:
    """Build it, unless it is there or another process builds it already: that one is waited for. SystemExit if that fails."""
    built = program()
    log = built.with_name("log")
    with alone(
        built.parent, lambda: print(f"another process builds Kubernetes' API server: waiting for it; see {log}", flush=True)
    ):
        if built.exists():
            print(f"Kubernetes' API server is there: {built}")
            return
        for path in SOURCES:
            shutil.copy(path, built.parent)
        if reason := complaint(built.parent):
            sys.exit(reason)
        print("building Kubernetes' API server from Go modules: 6 to 13 minutes on two quiet cores, this once", flush=True)
        with at_once(built) as part:
            command = ["go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", str(part), "."]
            if _run(command, built.parent, log) != 0:
                sys.exit(f"go could not build it in {built.parent}: its words stand above")
        print(f"built {built}")


def _run(command: list[str], folder: Path, log: Path) -> int:
    """Run ``command``, what it says written through, and kept in ``log`` for who waits; its exit code."""
    with (
        log.open("w") as kept,
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running,
    ):
        assert running.stdout is not None
        for line in running.stdout:
            for sink in (sys.stderr, kept):
                sink.write(line)
                sink.flush()
    return running.returncode


if __name__ == "__main__":
    build()
