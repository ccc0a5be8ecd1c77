"""Server-side apply of an overlay's objects, and which objects of stockctl are no longer wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from stockctl.clients.kubernetes.client import AbsentError, ConflictError, ImmutableError, Kubernetes
from stockctl.errors import StockctlError, UsageError
from stockctl.infra.kustomize import Manifest, ManifestError, at, label_of, pod_template
from stockctl.infra.render import OWNER, Rendered, references, to_yaml
from stockctl.infra.secrets import CLUSTER_ID
from stockctl.infra.workload_status import workload_name
from stockctl.reconcile import Action, Change
from stockctl.settings.infra import InfraSettings

KINDS = {
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "ConfigMap": "v1",
    "Secret": "v1",
    "PersistentVolumeClaim": "v1",
    "Service": "v1",
    "StatefulSet": "apps/v1",
    "Job": "batch/v1",
    "Deployment": "apps/v1",
    "CronJob": "batch/v1",
}
"""The kinds that stockctl manages within a namespace, with their API versions, in the order in which it applies them."""
REPLACE_QUORUM = "let the lake catch up, then `stockctl infra down --delete-data` and `up` (docs/deploy.md, Switch overlays)"
"""How to get another quorum of Kafka's controllers."""
VOTERS = "controller.quorum.voters"
"""The property of Kafka's configuration with the controllers of its quorum."""
_KAFKA_CONFIG = "ConfigMap kafka-config"
_FIRST_VOTER = 3000
"""The id of the first controller, as Kafka's manifests have it."""
_SERVER_FIELDS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
"""Fields of the metadata that the API server sets itself."""


class QuorumChange(NamedTuple):
    """The voters of Kafka's quorum, which cannot change: those on the cluster, and those of the manifests."""

    actual: str
    wanted: str

    def __str__(self) -> str:
        return f"Kafka's controllers form a quorum of {self.actual}, and the overlay asks for {self.wanted}"


def selected(rendered: Rendered, only: str | None) -> list[Manifest]:
    """The objects of ``rendered`` in the order in which they are applied: all, or those that the workload ``only`` needs.

    A workload needs the ConfigMaps, Secrets and volumes that its pods refer to, and every object without pods or data.
    """
    if only is None:
        return rendered.all
    workloads = [each for each in rendered.all if pod_template(each) is not None]
    matching = [each for each in workloads if workload_name(each) == only]
    if not matching:
        names = ", ".join(sorted({workload_name(each) for each in workloads}))
        raise UsageError(f"this overlay has no workload {only}", hint=f"one of {names}")
    referenced = {pair for each in matching for pair in references(each)}
    data_kinds = {"ConfigMap", "Secret", "PersistentVolumeClaim"}
    return [
        each
        for each in rendered.all
        if each in matching
        or (each["kind"], each["metadata"]["name"]) in referenced
        or (each["kind"] not in data_kinds and each not in workloads)
    ]


def refuse_unmanaged_kinds(rendered: Rendered) -> None:
    """ManifestError for objects of other kinds than ``KINDS``: nothing would delete them again."""
    known = {"Namespace": "v1"} | KINDS
    if unmanaged := [each for each in rendered.all if known.get(each["kind"]) != each["apiVersion"]]:
        kinds = ", ".join(f"{label_of(each)} ({each['apiVersion']})" for each in unmanaged)
        raise ManifestError(
            f"the overlay contains objects of kinds that stockctl does not manage: {kinds}",
            hint="correct the kind; or remove them from the manifests and apply them with kubectl",
        )


def keep_cluster_id(kubernetes: Kubernetes, rendered: Rendered) -> None:
    """Put the id that Kafka has on the cluster, which its storage was formatted with, into ``rendered``."""
    for manifest in rendered.secrets:
        if (
            CLUSTER_ID in manifest["data"]
            and (live := kubernetes.get(manifest))
            and (live_id := at(live, f"data.{CLUSTER_ID}"))
        ):
            manifest["data"][CLUSTER_ID] = live_id


def quorum_change(kubernetes: Kubernetes, manifests: list[Manifest]) -> QuorumChange | None:
    """How ``manifests`` would change the quorum of Kafka's controllers on the cluster; None if they would not."""
    by_name = {label_of(each): each for each in manifests}
    wanted, controllers = by_name.get(_KAFKA_CONFIG), by_name.get("StatefulSet kafka-controller")
    if wanted is None or controllers is None:
        return None
    live = kubernetes.get(wanted) if kubernetes.get(controllers) else None
    before, after = _voters(live) if live else _voters_of_volumes(kubernetes, controllers), _voters(wanted)
    if before in ("", after):
        return None
    return QuorumChange(before, after)


def refuse_other_voters(kubernetes: Kubernetes, rendered: Rendered, wanted: list[Manifest]) -> None:
    """StockctlError if applying ``wanted`` of ``rendered`` would change the quorum of Kafka's controllers: a static quorum
    cannot grow, and could lose its metadata.
    """
    names = {label_of(each) for each in wanted}
    if _KAFKA_CONFIG in names and (quorum := quorum_change(kubernetes, rendered.all)):
        raise StockctlError(
            f"nothing was changed: {quorum}",
            hint=REPLACE_QUORUM,
        )


