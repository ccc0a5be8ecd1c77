"""The readiness of the workloads in a namespace, from one snapshot of the cluster."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.infra.kustomize import Manifest, at, pod_template
from stockctl.units import counted

WAITED_FOR = {"StatefulSet": "apps/v1", "Deployment": "apps/v1", "Job": "batch/v1"}
"""The kinds that become ready or complete, with their API versions."""
NAME_LABEL = "app.kubernetes.io/name"
"""The label of a pod with the name of its workload."""

_PERMANENT = {"ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "ImagePullBackOff"}
"""Reasons why a container does not start that waiting does not fix."""
_MAX_RESTARTS = 5
"""A container that crashes again after this many restarts, about three minutes, counts as failed."""


class Progress(NamedTuple):
    """A workload: ``ready`` of ``wanted`` pods (a Job wants one), and the ``reason`` while it is not ready."""

    workload: str
    kind: str
    name: str
    ready: int
    wanted: int
    state: Literal["ready", "waiting", "failed"]
    reason: str = ""

    @property
    def label(self) -> str:
        """Kind and name: ``Deployment lake``."""
        return f"{self.kind} {self.name}"


class Snapshot:
    """The workloads and pods of a namespace at one moment."""

    def __init__(self, kubernetes: Kubernetes, namespace: str) -> None:
        by_kind = {kind: kubernetes.find(version, kind, namespace) for kind, version in WAITED_FOR.items()}
        self.workloads = {(kind, each["metadata"]["name"]): each for kind, objects in by_kind.items() for each in objects}
        self._replica_sets = kubernetes.find("apps/v1", "ReplicaSet", namespace)
        self._pods = kubernetes.find("v1", "Pod", namespace)

    def pods(self, workload: Manifest) -> list[Manifest]:
        """Its pods of all revisions, the newest first."""
        owners = {workload["metadata"]["uid"]}
        if workload["kind"] == "Deployment":
            owners = {each["metadata"]["uid"] for each in self._replica_sets if _owners(each) & owners}
        elif workload["kind"] == "CronJob":
            owners = {each["metadata"]["uid"] for each in self.jobs(workload)}
        return _newest_first(pod for pod in self._pods if _owners(pod) & owners)

    def jobs(self, workload: Manifest) -> list[Manifest]:
        """The Jobs of a CronJob, the newest first."""
        jobs = (each for (kind, _), each in self.workloads.items() if kind == "Job")
        return _newest_first(each for each in jobs if workload["metadata"]["uid"] in _owners(each))

    @property
    def versions(self) -> frozenset[str]:
        """An identifier of each pod, and of each workload at its current generation."""
        return frozenset(map(_version, [*self._pods, *self.workloads.values()]))

    def current_pods(self, workload: Manifest) -> list[Manifest]:
        """Its pods of the current revision, without those that are terminating."""
        pods = [pod for pod in self.pods(workload) if "deletionTimestamp" not in pod["metadata"]]
        if workload["kind"] == "StatefulSet":
            wanted = at(workload, "status.updateRevision")
            if wanted is None:
                # The controller has not reported it yet.
                return pods
            return [pod for pod in pods if pod["metadata"]["labels"].get("controller-revision-hash") == wanted]
        if workload["kind"] == "Deployment":
            revision = (at(workload, "metadata.annotations") or {}).get(_REVISION)
            replica_sets = {
                each["metadata"]["uid"]
                for each in self._replica_sets
                if (at(each, "metadata.annotations") or {}).get(_REVISION) == revision
                # A Deployment with the strategy Recreate has no pods of its revision until the old ones are gone.
                and each["spec"]["replicas"]
                and workload["metadata"]["uid"] in _owners(each)
            }
            return [pod for pod in pods if _owners(pod) & replica_sets]
        return pods

    def progress(self, workload: Manifest, recovering: Collection[str] = ()) -> Progress:
        """The progress of ``workload``. Pods and workloads whose ``versions`` are in ``recovering`` may still recover: there a
        permanent error counts as waiting, except for Jobs that failed.
        """
        kind, name = workload["kind"], workload["metadata"]["name"]
        ready, wanted, done, failure = _STATUS_OF[kind](workload)
        progress = Progress(workload_name(workload), kind, name, ready, wanted, "ready")
        if done:
            return progress
        if failure and (kind == "Job" or _version(workload) not in recovering):
            return progress._replace(state="failed", reason=failure)
        if kind != "Job" and not _is_observed(workload):
            return progress._replace(state="waiting")
        for pod in self.current_pods(workload):
            for reason, permanent in pod_problems(pod):
                return progress._replace(
                    state="failed" if permanent and _version(pod) not in recovering else "waiting", reason=reason
                )
        failed_replica = condition(workload, "ReplicaFailure")
        return progress._replace(state="waiting", reason=str(failed_replica["message"]) if failed_replica else failure)


def workload_name(manifest: Manifest) -> str:
    """The name of a workload: the label ``NAME_LABEL`` of its pods, or the object's own name."""
    template = pod_template(manifest) or {}
    return str((at(template, "metadata.labels") or {}).get(NAME_LABEL) or manifest["metadata"]["name"])


