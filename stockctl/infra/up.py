"""Bringing an overlay up: in the order of what needs what, until every workload is ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import NamedTuple, TypeVar

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.errors import StockctlError, TimedOutError, UnreachableError
from stockctl.infra import apply
from stockctl.infra.apply import Change
from stockctl.infra.diagnosis import advice, diagnosis
from stockctl.infra.kustomize import Manifest, ManifestError, at, label_of
from stockctl.infra.readiness import WAITED_FOR, Progress, Snapshot, role_of
from stockctl.infra.render import Rendered
from stockctl.service import retry
from stockctl.settings import Settings
from stockctl.units import format_duration

Answer = TypeVar("Answer")

AFTER = "stockctl.io/after"
"""The annotation of a workload with the roles that must be ready before it is put there."""
PATIENCE = 330.0
"""Seconds for which pods that were there before may still be past hope: the kubelet tries again within five minutes."""
_EVERY = 0.5
"""Seconds between two looks at the cluster."""


class Watch(NamedTuple):
    """Who is told what: ``changed`` of each object, ``progress`` of every workload at each look, ``say`` of all else."""

    changed: Callable[[Change], None]
    progress: Callable[[list[Progress]], None]
    say: Callable[[str], None]


def up(
    kubernetes: Kubernetes,
    settings: Settings,
    rendered: Rendered,
    watch: Watch,
    *,
    only: str | None = None,
    force: bool = False,
    timeout: float,
) -> None:
    """Put the objects of ``rendered`` on the cluster, wait for every workload, and delete what is no longer wanted.

    With ``only`` a role, what that one needs, and nothing is deleted. A workload that cannot get ready ends in StockctlError,
    one that is not after ``timeout`` seconds in TimedOutError: its story has been told by then. Others as
    ``apply.check`` and ``Kubernetes.apply`` raise them. What is on the cluster by then stays.
    """
    namespace, deadline = settings.infra.namespace, time.monotonic() + timeout

    def patiently(ask: Callable[[], Answer]) -> Answer:
        return _patiently(ask, deadline, watch.say)

    def put(manifest: Manifest) -> None:
        # Read once: of an answer that was lost, the change would be taken for what was there before.
        before = patiently(lambda: kubernetes.get(manifest))
        watch.changed(apply.change(before, patiently(lambda: kubernetes.apply(manifest, force=force))))

    def look_around() -> Snapshot:
        return patiently(lambda: Snapshot(kubernetes, namespace))

    apply.refuse_others(rendered)
    apply.keep_cluster_id(kubernetes, rendered)
    wanted = apply.chosen(rendered, only)
    pending = _workloads(wanted)
    _refuse_rings(pending)
    apply.refuse_other_voters(kubernetes, rendered, wanted)
    unjudged = apply.check(kubernetes, wanted, force=force)
    namespaces = [each for each in wanted if each["kind"] == "Namespace"]
    for manifest in namespaces:
        put(manifest)
    patiently(lambda: apply.check(kubernetes, unjudged, force=force))
    for manifest in wanted:
        if manifest not in pending and manifest not in namespaces:
            put(manifest)
    there: list[Manifest] = []
    # What was wrong before may have been mended meanwhile: an image imported, a secret made, a server brought back.
    before, patient_until = look_around().marks, time.monotonic() + PATIENCE
    while True:
        look = look_around()
        spared = before if time.monotonic() < patient_until else frozenset()
        told = [_told(look, each, spared) for each in there]
        watch.progress([*told, *map(_to_come, pending)])
        if failed := [each for each in told if each.state == "failed"]:
            raise StockctlError(_end(kubernetes, look, failed, pending, watch.say), hint=advice(look, failed[0], namespace))
        ready = {each.role for each in told if each.state == "ready"}
        if not pending and all(each.state == "ready" for each in told):
            break
        due = [each for each in pending if not _waits_for(each, pending) - ready and not _waits_for(each, there) - ready]
        for manifest in due:
            put(manifest)
            pending.remove(manifest)
            there.append(manifest)
        if due:
            continue
        if time.monotonic() > deadline:
            late = [each for each in told if each.state != "ready"]
            words = _end(kubernetes, look, late, pending, watch.say)
            raise TimedOutError(f"{words}, after {format_duration(timeout)}", hint=advice(look, late[0], namespace))
        time.sleep(_EVERY)
    if only is None:
        for each in patiently(lambda: apply.unwanted(kubernetes, settings, rendered)):
            kept = apply.holds_data(each)
            if not kept:
                patiently(partial(kubernetes.delete, each))
            watch.changed(Change("kept" if kept else "deleted", label_of(each)))


def _workloads(manifests: list[Manifest]) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in WAITED_FOR]


def _after(manifest: Manifest) -> set[str]:
    return set(str((at(manifest, "metadata.annotations") or {}).get(AFTER, "")).split())


def _waits_for(manifest: Manifest, among: Iterable[Manifest]) -> set[str]:
    """The roles ``among`` which ``manifest`` waits for. Those that this overlay does not have, it does without."""
    return _after(manifest) & {role_of(each) for each in among}


def _refuse_rings(workloads: list[Manifest]) -> None:
    left = list(workloads)
    while due := [each for each in left if not _waits_for(each, left)]:
        left = [each for each in left if each not in due]
    if left:
        roles = ", ".join(role_of(each) for each in left)
        raise ManifestError(f"{roles} wait for each other", hint=f"mend their annotations {AFTER}")


def _to_come(manifest: Manifest) -> Progress:
    wanted = int(manifest["spec"].get("replicas", 1))
    after = ", ".join(sorted(_after(manifest)))
    why = f"comes after {after}" if after else ""
    return Progress(role_of(manifest), manifest["kind"], manifest["metadata"]["name"], 0, wanted, "waiting", why)


def _told(look: Snapshot, manifest: Manifest, spared: Collection[str]) -> Progress:
    workload = look.workloads.get((manifest["kind"], manifest["metadata"]["name"]))
    if workload is None:
        raise StockctlError(f"{label_of(manifest)} was deleted while it was waited for", hint="`stockctl infra up` again")
    return look.progress(workload, spared)


def _patiently(ask: Callable[[], Answer], deadline: float, say: Callable[[str], None]) -> Answer:
    """What ``ask`` answers. A server that is away meanwhile is waited for: a small machine's may be, while all starts."""
    said = ""

    def report(error: BaseException, _attempt: int) -> None:
        nonlocal said
        if said != (said := str(error)):
            say(f"waiting: {said}")

    return retry(
        ask,
        lambda error: isinstance(error, UnreachableError),
        within=deadline - time.monotonic(),
        longest=2 * _EVERY,
        on_retry=report,
    )


def _end(
    kubernetes: Kubernetes, look: Snapshot, unwell: list[Progress], pending: list[Manifest], say: Callable[[str], None]
) -> str:
    """Tell the story of each that is ``unwell``, and of those that were not tried; the error's words."""
    for each in unwell:
        for line in diagnosis(kubernetes, look, each):
            say(line)
    if pending:
        say(f"not put there yet: {', '.join(role_of(each) for each in pending)}")
    return f"not ready: {', '.join(each.label for each in unwell)}"
