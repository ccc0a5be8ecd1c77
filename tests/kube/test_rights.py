"""The commands with the rights of ``manifests/rbac/operator.yaml``, and without them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes.client import RbacAuthorizationV1Api

from tests.command import Command
from tests.kube.kubelet import IMAGE_AWAY, Kubelet
from tests.kube.server import TOKEN, Kube

RIGHTS = Path(__file__).parents[2] / "manifests" / "rbac" / "operator.yaml"


@pytest.fixture
def operator(command: Command, kube: Kube, kubelet: Kubelet) -> Iterator[Command]:
    """The command of a user with these permissions only, in a namespace that an administrator created."""
    rbac = RbacAuthorizationV1Api(kubelet.core.api_client)
    # As an administrator would for a namespace of another name.
    wide, narrow = yaml.safe_load_all(RIGHTS.read_text().replace("stockctl]", f"{kubelet.namespace}]"))
    narrow["metadata"]["namespace"] = kubelet.namespace
    kubelet.core.create_namespace({"metadata": {"name": kubelet.namespace}})
    rbac.create_cluster_role(wide)
    rbac.create_namespaced_role(kubelet.namespace, narrow)
    binding = {"metadata": {"name": "stockctl-operator"}, "subjects": [{"kind": "User", "name": "operator"}]}
    group = "rbac.authorization.k8s.io"
    reference = {"apiGroup": group, "name": "stockctl-operator"}
    rbac.create_cluster_role_binding(binding | {"roleRef": reference | {"kind": "ClusterRole"}})
    rbac.create_namespaced_role_binding(kubelet.namespace, binding | {"roleRef": reference | {"kind": "Role"}})
    yield as_user(command, kube, "an-operator-of-a-test")
    rbac.delete_cluster_role_binding("stockctl-operator")
    rbac.delete_cluster_role("stockctl-operator")


def as_user(command: Command, kube: Kube, token: str) -> Command:
    """The command with the login of another user."""
    config = command.folder / "kubeconfig"
    config.write_text(kube.kubeconfig.read_text().replace(TOKEN, token))
    command.environment["KUBECONFIG"] = str(config)
    return command


def test_every_command_works_with_the_operators_permissions(operator: Command, kubelet: Kubelet) -> None:
    operator.environment["STOCKCTL_INFRA__MONGO_CLIENTS"] = "203.0.113.7/32"
    operator.run("infra", "diff", check=10)
    operator.run("infra", "up", real=True)
    operator.run("infra", "diff")
    kubelet.states["lake"] = IMAGE_AWAY
    operator.environment["STOCKCTL_LAKE__MAX_AGE"] = "1m"
    assert "  pod lake-" in operator.run("infra", "up", check=1).stderr
    del kubelet.states["lake"]
    operator.run("infra", "up")
    # A missing permission would be reported.
    runs = [
        operator.run("infra", "status"),
        operator.run("infra", "check", check=10, real=True),
        operator.run("infra", "logs", "lake"),
        operator.run("infra", "down", "--delete-data", "--yes"),
    ]
    assert "permission denied" not in "".join(done.stdout + done.stderr for done in runs)


def test_a_missing_permission_is_named(operator: Command, kubelet: Kubelet) -> None:
    rbac = RbacAuthorizationV1Api(kubelet.core.api_client)
    rules = rbac.read_namespaced_role("stockctl-operator", kubelet.namespace).rules
    left = {"rules": [rule for rule in rules if "statefulsets" not in rule.resources]}
    rbac.patch_namespaced_role("stockctl-operator", kubelet.namespace, left)
    for arguments, words in (
        (["diff"], "permission denied: get StatefulSet "),
        (["up"], "permission denied: get StatefulSet "),
        (["status"], "permission denied: list StatefulSet in "),
        (["logs", "lake"], "permission denied: list StatefulSet in "),
        (["down", "--yes"], "permission denied: list StatefulSet in "),
    ):
        result = operator.run("infra", *arguments, check=4)
        assert words in result.stderr
        assert 'resource "statefulsets" in API group "apps"' in result.stderr
