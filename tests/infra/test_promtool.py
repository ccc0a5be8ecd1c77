"""Prometheus' own tool on what ships for it: rules and expressions parse, and each alert fires when it should."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.command import HANG
from tests.infra.exposed import exposed
from tests.infra.test_monitoring import FOLDER, ROOT, RULES, on_the_dashboard
from tests.test_readme import blocks

pytestmark = pytest.mark.promtool

MINUTES = 180
"""Length of a case's series, a sample each minute."""


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    """The output of promtool, which must succeed."""
    program = shutil.which("promtool")
    if program is None:
        pytest.fail("promtool checks the rules, and there is none: install the package prometheus")
    result = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, timeout=HANG)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_promtool_accepts_the_rules() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", FOLDER / "rules.yaml")


def test_promtool_accepts_the_dashboards_expressions(tmp_path: Path) -> None:
    texts = [asked.text for asked in on_the_dashboard() if "label_values(" not in asked.text]
    rules = [{"record": f"panel:{number}", "expr": text.replace("$__rate_interval", "4m")} for number, text in enumerate(texts)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", tmp_path / "rules.yaml")


def test_the_metrics_follow_prometheus_conventions(tmp_path: Path) -> None:
    lines = []
    for name, metric in exposed(tmp_path).items():
        family = name.removesuffix("_bucket")
        samples = f"{name} 0\n"
        if metric.kind == "histogram":
            samples = f'{name}{{le="+Inf"}} 0\n{family}_sum 0\n{family}_count 0\n'
        lines.append(f"# HELP {family} {metric.words}\n# TYPE {family} {metric.kind}\n{samples}")
    assert promtool("check", "metrics", text="".join(lines)) == ""


def test_promtool_accepts_the_configuration_in_the_docs(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "rules.yaml", tmp_path / "stockctl-rules.yaml")
    (text,) = (block.text for block in blocks((ROOT / "docs" / "deploy.md").read_text()) if block.language == "yaml")
    config = yaml.safe_load(text)
    # Debian's Prometheus has no service discovery.
    assert config["scrape_configs"][0].pop("kubernetes_sd_configs") == [{"role": "pod", "namespaces": {"names": ["stockctl"]}}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    assert f"{len(RULES)} rules found" in promtool("check", "config", tmp_path / "prometheus.yml")


def steady(value: int) -> str:
    """A series with the constant ``value``."""
    return f"{value}+0x{MINUTES}"


def turning(before: int, after: int) -> str:
    """A series that is ``before`` in the first hour and ``after`` since."""
    return f"{before}+0x60 {after}+0x{MINUTES - 61}"


def stopping(a_minute: int) -> str:
    """A series that grows for an hour, and then no more."""
    return f"0+{a_minute}x60 {60 * a_minute}+0x{MINUTES - 61}"


WELL = {
    "stockctl_feed_connected": steady(1),
    'stockctl_feed_session_open{session="pre"}': steady(0),
    'stockctl_feed_session_open{session="regular"}': steady(1),
    "stockctl_feed_covered_timestamp_seconds": f"0+60x{MINUTES}",
    "stockctl_feed_uncovered_seconds_total": steady(5),
    "stockctl_trades_total": f"0+600x{MINUTES}",
    "stockctl_dead_letters_total": steady(0),
    "stockctl_producer_dropped_total": steady(0),
    "stockctl_producer_undelivered_total": steady(0),
    'stockctl_lake_rows_total{table="trades"}': f"0+600x{MINUTES}",
    'stockctl_lake_rejected_total{table="trades"}': steady(0),
    'stockctl_lake_lag_records{table="trades"}': steady(100),
    'stockctl_lake_newest_timestamp_seconds{table="trades"}': steady(0),
    'stockctl_lake_newest_timestamp_seconds{table="feed_events"}': f"0+60x{MINUTES}",
    "stockctl_mongo_lag_records": steady(100),
    "stockctl_mongo_rejected_total": steady(0),
    "stockctl_signals_lag_records": steady(100),
    'stockctl_signals_strategy_errors_total{strategy="sma-cross"}': steady(0),
    "stockctl_dashboard_behind_seconds": steady(1),
}
CONNECT = {
    "stockctl_mongo_lag_records": "",
    "stockctl_mongo_rejected_total": "",
    "stockctl_connect_running_tasks": steady(2),
    "stockctl_connect_failed_tasks": steady(0),
    "stockctl_connect_lag_records": steady(30_000),
    "stockctl_dead_letters_end_offset": steady(7),
}
CLOSED = {'stockctl_feed_session_open{session="regular"}': steady(0), "stockctl_trades_total": stopping(600)}
PRE = CLOSED | {'stockctl_feed_session_open{session="pre"}': steady(1)}
AWAY = {"stockctl_feed_connected": turning(1, 0)}
STANDING = {'stockctl_lake_newest_timestamp_seconds{table="feed_events"}': stopping(60)}
UNTIL_THEN = "1+0x60"
"""A series that ends after an hour, because its process exited."""


class Case(NamedTuple):
    """What differs from a pipeline that is well, and which alerts fire so many minutes after the start."""

    name: str
    changed: dict[str, str]
    fires: dict[int, set[str]]


CASES = [
    Case("well", {}, {60: set(), 150: set()}),
    Case("well with Kafka Connect", CONNECT, {60: set(), 150: set()}),
    Case("the exchange is closed", CLOSED, {150: set()}),
    Case("the producer ends", {"stockctl_feed_connected": UNTIL_THEN}, {69: set(), 72: {"ProducerAway critical"}}),
    Case(
        "the feed disconnects in a session",
        AWAY | {"stockctl_feed_covered_timestamp_seconds": stopping(60)} | STANDING,
        {62: set(), 63: {"FeedDisconnected critical"}, 100: {"FeedDisconnected critical", "FeedDisconnected warning"}},
    ),
    Case("before the opening", AWAY | PRE, {62: set(), 63: {"FeedDisconnected critical"}}),
    Case("at night", AWAY | CLOSED, {90: set(), 91: {"FeedDisconnected warning"}}),
    Case("no trades", {"stockctl_trades_total": stopping(600)}, {74: set(), 76: {"FeedSilent warning"}}),
    Case("no trades before the opening", PRE, {150: set()}),
    Case(
        "Kafka acknowledges nothing",
        {"stockctl_feed_covered_timestamp_seconds": stopping(60)},
        {67: set(), 68: {"FeedUncovered critical"}},
    ),
    Case("half a minute is a gap", {"stockctl_feed_uncovered_seconds_total": turning(5, 35)}, {62: set()}),
    Case("a longer gap", {"stockctl_feed_uncovered_seconds_total": turning(5, 95)}, {62: {"FeedGap warning"}, 125: set()}),
    Case("rows dropped", {"stockctl_producer_dropped_total": turning(0, 3)}, {62: {"RecordsLost critical"}, 75: set()}),
    Case("messages not taken", {"stockctl_producer_undelivered_total": turning(0, 3)}, {62: {"RecordsLost critical"}}),
    Case("a row is none", {"stockctl_dead_letters_total": turning(0, 1)}, {62: {"DeadLetters warning"}, 80: set()}),
    Case("the lake refuses", {'stockctl_lake_rejected_total{table="trades"}': turning(4, 5)}, {62: {"DeadLetters warning"}}),
    Case("MongoDB refuses", {"stockctl_mongo_rejected_total": turning(4, 5)}, {62: {"DeadLetters warning"}}),
    Case(
        "the connector refuses",
        CONNECT | {"stockctl_dead_letters_end_offset": turning(7, 8)},
        {62: {"DeadLetters warning"}, 80: set()},
    ),
    Case(
        "the lake writer ends",
        {'stockctl_lake_rows_total{table="trades"}': UNTIL_THEN},
        {69: set(), 72: {"LakeWriterAway critical"}},
    ),
    Case(
        "the lake falls behind",
        {'stockctl_lake_lag_records{table="trades"}': "100+0x60 1000+1000x100"},
        {79: set(), 82: {"LakeLagGrows warning"}},
    ),
    Case("it catches up", {'stockctl_lake_lag_records{table="trades"}': f"200000-1000x{MINUTES}"}, {100: set()}),
    Case("nothing comes into the lake", STANDING, {95: set(), 96: {"LakeOld critical"}}),
    Case(
        "nor since the writer restarted",
        {'stockctl_lake_newest_timestamp_seconds{table="feed_events"}': "0+60x60"},
        {95: set(), 96: {"LakeOld critical"}},
    ),
    Case("no strategy runs", {"stockctl_signals_lag_records": UNTIL_THEN}, {69: set(), 72: {"SignalsAway warning"}}),
    Case("signals are late", {"stockctl_signals_lag_records": turning(100, 10_001)}, {65: set(), 66: {"SignalsLag warning"}}),
    Case(
        "a strategy fails",
        {'stockctl_signals_strategy_errors_total{strategy="sma-cross"}': turning(0, 1)},
        {62: {"StrategyFails warning"}, 80: set()},
    ),
    Case(
        "the dashboard is late",
        {"stockctl_dashboard_behind_seconds": turning(1, 61)},
        {64: set(), 66: {"DashboardLate warning"}},
    ),
    Case("no dashboard runs", {"stockctl_dashboard_behind_seconds": UNTIL_THEN}, {72: set(), 150: set()}),
    Case("the MongoDB writer ends", {"stockctl_mongo_lag_records": UNTIL_THEN}, {69: set(), 72: {"MongoWriterAway warning"}}),
    Case(
        "connect watch ends",
        CONNECT | {"stockctl_connect_running_tasks": UNTIL_THEN},
        {69: set(), 72: {"MongoWriterAway warning"}},
    ),
    Case("MongoDB is behind", {"stockctl_mongo_lag_records": turning(100, 10_001)}, {75: set(), 76: {"MongoLag warning"}}),
    Case(
        "the connector is behind",
        CONNECT | {"stockctl_connect_lag_records": turning(30_000, 100_001)},
        {75: set(), 76: {"MongoLag warning"}},
    ),
    Case(
        "tasks fail",
        CONNECT | {"stockctl_connect_failed_tasks": turning(0, 1)},
        {70: set(), 71: {"ConnectorFails warning"}},
    ),
    Case(
        "Kafka Connect is away",
        CONNECT | {"stockctl_connect_running_tasks": turning(2, 0)},
        {70: set(), 71: {"ConnectorFails warning"}},
    ),
]


def alert(name: str) -> str:
    """The series that Prometheus makes of an alert that fires, where the deployment ``prod`` is concerned."""
    short, severity = name.split()
    (rule,) = (rule for rule in RULES if rule["alert"] == f"Stockctl{short}" and rule["labels"]["severity"] == severity)
    # What is absent has no labels.
    namespace = "" if rule["expr"].startswith("absent") else 'namespace="prod",'
    return f'ALERTS{{alertname="Stockctl{short}",alertstate="firing",{namespace}severity="{severity}"}}'


def series(deployment: str, values: dict[str, str]) -> list[dict[str, str]]:
    """Series as promtool takes them, with the labels that a scrape adds."""
    made = []
    for name, series in values.items():
        metric, _, labels = name.rstrip("}").partition("{")
        if series:
            made.append({"series": f'{metric}{{namespace="{deployment}",{labels}}}', "values": series})
    return made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_expected_alerts_fire(case: Case, tmp_path: Path) -> None:
    """The alerts that fire, and no others; while one deployment is ill, another one is well."""
    absent = any("Away" in name for names in case.fires.values() for name in names)
    cases = {
        "rule_files": [str(FOLDER / "rules.yaml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series("prod", WELL | case.changed) + ([] if absent else series("test", WELL)),
                "promql_expr_test": [
                    {
                        "expr": 'ALERTS{alertstate="firing"}',
                        "eval_time": f"{minute}m",
                        "exp_samples": [{"labels": alert(name), "value": 1} for name in sorted(names)],
                    }
                    for minute, names in case.fires.items()
                ],
            }
        ],
    }
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases))
    promtool("test", "rules", tmp_path / "cases.yaml")


def test_every_alert_has_a_case() -> None:
    fired = {name for case in CASES for names in case.fires.values() for name in names}
    assert fired == {f"{rule['alert'].removeprefix('Stockctl')} {rule['labels']['severity']}" for rule in RULES}
