"""Putting objects on a cluster by server-side apply, and taking off what is no longer wanted."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from stockctl.clients.kubernetes.client import AbsentError, ConflictError, ImmutableError, Kubernetes
from stockctl.errors import StockctlError, UsageError
from stockctl.infra.kustomize import Manifest, ManifestError, at, label_of, pod_template
from stockctl.infra.readiness import role_of
from stockctl.infra.render import OWNER, Rendered, read_by, text
from stockctl.infra.secrets import CLUSTER_ID
from stockctl.settings import Settings

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
"""Kinds within a namespace that are looked through for what is ours, in the order in which they are made."""
_VOTERS = "controller.quorum.voters"
"""The line of Kafka's configuration with the controllers that its quorum is made of."""
_KAFKA_CONFIG = "ConfigMap kafka-config"
_FIRST_VOTER = 3000
"""The id of the first controller, as Kafka's manifests have it."""
_NOTED = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
"""What the server notes on an object by itself."""


class Change(NamedTuple):
    """What became of an object: ``kept`` is one that is no longer wanted, and holds data."""

    state: Literal["made", "changed", "unchanged", "deleted", "kept"]
    name: str


def chosen(rendered: Rendered, only: str | None) -> list[Manifest]:
    """The objects of ``rendered`` in the order in which they are made: all, or those that the role ``only`` needs.

    A role needs its workload, what its pods read and keep, and what starts no pod and holds no settings.
    """
    if only is None:
        return rendered.all
    workloads = [each for each in rendered.all if pod_template(each) is not None]
    mine = [each for each in workloads if role_of(each) == only]
    if not mine:
        roles = ", ".join(sorted({role_of(each) for each in workloads}))
        raise UsageError(f"there is no role {only} in this overlay", hint=f"one of {roles}")
    read = {pair for each in mine for pair in read_by(each)}
    held = {"ConfigMap", "Secret", "PersistentVolumeClaim"}
    return [
        each
        for each in rendered.all
        if each in mine
        or (each["kind"], each["metadata"]["name"]) in read
        or (each["kind"] not in held and each not in workloads)
    ]


def refuse_others(rendered: Rendered) -> None:
    """ManifestError for objects of kinds that are not looked through: nobody would delete them again."""
    known = {"Namespace": "v1"} | KINDS
    if others := [each for each in rendered.all if known.get(each["kind"]) != each["apiVersion"]]:
        kinds = ", ".join(f"{label_of(each)} ({each['apiVersion']})" for each in others)
        raise ManifestError(
            f"the overlay holds objects of kinds that stockctl does not look after: {kinds}",
            hint="mend the kind; or take them out of its manifests, and look after them by kubectl",
        )


def keep_cluster_id(kubernetes: Kubernetes, rendered: Rendered) -> None:
    """Give Kafka in ``rendered`` the id that it has on the cluster, which its storage was formatted with."""
    for manifest in rendered.secrets:
        if CLUSTER_ID in manifest["data"] and (live := kubernetes.get(manifest)) and (kept := at(live, f"data.{CLUSTER_ID}")):
            manifest["data"][CLUSTER_ID] = kept


def other_voters(kubernetes: Kubernetes, manifests: list[Manifest]) -> str | None:
    """That ``manifests`` give Kafka's controllers another quorum than those on the cluster have, in words; None if not."""
    by_name = {label_of(each): each for each in manifests}
    wanted, controllers = by_name.get(_KAFKA_CONFIG), by_name.get("StatefulSet kafka-controller")
    if wanted is None or controllers is None:
        return None
    live = kubernetes.get(wanted) if kubernetes.get(controllers) else None
    before, after = _voters(live) if live else _volumes(kubernetes, controllers), _voters(wanted)
    if before in ("", after):
        return None
    return f"Kafka's controllers were made as a quorum of {before}, and would be one of {after}"


def refuse_other_voters(kubernetes: Kubernetes, rendered: Rendered, wanted: list[Manifest]) -> None:
    """StockctlError for what ``other_voters`` tells, if ``wanted`` of ``rendered`` would do it: a quorum that is fixed cannot
    grow, and might forget what it holds.
    """
    names = {label_of(each) for each in wanted}
    if _KAFKA_CONFIG in names and (words := other_voters(kubernetes, rendered.all)):
        raise StockctlError(
            f"nothing is changed: {words}",
            hint="let the lake catch up, `stockctl infra down --delete-data`, then `up` (docs/deploy.md, Another overlay)",
        )


