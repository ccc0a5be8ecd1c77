"""``local status``, from the state that a supervisor wrote."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from stockctl.check_runner import run
from stockctl.errors import UsageError
from stockctl.local.files import StackFiles, stack_files
from stockctl.local.health import checks, overview
from stockctl.local.processes import identity
from stockctl.local.services import effective_settings, plan, port_names
from stockctl.local.start import _restart_reason
from stockctl.settings import Settings, load_settings
from tests.command import Command


def said(
    name: str, state: str, detail: str = "", restarts: int = 0, died: Sequence[float] = (), left: int | None = None
) -> dict[str, Any]:
    """A service in ``state.json``, which last exited with ``left``."""
    started = {"pid": os.getpid(), "started": time.time()} if state == "running" else {"pid": None, "started": None}
    about = {"name": name, "state": state, "detail": detail, "address": "", "restarts": restarts, "died": died, "exit": left}
    return about | started | {"identity": identity(os.getpid())}


@pytest.mark.parametrize(
    ("state", "detail"),
    [
        ("failed", "exited with code 1; died 5 times within 1m: not restarted again"),
        ("restarting", "was killed by SIGKILL; restarting in 500ms"),
    ],
)
def test_a_service_that_is_not_running_is_named_with_exit_10(tmp_path: Path, state: str, detail: str) -> None:
    """The test is the supervisor: it holds the lock and writes the state."""
    files = StackFiles(tmp_path / "state" / "local")
    with files.hold() as mine:
        assert mine
        about = {"phase": "running", "pid": os.getpid(), "identity": identity(os.getpid()), "started": time.time()}
        for parts, code in (
            ([said("broker", "running"), said("produce", "running", restarts=1)], 0),
            ([said("broker", "running"), said("produce", state, detail, restarts=1)], 10),
        ):
            files.write(files.state, json.dumps(about | {"parts": parts}))
            result = Command(tmp_path).run("local", "status", "-o", "json", check=code)
            shown = {row["service"]: (row["state"], row["detail"]) for row in json.loads(result.stdout)}
            assert shown.keys() == {"supervisor", "broker", "produce"}
        assert shown["produce"] == (state, detail)
        assert "not running: produce" in result.stderr


@contextmanager
def supervised(folder: Path, **about: Any) -> Iterator[Callable[..., Settings]]:
    """The test is the supervisor of a stack in ``folder``: yields a function that writes its services and returns settings."""
    files = StackFiles(folder / "state" / "local")
    with files.hold() as mine:
        assert mine
        state = {"phase": "running", "pid": os.getpid(), "identity": identity(os.getpid()), "started": time.time()} | about

        def note(*parts: dict[str, Any]) -> Settings:
            files.write(files.state, json.dumps(state | {"parts": parts}))
            return load_settings(environ=Command(folder).environment)

        yield note


def shown(settings: Settings) -> list[tuple[str, str]]:
    """State and detail of each service, as ``status`` and ``doctor`` show them."""
    assert run(overview(settings)) == run(checks(settings))
    return [(finding.state, finding.detail) for _, finding in run(checks(settings))]


def test_status_and_doctor_distinguish_starting_from_died(tmp_path: Path) -> None:
    gone, now = "exited with code 1; restarting in 2s", time.time()
    with supervised(tmp_path) as note:
        assert shown(note(said("a", "waiting", "waits for b"), said("b", "starting"))) == [
            ("warn", "waiting: waits for b"),
            ("warn", "starting"),
        ]
        assert shown(note(said("a", "restarting", gone, 1, [now]), said("b", "starting", "", 1, [now]))) == [
            ("fail", f"restarting: {gone}, restarted 1 time"),
            ("fail", "starting, restarted 1 time"),
        ]
        assert [state for state, _ in shown(note(said("a", "failed", "exited with code 3"), said("b", "running")))] == [
            "fail",
            "ok",
        ]


def test_a_restart_loop_is_unhealthy_even_while_the_service_runs(tmp_path: Path) -> None:
    """A service that died once or twice, or long ago, is healthy again."""
    now = time.time()
    with supervised(tmp_path) as note:
        well = note(said("a", "running", "", 2, [now, now]), said("b", "running", "", 5, [now - 3600] * 5))
        assert [state for state, _ in shown(well)] == ["ok", "ok"]
        log = StackFiles(tmp_path / "state" / "local").log("a")
        words = f"died 3 times within 5m, last time it exited with code 1; see {log}"
        log.write_text("no luck\n")
        for state, detail in (
            ("running", ""),
            ("starting", "waits for b"),
            ("restarting", "exited with code 1; restarting in 2s"),
        ):
            settings = note(said("a", state, detail, 3, [now, now, now], 1))
            detail = f"{detail}; {words}" if detail else words
            [(_, finding)] = run(checks(settings))
            assert finding.state == "fail"
            assert finding.detail == f"{state}: {detail}, restarted 3 times; its last line: no luck"
            assert finding.fix == f"see {log}, fix the error there, then `stockctl local up`"
            result = Command(tmp_path).run("local", "status", "-o", "json", check=10)
            row = json.loads(result.stdout)[1]
            assert (row["state"], row["detail"]) == (state, detail)
            assert f"{'in a restart loop' if state == 'running' else 'not running'}: a" in result.stderr


def test_a_service_that_reports_a_problem_or_nothing_is_unhealthy(tmp_path: Path) -> None:
    """Its health is read over HTTP, at its port."""

    class Unwell(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503, "cannot put")

    with (
        supervised(tmp_path) as note,
        socket.create_server(("127.0.0.1", 0)) as closed,
        HTTPServer(("127.0.0.1", 0), Unwell) as server,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        silent = closed.getsockname()[1]
        closed.close()
        settings = note(said("consume-s3", "running"), said("produce", "running"), said("broker", "running"))
        ports = {"consume-s3": server.server_port, "produce": silent, "broker": silent}
        StackFiles(tmp_path / "state" / "local").ports.write_text(json.dumps(ports))
        (lake, said_lake), (feed, said_feed), broker = shown(settings)
        server.shutdown()
    assert (lake, "cannot put" in said_lake) == ("fail", True)
    assert (feed, f"no answer at port {silent}" in said_feed) == ("fail", True)
    assert broker == ("ok", "running")


def test_up_finds_the_settings_that_have_changed(tmp_path: Path) -> None:
    """Symbols of the command line stay until the stack is stopped; a failed service is a reason to restart."""
    ports = dict.fromkeys(port_names("sim"), 1)
    plain = load_settings(environ=Command(tmp_path).environment)
    files = stack_files(plain)

    def flagged(**flags: Any) -> Settings:
        return load_settings(environ=Command(tmp_path).environment, flags=flags)

    def why(settings: Settings, **state: Any) -> str | None:
        ran = plan(settings_then, files, "sim", ports, (), None).settings
        about = {
            "mode": "sim",
            "settings": {"symbols": settings_then.symbols},
            "ports": ports,
            "effective": effective_settings(ran, settings_then),
        }
        return _restart_reason(settings, "sim", files, about | {"parts": [said("a", "running")]} | state, None)

    settings_then = plain
    assert why(plain) is None
    assert why(plain, parts=[said("a", "running"), said("b", "failed")]) == "b failed"
    with pytest.raises(UsageError, match="already running with the simulator and AAPL"):
        why(flagged(symbols=["IBM"]))
    settings_then = flagged(symbols=["IBM"])
    assert why(plain, symbols_given=True) is None
    assert why(plain) == "symbols is now AAPL,MSFT,NVDA,TSLA,BINANCE:BTCUSDT"
