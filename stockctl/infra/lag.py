"""How far behind the roles on a cluster are: what their own metrics and Kafka Connect tell, asked through the API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from math import isnan

from prometheus_client.parser import text_string_to_metric_families

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.errors import StockctlError, UnreachableError
from stockctl.infra.kustomize import Manifest, at
from stockctl.infra.readiness import containers_of
from stockctl.units import format_duration

LAGS = {
    "stockctl_feed_lag_seconds": "s",
    "stockctl_lake_lag_records": "records",
    "stockctl_mongo_lag_records": "records",
    "stockctl_connect_lag_records": "records",
    "stockctl_connect_failed_tasks": "failed tasks",
}
"""Metrics of the roles that tell how far behind each is, with their units."""
NEWEST = "stockctl_lake_newest_timestamp_seconds"
"""The metric with the time of the newest record that is in the lake, for each of its tables."""
REST = "rest"
"""The name of the port at which a Connect worker takes requests."""


def lag(kubernetes: Kubernetes, pods: list[Manifest], now: datetime) -> tuple[str, str]:
    """How far behind the ``pods`` of a role are together at ``now``, and what is wrong, or not known, of some."""
    running = [pod for pod in pods if any("running" in each.get("state", {}) for each in containers_of(pod))]
    found, troubles = _metrics(kubernetes, running, now)
    workers = [(pod, port) for pod in running if (port := _rest_port(pod)) is not None]
    if workers:
        tasks, more = _tasks(kubernetes, workers)
        found, troubles = [*found, *tasks], [*troubles, *more]
    return ", ".join(found), "; ".join(troubles)


def _metrics(kubernetes: Kubernetes, pods: list[Manifest], now: datetime) -> tuple[list[str], list[str]]:
    sums: dict[str, float] = {}
    newest: list[float] = []
    silence: list[str] = []
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
            silence = [f"no metrics: {error}"]
            continue
        for sample in (sample for family in families for sample in family.samples):
            # What a role could not learn it tells as no number.
            if sample.name in LAGS and not isnan(sample.value):
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
            elif sample.name == NEWEST and sample.labels.get("table") == "trades":
                newest.append(sample.value)
    found = [f"{round(value, 1):,.15g} {LAGS[name]}" for name, value in sums.items()]
    if newest:
        # Each pod knows of its own partitions alone, and the server's time has whole seconds.
        age = max(round(now.timestamp() - max(newest)), 1)
        found.append(f"newest trade {format_duration(age)} ago")
    return found, silence


def _rest_port(pod: Manifest) -> int | None:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()):
            if port.get("name") == REST:
                return int(port["containerPort"])
    return None


def _tasks(kubernetes: Kubernetes, workers: list[tuple[Manifest, int]]) -> tuple[list[str], list[str]]:
    """How many tasks of the connectors run, and which do not. Any worker knows; the first that answers is believed."""
    silence: list[str] = []
    for pod, port in workers:
        try:
            told = json.loads(kubernetes.proxied(pod, port, "connectors?expand=status"))
            states = [(name, part, state) for name, one in told.items() for part, state in _states(one["status"])]
        except UnreachableError:
            raise
        except StockctlError as error:
            silence = [f"tasks not known: {error}"]
            continue
        except (ValueError, KeyError, TypeError, AttributeError):
            silence = [f"tasks not known: Pod {pod['metadata']['name']} answers otherwise than Kafka Connect does"]
            continue
        tasks = [state for _, part, state in states if part.startswith("task ")]
        amiss = [f"{part} of {name} is {state}" for name, part, state in states if state != "RUNNING"]
        return [f"{tasks.count('RUNNING')} of {len(tasks)} tasks run"], amiss
    return [], silence


def _states(status: Manifest) -> Iterator[tuple[str, str]]:
    yield "the connector", status["connector"]["state"]
    for task in status["tasks"]:
        yield f"task {task['id']}", task["state"]
