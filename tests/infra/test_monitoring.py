"""The dashboard, the alert rules and their page, compared with the exposed metrics and the commands."""

from __future__ import annotations

import json
import re
import shlex
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml

from stockctl.cli.main import app
from stockctl.infra.kustomize import containers, pod_template
from stockctl.infra.render import Rendered
from stockctl.settings import setting_names
from tests.cli.test_main import parse
from tests.command import Command
from tests.infra.exposed import Exposed, exposed

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "manifests" / "monitoring"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
GROUPS = yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
SCRAPED = {"namespace"}
"""Labels that a scrape of a cluster's pods adds."""
WORDS = {
    "absent",
    "and",
    "by",
    "histogram_quantile",
    "increase",
    "max",
    "max_over_time",
    "offset",
    "or",
    "rate",
    "sum",
    "time",
    "vector",
}
"""The words of PromQL in the expressions; every other word is a metric or a label."""


class Expression(NamedTuple):
    """A PromQL expression: its metrics, the labels that it matches of each, and those that it groups by."""

    text: str
    metrics: set[str]
    matched: list[tuple[str, str]]
    grouped: set[str]


def expression(text: str) -> Expression:
    """``text``, parsed."""
    plain = re.sub(r'"[^"]*"', '""', text)
    matched = [
        (metric, label)
        for metric, inside in re.findall(r"(\w+)\{([^}]*)\}", plain)
        for label in re.findall(r"(\w+) *(?:=~|!=|!~|=)", inside)
    ]
    grouped = {label for inside in re.findall(r"\bby \(([^)]*)\)", plain) for label in re.split(r", *", inside)}
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\bby \([^)]*\)", " ", plain)
    return Expression(text, set(re.findall(r"\b[a-z_]\w*", bare)) - WORDS, matched, grouped)


def on_the_dashboard() -> list[Expression]:
    """Every expression of the dashboard, those of its variables included."""
    asked = [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
    values = [re.fullmatch(r"label_values\((\w+), (\w+)\)", text) for text in asked]
    return [expression(target["expr"]) for panel in PANELS for target in panel["targets"]] + [
        Expression(value[0], {value[1]}, [], {value[2]}) for value in values if value
    ]


ASKED = [*on_the_dashboard(), *(expression(rule["expr"]) for rule in RULES)]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exposed]:
    """The exposed metrics."""
    return exposed(tmp_path_factory.mktemp("exposed"))


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.text)
def test_every_queried_metric_is_exposed(asked: Expression, metrics: dict[str, Exposed]) -> None:
    assert asked.metrics
    assert asked.metrics <= metrics.keys()
    assert all(label in metrics[metric].labels | SCRAPED for metric, label in asked.matched)
    assert asked.grouped <= SCRAPED.union(*(metrics[metric].labels for metric in asked.metrics))


def test_expressions_are_parsed_correctly() -> None:
    """The test above can fail."""
    text = 'sum by (table, a) (rate(one_total{b=~"x and y", c="1"}[5m])) > 1e3 or time() - two offset 10m > absent(three)'
    assert expression(text)[1:] == ({"one_total", "two", "three"}, [("one_total", "b"), ("one_total", "c")], {"table", "a"})


def test_every_metric_is_on_the_dashboard(metrics: dict[str, Exposed]) -> None:
    assert set().union(*(asked.metrics for asked in on_the_dashboard())) == metrics.keys()


def test_counters_are_queried_by_increase_and_gauges_by_value(metrics: dict[str, Exposed]) -> None:
    for asked in ASKED:
        counted = {name for name in asked.metrics if metrics[name].kind in ("counter", "histogram")}
        increased = set(re.findall(r"(?:rate|increase)\((\w+)", asked.text))
        if "absent(" not in asked.text and "label_values(" not in asked.text:
            # The one gauge that only grows is another system's counter.
            assert increased - {"stockctl_dead_letters_end_offset"} == counted, asked.text


def test_panels_have_distinct_ids_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24, panel["title"]
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_each_panel_has_a_description_and_a_unit(panel: dict[str, Any]) -> None:
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert {"datasource", "namespace"} == variables
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in {"s", "cps", "short", "none"}
    assert panel["targets"]
    for target in panel["targets"]:
        asked = expression(target["expr"])
        assert {target["datasource"]["uid"], panel["datasource"]["uid"]} == {"${datasource}"}
        assert target["expr"].count('namespace=~"$namespace"') == len(re.findall(r"\bstockctl_", target["expr"]))
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) == asked.grouped - {"le"}
    seconds = any("_seconds" in target["expr"] for target in panel["targets"])
    assert (panel["fieldConfig"]["defaults"]["unit"] == "s") == seconds
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_each_alert_has_a_severity_and_commands_to_try() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert not rule["annotations"]["summary"].endswith(".")
        commands = re.findall(r"`stockctl ([^`]+)`", rule["annotations"]["description"])
        assert commands, rule["alert"]
        for command in commands:
            # An argument that only the reader knows, such as a dead letter's id, is left out there.
            parse(typer.main.get_command(app), [*shlex.split(command), *(["an-id"] if command == "dlq show" else [])])
        named = set(re.findall(r"\b(?:[a-z]+\.)+[a-z_]+\b", rule["annotations"]["description"]))
        assert named <= set(setting_names()), rule["alert"]


def test_the_page_lists_every_metric_with_its_labels(metrics: dict[str, Exposed]) -> None:
    rows = re.findall(r"^\| `(stockctl_\w+)` \|([^|]*)\|[^|]+\|[^|]+\|$", PAGE, re.MULTILINE)
    documented = {name: frozenset(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    assert documented == {name: metric.labels for name, metric in metrics.items()}


def test_the_command_writes_the_files(tmp_path: Path) -> None:
    for what, file in (("rules", "rules.yaml"), ("dashboard", "dashboard.json")):
        assert Command(tmp_path).run("infra", "monitoring", what).stdout == (FOLDER / file).read_text(encoding="utf-8")


def test_every_pod_with_metrics_has_the_scrape_annotations(rendered: Rendered) -> None:
    for manifest in rendered.manifests:
        ports = [each["args"][-1] for each in containers(manifest) if "--health-port" in each.get("args", ())]
        notes = (pod_template(manifest) or {}).get("metadata", {}).get("annotations", {})
        scraped = [notes["prometheus.io/port"]] if notes.get("prometheus.io/scrape") == "true" else []
        assert scraped == ports, manifest["metadata"]["name"]
