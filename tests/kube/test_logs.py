"""``stockctl infra logs`` against a real API server, which reads them from a node of the test."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from kubernetes.client import AppsV1Api

from stockctl.clients.kubernetes.client import Kubernetes
from stockctl.errors import UnreachableError
from stockctl.infra import logs
from stockctl.settings import Settings
from tests.command import BIN, HANG, Command
from tests.conftest import wait_for
from tests.infra.conftest import SettingsOf
from tests.kube.kubelet import Kubelet, Node
from tests.kube.server import Kube
from tests.kube.standing import stand


@pytest.fixture
def node(own_settings: Settings, kubelet: Kubelet, kube: Kube) -> Iterator[Node]:
    """The node of the workload lake, which is ready."""
    with Node().of(kubelet, kube.folder / "tls") as node:
        stand(own_settings, "lake")
        yield node


class Following:
    """``infra logs lake --follow``, running."""

    def __init__(self, command: Command, *options: str) -> None:
        self.out, self.err = command.folder / "out", command.folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [BIN / "stockctl", "infra", "logs", "lake", "--follow", *options],
                stdout=out,
                stderr=err,
                env=command.environment,
                cwd=command.folder,
            )

    def wait_for(self, text: str, *, stderr: bool = False) -> None:
        """Wait until ``text`` has been written."""
        file = self.err if stderr else self.out
        wait_for(lambda: text in file.read_text() or self.process.poll() is not None, f"{text!r} in {file.name}")
        assert text in file.read_text(), self.err.read_text()


@contextmanager
def following(command: Command, *options: str) -> Iterator[Following]:
    running = Following(command, *options)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


class Proxy:
    """A TCP proxy to the API server that can be cut."""

    def __init__(self, port: int) -> None:
        self._port, self._ends = port, [socket.create_server(("127.0.0.1", 0))]
        self.port = self._ends[0].getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._ends[0].accept()
                theirs = socket.create_connection(("127.0.0.1", self._port))
                self._ends += [ours, theirs]
                for pair in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)

    def cut(self, *, permanent: bool) -> None:
        """Close every connection; accept new ones, unless it is ``permanent``."""
        for end in self._ends[0 if permanent else 1 :]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
def way(command: Command, kube: Kube) -> Iterator[Proxy]:
    """The proxy between the command and the API server."""
    way = Proxy(kube.port)
    config = command.folder / "kubeconfig"
    config.write_text(kube.kubeconfig.read_text().replace(str(kube.port), str(way.port)))
    command.environment["KUBECONFIG"] = str(config)
    yield way
    way.cut(permanent=True)


def test_logs_come_from_the_workloads_pods(command: Command, kubelet: Kubelet, node: Node) -> None:
    pod = kubelet.wait_for_pod("lake").metadata.name
    node.put(pod, b"first line\nlast line\n", None)
    assert command.run("infra", "logs", "lake", "--tail", "20", real=True).stdout == "first line\nlast line\n"
    assert f"/containerLogs/{kubelet.namespace}/{pod}/lake?" in node.asked[0]
    assert "tailLines=20" in node.asked[0]


def test_an_unknown_workload_and_a_pod_without_a_log(up: Command) -> None:
    for options in ((), ("--follow",)):
        result = up.run("infra", "logs", "nobody", *options, check=2)
        assert "one of filings, kafka, kafka-controller, lake" in result.stderr
    assert "filings has no pod" in up.run("infra", "logs", "filings", check=1).stderr
    for options in ((), ("--follow",)):
        assert "try: one of lake" in up.run("infra", "logs", "lake", "--container", "another", *options, check=2).stderr
    assert "gets no new lines" in up.run("infra", "logs", "lake", "--follow", "--previous", check=2).stderr


def test_a_log_is_followed_through_a_restart_and_a_new_pod(command: Command, kubelet: Kubelet, node: Node) -> None:
    old = kubelet.wait_for_pod("lake").metadata.name
    with following(command, "--tail", "7") as running:
        node.put(old, b"one\ntw")
        running.wait_for("one\n")
        assert running.out.read_text() == "one\n"
        node.put(old, b"o\nan end without a line's", None)
        running.wait_for("one\ntwo\nan end without a line's\n")
        running.wait_for(f"{old}: its log ended\n", stderr=True)
        kubelet.restarts = 1
        running.wait_for(f"{old}: its log starts (restart 1)\n", stderr=True)
        node.put(old, b"three\n")
        running.wait_for("three\n")
        kubelet.core.delete_namespaced_pod(old, kubelet.namespace, grace_period_seconds=0)
        running.wait_for(f"{old}: is gone\n", stderr=True)
        wait_for(lambda: {pod.metadata.name for pod in kubelet.pods()} - {old}, "a new pod")
        (new,) = {pod.metadata.name for pod in kubelet.pods()} - {old}
        running.wait_for(f"{new}: its log starts (restart 1)\n", stderr=True)
        node.put(new, b"four\n")
        running.wait_for(f"{new} four\n")
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(HANG) == 0
    assert running.out.read_text() == f"one\ntwo\nan end without a line's\nthree\n{new} four\n"
    assert ["tailLines=7" in path for path in node.asked] == [True, False, False]
    assert all("follow=true" in path for path in node.asked)


def test_lines_of_several_pods_come_in_the_order_of_their_arrival(command: Command, kubelet: Kubelet, node: Node) -> None:
    apps = AppsV1Api(kubelet.core.api_client)
    apps.patch_namespaced_deployment_scale("lake", kubelet.namespace, {"spec": {"replicas": 2}})
    wait_for(lambda: len([pod for pod in kubelet.pods() if pod.status.phase == "Running"]) == 2, "two pods")
    one, two = sorted(pod.metadata.name for pod in kubelet.pods())
    with following(command) as running:
        for pod, word in ((one, "a"), (two, "b"), (one, "c"), (two, "d")):
            node.put(pod, f"{word}\n".encode())
            running.wait_for(f" {word}\n")
        assert running.out.read_text() == f"{one} a\n{two} b\n{one} c\n{two} d\n"
        assert running.err.read_text() == ""


def test_a_pod_without_a_log_is_waited_for(command: Command, kubelet: Kubelet, node: Node) -> None:
    kubelet.states["lake"] = {"waiting": {"reason": "ContainerCreating"}}
    wait_for(lambda: kubelet.pods()[0].status.phase == "Pending", "the pod to wait")
    with following(command) as running:
        running.wait_for("waiting: lake has no pod with a log yet\n", stderr=True)
        del kubelet.states["lake"]
        node.put(kubelet.wait_for_pod("lake").metadata.name, b"one\n")
        running.wait_for("one\n")


@pytest.mark.parametrize("permanent", [True, False])
def test_a_lost_connection_ends_the_command(
    way: Proxy, command: Command, kubelet: Kubelet, node: Node, permanent: bool
) -> None:
    with following(command) as running:
        node.put(kubelet.wait_for_pod("lake").metadata.name, b"one\n")
        running.wait_for("one\n")
        way.cut(permanent=permanent)
        assert running.process.wait(HANG) == 5
    output = running.err.read_text()
    assert "broke off: the connection to https://127.0.0.1:" in output or (permanent and "no Kubernetes answers at " in output)


def test_a_log_that_ends_while_its_container_runs(
    command: Command, kubelet: Kubelet, node: Node, settings_of: SettingsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its node is lost: the API server then ends the response normally."""
    monkeypatch.setattr(logs, "_EXIT_SECONDS", 1.0)
    pod = kubelet.wait_for_pod("lake").metadata.name
    node.put(pod, b"one\n", None)
    settings = settings_of(**{"infra.kubeconfig": command.environment["KUBECONFIG"]})
    messages: list[str] = []
    with Kubernetes(settings.infra) as kubernetes:
        lines = logs.follow(kubernetes, kubelet.namespace, "lake", messages.append, lines=10)
        assert next(lines) == "one"
        with pytest.raises(UnreachableError, match="broke off, though its container still runs"):
            next(lines)
    assert messages == [f"{pod}: its log ended"]
