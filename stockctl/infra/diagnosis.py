"""Why a workload is not ready: its conditions, pods, events and the end of its log, with the next thing to try."""

from __future__ import annotations

from collections.abc import Iterator

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.errors import StockctlError
from stockctl.infra.kustomize import Manifest, at
from stockctl.infra.workload_status import Progress, Snapshot, container_statuses, crashed, has_log, pod_problems

_MAX_PODS, _MAX_EVENTS, _LOG_LINES = 2, 6, 10
_EXPECTED_TRUE = {"Complete", "Progressing", "Available", "SuccessCriteriaMet"}
"""Conditions of workloads that mean a problem when False; all others mean one when True."""
_IMAGE_HINT = "import the image (docs/deploy.md, Images), or name an existing one with --image-tag"
_HINTS = {
    "ErrImageNeverPull": _IMAGE_HINT,
    "ErrImagePull": _IMAGE_HINT,
    "ImagePullBackOff": _IMAGE_HINT,
    "CreateContainerConfigError": "create the Secret or ConfigMap that the event names",
    "Unschedulable": "free resources on a node, or add a larger node",
    "ProgressDeadlineExceeded": "fix the problem of its pods above, then run `stockctl infra up` again",
    "CrashLoopBackOff": "fix the error in its log, then run `stockctl infra up` again",
    "BackoffLimitExceeded": "fix the error in its log, delete the job, then run `stockctl infra up` again",
}
"""The next thing to try, by the reason that Kubernetes gives."""


def diagnose(kubernetes: Kubernetes, snapshot: Snapshot, progress: Progress) -> Iterator[str]:
    """What the cluster knows about the workload of ``progress``, one line each."""
    workload = snapshot.workloads[progress.kind, progress.name]
    yield f"{progress.label}: {progress.ready} of {progress.wanted} ready{f', {progress.reason}' if progress.reason else ''}"
    for each in at(workload, "status.conditions") or ():
        if (each["status"] == "True") != (each["type"] in _EXPECTED_TRUE):
            yield f"  condition {each['type']} is {each['status']}: {each.get('reason', '')}: {each.get('message', '')}"
    pods = [pod for pod in snapshot.pods(workload) if not _is_ready(pod)][:_MAX_PODS]
    for pod in pods:
        problems = "".join(f"; {reason}" for reason, _ in pod_problems(pod))
        yield f"  pod {pod['metadata']['name']} is {at(pod, 'status.phase')}{problems}"
    yield from _events(kubernetes, [workload, *pods])
    for pod in pods[:1]:
        yield from _log(kubernetes, pod)


def hint_for(snapshot: Snapshot, progress: Progress, namespace: str) -> str:
    """The next thing to try for a workload that is not ready."""
    workload = snapshot.workloads[progress.kind, progress.name]
    outdated = [pod for pod in snapshot.pods(workload) if not _is_ready(pod) and pod not in snapshot.current_pods(workload)]
    if progress.kind == "StatefulSet" and outdated:
        name = outdated[0]["metadata"]["name"]
        return f"`kubectl -n {namespace} delete pod {name}`: a StatefulSet does not replace a pod that never became ready"
    for reason, hint in _HINTS.items():
        if reason in progress.reason:
            return hint
    describe = f"`kubectl -n {namespace} describe {progress.kind.lower()} {progress.name}`"
    return f"{describe}; if it only needs more time, a longer --timeout"


def _is_ready(pod: Manifest) -> bool:
    conditions = at(pod, "status.conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready or at(pod, "status.phase") == "Succeeded"


def _events(kubernetes: Kubernetes, objects: list[Manifest]) -> Iterator[str]:
    events = [
        event
        for each in objects
        for event in kubernetes.find(
            "v1", "Event", each["metadata"]["namespace"], fields=f"involvedObject.uid={each['metadata']['uid']}"
        )
    ]
    events.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    for event in events[-_MAX_EVENTS:]:
        times = f" ({event['count']} times)" if int(event.get("count") or 1) > 1 else ""
        subject = event["involvedObject"]
        yield f"  event {event['type']} {event['reason']} of {subject['kind']} {subject['name']}: {event['message']}{times}"


def _log(kubernetes: Kubernetes, pod: Manifest) -> Iterator[str]:
    """The end of the log of the first container that is not well."""
    logged = [each for each in container_statuses(pod) if has_log(each)]
    unready = [each for each in logged if not each.get("ready") and at(each, "state.terminated.exitCode") != 0]
    for each in unready[:1]:
        name = each["name"]
        try:
            lines = kubernetes.log(pod, name, lines=_LOG_LINES, previous=crashed(each) and "waiting" in each["state"])
        except StockctlError as error:
            yield f"  cannot read the log of {name}: {error}"
            continue
        yield f"  the last lines of {name}:" if lines else f"  the log of {name} is empty"
        yield from (f"    {line}" for line in lines)
