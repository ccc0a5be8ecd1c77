"""The order of a rollout: which workloads to apply next. Nothing here talks to a cluster."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from stockctl.infra.kustomize import Manifest, ManifestError, at
from stockctl.infra.workload_status import WAITED_FOR, Progress, workload_name

AFTER = "stockctl.io/after"
"""The annotation with the names of the workloads that must be ready before this one is applied."""


@dataclass(frozen=True)
class Rollout:
    """The workloads of a rollout: those that are ``applied``, and those ``pending``."""

    pending: tuple[Manifest, ...]
    applied: tuple[Manifest, ...] = ()

    @classmethod
    def of(cls, manifests: Iterable[Manifest]) -> Rollout:
        """The workloads among ``manifests``, all pending. ManifestError if workloads wait for each other."""
        rollout = cls(tuple(each for each in manifests if each["kind"] in WAITED_FOR))
        _refuse_cycles(rollout.pending)
        return rollout

    def due(self, progress: Iterable[Progress]) -> list[Manifest]:
        """The pending workloads whose dependencies are all ready, according to the ``progress`` of the applied ones."""
        ready = {each.workload for each in progress if each.state == "ready"}
        return [each for each in self.pending if not _dependencies(each, (*self.pending, *self.applied)) - ready]

    def with_applied(self, manifests: Collection[Manifest]) -> Rollout:
        """The rollout after ``manifests``, which were pending, were applied."""
        pending = tuple(each for each in self.pending if each not in manifests)
        return Rollout(pending, (*self.applied, *manifests))

    def is_complete(self, progress: Iterable[Progress]) -> bool:
        """Whether every workload is applied and ready."""
        return not self.pending and all(each.state == "ready" for each in progress)

    def pending_progress(self) -> list[Progress]:
        """The progress of the pending workloads: none of their pods is ready, and each waits for its dependencies."""
        return [_pending_progress(each) for each in self.pending]


def _after(manifest: Manifest) -> set[str]:
    return set(str((at(manifest, "metadata.annotations") or {}).get(AFTER, "")).split())


def _dependencies(manifest: Manifest, workloads: Iterable[Manifest]) -> set[str]:
    """The names among ``workloads`` that ``manifest`` waits for. It ignores names that this overlay does not have."""
    return _after(manifest) & {workload_name(each) for each in workloads}


def _refuse_cycles(workloads: Collection[Manifest]) -> None:
    left = list(workloads)
    while due := [each for each in left if not _dependencies(each, left)]:
        left = [each for each in left if each not in due]
    if left:
        names = ", ".join(workload_name(each) for each in left)
        raise ManifestError(f"workloads wait for each other: {names}", hint=f"correct their annotations {AFTER}")


def _pending_progress(manifest: Manifest) -> Progress:
    wanted = int(manifest["spec"].get("replicas", 1))
    after = ", ".join(sorted(_after(manifest)))
    reason = f"waits for {after}" if after else ""
    return Progress(workload_name(manifest), manifest["kind"], manifest["metadata"]["name"], 0, wanted, "waiting", reason)
