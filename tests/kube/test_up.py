"""``stockctl infra up`` against a real API server and its controllers, with pods that do as the test wants."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from typing import Any

import pytest
import yaml
from kubernetes.client import AppsV1Api
from kubernetes.config import new_client_from_config

from tests.command import BIN, HANG, Command
from tests.conftest import wait_for
from tests.kube.kubelet import IMAGE_AWAY, Kubelet, Node
from tests.kube.manifests import own_manifests, replace
from tests.kube.server import Kube


def time_out(command: Command, words: str, *arguments: str) -> str:
    """The stderr of a command that times out, with a timeout long enough to print ``words``."""
    for seconds in ("2s", "8s", "30s", "2m"):
        output = command.run(*arguments, "--timeout", seconds, check=6).stderr
        if words in output:
            return output
    pytest.fail(f"it never printed “{words}”\n{output}")


def revisions(kube: Kube, namespace: str) -> dict[str, Any]:
    """The generation of every workload."""
    apps = AppsV1Api(new_client_from_config(str(kube.kubeconfig)))
    found = [*apps.list_namespaced_deployment(namespace).items, *apps.list_namespaced_stateful_set(namespace).items]
    return {each.metadata.name: each.metadata.generation for each in found}


def test_workloads_are_applied_in_the_order_of_their_dependencies(command: Command, kubelet: Kubelet) -> None:
    result = command.run("infra", "up")
    made = [line.removeprefix("created ") for line in result.stdout.splitlines()]
    assert made[0].startswith("Namespace ")
    order = ["ConfigMap kafka-settings", "StatefulSet kafka-controller", "StatefulSet kafka", "Job topics", "Deployment lake"]
    names = ["Job topics" if name.startswith("Job topics-") else name for name in made]
    assert [name for name in names if name in order] == order
    messages = result.stderr.splitlines()
    assert messages.index("StatefulSet kafka: ready") < messages.index("Deployment lake: ready")
    assert "Deployment lake: 0 of 1 ready, waits for topics" in messages
    assert messages[-1] == "all 9 workloads are ready"


def test_a_second_up_changes_nothing(up: Command, kube: Kube) -> None:
    before = revisions(kube, up.environment["STOCKCTL_INFRA__NAMESPACE"])
    result = up.run("infra", "up")
    assert result.stdout == ""
    assert "nothing changed: all " in result.stderr
    assert revisions(kube, up.environment["STOCKCTL_INFRA__NAMESPACE"]) == before
    up.run("infra", "diff")


def test_a_changed_setting_rolls_only_its_workload(up: Command, kubelet: Kubelet) -> None:
    old = {pod.metadata.name for pod in kubelet.pods()}
    up.environment["STOCKCTL_LAKE__MAX_AGE"] = "1m"
    result = up.run("infra", "up")
    assert result.stdout.splitlines() == ["changed ConfigMap lake-settings", "changed Deployment lake"]
    new = {pod.metadata.name for pod in kubelet.pods()} - old
    assert len(new) == 1
    assert new.pop().startswith("lake-")


def test_another_lake_keeps_kafkas_cluster_id(up: Command, kubelet: Kubelet) -> None:
    def kafka() -> Any:
        return kubelet.core.read_namespaced_secret("stockctl-kafka", kubelet.namespace).data

    before = kafka()
    up.environment["STOCKCTL_LAKE__URL"] = "s3://other/lake"
    assert "Secret" not in up.run("infra", "diff", check=10).stdout
    changed = up.run("infra", "up").stdout.splitlines()
    assert {name.partition("changed ")[2] for name in changed if "ConfigMap" not in name} == {
        "Deployment lake",
        "Deployment mongo-writer",
        "Deployment signals",
        "CronJob filings",
    }
    assert kafka() == before


def test_only_one_workload_is_applied_with_what_it_needs(command: Command, kubelet: Kubelet) -> None:
    result = command.run("infra", "up", "--only", "lake")
    made = [line.removeprefix("created ") for line in result.stdout.splitlines()]
    assert {"Deployment lake", "ConfigMap lake-settings", "Secret stockctl-kafka", "NetworkPolicy nobody"} <= set(made)
    assert "ConfigMap producer-settings" not in made
    assert {line.split(" ")[1] for line in made if line.startswith(("Deployment", "StatefulSet", "Job", "CronJob"))} == {"lake"}
    assert "all 1 workload is ready" in result.stderr


def test_an_unknown_workload(command: Command) -> None:
    result = command.run("infra", "up", "--only", "nobody", check=2)
    assert "one of filings, kafka, kafka-controller, lake" in result.stderr


def test_a_failed_rollout_names_the_cause(up: Command, kubelet: Kubelet) -> None:
    kubelet.states["lake"] = IMAGE_AWAY
    # It does not wait for a permanent error.
    result = up.run("infra", "up", "--image-tag", "9.9.9", "--timeout", "1h", check=1)
    assert "Deployment lake: 1 of 1 ready, lake: ErrImageNeverPull" in result.stderr or (
        "Deployment lake: 0 of 1 ready, lake: ErrImageNeverPull" in result.stderr
    )
    assert "  pod lake-" in result.stderr
    assert "error: not ready: Deployment lake" in result.stderr
    assert "try: import the image" in result.stderr
    del kubelet.states["lake"]
    assert "changed Deployment lake" in up.run("infra", "up").stdout.splitlines()


def test_a_problem_that_was_fixed_since_is_waited_for(up: Command, kubelet: Kubelet) -> None:
    kubelet.states["lake"] = IMAGE_AWAY
    up.run("infra", "up", "--image-tag", "9.9.9", check=1)
    log = up.folder / "up.log"
    again = up.start("infra", "up", "--image-tag", "9.9.9", log=log)
    wait_for(lambda: "lake: ErrImageNeverPull" in log.read_text() or again.poll() is not None, "the look at the old pod")
    del kubelet.states["lake"]
    assert again.wait(HANG) == 0, log.read_text()


def test_a_failed_job_blocks_the_workloads_after_it(command: Command, kubelet: Kubelet) -> None:
    kubelet.states["topics"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    kubelet.restarts = 5
    result = command.run("infra", "up", check=1)
    assert "topics: CrashLoopBackOff, restarted 5 times" in result.stderr
    assert "not applied yet: " in result.stderr
    assert "lake" in result.stderr.split("not applied yet: ")[1].splitlines()[0]
    assert "created Deployment lake" not in result.stdout
    assert "try: fix the error in its log" in result.stderr


def test_events_are_shown(command: Command, kubelet: Kubelet) -> None:
    """A quota prevents the pod, as the StatefulSet's event shows."""
    kubelet.core.create_namespace({"metadata": {"name": kubelet.namespace}})
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    kubelet.core.create_namespaced_resource_quota(kubelet.namespace, quota)
    stderr = time_out(command, "event Warning FailedCreate of StatefulSet kafka-controller", "infra", "up")
    assert "exceeded quota" in stderr
    assert "not ready: StatefulSet kafka-controller" in stderr


