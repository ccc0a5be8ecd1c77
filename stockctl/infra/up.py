"""``infra up``: apply an overlay in the order of its dependencies, and wait until every workload is ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.errors import StockctlError, TimedOutError, UnreachableError
from stockctl.infra import apply
from stockctl.infra.diagnosis import diagnose, hint_for
from stockctl.infra.kustomize import Manifest, label_of
from stockctl.infra.render import Rendered
from stockctl.infra.rollout_order import Rollout
from stockctl.infra.workload_status import Progress, Snapshot, workload_name
from stockctl.reconcile import Change
from stockctl.service import retry
from stockctl.settings.infra import InfraSettings
from stockctl.units import format_duration

Answer = TypeVar("Answer")

RECOVERY_SECONDS = 330.0
"""How long pods from before this run may recover from a permanent error: the kubelet retries within five minutes."""
_POLL_SECONDS = 0.5


class Events(NamedTuple):
    """What ``up`` calls: ``on_change`` for each object, ``on_progress`` with every workload at each poll, ``notify`` with
    lines for people.
    """

    on_change: Callable[[Change], None]
    on_progress: Callable[[list[Progress]], None]
    notify: Callable[[str], None]


def up(
    kubernetes: Kubernetes,
    infra: InfraSettings,
    rendered: Rendered,
    events: Events,
    *,
    only: str | None = None,
    force: bool = False,
    timeout: float,
) -> None:
    """Apply the objects of ``rendered``, wait for every workload, and delete objects that are no longer wanted.

    With the workload ``only``, apply what that one needs, and delete nothing. ``force`` takes over fields of other managers.
    StockctlError when a workload cannot become ready, TimedOutError when one is not ready after ``timeout`` seconds; both
    after the diagnosis went to ``notify``. Others as ``apply.check`` and ``Kubernetes.apply`` raise them. Objects that were
    applied by then stay.
    """
    run = _Run(kubernetes, infra.namespace, events, timeout, force=force)
    apply.refuse_unmanaged_kinds(rendered)
    apply.keep_cluster_id(kubernetes, rendered)
    wanted = apply.selected(rendered, only)
    rollout = Rollout.of(wanted)
    apply.refuse_other_voters(kubernetes, rendered, wanted)
    run.apply_objects(wanted, rollout.pending)
    run.roll_out(rollout)
    if only is None:
        run.delete(run.retry(lambda: apply.unwanted(kubernetes, infra, rendered)))


class _Run:
    """One run of ``up`` on a cluster, with its deadline."""

    def __init__(self, kubernetes: Kubernetes, namespace: str, events: Events, timeout: float, *, force: bool) -> None:
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._events = events
        self._force = force
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout

    def apply_objects(self, wanted: Sequence[Manifest], workloads: Sequence[Manifest]) -> None:
        """Apply all of ``wanted`` but its ``workloads``, after a dry run of everything."""
        unjudged = apply.check(self._kubernetes, wanted, force=self._force)
        namespaces = [each for each in wanted if each["kind"] == "Namespace"]
        for manifest in namespaces:
            self._apply(manifest)
        self.retry(lambda: apply.check(self._kubernetes, unjudged, force=self._force))
        for manifest in wanted:
            if manifest not in workloads and manifest not in namespaces:
                self._apply(manifest)

    def roll_out(self, rollout: Rollout) -> None:
        """Apply each workload when its dependencies are ready, and wait until all are."""
        # Something may have been fixed since: an image imported, a secret created, a server restarted.
        before, recover_until = self._snapshot().versions, time.monotonic() + RECOVERY_SECONDS
        while True:
            snapshot = self._snapshot()
            recovering = before if time.monotonic() < recover_until else frozenset()
            progress = [_progress(snapshot, each, recovering) for each in rollout.applied]
            self._events.on_progress([*progress, *rollout.pending_progress()])
            if failed := [each for each in progress if each.state == "failed"]:
                raise StockctlError(
                    self._report(snapshot, failed, rollout.pending), hint=hint_for(snapshot, failed[0], self._namespace)
                )
            if rollout.is_complete(progress):
                return
            if due := rollout.due(progress):
                for manifest in due:
                    self._apply(manifest)
                rollout = rollout.with_applied(due)
                continue
            if time.monotonic() > self._deadline:
                late = [each for each in progress if each.state != "ready"]
                raise TimedOutError(
                    f"{self._report(snapshot, late, rollout.pending)}, after {format_duration(self._timeout)}",
                    hint=hint_for(snapshot, late[0], self._namespace),
                )
            time.sleep(_POLL_SECONDS)

    def delete(self, unwanted: Iterable[Manifest]) -> None:
        """Delete ``unwanted``, except volumes."""
        for manifest in unwanted:
            if not (keep := apply.is_volume(manifest)):
                self.retry(partial(self._kubernetes.delete, manifest))
            self._events.on_change(apply.change_of(manifest, "retained" if keep else "deleted"))

    def retry(self, request: Callable[[], Answer]) -> Answer:
        """The answer to ``request``. Waits for an API server that is away: on a small machine it may be, while all starts."""
        reported = ""

        def report(error: BaseException, _attempt: int) -> None:
            nonlocal reported
            if reported != (reported := str(error)):
                self._events.notify(f"waiting: {reported}")

        return retry(
            request,
            lambda error: isinstance(error, UnreachableError),
            within=self._deadline - time.monotonic(),
            longest=2 * _POLL_SECONDS,
            on_retry=report,
        )

    def _apply(self, manifest: Manifest) -> None:
        # Read the object once: after a lost answer, a second read would already show the change.
        before = self.retry(lambda: self._kubernetes.get(manifest))
        after = self.retry(lambda: self._kubernetes.apply(manifest, force=self._force))
        self._events.on_change(apply.change(before, after))

    def _snapshot(self) -> Snapshot:
        return self.retry(lambda: Snapshot(self._kubernetes, self._namespace))

    def _report(self, snapshot: Snapshot, unready: Sequence[Progress], pending: Sequence[Manifest]) -> str:
        """Send the diagnosis of each ``unready`` workload to ``notify``, and the names of those ``pending``; the message of
        the error.
        """
        for each in unready:
            for line in diagnose(self._kubernetes, snapshot, each):
                self._events.notify(line)
        if pending:
            self._events.notify(f"not applied yet: {', '.join(workload_name(each) for each in pending)}")
        return f"not ready: {', '.join(each.label for each in unready)}"


def _progress(snapshot: Snapshot, manifest: Manifest, recovering: frozenset[str]) -> Progress:
    workload = snapshot.workloads.get((manifest["kind"], manifest["metadata"]["name"]))
    if workload is None:
        raise StockctlError(
            f"{label_of(manifest)} was deleted by someone else during the rollout", hint="run `stockctl infra up` again"
        )
    return snapshot.progress(workload, recovering)
