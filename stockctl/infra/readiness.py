"""How far the workloads of a namespace are: ready, on their way, or past hope, judged from one look at the cluster."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.infra.kustomize import Manifest, at, pod_template
from stockctl.units import counted

WAITED_FOR = {"StatefulSet": "apps/v1", "Deployment": "apps/v1", "Job": "batch/v1"}
"""Kinds that get ready or complete, each with its API version."""
ROLE = "app.kubernetes.io/name"
"""The label of a pod with the role that it plays."""

_HOPELESS = {"ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "ImagePullBackOff"}
"""Reasons why a container does not start that waiting does not mend."""
_MANY = 5
"""Restarts after which a container that crashes again counts as failed: about three minutes of them."""


class Progress(NamedTuple):
    """A workload: ``ready`` of ``wanted`` pods (a Job wants one), and in ``why`` the reason while it is not ready."""

    role: str
    kind: str
    name: str
    ready: int
    wanted: int
    state: Literal["ready", "waiting", "failed"]
    why: str = ""

    @property
    def label(self) -> str:
        """How the workload is called: ``Deployment lake``."""
        return f"{self.kind} {self.name}"


class Snapshot:
    """What runs in a namespace at one moment."""

    def __init__(self, kubernetes: Kubernetes, namespace: str) -> None:
        found = {kind: kubernetes.find(version, kind, namespace) for kind, version in WAITED_FOR.items()}
        self.workloads = {(kind, each["metadata"]["name"]): each for kind in found for each in found[kind]}
        self._sets = kubernetes.find("apps/v1", "ReplicaSet", namespace)
        self._pods = kubernetes.find("v1", "Pod", namespace)

    def pods(self, workload: Manifest) -> list[Manifest]:
        """Its pods, the newest first, those of an older revision among them."""
        makers = {workload["metadata"]["uid"]}
        if workload["kind"] == "Deployment":
            makers = {each["metadata"]["uid"] for each in self._sets if _owners(each) & makers}
        elif workload["kind"] == "CronJob":
            makers = {each["metadata"]["uid"] for each in self.jobs(workload)}
        return _newest_first(pod for pod in self._pods if _owners(pod) & makers)

    def jobs(self, workload: Manifest) -> list[Manifest]:
        """The Jobs that a CronJob made, the newest first."""
        jobs = (each for (kind, _), each in self.workloads.items() if kind == "Job")
        return _newest_first(each for each in jobs if workload["metadata"]["uid"] in _owners(each))

    @property
    def marks(self) -> frozenset[str]:
        """Marks of every pod, and of every workload as it was last changed, to know them again by."""
        return frozenset(map(_mark, [*self._pods, *self.workloads.values()]))

    def current(self, workload: Manifest) -> list[Manifest]:
        """Its pods of the revision that it wants now, without those that are ending."""
        pods = [pod for pod in self.pods(workload) if "deletionTimestamp" not in pod["metadata"]]
        if workload["kind"] == "StatefulSet":
            wanted = at(workload, "status.updateRevision")
            if wanted is None:
                # The controllers have not told yet.
                return pods
            return [pod for pod in pods if pod["metadata"]["labels"].get("controller-revision-hash") == wanted]
        if workload["kind"] == "Deployment":
            number = (at(workload, "metadata.annotations") or {}).get(_REVISION)
            sets = {
                each["metadata"]["uid"]
                for each in self._sets
                if (at(each, "metadata.annotations") or {}).get(_REVISION) == number
                # Until the pods of the one before are gone, a Deployment that recreates them has none for its revision.
                and each["spec"]["replicas"]
                and workload["metadata"]["uid"] in _owners(each)
            }
            return [pod for pod in pods if _owners(pod) & sets]
        return pods

    def progress(self, workload: Manifest, spared: Collection[str] = ()) -> Progress:
        """How far ``workload`` is, as it stood at that moment. Pods and workloads whose ``marks`` are ``spared`` may yet mend
        themselves: what would be past hope is waited for there, but for Jobs that gave up.
        """
        kind, name = workload["kind"], workload["metadata"]["name"]
        ready, wanted, done, failure = _COUNTED[kind](workload)
        told = Progress(role_of(workload), kind, name, ready, wanted, "ready")
        if done:
            return told
        if failure and (kind == "Job" or _mark(workload) not in spared):
            return told._replace(state="failed", why=failure)
        if kind != "Job" and not _seen(workload):
            return told._replace(state="waiting")
        for pod in self.current(workload):
            for reason, hopeless in troubles(pod):
                return told._replace(state="failed" if hopeless and _mark(pod) not in spared else "waiting", why=reason)
        refused = condition(workload, "ReplicaFailure")
        return told._replace(state="waiting", why=str(refused["message"]) if refused else failure)


def role_of(manifest: Manifest) -> str:
    """The role that the pods of ``manifest`` play: their label, or else its name."""
    template = pod_template(manifest) or {}
    return str((at(template, "metadata.labels") or {}).get(ROLE) or manifest["metadata"]["name"])


def condition(there: Manifest, kind: str) -> dict[str, Any] | None:
    """The condition ``kind`` of an object, where it holds."""
    for each in at(there, "status.conditions") or ():
        if each["type"] == kind and each["status"] == "True":
            return dict(each)
    return None


def containers_of(pod: Manifest) -> list[dict[str, Any]]:
    """The statuses of the pod's containers, those that run first included."""
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def crashed(container: Manifest) -> bool:
    """Whether the container of this status ended, and was started again, or will be."""
    return "terminated" in container.get("lastState", {})


