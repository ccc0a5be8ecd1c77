"""``infra status``: each workload on a cluster, with its lag."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.infra.apply import managed
from stockctl.infra.kustomize import Manifest, at, pod_template
from stockctl.infra.workload_lag import lag
from stockctl.infra.workload_status import Snapshot, container_statuses, workload_name


class WorkloadStatus(NamedTuple):
    """A workload: its pods that are ``ready`` of those wanted, the restarts of all their containers, and its lag."""

    workload: str
    kind: str
    state: str
    ready: str
    restarts: int
    image: str
    lag: str
    detail: str


def workload_statuses(kubernetes: Kubernetes, namespace: str) -> list[WorkloadStatus]:
    """The status of every workload of stockctl in ``namespace``, in the order in which they are applied."""
    snapshot, (_, now) = Snapshot(kubernetes, namespace), kubernetes.version()
    workloads = [each for each in managed(kubernetes, namespace) if pod_template(each) is not None]
    return [_status(kubernetes, snapshot, each, now) for each in workloads]


def _status(kubernetes: Kubernetes, snapshot: Snapshot, workload: Manifest, now: datetime) -> WorkloadStatus:
    name, kind, pods = workload_name(workload), workload["kind"], snapshot.pods(workload)
    restarts = sum(int(each.get("restartCount", 0)) for pod in pods for each in container_statuses(pod))
    image = str((pod_template(workload) or {})["spec"]["containers"][0]["image"])
    if kind == "CronJob":
        last = at(workload, "status.lastSuccessfulTime")
        state, detail = "ready", f"last succeeded {last}" if last else "not completed yet"
        newest = next(map(snapshot.progress, snapshot.jobs(workload)), None)
        if newest is not None and newest.state == "failed":
            state, detail = "failed", f"{newest.reason}; {detail}"
        return WorkloadStatus(name, kind, state, "", restarts, image, "", detail)
    progress = snapshot.progress(workload)
    behind, problem = lag(kubernetes, pods, now)
    detail = "; ".join(filter(None, (progress.reason, problem)))
    return WorkloadStatus(name, kind, progress.state, f"{progress.ready}/{progress.wanted}", restarts, image, behind, detail)
