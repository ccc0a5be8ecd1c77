"""docs/simulator.md: its examples run, and it names what there is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stockctl.cli.main import app
from stockctl.sim import FAULTS, parse_fault
from tests.command import HANG

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_there_are_examples() -> None:
    """Both of them are found."""
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(example: str, tmp_path: Path) -> None:
    """Each as a program of its own, warnings as errors."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, timeout=HANG, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def test_commands_use_options_that_exist() -> None:
    """Each option of `stockctl sim` in the page is in its help, and each fault can be read."""
    shown = CliRunner().invoke(app, ["sim", "--help"]).output
    words = [word for line in PAGE.splitlines() if line.startswith("stockctl sim") for word in shlex.split(line)]
    options = {word for word in words if word.startswith("--")} | set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert options
    assert all(option in shown for option in options)
    faults = [word for word in words if "@" in word]
    assert {parse_fault(fault).kind for fault in faults} == {"drop", "silent", "triple", "refuse"}


def test_every_fault_is_explained() -> None:
    """A row each."""
    assert all(f"| `{kind}`" in PAGE for kind in FAULTS)
