"""``infra up`` for objects without pods, on a fake cluster; tests/kube has the rest, on a real API server."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stockctl.clients.kubernetes.client import Kubernetes, Manifest
from stockctl.errors import StockctlError, UnreachableError
from stockctl.infra.apply import VOTERS
from stockctl.infra.diff import as_text, differences
from stockctl.infra.kustomize import label_of
from stockctl.infra.render import Rendered, render
from stockctl.infra.up import Events, up
from stockctl.reconcile import Change
from tests.infra.conftest import SettingsOf

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "stockctl"}}


class Cluster(Kubernetes):
    """A cluster with ``objects``, whose server is unreachable for the first ``away`` changes."""

    def __init__(self, away: int = 0, objects: Sequence[Manifest] = ()) -> None:
        self.away = away
        self.objects = {label_of(each): each for each in objects}
        self.changed: list[str] = []

    def get(self, manifest: Manifest) -> Manifest | None:
        return self.objects.get(label_of(manifest))

    def find(
        self, api_version: str, kind: str, namespace: str | None = None, *, labels: str | None = None, fields: str | None = None
    ) -> list[Manifest]:
        return [each for each in self.objects.values() if each["kind"] == kind]

    def apply(self, manifest: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        if not dry_run and self.away:
            self.away -= 1
            raise UnreachableError("Kubernetes cannot now")
        if not dry_run:
            self.changed.append(label_of(manifest))
        return manifest


def test_an_unreachable_server_is_waited_for(settings_of: SettingsOf) -> None:
    changed: list[Change] = []
    notes: list[str] = []
    up(Cluster(2), settings_of().infra, Rendered([MAP], []), Events(changed.append, lambda _: None, notes.append), timeout=60)
    assert changed == [Change("ConfigMap", "one", "created")]
    assert notes == ["waiting: Kubernetes cannot now"]


def test_a_change_is_reported_when_its_response_was_lost(settings_of: SettingsOf) -> None:
    class Forgetful(Cluster):
        def apply(self, manifest: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
            if not dry_run:
                self.objects[label_of(manifest)] = manifest
            return super().apply(manifest, dry_run=dry_run, force=force)

    changed: list[Change] = []
    events = Events(changed.append, lambda _: None, lambda _: None)
    up(Forgetful(1, [MAP]), settings_of().infra, Rendered([MAP | {"data": {"a": "b"}}], []), events, timeout=60)
    assert changed == [Change("ConfigMap", "one", "changed")]


def test_an_unreachable_server_fails_after_the_timeout(settings_of: SettingsOf) -> None:
    events = Events(lambda _: None, lambda _: None, lambda _: None)
    with pytest.raises(UnreachableError, match="cannot now"):
        up(Cluster(1000), settings_of().infra, Rendered([MAP], []), events, timeout=0.1)


@pytest.mark.parametrize("only", [None, "kafka-controller", "kafka"])
def test_another_quorum_is_refused(settings_of: SettingsOf, only: str | None) -> None:
    """Its storage has one voter: three would start without its metadata, or not at all."""
    cluster = Cluster(objects=render(settings_of()).all)
    events = Events(lambda _: None, lambda _: None, lambda _: None)
    settings = settings_of(**{"infra.overlay": "ha"})
    words = "Kafka's controllers form a quorum of 3000, and the overlay asks for 3000, 3001, 3002"
    with pytest.raises(StockctlError, match=f"nothing was changed: {words}"):
        up(cluster, settings.infra, render(settings), events, only=only, timeout=0)
    assert cluster.changed == []
    first = next(differences(cluster, settings.infra, render(settings)))
    assert first[:5] == ("StatefulSet", "kafka-controller", VOTERS, "3000, 3001, 3002", "3000")
    assert as_text(first) == ("refused", [words])


def test_a_quorum_without_storage_may_change(settings_of: SettingsOf) -> None:
    cluster = Cluster(objects=[each for each in render(settings_of()).all if each["kind"] != "StatefulSet"])
    settings = settings_of(**{"infra.overlay": "ha"})
    assert next(differences(cluster, settings.infra, render(settings))).field != VOTERS


@pytest.mark.parametrize(("overlay", "refused"), [("ha", True), ("single-node", False)])
def test_volumes_of_another_quorum_count_without_their_controllers(
    settings_of: SettingsOf, overlay: str, refused: bool
) -> None:
    """As ``down`` leaves them."""
    names = ("data-kafka-0", "data-kafka-controller-0", "data-mongo-0")
    claims = [{"kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "stockctl"}} for name in names]
    settings = settings_of(**{"infra.overlay": overlay})
    assert (next(differences(Cluster(objects=claims), settings.infra, render(settings))).field == VOTERS) == refused
