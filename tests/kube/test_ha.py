"""The overlay ``ha``: deployed, changed and deleted; and ``infra status`` of its connector."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from tests.command import Command
from tests.kube.kubelet import Kubelet, answering, own_address
from tests.kube.manifests import own_manifests, replace

PODS = {
    "kafka-controller": 3,
    "kafka": 3,
    "topics": 1,
    "mongo": 1,
    "mongo-setup": 1,
    "producer": 1,
    "lake": 2,
    "connect": 2,
    "connector": 1,
    "connect-watch": 1,
    "signals": 1,
    "dashboard": 1,
}


def workloads(kubelet: Kubelet) -> Counter[str]:
    return Counter(pod.metadata.labels["app.kubernetes.io/name"] for pod in kubelet.pods())


@pytest.fixture
def ha(command: Command, kubelet: Kubelet) -> Command:
    """The command with this overlay, whose pods have this machine's address."""
    kubelet.address = own_address()
    command.environment |= {"STOCKCTL_INFRA__OVERLAY": "ha", "STOCKCTL_INFRA__DASHBOARD": "true"}
    return command


def test_the_overlay_ha_is_deployed_changed_and_deleted(ha: Command, kubelet: Kubelet) -> None:
    result = ha.run("infra", "up")
    messages = result.stderr.splitlines()
    ready = [line.split()[1].removesuffix(":") for line in messages if line.endswith(": ready")]
    order = [name.rpartition("-")[0] if name.startswith("connector-") else name for name in ready]
    assert [name for name in order if name in ("kafka", "connect", "connector", "connect-watch")] == [
        "kafka",
        "connect",
        "connector",
        "connect-watch",
    ]
    assert messages[-1] == f"all {len(PODS)} workloads are ready"
    assert workloads(kubelet) == PODS

    again = ha.run("infra", "up")
    assert again.stdout == ""
    assert "nothing changed: all " in again.stderr

    old = {pod.metadata.name for pod in kubelet.pods()}
    ha.environment["STOCKCTL_CONNECT__TASKS"] = "3"
    changed = ha.run("infra", "up").stdout.splitlines()
    new = {pod.metadata.labels["app.kubernetes.io/name"] for pod in kubelet.pods() if pod.metadata.name not in old}
    assert new == {"connect", "connector", "connect-watch"}
    assert [line for line in changed if "connector" not in line] == [
        "changed ConfigMap connect-settings",
        "changed Deployment connect",
        "changed Deployment connect-watch",
    ]
    assert [line.partition(" Job connector-")[0] for line in changed if "connector" in line] == ["created", "deleted"]
    assert workloads(kubelet) == PODS

    ha.run("infra", "down", "--delete-data", "--yes")
    assert not kubelet.pods()
    assert "stockctl runs nothing in " in ha.run("infra", "down", "--delete-data", "--yes").stderr


def task(number: int, state: str) -> dict[str, Any]:
    return {"id": number, "state": state, "worker_id": "10.0.0.1:8083"}


def test_status_shows_the_connectors_tasks(ha: Command, kubelet: Kubelet) -> None:
    answers: list[tuple[int, str]] = [(200, "{}")]

    def connect(state: str, *tasks: str) -> dict[str, Any]:
        """`infra status` of Connect with these states of the connector and its tasks."""
        connector = {"state": state, "worker_id": "10.0.0.1:8083"}
        status = {"connector": connector, "tasks": [task(number, each) for number, each in enumerate(tasks)]}
        answers[0] = (200, json.dumps({"stockctl": {"status": status}}))
        return connect_row()

    def connect_row() -> dict[str, Any]:
        (row,) = json.loads(ha.run("infra", "status", "-o", "json").stdout)
        return {name: row[name] for name in ("workload", "ready", "lag", "detail")}

    with answering(own_address(), lambda: answers[0]) as (port, asked):
        folder = own_manifests(ha)
        replace(folder / "overlays" / "ha" / "connect.yaml", "containerPort: 8083", f"containerPort: {port}")
        ha.run("infra", "up", "--only", "connect")
        row = {"workload": "connect", "ready": "2/2"}
        assert connect("RUNNING", "RUNNING", "RUNNING") == row | {"lag": "2 of 2 tasks run", "detail": ""}
        assert asked == ["/connectors?expand=status"]
        assert connect("RUNNING", "FAILED", "RUNNING") == row | {
            "lag": "1 of 2 tasks run",
            "detail": "task 0 of stockctl is FAILED",
        }
        assert connect("PAUSED") == row | {"lag": "0 of 0 tasks run", "detail": "the connector of stockctl is PAUSED"}
        answers[0] = (409, '{"error_code": 409, "message": "rebalancing"}')
        assert connect_row()["lag"] == ""
        assert re.fullmatch(r"cannot read its tasks: Pod connect-\S+ answers 409: rebalancing", connect_row()["detail"])
        answers[0] = (200, "<html>")
        assert re.fullmatch(
            r"cannot read its tasks: the answer of Pod connect-\S+ is not Kafka Connect's", connect_row()["detail"]
        )
