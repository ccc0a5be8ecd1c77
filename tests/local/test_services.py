"""The services of a stack, as the settings of the user name them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from stockctl.extras import EXTRAS
from stockctl.local.files import StackFiles
from stockctl.local.services import notes, plan, port_names, preferred_ports, services_of
from stockctl.settings import load_settings
from tests.command import clean_environment
from tests.local.stack import Stack

PORTS = {name: 20_000 + number for number, name in enumerate(port_names("sim"))}


def strategies(folder: Path, strategy: str) -> tuple[list[str], Mapping[str, str]]:
    """The services of a stack in ``folder`` with this ``signals.strategy``, and their environment."""
    settings = load_settings(environ=clean_environment(STOCKCTL_STATE_DIR=str(folder), STOCKCTL_SIGNALS__STRATEGY=strategy))
    files = StackFiles(folder / "local")
    planned = plan(settings, files, "sim", PORTS, ("stockctl",), None)
    return [service.name for service in services_of(planned, files, PORTS)], planned.environment


def test_without_its_packages_a_stack_has_no_dashboard_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert strategies(tmp_path, "")[0][-1] == "dashboard"
    assert notes() == []
    monkeypatch.setitem(EXTRAS, "dashboard", ("nothing_of_this_name",))
    assert "dashboard" not in strategies(tmp_path, "")[0]
    assert notes() == [
        "no dashboard is served: the dashboard needs the packages nothing_of_this_name of the extra `dashboard`; "
        "pip install 'stockctl[dashboard]'"
    ]


def test_the_dashboard_gets_its_port_and_the_other_commands_know_it(tmp_path: Path) -> None:
    environment = strategies(tmp_path, "")[1]
    assert environment["STOCKCTL_DASHBOARD__PORT"] == str(PORTS["dashboard"])
    for port, preferred in (("0", {}), ("9000", {"dashboard": (9000, True)}), (None, {"dashboard": (8765, False)})):
        more = {"STOCKCTL_DASHBOARD__PORT": port} if port else {}
        assert preferred_ports(load_settings(environ=clean_environment(**more))) == preferred


@pytest.mark.parametrize("strategy", ["", "  "])
def test_without_a_strategy_no_service_runs_one(tmp_path: Path, strategy: str) -> None:
    assert "signals" not in strategies(tmp_path, strategy)[0]
    assert "signals" in strategies(tmp_path, "sma-cross")[0]


def test_the_file_of_a_strategy_is_that_of_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Services run in another folder."""
    monkeypatch.chdir(tmp_path)
    for written, run in (
        ("mine.py", f"{tmp_path}/mine.py"),
        ("mine.py:Mine", f"{tmp_path}/mine.py:Mine"),
        ("/etc/strategies/mine.py", "/etc/strategies/mine.py"),
        ("sma-cross", "sma-cross"),
        ("package.mine:Mine", "package.mine:Mine"),
    ):
        assert strategies(tmp_path, written)[1]["STOCKCTL_SIGNALS__STRATEGY"] == run


def test_a_strategy_that_cannot_be_loaded_fails_up_before_anything_starts(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "a folder", STOCKCTL_SIGNALS__STRATEGY="mine.py")
    assert "there is no file mine.py" in stack.run("local", "up", check=2).stderr
    (stack.folder / "mine.py").write_text("import nowhere")
    assert "the strategy mine.py cannot be imported" in stack.run("local", "up", check=1).stderr
    assert not stack.state_dir.exists()
