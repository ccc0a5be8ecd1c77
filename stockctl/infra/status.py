"""What runs on a cluster now: each workload, and how far behind it is."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.infra.apply import owned
from stockctl.infra.kustomize import Manifest, at, pod_template
from stockctl.infra.lag import lag
from stockctl.infra.readiness import Snapshot, containers_of, role_of


class Row(NamedTuple):
    """A workload: pods that are ready of those wanted, restarts of all its containers, and how far behind it is."""

    role: str
    kind: str
    state: str
    ready: str
    restarts: int
    image: str
    lag: str
    detail: str


def rows(kubernetes: Kubernetes, namespace: str) -> list[Row]:
    """A row for every workload of ours in ``namespace``, in the order in which they are made."""
    look, (_, now) = Snapshot(kubernetes, namespace), kubernetes.version()
    return [_row(kubernetes, look, each, now) for each in owned(kubernetes, namespace) if pod_template(each) is not None]


def _row(kubernetes: Kubernetes, look: Snapshot, workload: Manifest, now: datetime) -> Row:
    pods = look.pods(workload)
    restarts = sum(int(each.get("restartCount", 0)) for pod in pods for each in containers_of(pod))
    image = str((pod_template(workload) or {})["spec"]["containers"][0]["image"])
    if workload["kind"] == "CronJob":
        last = at(workload, "status.lastSuccessfulTime")
        detail = f"last done {last}" if last else "not done yet"
        newest = next(map(look.progress, look.jobs(workload)), None)
        state = "ready"
        if newest is not None and newest.state == "failed":
            state, detail = "failed", f"{newest.why}; {detail}"
        return Row(role_of(workload), "CronJob", state, "", restarts, image, "", detail)
    told = look.progress(workload)
    waiting, trouble = lag(kubernetes, pods, now)
    detail = "; ".join(words for words in (told.why, trouble) if words)
    return Row(told.role, told.kind, told.state, f"{told.ready}/{told.wanted}", restarts, image, waiting, detail)
