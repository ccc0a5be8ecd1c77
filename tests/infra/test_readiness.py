"""The readiness of a workload, from its status and that of its pods."""

from __future__ import annotations

from typing import Any

import pytest

from stockctl.clients.kubernetes.client import Kubernetes, Manifest
from stockctl.infra.workload_status import Progress, Snapshot

REVISION = "deployment.kubernetes.io/revision"


class Cluster(Kubernetes):
    """A cluster with ``objects``."""

    def __init__(self, *objects: Manifest) -> None:
        self.objects = objects

    def find(
        self, api_version: str, kind: str, namespace: str | None = None, *, labels: str | None = None, fields: str | None = None
    ) -> list[Manifest]:
        return [each for each in self.objects if each["kind"] == kind]


def made(kind: str, name: str, owner: str | None = None, **metadata: Any) -> dict[str, Any]:
    """The kind and the metadata of an object, owned by ``owner``."""
    noted = {"name": name, "namespace": "stockctl", "uid": f"uid of {name}", "generation": 1, "creationTimestamp": "2026-11-23"}
    owners = [{"uid": f"uid of {owner}"}] if owner else []
    return {"kind": kind, "metadata": noted | {"ownerReferences": owners} | metadata}


def deployment(**status: Any) -> Manifest:
    """The Deployment lake after its second change."""
    return made("Deployment", "lake", generation=2, annotations={REVISION: "1"}) | {"spec": {"replicas": 1}, "status": status}


def replica_set(replicas: int) -> Manifest:
    return made("ReplicaSet", "lake-1", "lake", annotations={REVISION: "1"}) | {"spec": {"replicas": replicas}}


def pod(**metadata: Any) -> Manifest:
    """A pod of the revision before the change, whose image is missing."""
    state = {"waiting": {"reason": "ErrImageNeverPull"}}
    status = {"containerStatuses": [{"name": "lake", "state": state, "restartCount": 0}]}
    return made("Pod", "lake-1-1", "lake-1", labels={}, **metadata) | {"status": status}


def progress(*objects: Manifest, recovering: bool = False) -> Progress:
    """The progress of the Deployment among ``objects``, which may all be ``recovering``."""
    snapshot = Snapshot(Cluster(*objects), "stockctl")
    return snapshot.progress(snapshot.workloads["Deployment", "lake"], snapshot.versions if recovering else ())


@pytest.mark.parametrize(
    ("seen", "replicas", "of_pod", "state"),
    [
        (1, 1, {}, "waiting"),
        (2, 0, {}, "waiting"),
        (2, 1, {"deletionTimestamp": "2026-11-24"}, "waiting"),
        (2, 1, {}, "failed"),
    ],
    ids=["the change is not seen yet", "the old set ends", "the old pod ends", "the pod is the one that is wanted"],
)
def test_pods_of_an_older_revision_do_not_fail_a_workload(seen: int, replicas: int, of_pod: dict[str, Any], state: str) -> None:
    lake = progress(deployment(observedGeneration=seen), replica_set(replicas), pod(**of_pod))
    assert lake.state == state


def test_pods_from_before_may_recover() -> None:
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
    there = deployment(observedGeneration=2, conditions=[condition])
    assert progress(there, replica_set(1), pod()).state == "failed"
    lake = progress(there, replica_set(1), pod(), recovering=True)
    assert (lake.state, lake.reason) == ("waiting", "lake: ErrImageNeverPull")
    lake = progress(there, recovering=True)
    assert (lake.state, lake.reason) == ("waiting", "ProgressDeadlineExceeded: timed out")


def test_a_failed_job_does_not_recover() -> None:
    condition = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}
    snapshot = Snapshot(Cluster(made("Job", "topics") | {"spec": {}, "status": {"conditions": [condition]}}), "stockctl")
    assert snapshot.progress(snapshot.workloads["Job", "topics"], snapshot.versions).state == "failed"
