"""Taking down what stockctl made on a cluster: the roles before what they stand on, the volumes only on purpose."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.errors import TimedOutError
from stockctl.infra.apply import Change, deletable
from stockctl.infra.kustomize import Manifest, label_of, pod_template
from stockctl.settings import Settings
from stockctl.units import format_duration

PART = "app.kubernetes.io/part-of=stockctl"
"""The label of a volume that a StatefulSet of ours asked for; it stays on it when the set is gone."""
_EVERY = 0.5
"""Seconds between two looks at the cluster."""


class Removable(NamedTuple):
    """What is there to delete: workloads by the order of their end, everything else, and the volumes."""

    workloads: list[list[Manifest]]
    others: list[Manifest]
    volumes: list[Manifest]


def removable(kubernetes: Kubernetes, settings: Settings) -> Removable:
    """What we made in the namespace and may delete, and the volumes of it."""
    ours = deletable(kubernetes, settings)
    workloads = [each for each in ours if pod_template(each) is not None]
    # What the roles still hold goes to Kafka and the lake while those stand.
    servers = [each for each in workloads if each["kind"] == "StatefulSet"]
    roles = [each for each in workloads if each["kind"] != "StatefulSet"]
    volumes = {label_of(each): each for each in ours if each["kind"] == "PersistentVolumeClaim"}
    for each in kubernetes.find("v1", "PersistentVolumeClaim", settings.infra.namespace, labels=PART):
        volumes[label_of(each)] = each
    others = [each for each in ours if each not in workloads and each["kind"] != "PersistentVolumeClaim"]
    return Removable([each for each in (roles, servers) if each], others, list(volumes.values()))


def down(
    kubernetes: Kubernetes,
    found: Removable,
    changed: Callable[[Change], None],
    *,
    delete_data: bool,
    timeout: float,
) -> None:
    """Delete what was ``found``, each step when the pods of the one before are gone; volumes only with ``delete_data``.

    TimedOutError when pods or volumes are still there after ``timeout`` seconds. The namespace stays.
    """
    deadline = time.monotonic() + timeout
    for step in found.workloads:
        for each in step:
            kubernetes.delete(each, foreground=True)
        _until_gone(kubernetes, step, changed, deadline, timeout)
    for each in found.others:
        kubernetes.delete(each)
        changed(Change("deleted", label_of(each)))
    if delete_data:
        for each in found.volumes:
            kubernetes.delete(each)
        _until_gone(kubernetes, found.volumes, changed, deadline, timeout)
    else:
        for each in found.volumes:
            changed(Change("kept", label_of(each)))


def _until_gone(
    kubernetes: Kubernetes, left: list[Manifest], changed: Callable[[Change], None], deadline: float, timeout: float
) -> None:
    """Wait until what is ``left`` is gone; a workload stays until its pods are."""
    while True:
        there = [each for each in left if _is_there(kubernetes, each)]
        for each in left:
            if each not in there:
                changed(Change("deleted", label_of(each)))
        if not there:
            return
        left = there
        if time.monotonic() > deadline:
            names = ", ".join(map(label_of, left))
            raise TimedOutError(
                f"still there after {format_duration(timeout)}: {names}",
                hint=f"`kubectl -n {left[0]['metadata']['namespace']} get pods,pvc`; a pod on a node that is gone has to be "
                "deleted with --force",
            )
        time.sleep(_EVERY)


def _is_there(kubernetes: Kubernetes, manifest: Manifest) -> bool:
    # One of the same name that somebody made meanwhile is another.
    live = kubernetes.get(manifest)
    return live is not None and live["metadata"]["uid"] == manifest["metadata"]["uid"]
