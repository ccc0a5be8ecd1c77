"""Why a workload is not ready, in the cluster's own words: conditions, events, the last lines of the log, and what to try."""

from __future__ import annotations

from collections.abc import Iterator

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.errors import StockctlError
from stockctl.infra.kustomize import Manifest, at
from stockctl.infra.readiness import Progress, Snapshot, containers_of, crashed, has_log, troubles

_PODS, _EVENTS, _LINES = 2, 6, 10
"""How much is told: pods of a workload, events, lines of a log."""
_GOOD = {"Complete", "Progressing", "Available", "SuccessCriteriaMet"}
"""Conditions of workloads that tell of trouble when they do not hold; of others when they do."""
_ADVICE = {
    "ErrImageNeverPull": "import the image (docs/deploy.md, Images), or name one that is there with --image-tag",
    "ErrImagePull": "import the image (docs/deploy.md, Images), or name one that is there with --image-tag",
    "ImagePullBackOff": "import the image (docs/deploy.md, Images), or name one that is there with --image-tag",
    "CreateContainerConfigError": "make the secret or the map that the event names",
    "Unschedulable": "make room on a node, or give the cluster a larger one",
    "ProgressDeadlineExceeded": "mend what its pods say above, then `stockctl infra up` again",
    "CrashLoopBackOff": "mend what its log says, then `stockctl infra up` again",
    "BackoffLimitExceeded": "mend what its log says, delete the job, then `stockctl infra up` again",
}


def diagnosis(kubernetes: Kubernetes, look: Snapshot, told: Progress) -> Iterator[str]:
    """What there is to know of the workload that ``told`` is about, a line each."""
    workload = look.workloads[told.kind, told.name]
    yield f"{told.label}: {told.ready} of {told.wanted} ready{f', {told.why}' if told.why else ''}"
    for each in at(workload, "status.conditions") or ():
        if (each["status"] == "True") != (each["type"] in _GOOD):
            yield f"  condition {each['type']} is {each['status']}: {each.get('reason', '')}: {each.get('message', '')}"
    pods = [pod for pod in look.pods(workload) if not _is_well(pod)][:_PODS]
    for pod in pods:
        words = [reason for reason, _ in troubles(pod)]
        yield f"  pod {pod['metadata']['name']} is {at(pod, 'status.phase')}{''.join(f'; {each}' for each in words)}"
    yield from _events(kubernetes, [workload, *pods])
    for pod in pods[:1]:
        yield from _log(kubernetes, pod)


def advice(look: Snapshot, told: Progress, namespace: str) -> str:
    """The next thing to try for a workload that is not ready."""
    workload = look.workloads[told.kind, told.name]
    old = [pod for pod in look.pods(workload) if not _is_well(pod) and pod not in look.current(workload)]
    if told.kind == "StatefulSet" and old:
        name = old[0]["metadata"]["name"]
        return f"`kubectl -n {namespace} delete pod {name}`: a pod that never got ready is not replaced by itself"
    for reason, words in _ADVICE.items():
        if reason in told.why:
            return words
    return f"`kubectl -n {namespace} describe {told.kind.lower()} {told.name}`; a longer --timeout, if it only needs time"


def _is_well(pod: Manifest) -> bool:
    conditions = at(pod, "status.conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready or at(pod, "status.phase") == "Succeeded"


def _events(kubernetes: Kubernetes, about: list[Manifest]) -> Iterator[str]:
    found = [
        event
        for each in about
        for event in kubernetes.find(
            "v1", "Event", each["metadata"]["namespace"], fields=f"involvedObject.uid={each['metadata']['uid']}"
        )
    ]
    found.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    for event in found[-_EVENTS:]:
        times = f" ({event['count']} times)" if int(event.get("count") or 1) > 1 else ""
        subject = event["involvedObject"]
        yield f"  event {event['type']} {event['reason']} of {subject['kind']} {subject['name']}: {event['message']}{times}"


def _log(kubernetes: Kubernetes, pod: Manifest) -> Iterator[str]:
    """The end of the log of the container that failed, or else of the one that runs."""
    ran = [each for each in containers_of(pod) if has_log(each)]
    unwell = [each for each in ran if not each.get("ready") and at(each, "state.terminated.exitCode") != 0]
    for each in unwell[:1]:
        name = each["name"]
        try:
            lines = kubernetes.log(pod, name, lines=_LINES, previous=crashed(each) and "waiting" in each["state"])
        except StockctlError as error:
            yield f"  no log of {name}: {error}"
            continue
        yield f"  the last lines of {name}:" if lines else f"  {name} has logged nothing"
        yield from (f"    {line}" for line in lines)
