"""Servers that tests start, stop, kill and start again on the same data: Apache Kafka from Maven packages."""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
import tempfile
import uuid
import warnings
import zipfile
from pathlib import Path

import pytest

from tests.cache import alone, at_once, cached
from tests.conftest import free_port, listening, wait_for

KAFKA_VERSION = "4.3.1"
POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>stockctl.tests</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version></dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.3</version>
    </dependency>
  </dependencies>
</project>
"""


def kafka_jars() -> Path:
    """The folder of Apache Kafka's jars, fetched by Maven once and kept in the user's cache."""
    folder = cached(f"kafka-{KAFKA_VERSION}")
    jars = ["dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}"]
    return _fetched(folder, "Kafka", POM, jars) / "jars"


def _fetched(folder: Path, what: str, pom: str, *goals: list[str]) -> Path:
    """``folder`` with what Maven's ``goals`` put there."""
    with alone(folder):
        complete = folder / "complete"
        if not complete.exists():
            (folder / "pom.xml").write_text(pom)
            for goal in goals:
                command = ["mvn", "-B", "-q", *goal]
                try:
                    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
                except FileNotFoundError:
                    pytest.fail(f"Apache {what} comes from Maven packages, and there is no mvn: install maven and a JDK 17+")
                assert result.returncode == 0, f"mvn could not fetch {what}\n{result.stdout}\n{result.stderr}"
            complete.touch()
    return folder


QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
"""What Java does without for servers that live for seconds: all that pays off later."""


def quick_java() -> list[str]:
    """``java``, quick to start, with the classes of a broker as an archive if this Java can make one."""
    archive = _archive()
    return ["java", *QUICK, *([f"-XX:SharedArchiveFile={archive}"] if archive else [])]


@functools.cache
def _archive() -> Path | None:
    """The classes that a broker loads, parsed and laid out: one that ran has left them. Kept for each Java."""
    version = subprocess.run(["java", "-version"], capture_output=True, check=True, timeout=60).stderr
    archive = cached(f"kafka-{KAFKA_VERSION}-classes") / f"{hashlib.sha256(version).hexdigest()[:12]}.jsa"
    with alone(archive.parent):
        if not archive.exists():
            with at_once(archive) as part, tempfile.TemporaryDirectory() as scratch:
                broker = Kafka(Path(scratch), java=["java", *QUICK, f"-XX:ArchiveClassesAtExit={part}"])
                broker.start()
                broker.stop()
    if archive.exists():
        return archive
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("java leaves no archive of its classes: each broker takes seconds more to start", stacklevel=1)
    return None


_formatted: dict[str, bytes] = {}
"""The files of a broker's folder, with its users, as the first broker of this process formatted it."""