def has_log(container: Manifest) -> bool:
    """Whether the container of this status has run, and so may have logged something."""
    return bool({"running", "terminated"} & set(container.get("state", {}))) or crashed(container)


def troubles(pod: Manifest) -> Iterator[tuple[str, bool]]:
    """What keeps ``pod`` from being ready, and whether waiting is in vain."""
    for each in containers_of(pod):
        waiting = at(each, "state.waiting") or {}
        reason, restarts = str(waiting.get("reason") or ""), int(each.get("restartCount", 0))
        if reason in _HOPELESS or (reason == "CrashLoopBackOff" and restarts >= _MANY):
            yield f"{each['name']}: {reason}{_times(restarts)}", True
        elif reason not in ("", "PodInitializing", "ContainerCreating"):
            yield f"{each['name']}: {reason}{_times(restarts)}", False
    for each in at(pod, "status.conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            yield f"{each.get('reason', 'not scheduled')}: {each.get('message', '')}", False


def _times(restarts: int) -> str:
    return f", restarted {counted(restarts, 'time')}" if restarts else ""


def _newest_first(found: Iterable[Manifest]) -> list[Manifest]:
    return sorted(found, key=lambda each: str(each["metadata"]["creationTimestamp"]), reverse=True)


def _mark(there: Manifest) -> str:
    return f"{there['metadata']['uid']} {there['metadata'].get('generation') if there['kind'] != 'Pod' else ''}"


def _owners(there: Manifest) -> set[str]:
    return {str(each["uid"]) for each in there["metadata"].get("ownerReferences", ())}


def _seen(workload: Manifest) -> bool:
    """Whether the controllers have seen it as it is now."""
    return int(at(workload, "status.observedGeneration") or 0) >= int(workload["metadata"]["generation"])


def _deployment(workload: Manifest) -> tuple[int, int, bool, str]:
    status, wanted = workload.get("status", {}), int(workload["spec"]["replicas"])
    ready = min(int(status.get("availableReplicas", 0)), int(status.get("updatedReplicas", 0)))
    done = _seen(workload) and ready == wanted and int(status.get("replicas", 0)) == wanted
    failure = ""
    for each in status.get("conditions", ()) if _seen(workload) else ():
        if each["type"] == "Progressing" and each["status"] == "False":
            failure = f"{each['reason']}: {each['message']}"
    return ready, wanted, done, failure


def _stateful_set(workload: Manifest) -> tuple[int, int, bool, str]:
    status, wanted = workload.get("status", {}), int(workload["spec"]["replicas"])
    ready = int(status.get("readyReplicas", 0))
    rolled = status.get("currentRevision") == status.get("updateRevision")
    if not rolled:
        ready = min(ready, int(status.get("updatedReplicas", 0)))
    return ready, wanted, _seen(workload) and rolled and ready == wanted, ""


def _job(workload: Manifest) -> tuple[int, int, bool, str]:
    failed = condition(workload, "Failed")
    done = condition(workload, "Complete") is not None
    return int(done), 1, done, f"{failed['reason']}: {failed['message']}" if failed else ""


_COUNTED = {"Deployment": _deployment, "StatefulSet": _stateful_set, "Job": _job}
_REVISION = "deployment.kubernetes.io/revision"
