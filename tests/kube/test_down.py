"""``stockctl infra down`` against a real API server and its controllers."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess

from tests.command import BIN, HANG, Command
from tests.kube.kubelet import Kubelet


def volumes(kubelet: Kubelet) -> dict[str, str]:
    """The volumes that are there, each with its uid."""
    found = kubelet.core.list_namespaced_persistent_volume_claim(kubelet.namespace).items
    return {each.metadata.name: each.metadata.uid for each in found}


def test_down_deletes_clients_before_servers_and_keeps_the_volumes(up: Command, kubelet: Kubelet) -> None:
    before = volumes(kubelet)
    assert set(before) == {"data-kafka-0", "data-kafka-controller-0", "data-mongo-0", "producer-state"}
    result = up.run("infra", "down", "--yes", real=True)
    lines = result.stdout.splitlines()
    assert (
        lines.index("deleted Deployment lake") < lines.index("deleted StatefulSet kafka") < lines.index("deleted Service kafka")
    )
    assert {line for line in lines if line.startswith("retained")} == {
        f"retained PersistentVolumeClaim {name}" for name in before
    }
    assert kubelet.pods() == []
    assert volumes(kubelet) == before
    again = up.run("infra", "down", "--yes")
    assert "stockctl runs nothing in " in again.stderr
    assert "only its volumes are left" in again.stderr
    up.run("infra", "up")
    assert volumes(kubelet) == before


def test_down_deletes_volumes_only_with_delete_data(up: Command, kubelet: Kubelet) -> None:
    body = {"metadata": {"name": "of-others"}, "data": {"a": "b"}}
    kubelet.core.create_namespaced_config_map(kubelet.namespace, body)
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    kubelet.core.create_namespaced_persistent_volume_claim(
        kubelet.namespace, {"metadata": {"name": "of-others"}, "spec": claim}
    )
    up.run("infra", "down", "--yes")
    up.run("infra", "down", "--delete-data", "--yes")
    assert set(volumes(kubelet)) == {"of-others"}
    assert kubelet.core.read_namespaced_config_map("of-others", kubelet.namespace).data == {"a": "b"}
    assert "stockctl runs nothing in " in up.run("infra", "down", "--delete-data", "--yes").stderr


def test_down_keeps_referenced_secrets(up: Command, kubelet: Kubelet) -> None:
    def secrets() -> set[str]:
        return {each.metadata.name for each in kubelet.core.list_namespaced_secret(kubelet.namespace).items}

    before = secrets()
    assert before == {"stockctl-finnhub", "stockctl-kafka", "stockctl-mongo"}
    up.environment["STOCKCTL_INFRA__SECRETS"] = "referenced"
    up.run("infra", "down", "--yes")
    assert secrets() == before
    up.environment["STOCKCTL_INFRA__SECRETS"] = "settings"
    up.run("infra", "down", "--yes")
    assert secrets() == set()


def test_a_dry_run_deletes_nothing(up: Command, kubelet: Kubelet) -> None:
    result = up.run("infra", "down", "--delete-data", "--dry-run")
    assert "objects; volumes: " in result.stderr
    assert "dry run: nothing was changed" in result.stderr
    rows = json.loads(up.run("infra", "down", "--delete-data", "--dry-run", "-o", "json").stdout)
    assert {row["action"] for row in rows} == {"deleted"}
    assert {row["kind"] for row in rows} >= {"Deployment", "StatefulSet", "PersistentVolumeClaim"}
    assert len(kubelet.pods()) >= 6


def test_without_a_terminal_down_needs_yes(up: Command, kubelet: Kubelet) -> None:
    result = up.run("infra", "down", "--delete-data", check=2, text="y\n")
    assert "try: stockctl infra down --delete-data --yes" in result.stderr
    assert result.stdout == ""
    assert len(kubelet.pods()) >= 6


def test_on_a_terminal_down_asks_and_accepts_no(up: Command, kubelet: Kubelet) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [BIN / "stockctl", "infra", "down"], stdin=theirs, stdout=theirs, stderr=theirs, env=up.environment, cwd=up.folder
    )
    shown = b""
    while b"[y/N]" not in shown:
        assert select.select([ours], [], [], 30)[0], shown
        shown += os.read(ours, 65536)
    os.write(ours, b"n\n")
    assert process.wait(HANG) != 0
    os.close(theirs)
    os.close(ours)
    assert b"and keep the volumes?" in shown
    assert len(kubelet.pods()) >= 6


def test_pods_that_do_not_terminate_end_in_a_timeout(up: Command, kubelet: Kubelet) -> None:
    pod = kubelet.wait_for_pod("lake")
    held = {"metadata": {"finalizers": ["test/held"]}}
    kubelet.core.patch_namespaced_pod(pod.metadata.name, kubelet.namespace, held)
    result = up.run("infra", "down", "--yes", "--timeout", "3s", check=6)
    assert "not deleted after 3s: Deployment lake" in result.stderr
    assert "deleted StatefulSet kafka" not in result.stdout
    kubelet.core.patch_namespaced_pod(pod.metadata.name, kubelet.namespace, {"metadata": {"finalizers": None}})