def _voters(config: Manifest) -> str:
    lines = [line for text in config.get("data", {}).values() for line in text.splitlines()]
    found = [line.partition("=")[2] for line in lines if line.startswith(f"{_VOTERS}=")]
    return ", ".join(sorted(voter.strip().partition("@")[0] for voter in ",".join(found).split(",")))


def _volumes(kubernetes: Kubernetes, controllers: Manifest) -> str:
    """The voters whose volumes are there, also where ``down`` has deleted the controllers; empty if there are none."""
    name, namespace = controllers["metadata"]["name"], controllers["metadata"]["namespace"]
    claims = (re.fullmatch(rf".+-{name}-(\d+)", each["metadata"]["name"]) for each in _claims(kubernetes, namespace))
    return ", ".join(sorted(str(_FIRST_VOTER + int(found[1])) for found in claims if found))


def _claims(kubernetes: Kubernetes, namespace: str) -> list[Manifest]:
    return kubernetes.find("v1", "PersistentVolumeClaim", namespace)


def check(kubernetes: Kubernetes, manifests: list[Manifest], *, force: bool) -> list[Manifest]:
    """Ask the server whether it would take them all (dry run), before anything is changed; those that it cannot judge yet,
    because their namespace is not there.

    ConflictError names every object of which others manage fields, ImmutableError what cannot be changed, and what then.
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
            raise ImmutableError(str(error), hint=_way_round(manifest)) from error
    if conflicts:
        raise ConflictError(
            "nothing is changed: " + "\n".join(conflicts),
            hint="leave those fields to them, or take them over with --force-conflicts",
        )
    return unjudged


def _way_round(manifest: Manifest) -> str:
    name, namespace = manifest["metadata"]["name"], manifest["metadata"].get("namespace")
    delete = f"`kubectl -n {namespace} delete {manifest['kind'].lower()} {name}"
    if manifest["kind"] == "StatefulSet":
        return (
            f"undo that change; or {delete} --cascade=orphan` keeps its pods and volumes, and `stockctl infra up` makes it anew"
        )
    if manifest["kind"] == "PersistentVolumeClaim":
        return "undo that change: a volume keeps its class, and its size or more; the data of a new one would have to be moved"
    return f"undo that change; or {delete}`, and `stockctl infra up` makes it anew"


def change(before: Manifest | None, after: Manifest) -> Change:
    """What has become of an object that was ``before``, None if it was not there."""
    if before is None:
        return Change("made", label_of(after))
    return Change("unchanged" if plain(before) == plain(after) else "changed", label_of(after))


def plain(manifest: Manifest) -> list[str]:
    """What an object wants, as lines of YAML: without its status, and what the server notes on it."""
    kept: dict[str, Any] = {key: value for key, value in manifest.items() if key != "status"}
    kept["metadata"] = {key: value for key, value in manifest["metadata"].items() if key not in _NOTED}
    return text([kept]).splitlines()


def owned(kubernetes: Kubernetes, namespace: str) -> list[Manifest]:
    """Every object in ``namespace`` that we made, in the order in which they are made; none that others made of ours."""
    labels = ",".join(f"{name}={value}" for name, value in OWNER.items())
    return [
        each
        for kind, version in KINDS.items()
        for each in kubernetes.find(version, kind, namespace, labels=labels)
        if not each["metadata"].get("ownerReferences")
    ]


def deletable(kubernetes: Kubernetes, settings: Settings) -> list[Manifest]:
    """What is ``owned`` and may be deleted: secrets that are only referenced are the user's to look after."""
    found = owned(kubernetes, settings.infra.namespace)
    return [each for each in found if each["kind"] != "Secret" or settings.infra.secrets == "settings"]


def unwanted(kubernetes: Kubernetes, settings: Settings, rendered: Rendered) -> list[Manifest]:
    """What may be deleted and is not in ``rendered``, workloads first."""
    wanted = {label_of(each) for each in rendered.all}
    return [each for each in reversed(deletable(kubernetes, settings)) if label_of(each) not in wanted]


def holds_data(manifest: Manifest) -> bool:
    """Whether the object is a volume, which is kept when it is no longer wanted."""
    return bool(manifest["kind"] == "PersistentVolumeClaim")
