"""``stockctl infra status`` against a real API server, which proxies to pods of the test."""

from __future__ import annotations

import json
import re
import time

import pytest
from kubernetes.client import BatchV1Api

from tests.command import Command
from tests.conftest import wait_for
from tests.kube.kubelet import IMAGE_AWAY, Kubelet, answering, own_address

METRICS = """\
# HELP stockctl_lake_lag_records Records in the topic that are not in the lake yet
# TYPE stockctl_lake_lag_records gauge
stockctl_lake_lag_records{table="trades"} 1200.0
stockctl_lake_lag_records{table="feed_events"} 34.0
# HELP stockctl_lake_newest_timestamp_seconds Time of the newest record in the lake
# TYPE stockctl_lake_newest_timestamp_seconds gauge
"""


@pytest.fixture
def kubelet(kubelet: Kubelet) -> Kubelet:
    """The pods have this machine's address."""
    kubelet.address = own_address()
    return kubelet


def test_status_joins_workloads_and_their_own_metrics(up: Command, kubelet: Kubelet) -> None:
    newest = {"trades": time.time() - 3600, "feed_events": time.time()}
    text = METRICS + "".join(f'stockctl_lake_newest_timestamp_seconds{{table="{name}"}} {at}\n' for name, at in newest.items())
    with answering(own_address(), lambda: (200, text)) as (port, asked):
        for pod in kubelet.pods():
            note = {"metadata": {"annotations": {"prometheus.io/port": str(port)}}}
            if pod.metadata.labels["app.kubernetes.io/name"] == "lake":
                kubelet.core.patch_namespaced_pod(pod.metadata.name, kubelet.namespace, note)
        rows = {row["workload"]: row for row in json.loads(up.run("infra", "status", "-o", "json", real=True).stdout)}
    assert asked == ["/metrics"]
    lag = rows["lake"].pop("lag")
    assert re.fullmatch(r"1,234 records, newest trade 1h( \d+s)? ago", lag), lag
    assert rows["lake"] == {
        "workload": "lake",
        "kind": "Deployment",
        "state": "ready",
        "ready": "1/1",
        "restarts": 0,
        "image": "stockctl:0.1.0",
        "detail": "",
    }
    assert rows["producer"]["lag"] == ""
    assert rows["producer"]["detail"].startswith("no metrics: ")
    assert (rows["filings"]["kind"], rows["filings"]["detail"]) == ("CronJob", "not completed yet")
    assert rows["topics"]["ready"] == "1/1"


def test_status_shows_unready_workloads_and_restarts(up: Command, kubelet: Kubelet) -> None:
    kubelet.states["lake"], kubelet.restarts = IMAGE_AWAY, 2
    up.run("infra", "up", "--image-tag", "9.9.9", check=1)
    result = up.run("infra", "status", "-o", "json", check=10)
    lake = next(row for row in json.loads(result.stdout) if row["workload"] == "lake")
    assert (lake["state"], lake["image"]) == ("failed", "stockctl:9.9.9")
    assert lake["restarts"] >= 2
    assert "ErrImageNeverPull, restarted 2 times" in lake["detail"]
    assert "not ready in " in result.stderr


def test_status_shows_a_failed_run_of_a_cron_job(up: Command, kubelet: Kubelet) -> None:
    batch = BatchV1Api(kubelet.core.api_client)
    schedule = batch.read_namespaced_cron_job("filings", kubelet.namespace)
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "filings", "uid": schedule.metadata.uid, "controller": True}

    def run(name: str, **more: int) -> None:
        spec = batch.api_client.sanitize_for_serialization(schedule.spec.job_template.spec)
        body = {"metadata": {"name": name, "ownerReferences": [owner]}, "spec": spec | more}
        batch.create_namespaced_job(kubelet.namespace, body)
        wait_for(lambda: batch.read_namespaced_job(name, kubelet.namespace).status.completion_time or failed(name), name, 30)

    def failed(name: str) -> bool:
        conditions = batch.read_namespaced_job(name, kubelet.namespace).status.conditions or ()
        return any(each.type == "Failed" for each in conditions)

    def filings(code: int) -> dict[str, str]:
        rows = json.loads(up.run("infra", "status", "-o", "json", check=code).stdout)
        return next(row for row in rows if row["workload"] == "filings")

    kubelet.states["filings"] = {"waiting": {"reason": "ContainerCreating"}}
    run("filings-1", activeDeadlineSeconds=1)
    assert filings(10)["state"] == "failed"
    assert re.match(r"DeadlineExceeded: .*; not completed yet$", filings(10)["detail"])
    del kubelet.states["filings"]
    run("filings-2")
    assert filings(0)["state"] == "ready"


def test_status_without_workloads(command: Command) -> None:
    assert "stockctl runs nothing in " in command.run("infra", "status", check=10).stderr
