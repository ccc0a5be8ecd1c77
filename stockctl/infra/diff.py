"""What an apply would change on a cluster, according to a dry run on the server."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import NamedTuple

from stockctl.clients.kubernetes.client import AbsentError, ConflictError, Kubernetes
from stockctl.infra.apply import is_volume, keep_cluster_id, other_voters, refuse_unmanaged_kinds, spec_lines, unwanted
from stockctl.infra.kustomize import label_of
from stockctl.infra.render import Rendered
from stockctl.settings.model import InfraSettings


class Difference(NamedTuple):
    """An object that would not stay so: ``new``, ``changed`` (a diff), in ``conflict`` (the server's words), ``refused`` (why
    ``up`` would change nothing) or ``deleted``.
    """

    name: str
    state: str
    lines: list[str]


def differences(kubernetes: Kubernetes, infra: InfraSettings, rendered: Rendered) -> Iterator[Difference]:
    """Every object that an apply would create, change or delete, in its order. For Secrets, only that they differ.

    ManifestError as ``refuse_unmanaged_kinds`` raises it.
    """
    refuse_unmanaged_kinds(rendered)
    keep_cluster_id(kubernetes, rendered)
    if difference := other_voters(kubernetes, rendered.all):
        yield Difference("StatefulSet kafka-controller", "refused", [difference])
    for manifest in rendered.all:
        name, live = label_of(manifest), kubernetes.get(manifest)
        if live is None:
            yield Difference(name, "new", [])
            continue
        try:
            wanted = kubernetes.apply(manifest, dry_run=True)
        except AbsentError:
            yield Difference(name, "new", [])
            continue
        except ConflictError as error:
            yield Difference(name, "conflict", str(error).splitlines())
            continue
        before, after = spec_lines(live), spec_lines(wanted)
        if before != after:
            lines = [] if manifest["kind"] == "Secret" else _diff(before, after)
            yield Difference(name, "changed", lines)
    for each in unwanted(kubernetes, infra, rendered):
        if not is_volume(each):
            yield Difference(label_of(each), "deleted", [])


def _diff(before: list[str], after: list[str]) -> list[str]:
    return list(difflib.unified_diff(before, after, "cluster", "overlay", lineterm="", n=2))[2:]
