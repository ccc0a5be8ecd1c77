"""The configuration of Kafka and Kafka Connect in the manifests, on Apache Kafka itself: controller, broker, worker, logins."""

from __future__ import annotations

import re
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stockctl.infra.kustomize import build
from stockctl.infra.render import render
from tests.command import HANG, Command
from tests.conftest import MongoServer, free_port, listening, wait_for
from tests.infra.conftest import SettingsOf
from tests.servers import connect_files, kafka_jars, put_plugins, quick_java

pytestmark = pytest.mark.kafka

MANIFESTS = Path(__file__).parents[2] / "manifests"
PASSWORD = "a-password_of.this~test"
CLUSTER = "NEtEY2E0N0UzRktBR0lKTQ"


class Node:
    """A controller or broker with the heap of its container, prepared by the manifests' script."""

    def __init__(self, role: str, folder: Path, controller_port: int, broker_port: int) -> None:
        manifests = build(MANIFESTS / "overlays" / "single-node")
        name = "kafka" if role == "broker" else "kafka-controller"
        by_name = {(each["kind"], each["metadata"]["name"]): each for each in manifests}
        (container,) = by_name["StatefulSet", name]["spec"]["template"]["spec"]["containers"]
        self.heap = {each["name"]: each["value"] for each in container["env"]}["KAFKA_HEAP_OPTS"]
        self.role, self.folder, self.controller_port = role, folder, controller_port
        self.port = broker_port if role == "broker" else controller_port
        self.process: subprocess.Popen[bytes] | None = None
        # Replace the cluster's names and the paths of its volumes by this machine's; the rest is as in the manifests.
        here = {
            "kafka-controller-0.kafka-controllers:9093": f"127.0.0.1:{controller_port}",
            "CONTROLLER://:9093": f"CONTROLLER://127.0.0.1:{controller_port}",
            "SASL://:9092": f"SASL://127.0.0.1:{broker_port}",
            "$HOSTNAME.kafka-brokers:9092": f"127.0.0.1:{broker_port}",
            "/var/lib/kafka": str(folder / "volume"),
        }
        for file, text in by_name["ConfigMap", "kafka-config"]["data"].items():
            for there, instead in here.items():
                text = text.replace(there, instead)
            (folder / "config").mkdir(parents=True, exist_ok=True)
            (folder / "config" / file).write_text(text)
        (folder / "secrets").mkdir()
        (folder / "secrets" / "password").write_text(PASSWORD)
        (folder / "secrets" / "cluster-id").write_text(CLUSTER)

    def prepare(self, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
        """Run the script of the pod's first command."""
        (self.folder / "secrets" / "password").write_text(password)
        environment = {
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "HOSTNAME": "kafka-0" if self.role == "broker" else "kafka-controller-0",
            "CONFIG_DIR": str(self.folder / "config"),
            "SECRETS_DIR": str(self.folder / "secrets"),
            "OUT": str(self.folder / "server.properties"),
            "STORAGE": f"{' '.join(quick_java())} -cp {kafka_jars()}/* kafka.tools.StorageTool",
        }
        script = self.folder / "config" / "prepare.sh"
        # -f: java expands the star of the class path, not the shell.
        return subprocess.run(["bash", "-f", script, self.role], env=environment, capture_output=True, text=True, timeout=HANG)

    def start(self) -> None:
        """Start the node as its container does, and wait for its port."""
        command = [
            *quick_java(),
            *self.heap.split(),
            "-cp",
            f"{kafka_jars()}/*",
            "kafka.Kafka",
            str(self.folder / "server.properties"),
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait(self) -> None:
        """Wait for its port."""
        assert self.process is not None
        process = self.process
        wait_for(lambda: listening(self.port) or process.poll() is not None, f"the {self.role}")
        assert process.poll() is None, (self.folder / "log").read_text()[-5000:]

    def stop(self) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def kafka_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A broker that runs with its controller, each prepared twice, as a restarted pod is."""
    folder, ports = tmp_path_factory.mktemp("nodes"), (free_port(), free_port())
    nodes = [Node(role, folder / role, *ports) for role in ("controller", "broker")]
    try:
        for node in nodes:
            for _ in ("a fresh volume", "one that is formatted"):
                result = node.prepare()
                assert result.returncode == 0, result.stdout + result.stderr
            node.start()
        for node in nodes:
            node.wait()
        yield nodes[1]
    finally:
        for node in nodes:
            node.stop()


def command_on(broker: Node, folder: Path) -> Command:
    """The command with the manifests' login to ``broker``."""
    return Command(
        folder,
        STOCKCTL_KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{broker.port}",
        STOCKCTL_KAFKA__SECURITY_PROTOCOL="SASL_PLAINTEXT",
        STOCKCTL_KAFKA__USERNAME="stockctl",
        STOCKCTL_KAFKA__PASSWORD=PASSWORD,
        STOCKCTL_KAFKA__CONNECT_WAIT="60s",
    )


def test_kafka_starts_and_accepts_the_login(kafka_node: Node, tmp_path: Path) -> None:
    command = command_on(kafka_node, tmp_path)
    command.run("topics", "apply")
    command.run("topics", "diff")
    for port in (kafka_node.port, kafka_node.controller_port):
        subprocess.run(["bash", kafka_node.folder / "config" / "ready.sh", str(port)], check=True, timeout=HANG)
    command.environment["STOCKCTL_KAFKA__PASSWORD"] = "another-password-of-a-test"
    command.run("topics", "list", check=4)


@pytest.mark.parametrize("password", ["", 'with"quote-and-length', "with,comma-and-length"])
def test_a_password_that_needs_quoting_is_refused(tmp_path: Path, password: str) -> None:
    node = Node("broker", tmp_path, free_port(), free_port())
    result = node.prepare(password)
    assert result.returncode == 3
    assert "the Kafka password holds other characters" in result.stderr
    assert not (node.folder / "server.properties").exists()


def test_connect_runs_the_connector_and_shows_no_credentials(
    kafka_node: Node, tmp_path: Path, settings_of: SettingsOf, mongo_server: MongoServer
) -> None:
    rendered = render(settings_of(**{"infra.overlay": "ha", "STOCKCTL_KAFKA__PASSWORD": PASSWORD}))
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in rendered.all}
    config, secrets, plugins, port = tmp_path / "config", tmp_path / "secrets", tmp_path / "plugins", free_port()
    plugins.mkdir()
    put_plugins(plugins)
    here = {
        "bootstrap.servers=kafka:9092": f"bootstrap.servers=127.0.0.1:{kafka_node.port}",
        "listeners=http://:8083": f"listeners=http://127.0.0.1:{port}",
        "/opt/connect-plugins": str(plugins),
        "/run/secrets/connect": str(secrets),
        "replication.factor=3": "replication.factor=1",
    }
    for folder, data in (
        (config, by_name["ConfigMap", "connect-config"]["data"]),
        (secrets, {key: b64decode(value).decode() for key, value in by_name["Secret", "stockctl-connect"]["data"].items()}),
    ):
        folder.mkdir()
        for file, text in data.items():
            for there, instead in here.items():
                text = text.replace(there, instead)
            # The MongoDB stand-in has no users.
            (folder / file).write_text(re.sub(r"^uri=.*$", f"uri={mongo_server.url}", text, flags=re.MULTILINE))
    command = command_on(kafka_node, tmp_path)
    variables = by_name["ConfigMap", "connect-settings"]["data"] | {
        "STOCKCTL_CONNECT__URL": f"http://127.0.0.1:{port}",
        "STOCKCTL_MONGO__URL": mongo_server.url,
        "STOCKCTL_MONGO__DATABASE": "infra",
    }
    command.environment |= {name: value.replace("/run/secrets/connect", str(secrets)) for name, value in variables.items()}
    command.run("topics", "apply")
    command.run("connect", "apply", "--topics-only")
    jars = f"{connect_files() / 'jars'}/*:{kafka_jars()}/log4j*:{kafka_jars()}/*"
    environment = {
        "PATH": "/usr/bin:/bin:/usr/local/bin",
        "CONFIG_DIR": str(config),
        "SECRETS_DIR": str(secrets),
        "OUT": str(tmp_path / "worker.properties"),
        "HOSTNAME_IP": "127.0.0.1",
        "START": f"{' '.join(quick_java())} -Xms128m -Xmx512m -cp {jars} org.apache.kafka.connect.cli.ConnectDistributed",
    }
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(["bash", "-f", config / "start.sh"], env=environment, stdout=log, stderr=log)
    try:
        result = command.run("connect", "apply", check=None)
        assert result.returncode == 0, result.stderr + (tmp_path / "worker.log").read_text()[-3000:]
        shown = httpx.get(f"http://127.0.0.1:{port}/connectors/stockctl-mongo").text
    finally:
        worker.kill()
        worker.wait()
    assert "worker.properties:uri" in shown
    assert PASSWORD not in shown
