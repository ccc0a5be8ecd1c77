"""``stockctl infra diff`` against a real API server."""

from __future__ import annotations

import json

import pytest
from kubernetes.config import new_client_from_config
from kubernetes.dynamic import DynamicClient

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.reconcile import Difference
from stockctl.settings import Settings
from tests.command import Command
from tests.conftest import free_port
from tests.infra.conftest import SECRETS
from tests.kube.manifests import own_manifests, replace
from tests.kube.server import TOKEN, Kube
from tests.kube.standing import put


@pytest.fixture
def applied(command: Command, own_settings: Settings) -> Command:
    """The command, once all is on the cluster."""
    with Kubernetes(own_settings.infra) as kubernetes:
        put(kubernetes, own_settings)
    return command


def test_on_an_empty_cluster_everything_is_new(command: Command) -> None:
    result = command.run("infra", "diff", check=10)
    lines = result.stdout.splitlines()
    assert len(lines) > 35
    assert all(line.startswith("new ") for line in lines)
    assert f"error: {len(lines)} differences between the objects in " in result.stderr


def test_a_dry_run_of_up_shows_the_same_and_changes_nothing(command: Command) -> None:
    differences = command.run("infra", "diff", check=10).stdout
    result = command.run("infra", "up", "--dry-run")
    assert result.stdout == differences
    assert "dry run: nothing was changed" in result.stderr
    assert command.run("infra", "diff", check=10).stdout == differences


def test_applied_objects_do_not_differ(applied: Command) -> None:
    result = applied.run("infra", "diff", real=True)
    assert result.stdout == ""
    assert "no differences between the objects in " in result.stderr


def test_a_changed_setting_shows_the_objects_that_it_changes(applied: Command) -> None:
    applied.environment["STOCKCTL_LAKE__MAX_AGE"] = "1m"
    lines = applied.run("infra", "diff", check=10).stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "changed ConfigMap lake-settings",
        "changed Deployment lake",
    ]
    assert "  +  STOCKCTL_LAKE__MAX_AGE: '60.0'" in lines


def test_json_has_the_columns_of_every_diff(applied: Command) -> None:
    assert json.loads(applied.run("infra", "diff", "-o", "json").stdout) == []
    applied.environment["STOCKCTL_LAKE__MAX_AGE"] = "1m"
    rows = json.loads(applied.run("infra", "diff", "-o", "json", check=10).stdout)
    assert {tuple(row) for row in rows} == {Difference._fields}
    assert [(row["kind"], row["name"], row["field"]) for row in rows] == [
        ("ConfigMap", "lake-settings", "manifest"),
        ("Deployment", "lake", "manifest"),
    ]
    assert "STOCKCTL_LAKE__MAX_AGE: '60.0'" in rows[0]["wanted"]
    assert "STOCKCTL_LAKE__MAX_AGE: '60.0'" not in rows[0]["actual"]


def test_a_secret_that_differs_is_named_and_not_shown(applied: Command) -> None:
    applied.environment["STOCKCTL_FINNHUB__TOKEN"] = "another-token-of-a-test"
    result = applied.run("infra", "diff", check=10)
    assert "changed Secret stockctl-finnhub" in result.stdout.splitlines()
    for text in ("another-token", "YW5vdGhlci10b2tlbi", SECRETS["STOCKCTL_FINNHUB__TOKEN"]):
        assert text not in result.stdout + result.stderr


def test_unwanted_objects_are_shown(applied: Command) -> None:
    folder = own_manifests(applied)
    (folder / "overlays" / "single-node" / "mongo-writer.yaml").write_text("")
    replace(folder / "base" / "producer.yaml", "name: producer-state", "name: another")
    replace(folder / "base" / "producer.yaml", "claimName: producer-state", "claimName: another")
    lines = [line for line in applied.run("infra", "diff", check=10).stdout.splitlines() if not line.startswith(" ")]
    assert lines == [
        "new PersistentVolumeClaim another",
        "changed Deployment producer",
        "deleted Deployment mongo-writer",
        "deleted ConfigMap mongo-writer-settings",
    ]


def test_a_referenced_secret_is_not_deleted(applied: Command) -> None:
    applied.environment["STOCKCTL_INFRA__SECRETS"] = "referenced"
    lines = applied.run("infra", "diff", check=10).stdout.splitlines()
    # What reads the secrets has another hash, and so a Job another name.
    assert {line.split()[1] for line in lines if line.startswith("deleted ")} == {"Job"}


def test_a_conflict_names_the_other_manager_and_the_field(applied: Command, kube: Kube) -> None:
    client = DynamicClient(new_client_from_config(str(kube.kubeconfig)), cache_file=str(applied.folder / "resources"))
    deployments = client.resources.get(api_version="apps/v1", kind="Deployment")
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "lake"}, "spec": {"replicas": 3}}
    client.server_side_apply(
        deployments,
        body=scaled,
        namespace=applied.environment["STOCKCTL_INFRA__NAMESPACE"],
        field_manager="somebody",
        force_conflicts=True,
    )
    lines = applied.run("infra", "diff", check=10).stdout.splitlines()
    assert lines[0] == "conflict Deployment lake"
    assert '"somebody"' in "".join(lines)
    assert ".spec.replicas" in "".join(lines)


def test_without_a_kubeconfig(command: Command) -> None:
    command.environment["KUBECONFIG"] = str(command.folder / "none")
    result = command.run("infra", "diff", check=3)
    assert "cannot use the kubeconfig" in result.stderr


@pytest.mark.parametrize(
    "content", [b"a: [", b"\x00\xff", b"[1]", b"contexts: 3\ncurrent-context: a", b"contexts: [{}]\ncurrent-context: a"]
)
def test_with_an_invalid_kubeconfig(command: Command, content: bytes) -> None:
    config = command.folder / "kubeconfig"
    config.write_bytes(content)
    command.environment["KUBECONFIG"] = str(config)
    assert "cannot use the kubeconfig: " in command.run("infra", "diff", check=3).stderr


def test_with_an_unknown_context(command: Command) -> None:
    result = command.run("infra", "diff", "--context", "elsewhere", check=3)
    assert "elsewhere" in result.stderr


def test_where_nothing_answers(command: Command, kube: Kube) -> None:
    config = command.folder / "kubeconfig"
    config.write_text(kube.kubeconfig.read_text().replace(str(kube.port), str(free_port())))
    command.environment["KUBECONFIG"] = str(config)
    result = command.run("infra", "diff", check=5)
    assert "no Kubernetes answers at https://127.0.0.1:" in result.stderr


def test_an_unknown_login(command: Command, kube: Kube) -> None:
    config = command.folder / "kubeconfig"
    config.write_text(kube.kubeconfig.read_text().replace(TOKEN, "nobody"))
    command.environment["KUBECONFIG"] = str(config)
    assert "refuses the credentials of the kubeconfig" in command.run("infra", "diff", check=4).stderr


def test_a_login_without_permissions(command: Command, kube: Kube) -> None:
    config = command.folder / "kubeconfig"
    config.write_text(kube.kubeconfig.read_text().replace(TOKEN, "a-guest-of-a-test"))
    command.environment["KUBECONFIG"] = str(config)
    assert "permission denied: get Secret" in command.run("infra", "diff", check=4).stderr


def test_the_kubeconfig_is_a_setting_too(command: Command, kube: Kube) -> None:
    del command.environment["KUBECONFIG"]
    command.environment["STOCKCTL_INFRA__KUBECONFIG"] = str(kube.kubeconfig)
    assert command.run("infra", "diff", check=10).stdout.startswith("new Namespace")