def test_the_end_of_the_log_is_shown(command: Command, kubelet: Kubelet, kube: Kube) -> None:
    with Node().of(kubelet, kube.folder / "tls") as node:
        kubelet.states["lake"] = {"waiting": {"reason": "ContainerCreating"}}
        command.run("infra", "up", "--only", "lake", "--timeout", "1s", check=6)
        node.put(kubelet.wait_for_pod("lake").metadata.name, b"first\nerror: the setting lake.url is not set\n", None)
        kubelet.states["lake"] = {"terminated": {"exitCode": 3, "reason": "Error"}}
        lines = time_out(command, "the last lines of lake:", "infra", "up", "--only", "lake").splitlines()
    place = lines.index("  the last lines of lake:")
    assert lines[place + 1 : place + 3] == ["    first", "    error: the setting lake.url is not set"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: Deployment", "kind: Deployment\n- not: yaml", "lake.yaml is not valid YAML, line "),
        ("kind: Deployment", "kind: Deploiment", "does not manage: Deploiment lake (apps/v1)"),
        ("  replicas: 1", "  replikas: 1", "the cluster refuses Deployment lake: "),
        ("  replicas: 1", "  replicas: one", "lake.yaml: Deployment lake is invalid: spec.replicas is not an integer"),
        ("type: RollingUpdate", "type: Rolling", "the cluster refuses Deployment lake: "),
        ("cpu: 100m", "cpu: much", "the cluster refuses Deployment lake: "),
        (
            "image: stockctl",
            "imag: stockctl",
            "lake.yaml: Deployment lake is invalid: spec.template.spec.containers[0].image is ",
        ),
    ],
)
def test_an_invalid_manifest_is_named_before_anything_runs(command: Command, old: str, new: str, said: str) -> None:
    folder = own_manifests(command)
    replace(folder / "base" / "lake.yaml", old, new)
    result = command.run("infra", "up", check=1)
    assert said in result.stderr
    assert result.stdout in ("", f"created Namespace {command.environment['STOCKCTL_INFRA__NAMESPACE']}\n")


