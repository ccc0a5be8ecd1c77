"""docs/feed.md: its Python runs, and it names the options and metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from stockctl.cli.main import app
from stockctl.feed.normalise import Normaliser
from stockctl.feed.publisher import Publisher
from stockctl.feed.report import Report
from stockctl.settings import Settings, setting_names

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


def test_every_metric_is_on_the_page(settings: Settings) -> None:
    report = Report(settings, Normaliser("sim"), Publisher(settings))
    names = {sample.name for metric in report.collect() for sample in metric.samples}
    assert names | {"stockctl_feed_lag_seconds"} == set(re.findall(r"stockctl_[a-z_]+", PAGE.split("## Metrics")[1]))
