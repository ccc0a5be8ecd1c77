"""Rules for every overlay of the package; its commands and settings exist."""

from __future__ import annotations

import os
import re
import socketserver
import subprocess
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kubernetes_validate
import pytest
from typer.testing import CliRunner

from stockctl import __version__
from stockctl.cli.main import app
from stockctl.infra.kustomize import Manifest, at, build, containers, pod_template
from stockctl.infra.render import Rendered, overlays
from stockctl.infra.settings_values import TAKES, setting_names_of
from stockctl.settings import Settings, env_name, is_secret, setting_names
from stockctl.settings.layers import CONTROL_NAMES
from tests.command import HANG
from tests.conftest import MongoServer
from tests.infra.conftest import OVERLAYS, SettingsOf

MANIFESTS = Path(__file__).parents[2] / "manifests"
VARIABLES = {env_name(name): name for name in setting_names()}
UNITS = {"Mi": 2**20, "Gi": 2**30}


@pytest.fixture(params=OVERLAYS)
def plain(request: pytest.FixtureRequest) -> list[Manifest]:
    """Each overlay as kustomize builds it, without any setting."""
    return build(MANIFESTS / "overlays" / request.param)


def pods(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    """The pods' specs of every workload, by its name label."""
    found = {}
    for manifest in manifests:
        if (template := pod_template(manifest)) is not None:
            found[template["metadata"]["labels"]["app.kubernetes.io/name"]] = template["spec"]
    return found


def of(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """The objects of ``kind``, by name."""
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == kind}


def size(text: str) -> int:
    found = re.fullmatch(r"(\d+)(\w+)", text)
    assert found, text
    number, unit = found.groups()
    return int(number) * UNITS[unit]


def variables(manifests: list[Manifest]) -> dict[str, str]:
    """Every STOCKCTL_… of ConfigMaps and containers, with its value where it has one."""
    found: dict[str, str] = {}
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap":
            found |= {name: value for name, value in manifest.get("data", {}).items() if name.startswith("STOCKCTL_")}
        for container in containers(manifest):
            found |= {
                each["name"]: each.get("value", "") for each in container.get("env", ()) if each["name"].startswith("STOCKCTL_")
            }
    return found


def test_every_object_is_valid_for_kubernetes(rendered: Rendered) -> None:
    assert len(rendered.all) > 35
    for manifest in rendered.all:
        kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_every_variable_is_a_setting(plain: list[Manifest]) -> None:
    found = variables(plain)
    assert len(found) > 12
    for name in found:
        setting = VARIABLES.get(name.removesuffix("_FILE"))
        assert name in CONTROL_NAMES or name in VARIABLES or (setting and is_secret(setting)), name


def test_the_settings_of_each_container_load(rendered: Rendered, tmp_path: Path) -> None:
    """As its process sees them: variables of its ConfigMaps and its own, and the mounted files that they name."""
    from stockctl.settings import load_settings

    maps = of(rendered.all, "ConfigMap")
    held = {secret["metadata"]["name"]: secret["data"] for secret in rendered.secrets}
    (config := tmp_path / "config.toml").write_text(maps["stockctl-config"]["data"]["stockctl.toml"])
    (a_secret := tmp_path / "secret").write_text("a secret")
    seen: list[Settings] = []
    for name, pod in pods(rendered.all).items():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            if not container["image"].startswith("stockctl:"):
                continue
            environment: dict[str, str] = {}
            for source in container["envFrom"]:
                environment |= maps[source["configMapRef"]["name"]].get("data", {})
            environment |= {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}
            mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
            for variable, path in list(environment.items()):
                if variable.endswith("_FILE"):
                    folder, _, key = path.rpartition("/")
                    secret = mounts[folder]["secret"]
                    items = {item["path"]: item["key"] for item in secret["items"]}
                    assert items[key] in held[secret["secretName"]], f"{name}: {path}"
                    environment[variable] = str(a_secret)
            assert "config" in {volume["name"] for volume in mounts.values()}, name
            assert environment["STOCKCTL_CONFIG"] == "/etc/stockctl/stockctl.toml"
            seen.append(load_settings(environ=environment | {"STOCKCTL_CONFIG": str(config)}))
    assert len(seen) >= 6
    assert {settings.profile for settings in seen} == {"cluster"}
    # Kubelet's probes and Prometheus come to the pod's own address.
    assert {settings.health.host for settings in seen} == {"0.0.0.0"}  # noqa: S104 - in a pod, whose network policies restrict the clients


def test_every_command_is_one_of_stockctl() -> None:
    commands = {
        tuple(container["args"])
        for overlay in OVERLAYS
        for manifest in build(MANIFESTS / "overlays" / overlay)
        for container in containers(manifest)
        if container["image"].startswith("stockctl:")
    }
    assert ("produce", "--health-port", "8080") in commands
    for arguments in commands:
        # --help is printed only if all arguments before it are valid.
        assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0, arguments


@pytest.mark.parametrize("arguments", [["produse"], ["produce", "--healthport", "8080"]])
def test_a_wrong_command_would_be_noticed(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 2


def test_config_maps_take_settings_that_belong_in_a_cluster(plain: list[Manifest]) -> None:
    taking = {
        name: map_["metadata"]["annotations"][TAKES]
        for name, map_ in of(plain, "ConfigMap").items()
        if "annotations" in map_["metadata"]
    }
    assert len(taking) >= 6
    for name, taken in taking.items():
        names = list(setting_names_of(taken, name))
        assert names
        # Settings of the operator's machine, and secrets, do not belong in a ConfigMap.
        assert not [
            each for each in names if each.endswith(("_location", ".profile", "bootstrap_servers")) or is_secret(each)
        ], name


def test_every_config_map_secret_and_volume_of_a_pod_exists(rendered: Rendered) -> None:
    there = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in rendered.all}
    for name, pod in pods(rendered.all).items():
        for volume in pod["volumes"]:
            if "configMap" in volume and not volume["configMap"].get("optional"):
                assert ("ConfigMap", volume["configMap"]["name"]) in there, name
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in there, name
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in there, name


def test_pods_have_no_permissions_that_they_do_not_need(plain: list[Manifest]) -> None:
    assert len(pods(plain)) >= 8
    for name, pod in pods(plain).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "tmp" in [mount["name"] for mount in container["volumeMounts"]] or container["name"] == "keyfile", name
            assert set(container["resources"]) == {"requests", "limits"}, name
            requests, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert set(requests) == set(limits) == {"cpu", "memory", "ephemeral-storage"}, name
            for resource in ("memory", "ephemeral-storage"):
                assert size(requests[resource]) <= size(limits[resource]), name


def test_ephemeral_storage_limits_cover_folders_and_logs(plain: list[Manifest]) -> None:
    """Files in an emptyDir on disk count, and the log, of which the kubelet keeps five files of 10 MiB."""
    for name, pod in pods(plain).items():
        folders = [volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume]
        needed = sum(size(folder["sizeLimit"]) for folder in folders if folder.get("medium") != "Memory") + 50 * 2**20
        for container in pod["containers"]:
            assert size(container["resources"]["limits"]["ephemeral-storage"]) >= needed, name


def test_every_long_running_container_has_probes(plain: list[Manifest]) -> None:
    staying = [manifest for manifest in plain if manifest["kind"] in ("Deployment", "StatefulSet")]
    assert len(staying) >= 6
    for manifest in staying:
        for container in manifest["spec"]["template"]["spec"]["containers"]:
            assert {"readinessProbe", "livenessProbe"} <= set(container), container["name"]
            if container["image"].startswith("stockctl:"):
                assert container["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
                # A service that waits is not restarted: the producer's buffer exists nowhere else.
                assert container["livenessProbe"]["httpGet"] == {"path": "/metrics", "port": "health"}
                port = container["args"][container["args"].index("--health-port") + 1]
                assert {"name": "health", "containerPort": int(port)} in container["ports"]
                assert {each["name"] for each in container["ports"]} <= {"health", "page"}
                assert manifest["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == port


def test_readiness_needs_an_answer_and_liveness_less(plain: list[Manifest]) -> None:
    """A busy server is not restarted: no liveness probe runs a program, and each waits at least a minute."""
    connect = [one for name, one in of(plain, "Deployment").items() if name == "connect"]
    servers = [*of(plain, "StatefulSet").values(), *connect]
    assert len(servers) >= 3
    for manifest in servers:
        pod = manifest["spec"]["template"]["spec"]
        for container in pod["containers"]:
            ready, alive = container["readinessProbe"], container["livenessProbe"]
            assert "tcpSocket" not in ready, container["name"]
            assert "exec" not in alive, container["name"]
            assert ready != alive
            assert alive["periodSeconds"] * alive["failureThreshold"] >= 60
            if "exec" in ready:
                script = Path(ready["exec"]["command"][1])
                volumes = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
                (volume,) = [each for each in pod["volumes"] if each["name"] == volumes[str(script.parent)]]
                assert script.name in of(plain, "ConfigMap")[volume["configMap"]["name"]]["data"]


def probe(server: str, port: int) -> subprocess.CompletedProcess[str]:
    """Run the readiness probe of ``server`` against ``port`` of this machine."""
    script = of(build(MANIFESTS / "overlays" / "single-node"), "ConfigMap")[f"{server}-config"]["data"]["ready.sh"]
    command = ["bash", "-c", script.replace("27017", str(port)), "ready.sh", str(port)]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG)


def test_a_server_that_answers_its_protocol_is_ready(broker: str, mongo_server: MongoServer) -> None:
    """On the stand-ins; Kafka itself is asked in ``test_kafka_config``."""
    ports = {"kafka": int(broker.rpartition(":")[2]), "mongo": mongo_server.port}
    for server, port in ports.items():
        assert probe(server, port).returncode == 0


@pytest.mark.parametrize("server", ["kafka", "mongo"])
@pytest.mark.parametrize("answer", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_server_without_a_valid_answer_is_not_ready(server: str, answer: bytes | None) -> None:
    class Other(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(10)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Other) as other:
        port = other.server_address[1]
        if answer is None:
            other.server_close()
        else:
            threading.Thread(target=other.serve_forever, daemon=True).start()
        result = probe(server, port)
        if answer is not None:
            assert "no answer of" in result.stderr
            other.shutdown()
    assert result.returncode == 1


def test_mongodbs_key_file_is_replaced() -> None:
    """A pod's sandbox may be recreated while its volume in memory stays. Not as root, who ignores file modes."""
    script = of(build(MANIFESTS / "overlays" / "single-node"), "ConfigMap")["mongo-config"]["data"]["keyfile.sh"]
    user = 65534 if os.geteuid() == 0 else None
    with TemporaryDirectory() as folder:
        if user is not None:
            os.chown(folder, user, user)
        keys = []
        for _ in ("a fresh volume", "one with a key file"):
            result = subprocess.run(
                ["bash", "-c", script.replace("/run/mongo", folder)], user=user, capture_output=True, text=True, cwd="/"
            )
            assert result.returncode == 0, result.stderr
            keys.append(Path(folder, "keyfile").read_text())
        assert Path(folder, "keyfile").stat().st_mode & 0o777 == 0o400
    assert len(set(keys)) == 2
    assert all(len(key) == 128 for key in keys)


def test_the_limits_of_a_single_node_fit_a_machine_of_4_gib() -> None:
    """All at once: long-running workloads, Jobs, and filings. An init container counts if it needs more than the containers.

    Without the dashboard, which is off unless somebody turns it on.
    """
    manifests = build(MANIFESTS / "overlays" / "single-node")
    assert of(manifests, "Deployment")["dashboard"]["spec"]["replicas"] == 0
    total = 0
    for name, pod in pods(manifests).items():
        if name == "dashboard":
            continue
        first = [size(container["resources"]["limits"]["memory"]) for container in pod.get("initContainers", [])]
        total += max(*first, 0, sum(size(container["resources"]["limits"]["memory"]) for container in pod["containers"]), 0)
    assert 2 * 2**30 < total <= 3.2 * 2**30, f"{total / 2**30:.2f} GiB"


def test_only_ingress_controllers_reach_the_dashboard_and_only_its_page(plain: list[Manifest]) -> None:
    """Its health is for Prometheus, as that of the others."""
    policies = of(plain, "NetworkPolicy")
    to_it = [
        policy["spec"]["ingress"]
        for policy in policies.values()
        if policy["spec"]["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "dashboard"}}
    ]
    [[rule]] = to_it
    assert rule["ports"] == [{"port": "page"}]
    assert rule["from"][0]["podSelector"]["matchExpressions"][0]["values"] == ["traefik", "ingress-nginx"]
    assert "type" not in of(plain, "Service")["dashboard"]["spec"], "no port of the node"


def test_the_old_producer_stops_before_the_new_one_starts(plain: list[Manifest]) -> None:
    spec = of(plain, "Deployment")["producer"]["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_each_overlay_has_one_writer_to_mongodb() -> None:
    ways = {"mongo-writer", "connect"}
    assert ways & set(of(build(MANIFESTS / "overlays" / "single-node"), "Deployment")) == {"mongo-writer"}
    assert ways & set(of(build(MANIFESTS / "overlays" / "ha"), "Deployment")) == {"connect"}


def test_the_quorum_names_every_controller(plain: list[Manifest]) -> None:
    voters = of(plain, "ConfigMap")["kafka-config"]["data"]["quorum.properties"].splitlines()[0]
    replicas = of(plain, "StatefulSet")["kafka-controller"]["spec"]["replicas"]
    expected = ",".join(f"{3000 + number}@kafka-controller-{number}.kafka-controllers:9093" for number in range(replicas))
    assert voters == f"controller.quorum.voters={expected}"


def test_more_than_one_replica_means_a_disruption_budget(plain: list[Manifest]) -> None:
    several = {
        manifest["metadata"]["name"]
        for manifest in plain
        if manifest["kind"] in ("Deployment", "StatefulSet") and manifest["spec"]["replicas"] > 1
    }
    budgets = of(plain, "PodDisruptionBudget")
    assert set(budgets) == several
    for name, budget in budgets.items():
        assert budget["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": name}


def test_pods_connect_only_if_the_policies_of_both_allow_it(plain: list[Manifest]) -> None:
    """Every egress rule has a matching ingress rule, and no other; every name is a workload's."""
    policies = of(plain, "NetworkPolicy")
    assert policies["nobody"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for server, senders in (("kafka", "to-kafka"), ("mongo", "to-mongo")):
        (let_in,) = policies[server]["spec"]["ingress"]
        (names,) = let_in["from"][0]["podSelector"]["matchExpressions"]
        (sending,) = policies[senders]["spec"]["podSelector"]["matchExpressions"]
        assert set(names["values"]) == {*sending["values"], server}
    known = {*pods(build(MANIFESTS / "overlays" / "single-node")), *pods(build(MANIFESTS / "overlays" / "ha"))}
    known |= {"prometheus", "traefik", "ingress-nginx"}
    named = set(
        re.findall(r"'app.kubernetes.io/name': '([\w-]+)'|'values': \[([^\]]+)\]", str([p["spec"] for p in policies.values()]))
    )
    flat = {name.strip(" '") for pair in named for text in pair if text for name in text.split(",")}
    assert flat <= known


def test_policies_allow_the_addresses_in_the_settings(plain: list[Manifest]) -> None:
    """A pod that reads kafka-settings or mongo-settings may send to Kafka or MongoDB."""
    policies = of(plain, "NetworkPolicy")
    for name, pod in pods(plain).items():
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            read = {source["configMapRef"]["name"] for source in container.get("envFrom", ())}
            # Kafka Connect writes into MongoDB for these two.
            for system in ("kafka", *(() if name in ("connector", "connect-watch") else ("mongo",))):
                (may,) = policies[f"to-{system}"]["spec"]["podSelector"]["matchExpressions"]
                assert f"{system}-settings" not in read or name in may["values"], f"{name} to {system}"


def test_ports_of_services_exist_in_their_pods(plain: list[Manifest]) -> None:
    for name, service in of(plain, "Service").items():
        pod = pods(plain)[service["spec"]["selector"]["app.kubernetes.io/name"]]
        there = {port["name"]: port["containerPort"] for container in pod["containers"] for port in container.get("ports", ())}
        for port in service["spec"]["ports"]:
            assert there[port["targetPort"]] == port["port"], name


def test_mongodb_from_outside_needs_an_ip_block(plain: list[Manifest]) -> None:
    service = of(plain, "Service")["mongo-outside"]["spec"]
    assert (service["type"], service["externalTrafficPolicy"], service["ports"][0]["nodePort"]) == ("NodePort", "Local", 31234)
    (rule,) = of(plain, "NetworkPolicy")["mongo-outside"]["spec"]["ingress"]
    assert rule["from"] == [{"ipBlock": {"cidr": "127.0.0.1/32"}}]


def test_no_file_contains_a_secret(plain: list[Manifest]) -> None:
    assert not of(plain, "Secret")
    assert not [
        name
        for name in variables(plain)
        if name in VARIABLES and is_secret(VARIABLES[name]) and variables(plain)[name][:2] not in ("", "${")
    ]


def test_images_have_the_current_version(plain: list[Manifest]) -> None:
    tags = {
        container["image"]
        for manifest in plain
        for container in containers(manifest)
        if container["image"].startswith("stockctl")
    }
    assert tags <= {f"stockctl:{__version__}", f"stockctl-connect:{__version__}"}
    assert f"stockctl:{__version__}" in tags


def test_the_overlays_match_the_golden_list(settings_of: SettingsOf) -> None:
    """Against the golden list: a workload a line. Change both on purpose: `python -m tests.infra.golden`."""
    from tests.infra.golden import FILE, listing

    assert set(overlays(settings_of().infra)) == set(OVERLAYS)
    assert FILE.read_text() == listing()


def test_schedules_and_storage(plain: list[Manifest]) -> None:
    filings = of(plain, "CronJob")["filings"]["spec"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", filings["schedule"]), "once a week"
    assert (filings["timeZone"], filings["concurrencyPolicy"]) == ("America/New_York", "Forbid")
    for name in ("kafka", "kafka-controller"):
        (claim,) = at(of(plain, "StatefulSet")[name], "spec.volumeClaimTemplates")
        assert claim["spec"]["resources"] == {"requests": {"storage": "2Gi"}}
