"""docs/feed.md: its Python runs, and it names the options and settings that there are."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from stockctl.cli.main import app
from stockctl.settings import setting_names

PAGE = (Path(__file__).parents[2] / "docs" / "feed.md").read_text(encoding="utf-8")


def test_the_python_on_the_page_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})  # noqa: S102 - our own page


def test_the_options_on_the_page_exist() -> None:
    shown = CliRunner().invoke(app, ["produce", "--help"]).output
    options = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    assert {"--replay", "--speed", "--retime", "--for", "--health-port"} <= options
    assert all(option in shown for option in options)


def test_the_settings_on_the_page_exist() -> None:
    named = set(re.findall(r"`((?:finnhub|kafka|log)\.[a-z_]+)`", PAGE))
    assert named
    assert named <= set(setting_names())