def test_an_unknown_overlay(command: Command) -> None:
    assert "try: one of ha, single-node" in command.run("infra", "up", "--overlay", "three", check=2).stderr


def test_a_timeout_has_its_own_exit_code(command: Command) -> None:
    """Without a kubelet no pod ever runs."""
    stderr = time_out(command, "  pod kafka-controller-0 is Pending", "infra", "up")
    assert "StatefulSet kafka-controller: 0 of 1 ready" in stderr
    assert "error: not ready: StatefulSet kafka-controller, StatefulSet mongo, after " in stderr
    assert "--timeout" in stderr.split("try: ")[1]


def test_an_invalid_timeout(command: Command) -> None:
    assert "--timeout: 'soon' is not a duration" in command.run("infra", "up", "--timeout", "soon", check=2).stderr


def test_unwanted_objects_are_deleted_except_volumes(up: Command, kubelet: Kubelet) -> None:
    folder = own_manifests(up)
    (folder / "overlays" / "single-node" / "mongo-writer.yaml").write_text("")
    file = folder / "base" / "producer.yaml"
    documents = file.read_text().split("---\n")
    file.write_text("---\n".join(each for each in documents if "kind: PersistentVolumeClaim" not in each))
    output = up.run("infra", "diff", check=10).stdout.splitlines()
    assert output == ["deleted Deployment mongo-writer", "deleted ConfigMap mongo-writer-settings"]
    result = up.run("infra", "up")
    assert result.stdout.splitlines() == [
        "deleted Deployment mongo-writer",
        "retained PersistentVolumeClaim producer-state",
        "deleted ConfigMap mongo-writer-settings",
    ]
    assert "the volumes are retained with their data" in result.stderr
    assert "nothing changed" in up.run("infra", "up").stderr


def test_referenced_secrets_are_not_deleted(up: Command) -> None:
    up.environment["STOCKCTL_INFRA__SECRETS"] = "referenced"
    assert "Secret" not in up.run("infra", "up").stdout


def test_objects_of_others_in_the_namespace_stay(up: Command, kubelet: Kubelet) -> None:
    body = {"metadata": {"name": "of-others"}, "data": {"a": "b"}}
    kubelet.core.create_namespaced_config_map(kubelet.namespace, body)
    up.run("infra", "up")
    assert kubelet.core.read_namespaced_config_map("of-others", kubelet.namespace).data == {"a": "b"}


