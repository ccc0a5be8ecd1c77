"""``stockctl infra check`` against a real API server, with nodes that the test makes up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes.client import (
    ApiClient,
    ApiextensionsV1Api,
    ApiregistrationV1Api,
    CoordinationV1Api,
    CoreV1Api,
    StorageV1Api,
)
from kubernetes.config import new_client_from_config

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.infra.cluster import check, check_version
from stockctl.infra.render import render
from tests.command import Command
from tests.conftest import wait_for
from tests.infra.conftest import SettingsOf
from tests.kube.server import Kube


@pytest.fixture
def api(kube: Kube) -> ApiClient:
    """The client that creates nodes."""
    return new_client_from_config(str(kube.kubeconfig))


@pytest.fixture
def node(api: ApiClient) -> Iterator[Callable[..., None]]:
    """Creates a node of a size, with a lease of an age in seconds; and a default storage class."""
    core, leases, storage = CoreV1Api(api), CoordinationV1Api(api), StorageV1Api(api)
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    body = {"metadata": {"name": "local-path", "annotations": default}, "provisioner": "rancher.io/local-path"}
    storage.create_storage_class(body)

    def make(cpu: str, memory: str, renewed: float) -> None:
        core.create_node({"metadata": {"name": "of-a-check"}})
        size = {"cpu": cpu, "memory": memory}
        status = {"conditions": [{"type": "Ready", "status": "True"}], "capacity": size, "allocatable": size}
        core.patch_node_status("of-a-check", {"status": status})
        when = (datetime.now(UTC) - timedelta(seconds=renewed)).isoformat(timespec="microseconds")
        lease = {"metadata": {"name": "of-a-check"}, "spec": {"holderIdentity": "of-a-check", "renewTime": when}}
        leases.create_namespaced_lease("kube-node-lease", lease)

    yield make
    core.delete_node("of-a-check")
    leases.delete_namespaced_lease("of-a-check", "kube-node-lease")
    storage.delete_storage_class("local-path")


def rows(command: Command, code: int = 0) -> dict[str, dict[str, Any]]:
    """The rows of the check, by part."""
    result = command.run("infra", "check", "-o", "json", check=code)
    return {row["part"]: row for row in json.loads(result.stdout)}


def test_a_machine_that_meets_the_requirements(command: Command, node: Callable[..., None]) -> None:
    node("2", "3900Mi", renewed=3)
    report = rows(command)
    # The server of the tests is built from its modules, and reports no version.
    assert {part for part, row in report.items() if row["state"] != "ok"} == {"version", "metrics"}
    assert report["version"]["state"] == report["metrics"]["state"] == "warn"
    assert report["metrics"]["detail"] == "no metrics-server; only `kubectl top` needs it"
    assert report["ports"]["detail"] == "the overlay uses no node ports"
    assert report["nodes"]["detail"].startswith("1 of 1 ready, with 2 CPUs and ")
    assert report["storage class"]["detail"] == "local-path is the default"


def test_a_machine_too_small_with_a_clock_ahead(command: Command, node: Callable[..., None]) -> None:
    node("500m", "1Gi", renewed=-30)
    report = rows(command, 10)
    assert (report["nodes"]["state"], report["nodes"]["fix"]) == ("fail", "use a larger machine, or add one")
    assert report["clocks of nodes"]["state"] == "fail"
    assert " s ahead" in report["clocks of nodes"]["detail"]


def test_without_nodes_and_storage(command: Command) -> None:
    report = rows(command, 10)
    assert report["nodes"]["state"] == "fail"
    assert "0 of 0 ready" in report["nodes"]["detail"]
    assert report["storage class"]["detail"] == "the cluster has none"
    assert report["clocks of nodes"]["state"] == "warn"


def test_a_node_port_that_is_free_or_taken(command: Command, node: Callable[..., None], api: ApiClient) -> None:
    node("2", "3900Mi", renewed=3)
    command.environment["STOCKCTL_INFRA__MONGO_CLIENTS"] = "203.0.113.7/32"
    assert rows(command)["ports"]["detail"] == "31234 is free"
    core, namespace = CoreV1Api(api), command.environment["STOCKCTL_INFRA__NAMESPACE"]
    core.create_namespace({"metadata": {"name": namespace}})
    ports = {"type": "NodePort", "ports": [{"port": 1, "nodePort": 31234}]}
    for place, name, code, state, detail in (
        (namespace, "mongo-outside", 0, "ok", "31234 is used by the overlay"),
        (namespace, "of-others", 10, "fail", f"31234 is taken by Service {namespace}/of-others"),
        ("default", "mongo-outside", 10, "fail", "31234 is taken by Service default/mongo-outside"),
    ):
        core.create_namespaced_service(place, {"metadata": {"name": name}, "spec": ports})
        try:
            report = rows(command, code)["ports"]
        finally:
            core.delete_namespaced_service(name, place)
        assert (report["state"], report["detail"]) == (state, detail)


def test_a_node_port_outside_the_default_range(kube: Kube, settings_of: SettingsOf) -> None:
    settings = settings_of(**{"infra.kubeconfig": str(kube.kubeconfig), "infra.mongo_clients": "203.0.113.7/32"})
    rendered = render(settings)
    (service,) = (each for each in rendered.manifests if each["kind"] == "Service" and "nodePort" in each["spec"]["ports"][0])
    service["spec"]["ports"][0]["nodePort"] = 27017
    with Kubernetes(settings.infra) as kubernetes:
        ports = next(each.result for each in check(kubernetes, rendered, lambda: datetime.now(UTC)) if each.system == "ports")
    assert (ports.state, ports.detail) == ("warn", "27017 is free; the default range is 30000 to 32767")


def test_a_metrics_server_that_answers_or_does_not(command: Command, node: Callable[..., None], api: ApiClient) -> None:
    """The API served by the server itself, and by a Service that does not answer."""
    node("2", "3900Mi", renewed=3)
    names = {"plural": "nodes", "singular": "node", "kind": "NodeMetrics", "listKind": "NodeMetricsList"}
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": schema}
    extensions, kinds = ApiextensionsV1Api(api), "nodes.metrics.k8s.io"
    note = {"api-approved.kubernetes.io": "unapproved, of a test"}
    extensions.create_custom_resource_definition(
        {
            "metadata": {"name": kinds, "annotations": note},
            "spec": {"group": "metrics.k8s.io", "scope": "Cluster", "names": names, "versions": [version]},
        }
    )
    try:
        wait_for(lambda: rows(command)["metrics"]["detail"] == "metrics-server answers", "the API")
    finally:
        extensions.delete_custom_resource_definition(kinds)
    services, name = ApiregistrationV1Api(api), "v1beta1.metrics.k8s.io"
    wait_for(lambda: name not in {each.metadata.name for each in services.list_api_service().items}, "the API to be gone")
    service = {"name": "metrics-server", "namespace": "kube-system"}
    spec = {"group": "metrics.k8s.io", "version": "v1beta1", "service": service, "insecureSkipTLSVerify": True}
    services.create_api_service(
        {"metadata": {"name": name}, "spec": spec | {"groupPriorityMinimum": 100, "versionPriority": 100}}
    )
    try:
        wait_for(lambda: "v1beta1: Service Unavailable; only" in rows(command)["metrics"]["detail"], "the API to fail")
    finally:
        services.delete_api_service(name)


def test_a_wrong_local_clock(kube: Kube, settings_of: SettingsOf) -> None:
    settings = settings_of(**{"infra.kubeconfig": str(kube.kubeconfig)})
    with Kubernetes(settings.infra) as kubernetes:
        late = check(kubernetes, render(settings), lambda: datetime.now(UTC) - timedelta(seconds=90))
    clock = next(each.result for each in late if each.system == "clock")
    assert clock.state == "warn"
    assert " s ahead of this machine" in clock.detail


@pytest.mark.parametrize(
    ("version", "state", "detail"),
    [
        ("v1.34.1+k3s1", "ok", "K3s v1.34.1+k3s1"),
        ("v1.27.0", "ok", "Kubernetes v1.27.0"),
        ("v1.26.15+k3s1", "fail", "K3s v1.26.15+k3s1"),
    ],
)
def test_supported_versions(version: str, state: str, detail: str) -> None:
    assert check_version(version)[:2] == (detail, state)