def condition(manifest: Manifest, kind: str) -> dict[str, Any] | None:
    """The condition ``kind`` of an object, if it is True."""
    for each in at(manifest, "status.conditions") or ():
        if each["type"] == kind and each["status"] == "True":
            return dict(each)
    return None


def container_statuses(pod: Manifest) -> list[dict[str, Any]]:
    """The statuses of the pod's init containers and containers."""
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def crashed(container: Manifest) -> bool:
    """Whether the container of this status has terminated before, and is restarted."""
    return "terminated" in container.get("lastState", {})


def has_log(container: Manifest) -> bool:
    """Whether the container of this status has run, and so may have a log."""
    return bool({"running", "terminated"} & set(container.get("state", {}))) or crashed(container)


def pod_problems(pod: Manifest) -> Iterator[tuple[str, bool]]:
    """The reasons why ``pod`` is not ready, each with whether it is permanent."""
    for each in container_statuses(pod):
        waiting = at(each, "state.waiting") or {}
        reason, restarts = str(waiting.get("reason") or ""), int(each.get("restartCount", 0))
        if reason in _PERMANENT or (reason == "CrashLoopBackOff" and restarts >= _MAX_RESTARTS):
            yield f"{each['name']}: {reason}{_restarted(restarts)}", True
        elif reason not in ("", "PodInitializing", "ContainerCreating"):
            yield f"{each['name']}: {reason}{_restarted(restarts)}", False
    for each in at(pod, "status.conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            yield f"{each.get('reason', 'not scheduled')}: {each.get('message', '')}", False


def _restarted(restarts: int) -> str:
    return f", restarted {counted(restarts, 'time')}" if restarts else ""


def _newest_first(objects: Iterable[Manifest]) -> list[Manifest]:
    return sorted(objects, key=lambda each: str(each["metadata"]["creationTimestamp"]), reverse=True)


def _version(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return f"{metadata['uid']} {metadata.get('generation') if manifest['kind'] != 'Pod' else ''}"


def _owners(manifest: Manifest) -> set[str]:
    return {str(each["uid"]) for each in manifest["metadata"].get("ownerReferences", ())}


def _is_observed(workload: Manifest) -> bool:
    """Whether the controller has observed its current generation."""
    return int(at(workload, "status.observedGeneration") or 0) >= int(workload["metadata"]["generation"])


def _deployment(workload: Manifest) -> tuple[int, int, bool, str]:
    status, wanted = workload.get("status", {}), int(workload["spec"]["replicas"])
    ready = min(int(status.get("availableReplicas", 0)), int(status.get("updatedReplicas", 0)))
    done = _is_observed(workload) and ready == wanted and int(status.get("replicas", 0)) == wanted
    failure = ""
    for each in status.get("conditions", ()) if _is_observed(workload) else ():
        if each["type"] == "Progressing" and each["status"] == "False":
            failure = f"{each['reason']}: {each['message']}"
    return ready, wanted, done, failure


def _stateful_set(workload: Manifest) -> tuple[int, int, bool, str]:
    status, wanted = workload.get("status", {}), int(workload["spec"]["replicas"])
    ready = int(status.get("readyReplicas", 0))
    updated = status.get("currentRevision") == status.get("updateRevision")
    if not updated:
        ready = min(ready, int(status.get("updatedReplicas", 0)))
    return ready, wanted, _is_observed(workload) and updated and ready == wanted, ""


def _job(workload: Manifest) -> tuple[int, int, bool, str]:
    failed = condition(workload, "Failed")
    done = condition(workload, "Complete") is not None
    return int(done), 1, done, f"{failed['reason']}: {failed['message']}" if failed else ""


_STATUS_OF = {"Deployment": _deployment, "StatefulSet": _stateful_set, "Job": _job}
_REVISION = "deployment.kubernetes.io/revision"
