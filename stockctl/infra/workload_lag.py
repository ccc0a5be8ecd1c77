"""The lag of the workloads on a cluster, from their own metrics and Kafka Connect, read through the API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from math import isnan

from prometheus_client.parser import text_string_to_metric_families

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.errors import StockctlError, UnreachableError
from stockctl.infra.kustomize import Manifest, at
from stockctl.infra.workload_status import container_statuses
from stockctl.units import format_duration

LAGS = {
    "stockctl_feed_lag_seconds": "s",
    "stockctl_lake_lag_records": "records",
    "stockctl_mongo_lag_records": "records",
    "stockctl_signals_lag_records": "records",
    "stockctl_dashboard_behind_seconds": "s",
    "stockctl_connect_lag_records": "records",
    "stockctl_connect_failed_tasks": "failed tasks",
}
"""The metrics that measure lag, with their units."""
NEWEST = "stockctl_lake_newest_timestamp_seconds"
"""The metric with the time of the newest record in the lake, per table."""
REST = "rest"
"""The name of the port of a Connect worker's REST API."""


def lag(kubernetes: Kubernetes, pods: list[Manifest], now: datetime) -> tuple[str, str]:
    """The lag of a workload's ``pods`` together at ``now``, and their problems, including metrics that cannot be read."""
    running = [pod for pod in pods if any("running" in each.get("state", {}) for each in container_statuses(pod))]
    lags, problems = _metrics(kubernetes, running, now)
    workers = [(pod, port) for pod in running if (port := _rest_port(pod)) is not None]
    if workers:
        tasks, task_problems = _tasks(kubernetes, workers)
        lags, problems = [*lags, *tasks], [*problems, *task_problems]
    return ", ".join(lags), "; ".join(problems)


def _metrics(kubernetes: Kubernetes, pods: list[Manifest], now: datetime) -> tuple[list[str], list[str]]:
    sums: dict[str, float] = {}
    newest: list[float] = []
    problems: list[str] = []
    for pod in pods:
        annotations = at(pod, "metadata.annotations") or {}
        if annotations.get("prometheus.io/scrape") != "true":
            continue
        try:
            text = kubernetes.proxied(pod, annotations.get("prometheus.io/port", "8080"), "metrics").decode()
            families = list(text_string_to_metric_families(text))
        except UnreachableError:
            raise
        except (StockctlError, ValueError) as error:
            problems = [f"no metrics: {error}"]
            continue
        for sample in (sample for family in families for sample in family.samples):
            # NaN: the process could not measure it.
            if sample.name in LAGS and not isnan(sample.value):
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
            elif sample.name == NEWEST and sample.labels.get("table") == "trades":
                newest.append(sample.value)
    lags = [f"{round(value, 1):,.15g} {LAGS[name]}" for name, value in sums.items()]
    if newest:
        # Each pod knows its own partitions only, and the server's time has whole seconds.
        age = max(round(now.timestamp() - max(newest)), 1)
        lags.append(f"newest trade {format_duration(age)} ago")
    return lags, problems


def _rest_port(pod: Manifest) -> int | None:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()):
            if port.get("name") == REST:
                return int(port["containerPort"])
    return None


def _tasks(kubernetes: Kubernetes, workers: list[tuple[Manifest, int]]) -> tuple[list[str], list[str]]:
    """How many tasks of the connectors run, and which do not, from the first worker that answers: each knows all."""
    problems: list[str] = []
    for pod, port in workers:
        try:
            connectors = json.loads(kubernetes.proxied(pod, port, "connectors?expand=status"))
            states = [(name, part, state) for name, each in connectors.items() for part, state in _states(each["status"])]
        except UnreachableError:
            raise
        except StockctlError as error:
            problems = [f"cannot read its tasks: {error}"]
            continue
        except (ValueError, KeyError, TypeError, AttributeError):
            problems = [f"cannot read its tasks: the answer of Pod {pod['metadata']['name']} is not Kafka Connect's"]
            continue
        tasks = [state for _, part, state in states if part.startswith("task ")]
        stopped = [f"{part} of {name} is {state}" for name, part, state in states if state != "RUNNING"]
        return [f"{tasks.count('RUNNING')} of {len(tasks)} tasks run"], stopped
    return [], problems


def _states(status: Manifest) -> Iterator[tuple[str, str]]:
    yield "the connector", status["connector"]["state"]
    for task in status["tasks"]:
        yield f"task {task['id']}", task["state"]
