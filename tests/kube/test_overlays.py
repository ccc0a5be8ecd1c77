"""Every overlay on a real API server: taken as it is, unchanged the second time, its pods made under the strictest standard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest
from kubernetes.dynamic import DynamicClient

from stockctl.infra.kustomize import Manifest, label_of, pod_template
from stockctl.infra.render import Rendered, render
from tests.conftest import wait_for
from tests.infra.conftest import OVERLAYS, SettingsOf
from tests.kube.server import Kube


class Api:
    """What these tests ask of the API server."""

    def __init__(self, kube: Kube) -> None:
        made = kubernetes.config.new_client_from_config(str(kube.kubeconfig))
        self._client = DynamicClient(made, cache_file=str(kube.folder / "resources.json"))

    def apply(self, manifest: Manifest, **options: Any) -> tuple[dict[str, Any], str]:
        """Apply ``manifest`` by server-side apply; the resulting object, and the server's warnings."""
        resource = self._client.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
        answer = self._client.server_side_apply(resource, body=manifest, field_manager="stockctl", serialize=False, **options)
        return json.loads(answer.data), answer.headers.get("Warning", "")

    def pods(self, namespace: str) -> list[dict[str, Any]]:
        """The pods of ``namespace``."""
        resource = self._client.resources.get(api_version="v1", kind="Pod")
        return list(json.loads(self._client.get(resource, namespace=namespace, serialize=False).data)["items"])

    def delete_services(self, namespace: str) -> None:
        """Delete every Service of ``namespace``."""
        resource = self._client.resources.get(api_version="v1", kind="Service")
        for each in self._client.get(resource, namespace=namespace).items:
            self._client.delete(resource, name=each.metadata.name, namespace=namespace)


def state(there: dict[str, Any]) -> Any:
    """What an object wants, without its status and what controllers note on it."""
    metadata = there["metadata"]
    wanted = {key: value for key, value in there.items() if key not in ("metadata", "status")}
    return wanted, metadata["labels"], metadata.get("generation")


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, kube: Kube, settings_of: SettingsOf) -> Iterator[Rendered]:
    """Each overlay, in a namespace of its own. Afterwards its Services are gone, since one has a port of the nodes alone."""
    namespace = f"of-{request.param}"
    own = {"infra.overlay": request.param, "infra.namespace": namespace, "infra.mongo_clients": "203.0.113.7/32"}
    yield render(settings_of(**own, **{"infra.dashboard": "true"}))
    Api(kube).delete_services(namespace)


def test_an_overlay_is_accepted_and_creates_its_pods(kube: Kube, overlay: Rendered) -> None:
    api = Api(kube)
    made = {}
    for manifest in overlay.all:
        made[label_of(manifest)], warned = api.apply(manifest)
        assert not warned, f"{label_of(manifest)}: {warned}"
    for manifest in overlay.all:
        again, _ = api.apply(manifest)
        assert state(again) == state(made[label_of(manifest)]), label_of(manifest)
    namespace = overlay.all[0]["metadata"]["name"]
    expected = {
        template["metadata"]["labels"]["app.kubernetes.io/name"]
        for manifest in overlay.manifests
        if manifest["kind"] != "CronJob" and (template := pod_template(manifest)) is not None
    }

    def running() -> set[str]:
        return {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in api.pods(namespace)}

    wait_for(lambda: running() >= expected, f"a pod of each of {sorted(expected)}", 90)
    assert running() == expected


def test_a_pod_with_more_permissions_is_warned_about(kube: Kube, settings_of: SettingsOf) -> None:
    """What the test above would see if a pod asked for more than it may."""
    api = Api(kube)
    rendered = render(settings_of(**{"infra.namespace": "more-rights"}))
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in rendered.all}
    api.apply(by_name["Namespace", "more-rights"])
    producer = by_name["Deployment", "producer"]
    producer["spec"]["template"]["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    _, warned = api.apply(producer, dry_run="All")
    assert "would violate PodSecurity" in warned


def test_a_changed_setting_changes_only_its_config_map_and_workload(kube: Kube, settings_of: SettingsOf) -> None:
    api = Api(kube)
    infra = {"infra.namespace": "changed"}
    before = {label_of(each): state(api.apply(each)[0]) for each in render(settings_of(**infra)).all}
    after = {label_of(each): state(api.apply(each)[0]) for each in render(settings_of(**infra, **{"lake.max_age": "1m"})).all}
    assert {name for name in after if after[name] != before.get(name)} == {"ConfigMap lake-settings", "Deployment lake"}
