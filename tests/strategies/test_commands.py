"""``stockctl strategies`` as a process, and the examples of docs/strategies.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.command import Command, clean_environment

PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"


def test_a_new_strategy_and_its_test_work(tmp_path: Path) -> None:
    command = Command(tmp_path)
    command.run("strategies", "init", "my-strategy", "--folder", str(tmp_path))
    shown = command.run("strategies", "show", str(tmp_path / "my_strategy.py"), "--param", "bars=5", "-o", "json")

    assert json.loads(shown.stdout)["param.bars"].startswith("5 (int, at least 2")
    test = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_strategy.py"]
    run = subprocess.run(test, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr

    again = command.run("strategies", "init", "my-strategy", "--folder", str(tmp_path), check=2)
    assert "my_strategy.py exists" in again.stderr


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    result = Command(tmp_path).run("strategies", "init", "mine", "--folder", str(tmp_path), "--dry-run")

    assert list(tmp_path.glob("*mine*")) == []
    assert "would write" in result.stderr


def test_every_named_strategy_is_on_the_page(tmp_path: Path) -> None:
    listed = json.loads(Command(tmp_path).run("strategies", "list", "-o", "json").stdout)

    assert {row["name"] for row in listed} == set(re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE))


def test_the_example_of_the_page(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    run = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, check=False)

    assert (run.stdout, run.stderr) == ("[('buy', 'id-5')]\n", "")
