"""``infra down``: delete the objects of stockctl on a cluster, servers last, and volumes only on request."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.errors import TimedOutError
from stockctl.infra.apply import change_of, deletable
from stockctl.infra.kustomize import Manifest, label_of, pod_template
from stockctl.reconcile import Change
from stockctl.settings.infra import InfraSettings
from stockctl.units import format_duration

PART_OF = "app.kubernetes.io/part-of=stockctl"
"""The label of volumes that a StatefulSet of stockctl claimed; it outlives the StatefulSet."""
_POLL_SECONDS = 0.5


class Deletion(NamedTuple):
    """The objects to delete: workloads in the steps in which they end, everything else, and the volumes."""

    workloads: list[list[Manifest]]
    others: list[Manifest]
    volumes: list[Manifest]


def plan_deletion(kubernetes: Kubernetes, infra: InfraSettings) -> Deletion:
    """The objects of stockctl in the namespace that it may delete, and their volumes."""
    objects = deletable(kubernetes, infra)
    workloads = [each for each in objects if pod_template(each) is not None]
    # Kafka and MongoDB end last: when the clients stop, they flush what they have buffered.
    servers = [each for each in workloads if each["kind"] == "StatefulSet"]
    clients = [each for each in workloads if each["kind"] != "StatefulSet"]
    volumes = {label_of(each): each for each in objects if each["kind"] == "PersistentVolumeClaim"}
    for each in kubernetes.find("v1", "PersistentVolumeClaim", infra.namespace, labels=PART_OF):
        volumes[label_of(each)] = each
    others = [each for each in objects if each not in workloads and each["kind"] != "PersistentVolumeClaim"]
    return Deletion([each for each in (clients, servers) if each], others, list(volumes.values()))


def planned_changes(deletion: Deletion, *, delete_data: bool) -> list[Change]:
    """What ``down`` would do."""
    objects = [*chain.from_iterable(deletion.workloads), *deletion.others]
    volumes = [change_of(each, "deleted" if delete_data else "retained") for each in deletion.volumes]
    return [*(change_of(each, "deleted") for each in objects), *volumes]


def down(
    kubernetes: Kubernetes,
    deletion: Deletion,
    on_change: Callable[[Change], None],
    *,
    delete_data: bool,
    timeout: float,
) -> None:
    """Delete the objects of ``deletion``, each step after the pods of the one before; volumes only with ``delete_data``.

    TimedOutError when pods or volumes still exist after ``timeout`` seconds. The namespace stays.
    """
    deadline = time.monotonic() + timeout
    for step in deletion.workloads:
        for each in step:
            kubernetes.delete(each, foreground=True)
        _until_gone(kubernetes, step, on_change, deadline, timeout)
    for each in deletion.others:
        kubernetes.delete(each)
        on_change(change_of(each, "deleted"))
    if delete_data:
        for each in deletion.volumes:
            kubernetes.delete(each)
        _until_gone(kubernetes, deletion.volumes, on_change, deadline, timeout)
    else:
        for each in deletion.volumes:
            on_change(change_of(each, "retained"))


def _until_gone(
    kubernetes: Kubernetes, objects: list[Manifest], on_change: Callable[[Change], None], deadline: float, timeout: float
) -> None:
    """Wait until ``objects`` are gone; a workload stays until its pods are gone."""
    while True:
        remaining = [each for each in objects if _exists(kubernetes, each)]
        for each in objects:
            if each not in remaining:
                on_change(change_of(each, "deleted"))
        if not remaining:
            return
        objects = remaining
        if time.monotonic() > deadline:
            names = ", ".join(map(label_of, objects))
            raise TimedOutError(
                f"not deleted after {format_duration(timeout)}: {names}",
                hint=f"see `kubectl -n {objects[0]['metadata']['namespace']} get pods,pvc`; delete a pod on a lost node with "
                "`kubectl delete pod --force`",
            )
        time.sleep(_POLL_SECONDS)


def _exists(kubernetes: Kubernetes, manifest: Manifest) -> bool:
    # An object of the same name that was created since has another uid.
    live = kubernetes.get(manifest)
    return live is not None and live["metadata"]["uid"] == manifest["metadata"]["uid"]