class Kafka:
    """Apache Kafka with one node (KRaft) in ``folder``: a plain listener, and one for SASL/SCRAM-SHA-256.

    Clients of the plain listener may do everything, and so may the other's user ``stockctl``. ``reader`` and ``guest``
    have no rights until a test grants some. ``certificate``, a file with one and its key, adds a listener for SASL over TLS.
    """

    PASSWORDS = {"stockctl": "stockctl-password", "reader": "reader-password", "guest": "guest-password"}  # noqa: RUF012

    def __init__(
        self,
        folder: Path,
        ports: tuple[int, int, int] | None = None,
        certificate: Path | None = None,
        java: list[str] | None = None,
    ) -> None:
        self.folder = folder
        self._java = [*(java or quick_java()), "-Xms256m", "-Xmx512m", "-cp", f"{kafka_jars()}/*"]
        self.certificate = certificate
        self.tls_port = free_port() if certificate else 0
        self.ports = ports or (free_port(), free_port(), free_port())
        self.port, self.sasl_port, self._controller_port = self.ports
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._properties = folder / "server.properties"
        self._properties.write_text(self._configuration())
        if not _formatted:
            self._format()
            _formatted.update((file.name, file.read_bytes()) for file in (folder / "data").iterdir())
        (folder / "data").mkdir(exist_ok=True)
        for name, content in _formatted.items():
            (folder / "data" / name).write_bytes(content)
        # Each broker is a cluster of its own.
        meta = folder / "data" / "meta.properties"
        meta.write_text(re.sub(r"(?m)^cluster\.id=.*$", f"cluster.id={_cluster_id()}", meta.read_text()))

    def _format(self) -> None:
        users = [
            argument
            for name, password in self.PASSWORDS.items()
            for argument in ("--add-scram", f"SCRAM-SHA-256=[name={name},password={password}]")
        ]
        command = ["java", *QUICK, "-cp", f"{kafka_jars()}/*", "kafka.tools.StorageTool", "format", "-t", _cluster_id()]
        result = subprocess.run([*command, "-c", self._properties, *users], capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, f"cannot format Kafka's folder\n{result.stdout}\n{result.stderr}"

    @property
    def servers(self) -> str:
        """Address of the plain listener."""
        return f"127.0.0.1:{self.port}"

    @property
    def sasl_servers(self) -> str:
        """Address of the listener that asks for a login."""
        return f"127.0.0.1:{self.sasl_port}"

    @property
    def tls_servers(self) -> str:
        """Address of the listener that asks for a login, over TLS."""
        return f"127.0.0.1:{self.tls_port}"

    def start(self) -> None:
        """Start on the data that is there, and wait until the broker takes connections."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._properties)], stdout=log, stderr=subprocess.STDOUT
            )
        wait_for(lambda: self._answers() or self.process.poll() is not None, "Apache Kafka", 90)  # type: ignore[union-attr]
        assert self.process.poll() is None, (self.folder / "log").read_text()[-5000:]

    def stop(self) -> None:
        """Stop it as an operator would, and wait until it is gone."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def kill(self) -> None:
        """Kill it at once (SIGKILL): what it had not written is lost to it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """Stop and start on the same data and ports."""
        self.stop()
        self.start()

    def _answers(self) -> bool:
        return all(listening(port) for port in (self.port, self.sasl_port, self.tls_port) if port)

    def _configuration(self) -> str:
        listeners = f"PLAINTEXT://{self.servers},SASL://{self.sasl_servers}"
        keystore = ""
        if self.certificate is not None:
            listeners += f",TLS://{self.tls_servers}"
            keystore = f"ssl.keystore.type=PEM\nssl.keystore.location={self.certificate}"
        return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{self._controller_port}
listeners={listeners},CONTROLLER://127.0.0.1:{self._controller_port}
advertised.listeners={listeners}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SASL_SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.tls.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
{keystore}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:stockctl
log.dirs={self.folder / "data"}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


def _cluster_id() -> str:
    return uuid.uuid4().hex[:22]


CONNECT_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>stockctl.tests</groupId><artifactId>connect</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>connect-runtime</artifactId><version>{KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>connect-json</artifactId><version>{KAFKA_VERSION}</version></dependency>
  </dependencies>
</project>
"""
MONGO_PLUGIN = "org.mongodb.kafka:mongo-kafka-connect:2.0.1:jar:all"


def connect_files() -> Path:
    """The folder with Kafka Connect's ``jars`` and the MongoDB connector's in ``plugins/mongo``, fetched once and kept."""
    folder = cached(f"kafka-connect-{KAFKA_VERSION}")
    jars = ["dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}"]
    plugins = ["dependency:copy", f"-Dartifact={MONGO_PLUGIN}", f"-DoutputDirectory={folder / 'plugins' / 'mongo'}"]
    return _fetched(folder, "Kafka Connect", CONNECT_POM, jars, plugins)


def put_plugins(folder: Path) -> None:
    """In ``folder`` what an image of Kafka Connect needs: the MongoDB connector, and our converter."""
    _put_connector(folder / "mongo")
    (folder / "stockctl").mkdir(exist_ok=True)
    shutil.copy(_converter(), folder / "stockctl" / "record-converter.jar")


def _put_connector(folder: Path) -> None:
    """The MongoDB connector in ``folder``, and the list of its classes, which it lacks."""
    folder.mkdir(exist_ok=True)
    for jar in (connect_files() / "plugins" / "mongo").iterdir():
        (folder / jar.name).symlink_to(jar)
    with zipfile.ZipFile(folder / "list.jar", "w") as listed:
        listed.writestr(
            "META-INF/services/org.apache.kafka.connect.sink.SinkConnector", "com.mongodb.kafka.connect.MongoSinkConnector\n"
        )


def _converter() -> Path:
    """The jar of our converter, built as its source stands, once for each text of it."""
    folder = Path(__file__).parents[1] / "images" / "connect"
    source = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())).hexdigest()
    jar = cached("connect-converter") / f"{source[:12]}.jar"
    with alone(jar.parent):
        if not jar.exists():
            with at_once(jar) as part:
                command = ["sh", str(folder / "build.sh"), str(connect_files() / "jars"), str(part)]
                result = subprocess.run(command, capture_output=True, text=True, timeout=120)
                assert result.returncode == 0, f"cannot build the converter\n{result.stdout}\n{result.stderr}"
    return jar


class ConnectServer:
    """A worker of distributed Kafka Connect in ``folder``; its internal topics are those of ``topics``, as in the settings.

    ``servers`` are Kafka's addresses, ``more`` further lines of its configuration. Without ``plugin`` it lacks the MongoDB
    connector, and our converter.
    """

    def __init__(
        self, folder: Path, servers: str, topics: dict[str, str], more: dict[str, str] | None = None, *, plugin: bool = True
    ) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        plugins = folder / "plugins"
        plugins.mkdir(exist_ok=True)
        if plugin:
            put_plugins(plugins)
        lines = {
            "bootstrap.servers": servers,
            "group.id": topics["config_topic"],
            "listeners": f"http://127.0.0.1:{self.port}",
            "plugin.path": str(plugins),
            # It looks into no class to find out which are plugins: that would take most of its start.
            "plugin.discovery": "service_load",
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "offset.flush.interval.ms": "1000",
            # Soon after a worker was killed, instead of five minutes.
            "scheduled.rebalance.max.delay.ms": "1000",
            "session.timeout.ms": "4000",
            "heartbeat.interval.ms": "1000",
            "config.providers": "file",
            "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        }
        for name in ("config", "offset", "status"):
            lines |= {f"{name}.storage.topic": topics[f"{name}_topic"], f"{name}.storage.replication.factor": "1"}
        self._properties = folder / "worker.properties"
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in (lines | (more or {})).items()))

    @property
    def url(self) -> str:
        """Address of its REST API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start it; its users wait for its API."""
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        jars = f"{connect_files() / 'jars'}/*:{kafka_jars()}/log4j*:{kafka_jars()}/*"
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["java", *QUICK, "-Xms64m", "-Xmx512m", "-cp", jars, main, str(self._properties)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """Kill it at once (SIGKILL)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
