"""An overlay that is deployed without `infra up`."""

from __future__ import annotations

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.infra.apply import selected
from stockctl.infra.render import render
from stockctl.infra.workload_status import Snapshot
from stockctl.settings import Settings
from tests.conftest import wait_for


def put(kubernetes: Kubernetes, settings: Settings, only: str | None = None) -> None:
    """Apply every object, or those that the workload ``only`` needs."""
    for manifest in selected(render(settings), only):
        kubernetes.apply(manifest)


def stand(settings: Settings, only: str | None = None) -> None:
    """Apply it, and wait until every workload is ready: as `infra up` leaves it, without its checks and its order."""
    with Kubernetes(settings.infra) as kubernetes:
        put(kubernetes, settings, only)

        def ready() -> bool:
            snapshot = Snapshot(kubernetes, settings.infra.namespace)
            return all(snapshot.progress(each).state == "ready" for each in snapshot.workloads.values())

        wait_for(ready, "all to be ready", 90)