def test_a_field_conflict_changes_nothing_unless_forced(up: Command, kubelet: Kubelet, kube: Kube) -> None:
    apps = AppsV1Api(new_client_from_config(str(kube.kubeconfig)))
    scale = {"spec": {"replicas": 2}}
    apps.patch_namespaced_deployment_scale("lake", kubelet.namespace, scale, field_manager="somebody")
    up.environment["STOCKCTL_LAKE__MAX_AGE"] = "1m"
    result = up.run("infra", "up", check=1)
    assert result.stdout == ""
    assert "field conflict on Deployment lake" in result.stderr
    assert '"somebody"' in result.stderr
    assert "take them over with --force-conflicts" in result.stderr
    assert "60.0" not in str(kubelet.core.read_namespaced_config_map("lake-settings", kubelet.namespace).data)
    forced = up.run("infra", "up", "--force-conflicts")
    assert forced.stdout.splitlines() == ["changed ConfigMap lake-settings", "changed Deployment lake"]
    assert apps.read_namespaced_deployment("lake", kubelet.namespace).spec.replicas == 1


def test_an_immutable_field_is_explained(up: Command) -> None:
    folder = own_manifests(up)
    replace(folder / "base" / "mongo.yaml", "storage: 8Gi", "storage: 9Gi")
    up.environment["STOCKCTL_LAKE__MAX_AGE"] = "1m"
    result = up.run("infra", "up", check=1)
    assert result.stdout == ""
    assert "StatefulSet mongo has immutable fields" in result.stderr
    assert "--cascade=orphan`, which keeps its pods and volumes" in result.stderr


def test_another_quorum_is_refused(up: Command, kubelet: Kubelet) -> None:
    pods = {pod.metadata.name for pod in kubelet.pods()}
    words = "Kafka's controllers form a quorum of 3000, and the overlay asks for 3000, 3001, 3002"
    output = up.run("infra", "diff", "--overlay", "ha", check=10).stdout.splitlines()
    assert output[:2] == ["refused StatefulSet kafka-controller", f"  {words}"]
    result = up.run("infra", "up", "--overlay", "ha", check=1)
    assert result.stdout == ""
    assert f"error: nothing was changed: {words}" in result.stderr
    assert "`stockctl infra down --delete-data`" in result.stderr
    assert {pod.metadata.name for pod in kubelet.pods()} == pods


@pytest.mark.parametrize("verb", ["up", "diff"])
def test_unmanaged_kinds_are_refused(command: Command, verb: str) -> None:
    file = own_manifests(command) / "base" / "producer.yaml"
    others = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "feed"}},
        {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "web"}},
    ]
    file.write_text(yaml.safe_dump_all(others) + "---\n" + file.read_text())
    result = command.run("infra", verb, check=1)
    assert result.stdout == ""
    assert "Service web (serving.knative.dev/v1)" in result.stderr
    assert "ServiceAccount feed (v1)" in result.stderr
    assert command.run("infra", "render").stdout.count("kind: ServiceAccount") == 1


def test_workloads_that_wait_for_each_other_are_refused(command: Command) -> None:
    folder = own_manifests(command)
    replace(folder / "base" / "topics.yaml", "stockctl.io/after: kafka", "stockctl.io/after: lake")
    result = command.run("infra", "up", check=1)
    assert "workloads wait for each other" in result.stderr


def test_on_a_terminal_a_live_table_is_shown(command: Command, kubelet: Kubelet) -> None:
    ours, theirs = pty.openpty()
    environment = command.environment | {"TERM": "xterm", "COLUMNS": "120", "LINES": "50"}
    process = subprocess.Popen(
        [BIN / "stockctl", "infra", "up"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=command.folder
    )
    os.close(theirs)
    shown = b""
    while process.poll() is None or select.select([ours], [], [], 0)[0]:
        if select.select([ours], [], [], 1)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    assert process.wait(HANG) == 0
    text = shown.decode()
    assert "\x1b[" in text
    assert "workload" in text
    assert "waits for topics" in text
    assert "created Deployment lake" in text
    assert "all 9 workloads are ready" in text
