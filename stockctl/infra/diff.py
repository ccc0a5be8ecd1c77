"""What an apply would change on a cluster, told by the server itself (dry run)."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import NamedTuple

from stockctl.clients.kubernetes.client import AbsentError, ConflictError, Kubernetes
from stockctl.infra.apply import holds_data, keep_cluster_id, other_voters, plain, refuse_others, unwanted
from stockctl.infra.kustomize import label_of
from stockctl.infra.render import Rendered
from stockctl.settings import Settings


class Difference(NamedTuple):
    """An object that would not stay so: ``new``, ``changed`` (a diff), in ``conflict`` (the server's words), ``refused`` (why
    ``up`` would change nothing) or ``deleted``.
    """

    name: str
    state: str
    lines: list[str]


def differences(kubernetes: Kubernetes, settings: Settings, rendered: Rendered) -> Iterator[Difference]:
    """Every object that an apply would make, change or delete, in its order. Secrets show that they differ, not in what.

    ManifestError as ``refuse_others`` raises it.
    """
    refuse_others(rendered)
    keep_cluster_id(kubernetes, rendered)
    if words := other_voters(kubernetes, rendered.all):
        yield Difference("StatefulSet kafka-controller", "refused", [words])
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
        before, after = plain(live), plain(wanted)
        if before != after:
            lines = [] if manifest["kind"] == "Secret" else _diff(before, after)
            yield Difference(name, "changed", lines)
    for each in unwanted(kubernetes, settings, rendered):
        if not holds_data(each):
            yield Difference(label_of(each), "deleted", [])


def _diff(before: list[str], after: list[str]) -> list[str]:
    return list(difflib.unified_diff(before, after, "there", "wanted", lineterm="", n=2))[2:]