def _voters(config: Manifest) -> str:
    lines = [line for text in config.get("data", {}).values() for line in text.splitlines()]
    voters = [line.partition("=")[2] for line in lines if line.startswith(f"{VOTERS}=")]
    return ", ".join(sorted(voter.strip().partition("@")[0] for voter in ",".join(voters).split(",")))


def _voters_of_volumes(kubernetes: Kubernetes, controllers: Manifest) -> str:
    """The voters that have volumes, which outlive the controllers after ``down``; empty if there are none."""
    name, namespace = controllers["metadata"]["name"], controllers["metadata"]["namespace"]
    claims = kubernetes.find("v1", "PersistentVolumeClaim", namespace)
    matches = (re.fullmatch(rf".+-{name}-(\d+)", each["metadata"]["name"]) for each in claims)
    return ", ".join(sorted(str(_FIRST_VOTER + int(match[1])) for match in matches if match))


def check(kubernetes: Kubernetes, manifests: Iterable[Manifest], *, force: bool) -> list[Manifest]:
    """Apply all ``manifests`` as a dry run; those that the server cannot judge yet, because their namespace does not exist.

    ConflictError names every object with a field conflict, ImmutableError an immutable field and the way around it.
    """
    conflicts: list[str] = []
    unjudged: list[Manifest] = []
    for manifest in manifests:
        try:
            kubernetes.apply(manifest, dry_run=True, force=force)
        except AbsentError:
            unjudged.append(manifest)
        except ConflictError as error:
            conflicts.append(str(error))
        except ImmutableError as error:
            raise ImmutableError(str(error), hint=_immutable_hint(manifest)) from error
    if conflicts:
        raise ConflictError(
            "nothing was changed: " + "\n".join(conflicts),
            hint="remove those fields from the manifests, or take them over with --force-conflicts",
        )
    return unjudged


def _immutable_hint(manifest: Manifest) -> str:
    name, namespace = manifest["metadata"]["name"], manifest["metadata"].get("namespace")
    delete = f"`kubectl -n {namespace} delete {manifest['kind'].lower()} {name}"
    if manifest["kind"] == "StatefulSet":
        return (
            f"undo that change; or run {delete} --cascade=orphan`, which keeps its pods and volumes, then `stockctl infra up`"
        )
    if manifest["kind"] == "PersistentVolumeClaim":
        return "undo that change: a volume keeps its storage class and can only grow; to replace it, move its data to a new one"
    return f"undo that change; or run {delete}`, then `stockctl infra up`"


def change(before: Manifest | None, after: Manifest) -> Change:
    """How an apply changed an object from ``before``, which is None if it did not exist."""
    if before is None:
        return change_of(after, "created")
    return change_of(after, "unchanged" if spec_lines(before) == spec_lines(after) else "changed")


def change_of(manifest: Manifest, action: Action) -> Change:
    """The change of the object of ``manifest``."""
    return Change(manifest["kind"], manifest["metadata"]["name"], action)


def spec_lines(manifest: Manifest) -> list[str]:
    """An object as lines of YAML, without its status and the fields that the server sets."""
    desired: dict[str, Any] = {key: value for key, value in manifest.items() if key != "status"}
    desired["metadata"] = {key: value for key, value in manifest["metadata"].items() if key not in _SERVER_FIELDS}
    return to_yaml([desired]).splitlines()


def managed(kubernetes: Kubernetes, namespace: str) -> list[Manifest]:
    """The objects in ``namespace`` that stockctl applied, in that order; not those that controllers created for them."""
    labels = ",".join(f"{name}={value}" for name, value in OWNER.items())
    return [
        each
        for kind, version in KINDS.items()
        for each in kubernetes.find(version, kind, namespace, labels=labels)
        if not each["metadata"].get("ownerReferences")
    ]


def deletable(kubernetes: Kubernetes, infra: InfraSettings) -> list[Manifest]:
    """The ``managed`` objects that stockctl may delete: not Secrets that the manifests only reference."""
    objects = managed(kubernetes, infra.namespace)
    return [each for each in objects if each["kind"] != "Secret" or infra.secrets == "settings"]


def unwanted(kubernetes: Kubernetes, infra: InfraSettings, rendered: Rendered) -> list[Manifest]:
    """The ``deletable`` objects that are not in ``rendered``, workloads first."""
    wanted = {label_of(each) for each in rendered.all}
    return [each for each in reversed(deletable(kubernetes, infra)) if label_of(each) not in wanted]


def is_volume(manifest: Manifest) -> bool:
    """Whether the object is a volume: ``up`` keeps it also when it is no longer wanted."""
    return bool(manifest["kind"] == "PersistentVolumeClaim")
