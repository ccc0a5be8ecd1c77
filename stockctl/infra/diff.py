"""What an apply would change on a cluster, according to a dry run on the server."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import NamedTuple

from stockctl.clients.kubernetes.client import AbsentError, ConflictError, Kubernetes
from stockctl.infra.apply import (
    REPLACE_QUORUM,
    VOTERS,
    QuorumChange,
    is_volume,
    keep_cluster_id,
    quorum_change,
    refuse_unmanaged_kinds,
    spec_lines,
    unwanted,
)
from stockctl.infra.kustomize import Manifest
from stockctl.infra.render import Rendered
from stockctl.reconcile import ABSENT, PRESENT, Difference, absent
from stockctl.settings.infra import InfraSettings

MANIFEST, DATA, MANAGED_FIELDS = "manifest", "data", "managedFields"
"""Fields of a difference: the whole object, the data of a Secret, which is not shown, and fields of another manager."""
_UP = "`stockctl infra up`"


class DiffText(NamedTuple):
    """A difference as text: ``new``, ``changed``, ``conflict``, ``refused`` or ``deleted``, and the lines below it."""

    state: str
    lines: list[str]


def differences(kubernetes: Kubernetes, infra: InfraSettings, rendered: Rendered) -> Iterator[Difference]:
    """Every object that an apply would create, change or delete, in its order. The data of Secrets is not shown.

    ManifestError as ``refuse_unmanaged_kinds`` raises it.
    """
    refuse_unmanaged_kinds(rendered)
    keep_cluster_id(kubernetes, rendered)
    if (quorum := quorum_change(kubernetes, rendered.all)) is not None:
        yield Difference("StatefulSet", "kafka-controller", VOTERS, quorum.wanted, quorum.actual, REPLACE_QUORUM)
    for manifest in rendered.all:
        difference = _difference(kubernetes, manifest)
        if difference is not None:
            yield difference
    for each in unwanted(kubernetes, infra, rendered):
        if not is_volume(each):
            yield Difference(each["kind"], each["metadata"]["name"], "", ABSENT, PRESENT, _UP)


def _difference(kubernetes: Kubernetes, manifest: Manifest) -> Difference | None:
    kind, name, live = manifest["kind"], manifest["metadata"]["name"], kubernetes.get(manifest)
    if live is None:
        return absent(kind, name, _UP)
    try:
        wanted = kubernetes.apply(manifest, dry_run=True)
    except AbsentError:
        return absent(kind, name, _UP)
    except ConflictError as error:
        fix = f"leave those fields to their manager, or {_UP} with --force-conflicts"
        return Difference(kind, name, MANAGED_FIELDS, "stockctl", str(error), fix)
    before, after = spec_lines(live), spec_lines(wanted)
    if before == after:
        return None
    if kind == "Secret":
        return Difference(kind, name, DATA, "****", "another ****", _UP)
    return Difference(kind, name, MANIFEST, "\n".join(after), "\n".join(before), _UP)


def as_text(difference: Difference) -> DiffText:
    """The difference as ``stockctl infra diff`` prints it: a unified diff for an object that would change."""
    wanted, actual = difference.wanted.splitlines(), difference.actual.splitlines()
    if difference.field == MANIFEST:
        return DiffText("changed", list(difflib.unified_diff(actual, wanted, lineterm="", n=2))[2:])
    if difference.field == DATA:
        return DiffText("changed", [])
    if difference.field == MANAGED_FIELDS:
        return DiffText("conflict", actual)
    if difference.field == VOTERS:
        return DiffText("refused", [str(QuorumChange(difference.actual, difference.wanted))])
    return DiffText("new" if difference.actual == ABSENT else "deleted", [])
